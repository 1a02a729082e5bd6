"""What both ledgers decide while they execute a message: core's decisions, of what a ledger holds."""

from bulkload.core.contract.file_names import sent_file_name
from bulkload.core.identity.arrival import Arrival, judge_arrival
from bulkload.core.identity.existing import Present, Sought, find_equal
from bulkload.core.identity.reconcile import ExistingDecision
from bulkload.core.model.records import RegistryVersion
from bulkload.core.model.states import REGISTRY_TERMINAL, State
from bulkload.ledger.interface import BeginRun, FindEqual, Intend, Judge, Seal
from bulkload.ledger.records import LedgerEntry

# The message of a version that came to be after a later one of its model.
OUT_OF_ORDER = "out of order: a later version of this model was published before this one"


def equal_version(
    message: Intend | Seal | FindEqual, sha256: str, present: Present, run: BeginRun
) -> ExistingDecision | None:
    """An equal version of what is about to be sent that is there already."""
    item = message.entry
    sought = Sought(item.entry, item.workspace_id, sha256, item.retry_requested)
    return find_equal(sought, present, run.default_arch, run.wait_timeout, message.registry_time)


def arrival_of(item: LedgerEntry, version: RegistryVersion) -> Arrival:
    """What a version that the registry shows is to the entry that holds its id."""
    if item.owned:
        return judge_arrival(*item.model, item.sha256, sent_file_name(item.entry.source), item.fence, version)
    return judge_arrival(*item.model, item.sha256, None, frozenset(), version)


def becomes_ready(message: Judge, arrival: Arrival) -> bool:
    """Whether a judged version ends its entry well."""
    return arrival is Arrival.OURS and REGISTRY_TERMINAL.get(message.version.status or "") is State.READY


def has_news(message: Judge, arrival: Arrival) -> bool:
    """Whether a judged version has another status than was noted, and goes on."""
    status = message.version.status
    return arrival is Arrival.OURS and status != message.noted and REGISTRY_TERMINAL.get(status or "") is None

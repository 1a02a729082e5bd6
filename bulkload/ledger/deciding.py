"""What both ledgers decide while they execute a message: core's decisions, of what a ledger holds."""

from enum import Enum

from bulkload.core.contract.file_names import sent_file_name
from bulkload.core.identity.arrival import Arrival, judge_arrival
from bulkload.core.identity.existing import Present, Sought, find_equal
from bulkload.core.identity.reconcile import ExistingDecision
from bulkload.core.model.errors import UsageError
from bulkload.core.model.records import Look, RegistryVersion
from bulkload.core.model.states import REGISTRY_TERMINAL, TERMINAL, State
from bulkload.ledger.interface import BeginRun, FindEqual, Intend, Judge, Seal
from bulkload.ledger.records import LedgerEntry, PlannedEntry

# The message of an entry that was sent whole by a process that ended without its answer.
RUN_ENDED = "the run ended before the answer came"
# The message of a version that came to be after a later one of its model.
OUT_OF_ORDER = "out of order: a later version of this model was published before this one"


def of_another_registry(owner: str, registry: str) -> UsageError:
    """What is said of a ledger that was bound to another registry."""
    return UsageError(
        f"this ledger belongs to {owner}, not to {registry}; name another one with --ledger, or publish to its own"
        " registry"
    )


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


class FileNews(Enum):
    """What a known entry's file means to its publication when it is planned again."""

    NONE = "none"
    # Nothing was made of the file that it was: there is nothing to compare.
    LOOK = "look"
    # It looks different from what was published: it is to be read.
    SUSPECT = "suspect"
    # The manifest declares other bytes than were published.
    OTHER_BYTES = "other bytes"


def file_news(
    planned: PlannedEntry, state: State, version_id: int | None, sha256: str | None, look: Look | None
) -> FileNews:
    """``state`` and what follows are of the publication that the ledger has."""
    is_published = state in TERMINAL and not (state is State.FAILED and version_id is None)
    if is_published and planned.entry.sha256 is not None and sha256 not in (None, planned.entry.sha256):
        return FileNews.OTHER_BYTES
    if planned.look is None or (planned.look == look and planned.look.mark is not None):
        return FileNews.NONE
    if is_published:
        return FileNews.SUSPECT
    return FileNews.LOOK if state in (State.PLANNED, State.FAILED) else FileNews.NONE

"""What happens in a run, as typed events: the one way in which a run tells how it goes.

They are delivered synchronously, in order, on the run's own loop, after the commit that they tell of. Log, display,
counts, metrics and the summary are consumers; no decision about an entry is made of them. Moments are seconds of the
run's own clock, which is ``time.monotonic`` unless it was given another.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from bulkload.core.model.records import Problem
from bulkload.core.model.states import State


class Event(msgspec.Struct, frozen=True):
    """Something that has happened."""


# A consumer. An attribute ``kinds`` (types of events) says what it listens to; one without it hears all.
OnEvent = Callable[[Event], None]


# The run as a whole.


class PhaseBegan(Event, frozen=True):
    """What goes on now: "checking the manifest", "planning", "listing", "publishing", "waiting" ..."""

    phase: str


class Advanced(Event, frozen=True):
    """How many were done in this phase by now, where it has no states to show. Told now and then."""

    done: int


class RunBegan(Event, frozen=True, kw_only=True):
    """The ledger knows of the run."""

    run_id: str
    endpoint: str
    ledger: str
    # Uploads at a time: to begin with, and at the most.
    concurrency: int
    most_concurrency: int
    # Uploads a second that were asked for, and versions that may be converting at once; None: no limit.
    upload_rate: float | None
    max_converting: int | None
    # How long an upload's answer is waited for after its last byte, in seconds.
    answer_timeout: float


class StatesCounted(Event, frozen=True):
    """How many entries of the manifest are in each state; every later change is an ``EntryMoved``."""

    states: Mapping[str, int]


class Stopping(Event, frozen=True):
    """The run takes nothing new. It is told again where another reason came."""

    exit_code: int
    reason: str
    # What is under way may take so many seconds from now.
    grace: float


class RunEnded(Event, frozen=True):
    """The ledger knows how the run ended."""

    run_id: str
    exit_code: int


class Noticed(Event, frozen=True):
    """Something that stops nothing, but that somebody should know, in words."""

    words: str


class ManifestDoubted(Event, frozen=True):
    """What the check of the manifest found that stops nothing."""

    problems: Sequence[Problem]


# Entries.


class EntryMoved(Event, frozen=True, kw_only=True):
    """The ledger has moved an entry."""

    entry_id: int
    name: str
    before: State
    after: State
    # Also entries that the manifest no longer has are polled and reconciled; they are not counted.
    in_manifest: bool
    # Of its file, where that is known.
    size: int | None = None
    version_id: int | None = None
    # Why, where the move says so.
    cause: str | None = None
    message: str | None = None
    # Of the upload (after UPLOADED), or of the conversion (after READY and ERROR).
    seconds: float | None = None
    # A version was found whose answer had been lost.
    adopted: bool = False


class ReconcileEnded(Event, frozen=True, kw_only=True):
    """What was found of an upload whose answer was lost. ``outcome``: of ``core.identity.reconcile``."""

    name: str
    outcome: str
    note: str | None


class DuplicateFound(Event, frozen=True, kw_only=True):
    """Versions that an entry's uploads made beyond the one that it holds."""

    name: str
    versions: tuple[int, ...]


class WaitEnded(Event, frozen=True):
    """A version was waited for long enough; it stays uploaded."""

    version_id: int
    status: str | None


class EntryLaidAside(Event, frozen=True):
    """An entry was refused again and again while others were not; it is left for the next run."""

    reason: str


class EntryUnread(Event, frozen=True):
    """The file of an entry cannot be read for now; the entry is left for the next run."""

    reason: str


class ChangeUnread(Event, frozen=True):
    """A file that looks different since it was published cannot be read; the next run looks again."""

    path: str
    reason: str


# Requests.


class RequestSent(Event, frozen=True):
    """A call leaves that has a rate. ``kind``: "upload", "poll", "list" or "token"."""

    kind: str


class BytesSent(Event, frozen=True):
    """A piece of a model is handed to the socket. A retry counts again."""

    count: int


class BodySent(Event, frozen=True):
    """The last piece of an entry's upload is handed to the socket: from now on its next ``EntryMoved`` is awaited."""

    entry_id: int


class Retried(Event, frozen=True, kw_only=True):
    """A call failed and is made again."""

    call: str
    reason: str
    # The HTTP status, where there was an answer, and the seconds that it asked to wait.
    status: int | None = None
    retry_after: float | None = None


class LimitChanged(Event, frozen=True, kw_only=True):
    """A limit was found or changed. None: no limit."""

    # "concurrency" (uploads at a time) or "rate" (calls a second).
    limit: str
    # Of a rate: "upload", "poll", "list" or "token".
    kind: str | None = None
    before: float | None
    after: float | None
    # What the registry was found to take, where a rate is kept below it for a while.
    found: float | None = None
    reason: str


class Paced(Event, frozen=True):
    """How often calls of a kind may be made now: what was cut comes back by and by. Told now and then, when it changed.

    ``rate``: calls a second, None for no limit.
    """

    kind: str
    rate: float | None


class Held(Event, frozen=True):
    """The registry asked for a pause, for all calls."""

    seconds: float
    until: float


class Outage(Event, frozen=True, kw_only=True):
    """The registry takes no call of a kind any more; one that failed is waited for, and made again."""

    # "upload", "poll", "list", "token", or "question" before a run begins.
    kind: str
    call: str
    reason: str
    # When the first of the calls failed, when this one is made again (or later, after others), and when the run ends.
    since: float
    next_try: float
    gives_up_at: float
    # The HTTP status, where there was an answer.
    status: int | None = None


class OutageEnded(Event, frozen=True):
    """The registry takes calls of a kind again."""

    kind: str


class ConversionPlaces(Event, frozen=True):
    """Versions that convert on the registry, or are sent to be converted; and uploads that wait to be one of them.

    Told where their number is limited.
    """

    taken: int
    waiting: int


class RouteChanged(Event, frozen=True):
    """``models/upload`` does not exist here; all goes by ``upload_and_convert``."""

    reason: str


class ListingRead(Event, frozen=True):
    """A workspace was listed whole."""

    workspace_id: int
    versions: int


class NotListed(Event, frozen=True):
    """A workspace cannot be listed whole; its models are asked for one by one."""

    workspace_id: int
    reason: str


class VersionNotShown(Event, frozen=True):
    """A version that a list of all owners named is not this account's to see, or gone."""

    version_id: int
    reason: str


class ErrorNotExplained(Event, frozen=True):
    """A version ended in error, and the registry does not say why."""

    version_id: int

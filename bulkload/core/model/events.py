"""What happens in a run, as typed events: the one way in which a run tells how it goes.

They are delivered synchronously, in order, on the run's own loop, after the commit that they tell of. Log, display,
counts, metrics and the summary are consumers; no decision is made of them. Times are seconds of the run's monotonic
clock unless said otherwise.
"""

from collections.abc import Mapping, Sequence

import msgspec

from bulkload.core.model.records import Problem
from bulkload.core.model.states import State


class Event(msgspec.Struct, frozen=True):
    """Something that has happened."""


# The run as a whole.


class PhaseBegan(Event, frozen=True):
    """What the run does now: "checking the manifest", "planning", "listing", "publishing", "waiting" ..."""

    phase: str


class Advanced(Event, frozen=True):
    """How many were done in this phase by now, where it has no states to show."""

    done: int


class RunBegan(Event, frozen=True, kw_only=True):
    """The ledger knows of the run."""

    run_id: str
    endpoint: str
    ledger: str
    # Uploads at a time, at the most.
    concurrency: int


class StatesCounted(Event, frozen=True):
    """How many entries of the manifest are in each state; every later change is an ``EntryMoved``."""

    states: Mapping[str, int]


class Stopping(Event, frozen=True):
    """The run takes nothing new."""

    exit_code: int
    reason: str


class RunEnded(Event, frozen=True):
    """The last event of a run."""

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
    version_id: int | None = None
    # Why, where the move says so.
    cause: str | None = None
    message: str | None = None
    # Of the upload (after UPLOADED), or of the conversion (after READY and ERROR).
    seconds: float | None = None
    # A version was found whose answer had been lost.
    adopted: bool = False


class Reconciled(Event, frozen=True, kw_only=True):
    """What was found of an upload whose answer was lost."""

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


class EntryLeft(Event, frozen=True):
    """An entry is left for the next run, as its file cannot be read for now."""

    name: str
    reason: str


# Requests.


class BytesSent(Event, frozen=True):
    """A piece of a body was handed to the socket."""

    count: int


class Retried(Event, frozen=True, kw_only=True):
    """A call failed and is made again."""

    call: str
    reason: str
    retry_after: float | None = None


class LimitChanged(Event, frozen=True, kw_only=True):
    """A limit was found or changed. None: no limit."""

    # "concurrency" (uploads at a time) or "rate" (calls a second).
    limit: str
    # Of a rate: "upload", "poll", "list" or "token".
    call: str | None
    before: float | None
    after: float | None
    reason: str


class Held(Event, frozen=True):
    """The registry asked for a pause, for all calls."""

    seconds: float


class Outage(Event, frozen=True, kw_only=True):
    """A call is not answered, and is waited for."""

    call: str
    reason: str
    # On the run's clock.
    since: float
    next_try: float
    # None: the tries are counted, not the time.
    gives_up_at: float | None


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
    """Something of a version could not be had: the version itself, or why it ended in error."""

    version_id: int
    reason: str

"""What a run says to its ledger, and what it gets back: the one door between the engine and any ledger.

The engine sends frozen messages and gets frozen answers. An answer comes when the message is committed, durably.
Nothing of the engine runs in the ledger's thread, and nothing of the ledger's storage shows here. Two ledgers take
these messages: ``sqlite.Ledger``, a file, and ``memory.MemoryLedger``, the twin ledger, under one suite of tests.

How messages are executed:

* in groups, one commit a group; those that wait are taken together, and nothing waits for more to come;
* messages about one entry, and messages about one model that move it, keep the order in which they were sent;
* one that is refused changes nothing and spares the others of its group;
* a ledger dies with the group that it had not committed, whole, and with nothing else.

``execute`` raises ``IllegalMove`` for a move that the state table does not have, and ``LedgerError`` where the ledger
cannot be written or is damaged.
"""

from datetime import datetime
from typing import Generic, Protocol, Self, TypeVar

import msgspec

from bulkload.core.identity.arrival import Arrival
from bulkload.core.identity.reconcile import ExistingDecision
from bulkload.core.model.records import Look, RegistryVersion
from bulkload.core.model.settings import OnExisting
from bulkload.core.model.states import State
from bulkload.core.model.summary import CauseCount
from bulkload.ledger.records import LedgerEntry, Outcome, PlannedEntry

Answer = TypeVar("Answer")
_Answer = TypeVar("_Answer")

Model = tuple[int, str]


class Message(msgspec.Struct, Generic[Answer], frozen=True):
    """What a ledger is told or asked; its parameter is the type of the answer."""


class Ledger(Protocol):
    """An open ledger: ``async with ledger: await ledger.execute(Seal(entry, sha256))``."""

    async def __aenter__(self) -> Self:
        """Open it. Raises ``LedgerInUse``, ``UsageError`` where none can lie, ``LedgerError`` where it is none."""
        ...

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Commit what was sent, and close. A ledger that was made for a manifest that is wrong goes again."""
        ...

    async def execute(self, message: Message[_Answer]) -> _Answer:
        """Carry out a message. Shielded: whoever is cancelled meanwhile is told after the commit."""
        ...


# A run begins in one transaction: BeginRun, PlanEntries for each page of the manifest, FinishPlan. Its answers come
# before the commit, the last one after it; a ledger that is closed in between is as before.


class BeginRun(Message[None], frozen=True, kw_only=True):
    """Bind the ledger to a registry, open a run, sort out what an earlier process left under way.

    What was not sealed is planned again, what was sealed is in doubt. Raises ``UsageError`` for a ledger of another
    registry. The run's constants come once, with this.
    """

    run_id: str
    started_at: str
    # Whom the ledger belongs to: an address, or a sandbox's own id.
    registry: str
    endpoint: str
    manifest: str
    default_arch: str | None
    on_existing: OnExisting
    # Seconds after which a native version that still converts counts as stuck.
    wait_timeout: float


class PlanEntries(Message[tuple[tuple[int, int], ...]], frozen=True):
    """Bring the ledger up to a page of the manifest: new entries are planned, known ones keep their state.

    Pages come in the manifest's order. The answer: (line, line of the same entry) for each entry that this manifest had
    already, which is not planned.
    """

    entries: tuple[PlannedEntry, ...]


class FinishPlan(Message[dict[str, list[float]]], frozen=True):
    """The beginning is whole: commit it. The answer: how long conversions took, by their kind, oldest first.

    ``follows_manifest``: entries that were not planned are no longer in the manifest; they keep their data.
    """

    follows_manifest: bool


class EndRun(Message[None], frozen=True, kw_only=True):
    """Close the run with its summary (JSON), and keep how long conversions took."""

    finished_at: str
    exit_code: int
    summary: str
    conversion_seconds: dict[str, list[float]]


# Files that look different since their entries were published, and entries to be tried anew.


class Suspects(Message[list[LedgerEntry]], frozen=True):
    """Published entries of the last plan whose file looks different, by id, a page at a time."""

    after_id: int
    most: int


class SameBytes(Message[None], frozen=True):
    """A file that looks different holds what was published: only its look is new."""

    entry_id: int
    look: Look


class Renew(Message[None], frozen=True):
    """Keep the entry's publication as a past one, and plan a new one, of the file as it looks now.

    Raises ``IllegalMove`` unless the publication has ended: what is under way may still become a version.
    """

    entry_id: int
    look: Look


class RetryFailed(Message[None], frozen=True):
    """Plan ``failed`` entries without a version again; ``with_versions``: also ``error`` and wrong-digest ones."""

    with_versions: bool


# Entries to work on. Pages are short; the last one is empty.


class Take(Message[list[LedgerEntry]], frozen=True):
    """The next planned entries behind a line of the manifest that are the first of their model to be sent.

    None of a model that has an upload in flight or in doubt.
    """

    most: int
    after_line: int


class NextOfModel(Message[LedgerEntry | None], frozen=True):
    """The first planned entry of a model, when nothing of the model is in flight or in doubt."""

    model: Model


class GetEntry(Message[LedgerEntry], frozen=True):
    """One entry as it is now. Raises ``KeyError`` where there is none."""

    entry_id: int


class InState(Message[list[LedgerEntry]], frozen=True):
    """Entries in one state, also those no longer in the manifest, by id."""

    state: State
    after_id: int
    most: int


class InManifest(Message[list[LedgerEntry]], frozen=True):
    """Entries of the manifest, in its order."""

    after_line: int
    most: int


class ToAudit(Message[list[LedgerEntry]], frozen=True):
    """Entries that were sent again and became a version, by id."""

    after_id: int
    most: int


# Moves. The answer says what was before and what is after.


class Moved(msgspec.Struct, frozen=True):
    """An entry was moved."""

    before: State
    after: State


class VersionTaken(msgspec.Struct, frozen=True):
    """The version id belongs to another entry, or to an earlier publication of this one: nothing was moved."""

    version_id: int


class Intend(Message[Moved | ExistingDecision], frozen=True, kw_only=True):
    """The first byte may leave now; with ``sha256`` the whole body is sealed in the same commit.

    With a digest, and where the run skips what is there already, an equal version is looked for first, in the listing
    and among this ledger's own: then nothing is moved, and the answer is the decision. Nothing else may be sent.
    """

    entry: LedgerEntry
    look: Look
    # The version ids that the model had before the first byte; None: those of the run's listing.
    fence: frozenset[int] | None
    sha256: str | None = None
    # The registry's own clock, from its last answer: it tells a version that converts from one that is stuck.
    registry_time: datetime | None = None


class Seal(Message[Moved | ExistingDecision], frozen=True, kw_only=True):
    """The last piece may leave now. An equal version is looked for first, as ``Intend`` does.

    Raises ``IllegalMove`` unless the entry's upload is under way.
    """

    entry: LedgerEntry
    sha256: str
    registry_time: datetime | None = None


class Arrived(Message[Moved | VersionTaken], frozen=True, kw_only=True):
    """The answer named a version. Its ``message`` says where a later version of the model was published before it."""

    entry: LedgerEntry
    version_id: int
    uploaded_at: str
    upload_seconds: float


class Move(Message[Moved], frozen=True):
    """Move an entry and write what came of it. None in an outcome leaves a column as it is.

    Raises ``IllegalMove`` also where the outcome names a version as made by this entry that another one made.
    """

    entry_id: int
    after: State
    outcome: Outcome


class Disown(Message[Moved], frozen=True):
    """The version that the answer named is another's: the upload is in doubt again."""

    entry_id: int
    reason: str


class Judged(msgspec.Struct, frozen=True):
    """What a version that was looked at is to its entry."""

    # As it was before.
    entry: LedgerEntry
    arrival: Arrival
    # None where the entry was not moved.
    moved: Moved | None


class Judge(Message[Judged], frozen=True, kw_only=True):
    """The registry showed the version that an entry holds: is it the entry's, and what becomes of it?

    One that is ours and ready moves to READY with ``ready``; one that is ours and not terminal has its status noted,
    where it is another than ``noted``. Everything else is for the sender to look at.
    """

    entry_id: int
    version: RegistryVersion
    noted: str | None
    ready: Outcome


class NotePlanned(Message[None], frozen=True):
    """Why an entry is still to be sent."""

    entry_id: int
    message: str


class NoteStatus(Message[None], frozen=True):
    """The registry's word about a version that it has not judged yet."""

    entry_id: int
    status: str | None


class Audited(Message[None], frozen=True):
    """The model was listed once more; ``note`` says what should not be there."""

    entry_id: int
    note: str | None


# What belongs to whom.


class Claims(msgspec.Struct, frozen=True):
    """Versions of a model that are spoken for."""

    # Held now by another entry, or earlier by any, this one included: an upload in doubt made none of them.
    claimed: frozenset[int]
    # Those of them that another entry holds by an answer's word, and whose bytes it may not have.
    unproved: frozenset[int]


class GetClaims(Message[Claims], frozen=True):
    """Which versions of the entry's model are spoken for."""

    entry: LedgerEntry


# The registry's listing, and digests of files.


class WorkspacesToList(Message[list[int]], frozen=True):
    """Workspaces in which something is to be sent or reconciled."""


class ForgetListing(Message[None], frozen=True):
    """Forget what an earlier look at the registry saw."""


class KeepListing(Message[None], frozen=True):
    """Keep those of these versions whose models this ledger knows."""

    versions: tuple[RegistryVersion, ...]


class Comparison(msgspec.Struct, frozen=True):
    """Whether a file can have an equal version in the listing."""

    # A listed version of the model has the file's size, or shows none.
    possible: bool
    # The file's digest, where it was read as it looks now.
    sha256: str | None


class Compare(Message[Comparison], frozen=True):
    """Whether an equal version may be there, and whether the digest that tells is known."""

    entry: LedgerEntry
    look: Look


class FindEqual(Message[ExistingDecision | None], frozen=True, kw_only=True):
    """An equal version that is there already, in the listing or published by this ledger for another entry."""

    entry: LedgerEntry
    sha256: str
    registry_time: datetime | None = None


class RememberDigest(Message[None], frozen=True):
    """Keep the digest of a file that was read whole, where the same look of it can be told again."""

    path: str
    look: Look
    sha256: str


# Counts.


class Counts(Message[dict[str, int]], frozen=True):
    """How many entries of the manifest are in each state: all eight keys."""


class CountOpen(Message[int], frozen=True):
    """Entries that a run has work with, also those no longer in the manifest that must be polled or reconciled."""


class Failures(Message[tuple[CauseCount, ...]], frozen=True):
    """Entries of the manifest that are ``failed`` or ``error``, by cause and message, most frequent first."""

"""What the ledger takes in and gives out."""

from typing import NamedTuple

import msgspec

from bulkload.core.model.records import Entry, Look
from bulkload.core.model.states import State


class PlannedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the manifest, resolved against the registry: what planning takes in."""

    entry_key: str
    workspace_id: int
    entry: Entry
    # None where the file could not be looked at.
    look: Look | None


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with its current publication: what the engine works on."""

    id: int
    workspace_id: int
    entry: Entry
    state: State
    # The file as it was when this publication was planned or last opened.
    look: Look | None
    sha256: str | None
    # Version ids that this model had before the first byte was sent.
    fence: frozenset[int]
    sealed: bool
    version_id: int | None
    # This ledger's upload made that version.
    owned: bool
    # Planned anew by --retry-failed: an equal version that ended in error does not spare the upload.
    retry_requested: bool
    # In the manifest of this run.
    in_manifest: bool
    # Known to be the only entry of its model in this ledger.
    only_version: bool = False

    @property
    def model(self) -> tuple[int, str]:
        """Workspace id and model name: one upload of it is in flight at a time."""
        return self.workspace_id, self.entry.name


# The columns of the view ``results``, a contract with scripts: names and order stay, and new ones come last.
RESULT_COLUMNS = (
    "entry_key", "line", "name", "workspace_id", "version_label", "path", "framework", "size", "sha256", "state",
    "version_id", "version_uuid", "status", "cause", "message", "logs", "attempts", "adopted", "labels",
    "uploaded_at", "finished_at", "upload_seconds", "convert_seconds", "run_id",
    "workspace", "registry",
)  # fmt: skip


class SentFile(NamedTuple):
    """A file whose bytes were sent, or found equal, and how it looked then.

    A reader gives tuples without the names: there may be a million.
    """

    line: int
    path: str
    framework: str
    size: int
    mark: str | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an entry: the columns that a move writes. None leaves a column as it is."""

    sha256: str | None = None
    version_id: int | None = None
    owned: bool | None = None
    version_uuid: str | None = None
    status: str | None = None
    cause: str | None = None
    message: str | None = None
    logs: str | None = None
    adopted: bool | None = None
    uploaded_at: str | None = None
    finished_at: str | None = None
    upload_seconds: float | None = None
    convert_seconds: float | None = None

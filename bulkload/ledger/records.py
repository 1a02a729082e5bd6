"""What the ledger takes in and gives out."""

import sqlite3
from typing import Any

import msgspec

from bulkload.core.model.records import Entry, SourceStat
from bulkload.core.model.states import State


class PlannedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the manifest, resolved against the registry: what planning takes in."""

    entry_key: str
    workspace_id: int
    entry: Entry
    # None where the file could not be looked at.
    stat: SourceStat | None


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with its current publication: what the engine works on."""

    id: int
    workspace_id: int
    entry: Entry
    state: State
    stat: SourceStat | None
    sha256: str | None
    # Version ids that this model had before the first byte was sent.
    fence: frozenset[int]
    sealed: bool
    version_id: int | None
    # This ledger's upload made that version.
    owned: bool
    # Planned anew by --retry-failed: an equal version that ended in error does not spare the upload.
    retaken: bool
    # In the manifest of this run.
    listed: bool
    # Known to be the only entry of its model in this ledger.
    alone: bool = False

    @property
    def model(self) -> tuple[int, str]:
        """Workspace id and model name: one upload of it is in flight at a time."""
        return self.workspace_id, self.entry.name


# The columns that ``ledger_entry`` reads, in its order.
COLUMNS = (
    "id, workspace_id, spec, state, size, inode, mtime_ns, ctime_ns, sha256, fence, sealed, version_id, owned, retaken,"
    " line"
)

_decode_entry = msgspec.json.Decoder(Entry).decode
_decode_fence = msgspec.json.Decoder(frozenset[int]).decode


class DamagedRow(sqlite3.DatabaseError):
    """A row holds what no writer ever put there."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def ledger_entry(row: tuple[Any, ...], *, alone: bool = False) -> LedgerEntry:
    """A row of ``COLUMNS`` as a record. Raises ``DamagedRow``."""
    try:
        return _decode_row(row, alone=alone)
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise DamagedRow(f"entry {row[0]}: {error}") from None


def _decode_row(row: tuple[Any, ...], *, alone: bool) -> LedgerEntry:
    id_, workspace_id, spec, state, size, inode, mtime, ctime, sha256, fence, sealed, version_id, *flags, line = row
    owned, retaken = flags
    stat = None if inode is None else SourceStat(size=size, inode=inode, mtime_ns=mtime, ctime_ns=ctime)
    return LedgerEntry(
        id=id_,
        workspace_id=workspace_id,
        entry=_decode_entry(spec),
        state=State(state),
        stat=stat,
        sha256=sha256,
        fence=_decode_fence(fence) if fence else frozenset(),
        sealed=bool(sealed),
        version_id=version_id,
        owned=bool(owned),
        retaken=bool(retaken),
        listed=line is not None,
        alone=alone,
    )


class SentFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file whose bytes were sent, or found equal, as it was then."""

    line: int
    path: str
    framework: str
    # As ``SourceStat.stored``.
    stored: tuple[int | None, ...]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an entry: the columns that a move writes. None leaves a column as it is."""

    size: int | None = None
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

"""Rows of the table of entries as records."""

import sqlite3
from typing import Any

import msgspec

from bulkload.core.model.records import Entry, Look
from bulkload.core.model.states import State
from bulkload.ledger.records import LedgerEntry

# The columns that ``ledger_entry`` reads, in its order.
COLUMNS = "id, workspace_id, spec, state, size, mark, sha256, fence, sealed, version_id, owned, retry_requested, line"

# One of these rows as JSON, and many.
_Row = tuple[
    int, int, str, State, int | None, str | None, str | None, str | None, int, int | None, int, int, int | None, int
]
decode_rows = msgspec.json.Decoder(list[_Row]).decode

_decode_entry = msgspec.json.Decoder(Entry).decode
_decode_fence = msgspec.json.Decoder(frozenset[int]).decode


class DamagedRow(sqlite3.DatabaseError):
    """A row holds what no writer ever put there."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def ledger_entry(row: tuple[Any, ...], *, only_version: bool = False) -> LedgerEntry:
    """A row of ``COLUMNS`` as a record. Raises ``DamagedRow``."""
    try:
        return _decode_row(row, only_version=only_version)
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise DamagedRow(f"entry {row[0]}: {error}") from None


def _decode_row(row: tuple[Any, ...], *, only_version: bool) -> LedgerEntry:
    id_, workspace_id, spec, state, size, mark, sha256, fence, sealed, version_id, *flags, line = row
    owned, retry_requested = flags
    return LedgerEntry(
        id=id_,
        workspace_id=workspace_id,
        entry=_decode_entry(spec),
        state=state if type(state) is State else State(state),
        look=None if size is None else Look(size, mark),
        sha256=sha256,
        fence=_decode_fence(fence) if fence else frozenset(),
        sealed=bool(sealed),
        version_id=version_id,
        owned=bool(owned),
        retry_requested=bool(retry_requested),
        in_manifest=line is not None,
        only_version=only_version,
    )

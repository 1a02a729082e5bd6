"""The moves that most entries make, collected in the order of their messages and written together (``moves.sql``).

What is collected is not in the file yet: whoever asks the file about one of these entries or models has it written
first. How the entries stand after it is known here.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import msgspec

from bulkload.core.model.records import Look
from bulkload.core.model.states import State
from bulkload.ledger.deciding import OUT_OF_ORDER
from bulkload.ledger.interface import Arrived, Model
from bulkload.ledger.records import LedgerEntry, Outcome
from bulkload.ledger.sqlite.writes import Store

# Columns of the view ``moves``.
COLUMNS = 18
# In one statement: SQLite before 3.32 takes no more than 999 values.
MOST_ROWS = 48
# Statements are compiled for so many rows, or so many times them; what is missing to that is filled up.
ROWS_A_STEP = 8
# Entries that are known without a look at the file: those of the next page, those under way, and somewhat more.
MOST_KNOWN = 2048

# Values that say nothing: a row that no trigger takes.
_NOTHING = (0,) * COLUMNS

_encode = msgspec.json.encode
_replace = msgspec.structs.replace


class Moves:
    """Moves of a group that are still to be written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: list[tuple[Any, ...]] = []
        # What the rows are about: ids of entries, and models.
        self._about: set[int | Model] = set()
        # Entries as they stand when the rows are written.
        self._known: dict[int, LedgerEntry] = {}

    # Collecting.

    def intend(self, item: LedgerEntry, look: Look, fence: frozenset[int], sha256: str | None) -> None:
        """The first byte may leave; with ``sha256`` the whole body is sealed."""
        ids = _encode(sorted(fence)).decode() if fence else "[]"
        self._add(
            item.id,
            item.model,
            ("intend", item.id, self._store.run_id, 0, look.size, _text(look.mark), ids, _text(sha256), *_NOTHING[:10]),
        )
        # Not by the message's own entry, which may be as it was long ago.
        self._change(item.id, state=State.UPLOADING, look=look, fence=fence, sha256=sha256, sealed=sha256 is not None)

    def seal(self, item: LedgerEntry, sha256: str) -> None:
        """The last piece may leave."""
        self._add(item.id, item.model, ("seal", item.id, *_NOTHING[:5], sha256, *_NOTHING[:10]))
        self._change(item.id, sealed=True, sha256=sha256)

    def arrive(self, message: Arrived) -> None:
        """The answer named a version."""
        item, version_id = message.entry, message.version_id
        self._add(
            item.id,
            item.model,
            (
                "arrive", item.id, self._store.run_id, item.entry.line, 0, 0, 0, 0, version_id, message.uploaded_at,
                message.upload_seconds, 0, 0, 0, 0, 0, 0 if item.only_version else OUT_OF_ORDER, 0,
            ),
        )  # fmt: skip
        self._change(item.id, state=State.UPLOADED, version_id=version_id, owned=True)

    def conclude(self, item: LedgerEntry, after: State, outcome: Outcome) -> None:
        """Move an entry on; the outcome says nothing about which version it is."""
        self._add(
            item.id,
            item.model,
            (
                "conclude", item.id, self._store.run_id, 0, 0, 0, 0, 0, 0,
                _text(outcome.finished_at), "" if outcome.convert_seconds is None else outcome.convert_seconds,
                item.state.value, after.value, _text(outcome.status), _text(outcome.version_uuid),
                _text(outcome.cause), _text(outcome.message), _text(outcome.logs),
            ),
        )  # fmt: skip
        self._change(item.id, state=after)

    def note_status(self, item: LedgerEntry, status: str | None) -> None:
        """The registry's word about a version that it has not judged yet."""
        self._add(item.id, item.model, ("status", item.id, *_NOTHING[:11], _text(status), *_NOTHING[:4]))

    def _add(self, id_: int, model: Model, row: tuple[Any, ...]) -> None:
        self._rows.append(row)
        self._about.add(id_)
        self._about.add(model)

    def _change(self, id_: int, **values: Any) -> None:
        if (item := self._known.get(id_)) is not None:
            self._known[id_] = _replace(item, **values)

    # What is known.

    def entry(self, id_: int) -> LedgerEntry:
        """An entry as it stands. Raises ``KeyError`` where there is none."""
        item = self._known.get(id_)
        if item is None:
            if id_ in self._about:
                self.write()
            item = self._known[id_] = self._store.entry(id_)
        return item

    def look_up(self, ids: Iterable[int]) -> None:
        """Read entries that will be asked for; before anything is collected."""
        unknown = [id_ for id_ in ids if id_ not in self._known]
        if unknown:
            self.know(self._store.entries(unknown).values())

    def know(self, items: Iterable[LedgerEntry]) -> None:
        """These were read just now: what becomes of them need not be read again."""
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        for item in items:
            self._known[item.id] = _replace(item, only_version=False) if item.only_version else item

    def forget(self) -> None:
        """The file was changed, or what was collected is given up."""
        self._rows.clear()
        self._about.clear()
        self._known.clear()

    # Writing.

    def write_about(self, model: Model) -> None:
        """Write what is collected where it is about this model."""
        if model in self._about:
            self.write()

    def write(self) -> None:
        """Write what is collected, in a transaction. Raises ``sqlite3.IntegrityError`` where a move is refused."""
        if not self._store.in_transaction:
            self._store.begin()
        self._write()

    def commit(self) -> None:
        """Write what is collected, and commit. Raises as ``write`` does."""
        if not self._store.in_transaction and len(self._rows) <= MOST_ROWS:
            # A statement by itself is a transaction.
            self._write()
            return
        self.write()
        self._store.commit()

    def _write(self) -> None:
        rows = self._rows
        for start in range(0, len(rows), MOST_ROWS):
            part = rows[start : start + MOST_ROWS]
            filled = -(-len(part) // ROWS_A_STEP) * ROWS_A_STEP if len(part) > 2 else len(part)
            values = (*chain.from_iterable(part), *_NOTHING * (filled - len(part)))
            self._store.connection.execute(_STATEMENTS[filled], values)
        rows.clear()
        self._about.clear()


def _text(text: str | None) -> str | int:
    return 0 if text is None else text


def _statement(rows: int) -> str:
    row = f"({', '.join('?' * COLUMNS)})"
    return f"INSERT INTO moves VALUES {', '.join([row] * rows)}"


_STATEMENTS = {rows: _statement(rows) for rows in (1, 2, *range(ROWS_A_STEP, MOST_ROWS + 1, ROWS_A_STEP))}

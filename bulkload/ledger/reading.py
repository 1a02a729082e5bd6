"""Reading a ledger without disturbing its writer: ``status``, ``results``, also in mid-run."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from bulkload.core.errors import LedgerError
from bulkload.core.summary import CauseCount
from bulkload.ledger.lock import Holder, holder_of
from bulkload.ledger.store import SCHEMA_VERSION, count_failures, count_states

# The columns of the view ``results``, a contract with scripts.
RESULT_COLUMNS = (
    "entry_key", "line", "name", "workspace_id", "version_label", "path", "framework", "size", "sha256", "state",
    "version_id", "version_uuid", "status", "cause", "message", "logs", "attempts", "adopted", "labels",
    "uploaded_at", "finished_at", "upload_seconds", "convert_seconds", "run_id",
)  # fmt: skip


class LedgerReader:
    """A read-only look at a ledger. Its connection never checkpoints."""

    def __init__(self, path: Path) -> None:
        """Raises ``LedgerError`` where there is no ledger of this version."""
        self.path = path
        if not path.is_file():
            raise LedgerError(f"{path}: there is no such ledger; `bulkload run MANIFEST` makes one")
        try:
            self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)
            self._meta = dict(self._connection.execute("SELECT key, value FROM meta"))
        except sqlite3.Error as error:
            raise LedgerError(f"{path}: is not a bulkload ledger ({error})") from None
        if int(self._meta.get("schema_version", 0)) > SCHEMA_VERSION:
            raise LedgerError(f"{path}: was written by a newer bulkload; upgrade bulkload to read it")

    def __enter__(self) -> Self:
        """Nothing more to open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._connection.close()

    @property
    def endpoint(self) -> str | None:
        """Where the last run published to."""
        return self._meta.get("endpoint")

    @property
    def manifest(self) -> str | None:
        """The manifest of the last run."""
        return self._meta.get("manifest")

    @property
    def holder(self) -> Holder | None:
        """The run that works on this ledger just now."""
        return holder_of(self.path)

    def counts(self) -> dict[str, int]:
        """How many entries of the manifest are in each state: all eight keys."""
        return count_states(self._connection)

    def failures(self) -> tuple[CauseCount, ...]:
        """Entries that failed, by cause."""
        return count_failures(self._connection)

    def last_run(self) -> dict[str, Any] | None:
        """The newest run: run_id, started_at, finished_at, exit_code (None while it works, or when it was killed)."""
        row = self._connection.execute(
            "SELECT run_id, started_at, finished_at, exit_code FROM runs ORDER BY started_at DESC LIMIT 1"
        ).fetchone()
        return dict(zip(("run_id", "started_at", "finished_at", "exit_code"), row, strict=True)) if row else None

    def results(self) -> Iterator[tuple[Any, ...]]:
        """Rows of ``RESULT_COLUMNS``, in manifest order; entries no longer in the manifest come last."""
        columns = ", ".join(RESULT_COLUMNS)
        yield from self._connection.execute(f"SELECT {columns} FROM results ORDER BY line IS NULL, line, entry_key")

"""A ledger as a dead process left it, looked at without a touch."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bulkload.source import SMALL_FILE_BYTES


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """An entry in the ledger."""

    name: str
    state: str
    size: int
    sha256: str | None
    sealed: bool
    version_id: int | None

    @property
    def to_stream(self) -> bool:
        """The next run sends it, a piece at a time."""
        unsent = self.state == "planned" or (self.state == "uploading" and not self.sealed)
        return unsent and self.size > SMALL_FILE_BYTES

    @property
    def doubtful(self) -> bool:
        """The next run reconciles it first."""
        return self.state == "in_doubt" or (self.state == "uploading" and self.sealed)


@dataclass(frozen=True, slots=True)
class LedgerState:
    """How many runs have begun, and the manifest's entries in its order."""

    runs: int = 0
    rows: tuple[LedgerRow, ...] = ()


def read_ledger(path: Path) -> LedgerState:
    """Read a copy: whoever opens a ledger recovers its write-ahead log, and that is for the next run to do."""
    if not path.exists():
        return LedgerState()
    with tempfile.TemporaryDirectory() as folder:
        for part in (path, path.with_name(f"{path.name}-wal")):
            if part.exists():
                shutil.copy(part, folder)
        with closing(sqlite3.connect(Path(folder) / path.name)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
                return LedgerState()
            (runs,) = connection.execute("SELECT count(*) FROM runs").fetchone()
            rows = connection.execute("SELECT name, state, size, sha256, sealed, version_id FROM entries ORDER BY line")
            return LedgerState(runs, tuple(LedgerRow(*row) for row in rows))

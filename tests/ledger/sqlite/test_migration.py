"""A ledger of bulkload 0.1.0 (schema 1) is brought up to this schema, whole or not at all."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkload.core.model.errors import LedgerError
from bulkload.core.model.records import Look
from bulkload.ledger import LedgerReader
from bulkload.ledger.records import SentFile
from bulkload.ledger.sqlite.writes import Store

SPEC = '{"line":1,"name":"m","path":"m","source":"/m","conversion":{"framework":"onnx"}}'
# Inode, mtime, ctime as schema 1 held them, and the mark that they are now.
MARKS = [
    (5, 7, 9, "5:7:9"),
    (0, -7, 0, "0:-7:0"),
    ((1 << 63) - 1, 7, 9, f"{(1 << 63) - 1}:7:9"),
    # Inodes are unsigned; SQLite's numbers are not.
    (-1, 7, 9, f"{(1 << 64) - 1}:7:9"),
    (-(1 << 63), 7, 9, f"{1 << 63}:7:9"),
    # A time that schema 1 could not hold.
    (5, None, 9, None),
    (5, 7, None, None),
]


@pytest.fixture
def old(path: Path) -> Path:
    """A ledger of schema 1: an entry for each of MARKS, and one whose file could not be looked at."""
    schema = Path(__file__).with_name("schema_1.sql").read_text()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(schema)
        connection.execute("INSERT INTO meta VALUES ('schema_version', '1')")
        rows = [(id_, *seen) for id_, (*seen, _) in enumerate(MARKS, start=1)]
        connection.executemany(
            "INSERT INTO entries (id, entry_key, line, workspace_id, name, path, framework, spec, labels, state, size,"
            " inode, mtime_ns, ctime_ns, sha256, retaken)"
            f" VALUES (?1, ?1, ?1, 7, 'm', 'm', 'onnx', '{SPEC}', '{{}}', 'ready', 10, ?2, ?3, ?4, 'digest', ?1 = 1)",
            rows,
        )
        connection.execute(
            "INSERT INTO entries (entry_key, line, workspace_id, name, path, framework, spec, labels, state)"
            f" VALUES ('absent', 99, 7, 'n', 'n', 'onnx', '{SPEC}', '{{}}', 'planned')"
        )
        connection.executemany(
            "INSERT INTO digests VALUES (?1, ?2, 10, ?3, ?4, 'digest')", [row for row in rows if None not in row]
        )
    return path


def columns(connection: sqlite3.Connection) -> dict[str, set[tuple[object, ...]]]:
    """What every table has, in whatever order."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
    return {
        table: set(
            connection.execute(f'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info({table!r})')
        )
        for table in tables
    }


def indexes(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))


def test_a_migrated_ledger_has_the_schema_of_a_new_one(old: Path, tmp_path: Path) -> None:
    with closing(Store(old)) as migrated, closing(Store(tmp_path / "new.db")) as new:
        assert columns(migrated.connection) == columns(new.connection)
        assert indexes(migrated.connection) == indexes(new.connection)
        assert dict(migrated.connection.execute("SELECT * FROM meta"))["schema_version"] == "2"


def test_every_file_is_known_by_its_mark(old: Path) -> None:
    """As a file that did not change is told now: it is not read again."""
    for _ in range(2):
        with closing(Store(old)) as store:
            for id_, (*_, mark) in enumerate(MARKS, start=1):
                item = store.entry(id_)
                assert item.look == Look(10, mark)
                assert item.retry_requested == (id_ == 1)
                if mark is not None:
                    assert store.digest(str(id_), item.look) == "digest"
            assert store.entry(len(MARKS) + 1).look is None


def test_a_reader_reads_the_old_one_and_leaves_it_so(old: Path) -> None:
    """The check before the first run of a new bulkload reads no file that the old one sent."""
    before = old.read_bytes()
    with LedgerReader(old) as reader:
        assert list(reader.sent_files()) == [
            SentFile(line, "m", "onnx", 10, mark) for line, (*_, mark) in enumerate(MARKS, start=1)
        ]
        assert reader.counts()["ready"] == len(MARKS)
        assert len(list(reader.results())) == len(MARKS) + 1
    assert old.read_bytes() == before


@pytest.mark.parametrize("event", ["UPDATE ON entries", "UPDATE ON meta"], ids=["at its beginning", "at its end"])
def test_a_migration_that_fails_leaves_the_ledger_as_it_was(old: Path, event: str) -> None:
    """All or nothing: the older bulkload can still use it."""
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute(f"CREATE TRIGGER fails BEFORE {event} BEGIN SELECT RAISE(ABORT, 'no more'); END")
        before = list(connection.iterdump())
    with pytest.raises(LedgerError, match="no more"):
        Store(old)
    with closing(sqlite3.connect(old)) as connection:
        assert list(connection.iterdump()) == before

"""A ledger of bulkload 0.1.0 (schema 1) is brought up to this schema, whole or not at all."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bulkload.core.model.errors import ExitCode, LedgerError
from bulkload.core.model.records import Look
from bulkload.engine.publish import publish
from bulkload.ledger import LedgerReader
from bulkload.ledger.records import SentFile
from bulkload.ledger.sqlite.writes import Store
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.ledger.sqlite.make_schema_1 import KINDS, MODELS, write
from tests.variants import each_once

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


def loaded(kind: str, path: Path) -> sqlite3.Connection:
    """One of the ledgers that ``make_schema_1`` keeps."""
    connection = sqlite3.connect(path)
    connection.executescript((Path(__file__).parent / f"schema_1_{kind}.sql").read_text(encoding="utf-8"))
    return connection


@pytest.fixture
def old(path: Path) -> Path:
    """A ledger of schema 1: an entry for each of MARKS, and one whose file could not be looked at."""
    with closing(loaded("fresh", path)) as connection, connection:
        connection.execute("DELETE FROM entries")
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


# SQLite before 3.35 cannot drop a column: a migrated ledger keeps them, and nobody asks for them.
KEPT = {(name, "INTEGER", 0, None, 0) for name in ("inode", "mtime_ns", "ctime_ns")}


def test_a_migrated_ledger_has_the_schema_of_a_new_one(old: Path, tmp_path: Path) -> None:
    with closing(Store(old)) as migrated, closing(Store(tmp_path / "new.db")) as new:
        found, expected = columns(migrated.connection), columns(new.connection)
        assert found == expected | {"entries": expected["entries"] | KEPT}
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


KILLED = """
import resource, signal, sys
from pathlib import Path
from bulkload.ledger.sqlite.writes import Store
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.ledger.sqlite.make_schema_1 import KINDS, MODELS, write
from tests.variants import each_once
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
Store(Path(sys.argv[1]))
"""


@pytest.mark.parametrize(("kind", "log_bytes"), each_once([*KINDS], [1, 4096, 20_000]))
def test_a_migration_that_is_killed_leaves_schema_1(kind: str, log_bytes: int, path: Path) -> None:
    """The kernel ends the process with so much of its commit written."""
    with closing(loaded(kind, path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        before = list(connection.iterdump())
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path), str(log_bytes)], check=False)
    assert ended.returncode == -signal.SIGXFSZ
    with closing(sqlite3.connect(path)) as connection:
        assert list(connection.iterdump()) == before
    Store(path).close()
    with LedgerReader(path) as reader:
        assert sum(reader.counts().values()) == len(MODELS)


# Whole runs

_opened: list[str] = []
_watching: list[bool] = []


def _note(event: str, words: tuple[object, ...]) -> None:
    if _watching and event == "open" and str(words[0]).endswith(".onnx"):
        _opened.append(Path(str(words[0])).stem)


@pytest.fixture(scope="module")
def hook() -> None:
    """What this process opens; nothing can take it away again."""
    sys.addaudithook(_note)


@contextmanager
def opened_files(hook: None) -> Iterator[list[str]]:
    """The names of the models that are opened."""
    _opened.clear()
    _watching.append(True)
    try:
        yield _opened
    finally:
        _watching.clear()


def brought_here(kind: str, folder: Path, sandbox: Sandbox) -> Path:
    """A ledger of that time in this place: its files are those of the test, as they are now, and so is its registry.

    Schema 1 held 64 bits with a sign.
    """
    path = folder / "ledger.db"
    with closing(loaded(kind, path)) as connection, connection:
        connection.execute(
            "UPDATE meta SET value = ? WHERE key = 'registry'", (f"sandbox {sandbox.account.sandbox_id}",)
        )
        # The new sandbox counts from where the old one did.
        connection.execute("UPDATE entries SET version_id = version_id + 1000000")
        for name in MODELS:
            file = folder / f"{name}.onnx"
            found = file.stat()
            inode = found.st_ino if found.st_ino < 1 << 63 else found.st_ino - (1 << 64)
            seen = (inode, found.st_mtime_ns, found.st_ctime_ns)
            connection.execute("UPDATE entries SET inode = ?, mtime_ns = ?, ctime_ns = ? WHERE name = ?", (*seen, name))
            connection.execute(
                "UPDATE digests SET path = ?, inode = ?, mtime_ns = ?, ctime_ns = ? WHERE path LIKE ?",
                (str(file), *seen, f"%/{name}.onnx"),
            )
    return path


# Of each ledger: which models are opened by the next run, and which are sent.
NEXT_RUN = {"fresh": ("abcde", "abcde"), "killed": ("cde", "cde"), "finished": ("", "")}


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_no_unchanged_file_is_read_again(kind: str, hook: None, tmp_path: Path, settings_for) -> None:
    """What the old bulkload published stays published, unread; what it left under way is seen through."""
    manifest = write(tmp_path)
    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0)) as sandbox:
        brought_here(kind, tmp_path, sandbox)
        to_open, to_send = NEXT_RUN[kind]
        with opened_files(hook) as opened:
            summary = await publish(settings_for(manifest, sandbox))
        assert set(opened) == set(to_open)
        assert {version.name for version in sandbox.versions()} == set(to_send)
        assert summary.exit_code is ExitCode.OK
        assert summary.states["ready"] + summary.states["skipped"] == len(MODELS)
        with opened_files(hook) as opened:
            assert (await publish(settings_for(manifest, sandbox))).requests.upload == 0
        assert opened == []


@pytest.mark.anyio
async def test_a_digest_of_that_time_spares_reading_a_large_file(hook: None, tmp_path: Path, settings_for) -> None:
    """It was compared with what the registry held then, and is compared again without being read."""
    manifest = write(tmp_path)
    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0)) as sandbox:
        await publish(settings_for(manifest, sandbox, ledger=tmp_path / "other.db"))
        path = brought_here("finished", tmp_path, sandbox)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE entries SET state = 'planned', version_id = NULL WHERE name = 'c'")
        with opened_files(hook) as opened:
            summary = await publish(settings_for(manifest, sandbox))
        assert summary.states["skipped"] == 2
        # The check looks at its beginning, as it was not sent.
        assert opened.count("c") <= 1
        assert set(opened) <= {"c"}

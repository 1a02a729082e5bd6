"""The door: one process at a time, in a place that can be trusted, on a file that is a ledger of this version."""

import asyncio
import fcntl
import itertools
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest

from bulkload.core.model.errors import BulkloadError, LedgerError, LedgerInUse, ManifestError, UsageError
from bulkload.ledger import Ledger, LedgerReader
from bulkload.ledger.interface import Counts, FinishPlan
from bulkload.ledger.sqlite.connection import SCHEMA_VERSION
from bulkload.ledger.sqlite.lock import LedgerLock, holder_of
from tests.ledger.bench import BEGIN_RUN

_numbers = itertools.count(1)
STARTED_AT = "2026-01-06T16:34:30Z"


def make_ledger(path: Path, error: BaseException | None = None) -> None:
    """Open a ledger, write a little, and close it; or leave it by an error."""

    async def main() -> None:
        async with Ledger(path, STARTED_AT) as ledger:
            await ledger.execute(msgspec.structs.replace(BEGIN_RUN, run_id=f"run-{next(_numbers)}"))
            await ledger.execute(FinishPlan(follows_manifest=True))
            if error is not None:
                raise error

    anyio.run(main)


def test_a_ledger_is_made_used_and_closed(path: Path) -> None:
    make_ledger(path)
    # Closed in order: the write-ahead log is folded into the one file.
    assert {file.name for file in path.parent.iterdir()} == {path.name, path.name + ".lock"}
    with LedgerReader(path) as reader:
        assert reader.registry == "https://a"


def test_a_closed_ledger_takes_nothing(path: Path) -> None:
    async def main() -> None:
        ledger = Ledger(path, STARTED_AT)
        with pytest.raises(RuntimeError, match="not open"):
            await ledger.execute(Counts())
        async with ledger:
            pass
        with pytest.raises(RuntimeError, match="not open"):
            await ledger.execute(Counts())

    anyio.run(main)


# One at a time


def test_a_second_run_in_this_process_is_refused(path: Path) -> None:
    async def main() -> None:
        async with Ledger(path, STARTED_AT):
            with pytest.raises(LedgerInUse, match=rf"in use by process \d+ on .* since {STARTED_AT}"):
                await Ledger(path, "later").__aenter__()

    anyio.run(main)
    make_ledger(path)


HOLD = """
import sys
from pathlib import Path
from bulkload.ledger.sqlite.lock import LedgerLock
with LedgerLock(Path(sys.argv[1]), "2026-01-06T16:34:30Z"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_naming_the_holder_and_let_in_when_that_is_killed(path: Path) -> None:
    """kill -9 included: the kernel gives the lock back, whatever the lock file says."""
    make_ledger(path)
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LedgerInUse, match=f"in use by process {holder.pid} on .* since {STARTED_AT}") as raised:
            make_ledger(path)
        assert raised.value.exit_code == 11
        found = holder_of(path)
        assert found is not None
        assert found.pid == holder.pid
        holder.kill()
    assert holder_of(path) is None
    make_ledger(path)


def test_the_lock_is_given_back_when_the_file_is_no_ledger(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(LedgerError):
        make_ledger(path)
    path.unlink()
    make_ledger(path)


def test_a_run_cancelled_while_it_opens_gives_the_lock_back(path: Path) -> None:
    async def main() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with Ledger(path, STARTED_AT):
                await anyio.lowlevel.checkpoint()
        assert scope.cancelled_caught

    anyio.run(main)
    make_ledger(path)


def test_a_run_cancelled_from_outside_anyio_while_it_opens_gives_the_lock_back(path: Path) -> None:
    """asyncio's own cancellation cannot be shielded from: the lock goes only after the thread has closed the file."""

    async def main() -> None:
        opening = asyncio.ensure_future(Ledger(path, STARTED_AT).__aenter__())
        await anyio.wait_all_tasks_blocked()
        opening.cancel()
        await asyncio.wait([opening])

    anyio.run(main)
    assert not [thread for thread in threading.enumerate() if thread.name == "bulkload-ledger"]
    make_ledger(path)


# Where a ledger can lie


def test_an_absent_folder_is_named(path: Path) -> None:
    absent = path.parent / "absent" / "ledger.db"
    with pytest.raises(UsageError, match="the folder does not exist; make it, or name another place with --ledger"):
        make_ledger(absent)
    assert not absent.parent.exists()


def test_a_folder_that_cannot_be_written_is_named() -> None:
    """/proc takes no files from anybody, root included."""
    folder = Path("/proc/self")
    if not folder.is_dir():
        pytest.skip("there is no /proc here")
    with pytest.raises(UsageError, match=r"cannot be written .*; name another place with --ledger"):
        make_ledger(folder / "ledger.db")


def test_a_folder_in_the_ledgers_place_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(LedgerError, match="cannot be used as a ledger"):
        make_ledger(path)


# What a ledger is


def open_both_ways(path: Path) -> list[BulkloadError]:
    """The errors of a run and of a reader."""
    errors: list[BulkloadError] = []
    try:
        make_ledger(path)
    except BulkloadError as error:
        errors.append(error)
    try:
        with LedgerReader(path):
            pass
    except BulkloadError as error:
        errors.append(error)
    return errors


def test_a_newer_ledger_is_refused_and_left_as_it_is(path: Path) -> None:
    make_ledger(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (SCHEMA_VERSION + 1,))
        connection.commit()
    before = path.read_bytes()
    for error in open_both_ways(path):
        assert "was written by a newer bulkload" in str(error)
        assert "upgrade bulkload" in str(error)
    assert len(open_both_ways(path)) == 2
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "script", ["CREATE TABLE photos (a)", "CREATE TABLE meta (key, value)", "CREATE TABLE meta (a)",
               "CREATE TABLE meta (key, value); INSERT INTO meta VALUES ('schema_version', 'x')"]
)  # fmt: skip
def test_another_programs_database_is_refused_and_left_as_it_is(path: Path, script: str) -> None:
    """--ledger photos.db must not turn somebody's photos into a ledger, nor change how they are kept."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    before = path.read_bytes()
    errors = open_both_ways(path)
    assert [type(error) for error in errors] == [LedgerError, LedgerError]
    assert "is not a bulkload ledger" in str(errors[0])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"name,path\nmodel,model.onnx\n", b"SQLite format 3\0"]
)
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    errors = open_both_ways(path)
    assert [type(error) for error in errors] == [LedgerError, LedgerError]
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_ledger(path: Path) -> None:
    """``mktemp`` makes one, and so does a process killed at the wrong moment."""
    path.touch()
    make_ledger(path)
    with LedgerReader(path) as reader:
        assert reader.endpoint == "https://a"


# A manifest that is wrong makes no ledger


def test_a_new_ledger_goes_again_when_its_manifest_is_wrong(path: Path) -> None:
    with pytest.raises(ManifestError):
        make_ledger(path, ManifestError("two entries are one"))
    assert list(path.parent.iterdir()) == []
    make_ledger(path)


def test_an_old_ledger_stays_when_its_manifest_is_wrong(path: Path) -> None:
    make_ledger(path)
    with pytest.raises(ManifestError):
        make_ledger(path, ManifestError("two entries are one"))
    with LedgerReader(path) as reader:
        assert reader.endpoint == "https://a"


def test_a_new_ledger_stays_after_any_other_error(path: Path) -> None:
    """It may hold intents by then."""
    with pytest.raises(UsageError):
        make_ledger(path, UsageError("something else"))
    assert path.exists()


def test_a_lock_that_is_removed_is_no_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opened the lock file just before its holder removed it must not go on with a file that nobody sees."""
    flock = fcntl.flock
    removed: list[Path] = []

    def flock_after_removal(descriptor: int, operation: int) -> None:
        if not removed:
            lock.path.unlink()
            removed.append(lock.path)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock_after_removal)
    lock = LedgerLock(path, STARTED_AT)
    with lock:
        assert removed
        assert holder_of(path) is not None

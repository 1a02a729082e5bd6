"""R11: whatever ends a run, in whatever phase: its own exit code, a summary, a free lock, a ledger that resumes.

Ten phases, each held until something is seen to have happened, and three reasons to end: a signal, an error, and the
time of ``--max-duration``. The registry is another process, and its stored versions are the judge.
"""

import fcntl
import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from bulkload.sandbox import stored_versions
from tests.cli.attended import Attended, attending
from tests.conftest import SandboxProcess, clean_environment, homes
from tests.variants import every

SCHEMA = {"x": "float32"}
ROWS: list[dict[str, Any]] = [
    # A whole pickle, which is converted, and the smallest ONNX model.
    {"name": "a", "content": b"N.", "framework": "xgboost", "input_schema": SCHEMA, "output_schema": SCHEMA},
    {"name": "b", "content": b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"},
]
WORDS = ("--workspace", "w", "--create-workspace", "--concurrency", "1", "--json", "-v")
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
# An answer that comes when the registry ends, and never before.
HELD = "slow=600"
TOO_LONG_A_PAUSE = "429=7200"
# So long that a command has begun by then, even on a machine that has much else to do.
WINDOW = ("--max-duration", "2s")
# Nothing is read of it: it takes so long to read as the test needs.
HUGE_BYTES = 1 << 36

Begin = Callable[..., Attended]


class Case:
    """A manifest, its ledger, and registries on one data folder, one after the other."""

    def __init__(self, folder: Path, start_sandbox: Callable[..., SandboxProcess], run: Callable[..., Any]) -> None:
        self.folder = folder
        self.manifest = folder / "models.jsonl"
        self.ledger = folder / "ledger.db"
        self._start, self._run = start_sandbox, run
        self.sandbox: SandboxProcess

    def registry(self, *faults: str) -> SandboxProcess:
        """Start it; the one before has ended."""
        words = [word for fault in faults for word in ("--fault", fault)]
        self.sandbox = self._start("--time-scale", "0", *words)
        return self.sandbox

    def let_go(self) -> None:
        """End the registry: what it held is answered."""
        self.sandbox.process.send_signal(signal.SIGTERM)
        self.sandbox.process.wait(60)

    @property
    def words(self) -> tuple[object, ...]:
        return ("run", self.manifest, *WORDS, "--ledger", self.ledger)

    @property
    def environment(self) -> dict[str, str]:
        return clean_environment() | homes(self.folder) | self.sandbox.environment

    def publish(self) -> dict[str, Any]:
        """Run to its end."""
        result = self._run(*self.words, "--settle", "300ms", env=self.sandbox.environment)
        assert result.returncode == 0, result.stderr
        summary: dict[str, Any] = json.loads(result.stdout)
        return summary

    def assert_resumes(self) -> None:
        """The lock is free; the same command publishes the rest, and every entry is there once."""
        lock = self.ledger.with_name("ledger.db.lock")
        if lock.exists():
            with lock.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if self.sandbox.process.poll() is None:
            self.let_go()
        self.registry()
        summary = self.publish()
        assert summary["states"]["ready"] == len(ROWS)
        assert summary["duplicates"] == 0
        assert sorted(version.name for version in stored_versions(self.sandbox.data)) == ["a", "b"]

    def assert_ended(self, run: Attended, code: int, *, begun: bool) -> None:
        """Its exit code, in the summary and, where the run had begun, in the ledger as well."""
        assert run.ended() == code, run.stderr
        assert "Traceback" not in run.stderr
        assert "internal error" not in run.stderr
        summary = run.summary()
        assert summary["exit_code"] == summary["error"]["exit_code"] == code
        assert summary["error"]["message"]
        assert begun == bool(summary["run_id"])
        if begun:
            with closing(sqlite3.connect(self.ledger)) as ledger:
                query = "SELECT exit_code FROM runs WHERE run_id = ? AND finished_at IS NOT NULL"
                row = ledger.execute(query, (summary["run_id"],)).fetchone()
            # A disk that takes no more keeps nothing of it.
            assert row == (code,) or (row is None and code == 1)


@pytest.fixture
def case(tmp_path, start_sandbox, write_manifest, bulkload) -> Case:
    write_manifest(ROWS)
    return Case(tmp_path, start_sandbox, bulkload)


@pytest.fixture
def begin(tmp_path, warm, case) -> Iterator[Begin]:
    """Starts the run of a case and does not wait for it."""
    with attending(tmp_path) as make:

        def start(*more: object, words: tuple[object, ...] = (), **streams: IO[bytes]) -> Attended:
            return make().begin(warm, *(words or case.words), *more, cwd=tmp_path, env=case.environment, **streams)

        yield start


@contextmanager
def written_by_another(ledger: Path) -> Iterator[None]:
    """Somebody's SQLite client has the ledger locked."""
    with closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def failing(ledger: Path, change: str) -> Iterator[None]:
    """A disk that fails at one kind of change to the ledger."""
    with closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
        connection.execute(f"CREATE TRIGGER fails BEFORE {change} BEGIN SELECT RAISE(ABORT, 'the disk fails'); END")
    yield
    with closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER fails")


# Phases that a registry holds: what it does, what the run then says of itself, and flags.


HELD_BY_THE_REGISTRY = {
    "asking": (("any:" + HELD + "@1",), "asking the registry", ()),
    "listing": (("list:" + HELD + "@1",), "listing", ()),
    "publishing": (("upload:" + HELD + "@1",), "uploading 1", ()),
    "waiting": (("poll:stuck",), "uploaded 2", ()),
    "settling": (("upload:lost-answer@1",), "in_doubt 1", ("--settle", "600s")),
    "auditing": (("upload:429=0@1", "list:" + HELD + "@2"), "looking for duplicates", ()),
}
# What the registry does in the same phases that ends a run, and with which exit code.
REFUSED_BY_THE_REGISTRY = {
    "asking": (("any:401",), 5, ()),
    "listing": ((f"list:{TOO_LONG_A_PAUSE}",), 6, ()),
    "publishing": ((f"upload:{TOO_LONG_A_PAUSE}",), 6, ()),
    "waiting": ((f"poll:{TOO_LONG_A_PAUSE}",), 6, ()),
    "settling": (("upload:lost-answer@1", f"list:{TOO_LONG_A_PAUSE}@2"), 6, ("--settle", "100ms")),
    "auditing": (("upload:429=0@1", f"list:{TOO_LONG_A_PAUSE}@2"), 6, ()),
}
# Sorted, so that each process of the tests sees the same ones.
PHASES = sorted(HELD_BY_THE_REGISTRY)


def signal_for(phase: str) -> signal.Signals:
    """One of the three, in turn."""
    return list(CODES)[PHASES.index(phase) % len(CODES)]


@pytest.mark.parametrize("phase", every(3, PHASES))
def test_a_signal_while_the_registry_holds_the_run(phase, case, begin):
    """130 or 143. What is under way may finish."""
    faults, shown, flags = HELD_BY_THE_REGISTRY[phase]
    number = signal_for(phase)
    case.registry(*faults)
    run = begin(*flags)
    run.until_it_is(shown)
    run.process.send_signal(number)
    run.until_it_says("stopping")
    if phase == "publishing":
        case.let_go()
    case.assert_ended(run, CODES[number], begun=phase != "asking")
    case.assert_resumes()


@pytest.mark.parametrize("phase", every(3, PHASES, first=1))
def test_the_window_ends_while_the_registry_holds_the_run(phase, case, begin):
    """10, and never 128: the reason is one value."""
    faults, _, flags = HELD_BY_THE_REGISTRY[phase]
    case.registry(*faults)
    run = begin(*flags, *WINDOW)
    if phase == "publishing":
        run.until_it_says("--max-duration are over")
        case.let_go()
    case.assert_ended(run, 10, begun=phase != "asking")
    case.assert_resumes()


@pytest.mark.parametrize("phase", every(3, PHASES, first=2))
def test_a_refusal_by_the_registry_ends_the_run(phase, case, begin):
    """The error's own code."""
    faults, code, flags = REFUSED_BY_THE_REGISTRY[phase]
    case.registry(*faults)
    case.assert_ended(begin(*flags), code, begun=phase != "asking")
    case.assert_resumes()


# Checking: a manifest on standard input that is held open.


@pytest.fixture
def held_open() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A pipe: what the command reads, and what the test writes."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as read, os.fdopen(writing, "wb", buffering=0) as write:
        yield read, write


def from_standard_input(case: Case) -> tuple[object, ...]:
    return ("run", "-", *WORDS, "--ledger", case.ledger)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_while_the_manifest_is_read(number, case, begin, held_open):
    """Nobody can cancel a read; it does not hold the command."""
    read, write = held_open
    case.registry()
    run = begin(words=from_standard_input(case), stdin=read)
    write.write(case.manifest.read_bytes())
    run.until_it_is("checking the manifest 2")
    run.process.send_signal(number)
    case.assert_ended(run, CODES[number], begun=False)
    assert not case.ledger.exists()
    case.assert_resumes()


def test_the_window_ends_while_the_manifest_is_read(case, begin, held_open):
    read, write = held_open
    case.registry()
    run = begin(*WINDOW, words=from_standard_input(case), stdin=read)
    write.write(case.manifest.read_bytes())
    case.assert_ended(run, 10, begun=False)
    assert not case.ledger.exists()
    case.assert_resumes()


def test_a_manifest_that_breaks_off_ends_the_run(case, begin, held_open):
    read, write = held_open
    case.registry()
    run = begin(words=from_standard_input(case), stdin=read)
    write.write(case.manifest.read_bytes()[:-10])
    write.close()
    case.assert_ended(run, 4, begun=False)
    assert not case.ledger.exists()
    case.assert_resumes()


# Planning: a ledger that somebody else has locked for a moment, or that cannot be written.


@pytest.fixture
def half_published(case: Case, write_manifest) -> Case:
    """The ledger is there, and knows one of the two entries."""
    write_manifest(ROWS[:1])
    case.registry()
    case.publish()
    write_manifest(ROWS)
    return case


def test_a_signal_while_the_run_is_planned(half_published, begin):
    """All or nothing: the ledger is as it was."""
    with written_by_another(half_published.ledger):
        run = begin()
        run.until_it_is("planning")
        run.process.send_signal(signal.SIGTERM)
        run.until_it_says("stopping")
    half_published.assert_ended(run, 143, begun=False)
    half_published.assert_resumes()


def test_the_window_ends_while_the_run_is_planned(half_published, begin):
    with written_by_another(half_published.ledger):
        run = begin(*WINDOW)
        run.until_it_says("--max-duration are over")
    half_published.assert_ended(run, 10, begun=False)
    half_published.assert_resumes()


def test_a_ledger_that_cannot_be_written_ends_the_run(half_published, begin):
    with failing(half_published.ledger, "INSERT ON runs"):
        half_published.assert_ended(begin(), 1, begun=False)
    half_published.assert_resumes()


# Reading changed files: one that is so long that nobody waits for its end.


@pytest.fixture
def published(case: Case) -> Case:
    """Both are published."""
    case.registry()
    case.publish()
    return case


@contextmanager
def changed_to_something_huge(case: Case) -> Iterator[None]:
    """A file of many gigabytes, none of which is on a disk; afterwards it is what it was."""
    path = case.folder / "b-0.onnx"
    os.truncate(path, HUGE_BYTES)
    yield
    path.write_bytes(ROWS[1]["content"])


def test_a_signal_while_changed_files_are_read(published, begin):
    """The run has begun, so its ledger says how it ended."""
    with changed_to_something_huge(published):
        run = begin()
        run.until_it_is("reading changed files")
        run.process.send_signal(signal.SIGINT)
        published.assert_ended(run, 130, begun=True)
    published.assert_resumes()


def test_the_window_ends_while_changed_files_are_read(published, begin):
    with changed_to_something_huge(published):
        published.assert_ended(begin(*WINDOW), 10, begun=True)
    published.assert_resumes()


def test_a_ledger_that_fails_while_changed_files_are_read(published, begin):
    (published.folder / "b-0.onnx").touch()
    with failing(published.ledger, "UPDATE OF mark ON entries"):
        published.assert_ended(begin(), 1, begun=True)
    published.assert_resumes()


# Reporting: the run has ended, and somebody is to be told.


@pytest.fixture
def full_pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A pipe that nobody reads: what the test may read, and what the command writes to."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as read, os.fdopen(writing, "wb", buffering=0) as write:
        os.set_blocking(writing, False)
        while write.write(b" " * 65536):
            pass
        os.set_blocking(writing, True)
        yield read, write


def read_to_the_end(reading: IO[bytes], writing: IO[bytes], run: Attended) -> dict[str, Any]:
    writing.close()
    data = b"".join(iter(lambda: reading.read(65536) or b"", b""))
    assert run.ended() is not None
    assert data.strip().count(b"\n") == 0
    summary: dict[str, Any] = json.loads(data)
    return summary


def test_a_signal_while_the_summary_is_told(case, begin, full_pipe):
    """The run has ended: summary and exit code say the same, and both are true."""
    read, write = full_pipe
    case.registry()
    run = begin(stdout=write)
    run.until_it_is("bulkload: reporting")
    run.process.send_signal(signal.SIGINT)
    run.until_it_says("once more to leave")
    summary = read_to_the_end(read, write, run)
    assert run.ended() == summary["exit_code"] == 0, run.stderr
    case.assert_resumes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_second_signal_while_the_summary_is_told(number, case, begin, full_pipe):
    """Nobody reads it: the command ends with its code, not by the signal."""
    _, write = full_pipe
    case.registry()
    run = begin(stdout=write)
    run.until_it_is("bulkload: reporting")
    run.process.send_signal(number)
    run.until_it_says("once more to leave")
    run.process.send_signal(signal.SIGINT)
    assert run.ended() == CODES[number], run.stderr
    case.assert_resumes()


def test_a_signal_after_the_one_that_ended_the_run(case, begin, full_pipe):
    """Ctrl-C twice, the second just as the run ends: 130."""
    _, write = full_pipe
    case.registry("poll:stuck")
    run = begin(stdout=write)
    run.until_it_is("uploaded 2")
    run.process.send_signal(signal.SIGINT)
    run.until_it_is("bulkload: reporting")
    run.process.send_signal(signal.SIGINT)
    assert run.ended() == 130, run.stderr
    case.assert_resumes()


def test_the_window_ends_while_the_summary_is_told(case, begin, full_pipe):
    """It cut nothing short."""
    read, write = full_pipe
    case.registry()
    run = begin("--max-duration", "1h", stdout=write)
    run.until_it_is("bulkload: reporting")
    summary = read_to_the_end(read, write, run)
    assert run.ended() == summary["exit_code"] == 0, run.stderr
    case.assert_resumes()


def test_a_ledger_that_fails_at_the_end(half_published, begin):
    """What was done is told all the same."""
    with failing(half_published.ledger, "UPDATE OF summary ON runs"):
        run = begin()
        half_published.assert_ended(run, 1, begun=True)
        assert run.summary()["states"]["ready"] == 2
    half_published.assert_resumes()


# The window's beginning, and several reasons.


def test_the_window_counts_from_the_start_of_the_command(bulkload, write_manifest, tmp_path):
    """Before there is a registry to ask: a private sandbox that takes longer to start leaves no time for a run."""
    result = bulkload("run", write_manifest(ROWS), "--sandbox", "--max-duration", "1ms", "--json")
    assert result.returncode == 10
    summary = json.loads(result.stdout)
    assert (summary["exit_code"], summary["run_id"]) == (10, "")
    assert "--max-duration" in result.stderr
    assert not (tmp_path / "models.jsonl.sandbox" / "ledger.db").exists()


def test_a_signal_after_the_end_of_the_window(case, begin):
    """What is under way when the window ends has its grace time; the signal's code comes first."""
    case.registry(f"upload:{HELD}@1")
    run = begin(*WINDOW)
    run.until_it_says("--max-duration are over")
    run.process.send_signal(signal.SIGTERM)
    run.until_it_says("once more to cut it")
    case.let_go()
    case.assert_ended(run, 143, begun=True)
    case.assert_resumes()


def test_a_command_that_cannot_begin_has_its_summary(bulkload, write_manifest):
    """No registry, no ledger: exit 2, and a program that reads the summary is told so."""
    manifest = write_manifest(ROWS)
    result = bulkload("run", manifest, "--json")
    assert result.returncode == 2
    summary = json.loads(result.stdout)
    assert (summary["exit_code"], summary["run_id"], summary["entries"]) == (2, "", 0)
    assert summary["ledger"] == f"{manifest}.ledger.db"


def test_a_signal_while_a_secret_is_fetched_has_its_summary(case, begin):
    """Whoever prints the token takes long."""
    case.registry()
    case.sandbox = replace(case.sandbox, token="")
    run = begin("--token-command", "sleep 600")
    run.until_it_is("asking the registry")
    run.process.send_signal(signal.SIGINT)
    case.assert_ended(run, 130, begun=False)

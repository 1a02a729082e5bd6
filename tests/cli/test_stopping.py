"""R10: a run that is told to stop ends in time, with the right code and a true summary, and its resume doubles nothing.

Real processes, real signals, and a registry in another process whose stored versions are the judge.
"""

import fcntl
import hashlib
import json
import os
import pty
import random
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from bulkload.engine.stop import GRACE_SECONDS
from bulkload.sandbox import read_request_log, stored_versions
from tests.busy import times_slower
from tests.cli.attended import Attended, attending, handles
from tests.conftest import SandboxProcess, clean_environment, homes
from tests.variants import each_once, every
from tests.warm_start import WarmStart

ENTRIES = 20
ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28"
WORDS = ("--workspace", "w", "--create-workspace", "--settle", "500ms")
# About two seconds of sending, so that a random moment is in the middle of something.
SLOWLY = ("--upload-rate", "10/s", "--concurrency", "6")

# What a stop may take, whatever is under way, and what the machine may take to show it.
LONGEST_AFTER_FIRST = GRACE_SECONDS + 1.0
LONGEST_AFTER_SECOND = 1.0
SLACK = 1.0

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}

Start = Callable[..., "subprocess.Popen[str]"]


def entries() -> list[dict[str, Any]]:
    """Twenty versions of models, small and large; some are converted, and some models have two."""
    rows: list[dict[str, Any]] = []
    schema = {"x": "float32"}
    for number in range(ENTRIES):
        # A whole pickle, and then what is not looked at.
        content = b"N." + bytes([0x80 + number]) * (3_000_000 if number % 6 == 0 else 100)
        row: dict[str, Any] = {"name": f"m{number % 16}", "version": str(number), "content": content}
        if number % 4 == 1:
            row |= {"framework": "xgboost", "input_schema": schema, "output_schema": schema}
        rows.append(row)
    return rows


@pytest.fixture
def manifest(write_manifest) -> Path:
    """Of the twenty entries."""
    return Path(write_manifest(entries()))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts ``bulkload`` and does not wait for it."""
    started: list[subprocess.Popen[str]] = []

    def start_process(*words: object, env: dict[str, str], **options: Any) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "bulkload", *map(str, words)],
            cwd=tmp_path,
            env=clean_environment() | env,
            text=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )
        started.append(process)
        return process

    yield start_process
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def begin(tmp_path: Path, warm: WarmStart) -> Iterator[Callable[..., Attended]]:
    """Starts ``bulkload`` without its imports, where a test is not about the start; its words may be read."""
    with attending(tmp_path) as make:

        def begin_command(*words: object, env: dict[str, str], **streams: IO[bytes]) -> Attended:
            environment = clean_environment() | homes(tmp_path) | env
            return make().begin(warm, *words, cwd=tmp_path, env=environment, **streams)

        yield begin_command


def uploads(sandbox: SandboxProcess) -> int:
    return sum("/models/upload" in record.path for record in read_request_log(sandbox.data / "requests.jsonl"))


def wait_until(happened: Callable[[], bool], process: "subprocess.Popen[Any]") -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ended(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """What it said until its end."""
    return process.communicate(timeout=60)


def seconds_to_end(run: Attended) -> float:
    """How long it takes from now on to end."""
    began = time.monotonic()
    run.ended()
    return time.monotonic() - began


@pytest.fixture
def assert_resumes(bulkload, manifest) -> Callable[[SandboxProcess], None]:
    """The same command again publishes the rest; the registry then holds every entry once, versions in order."""

    def resume(sandbox: SandboxProcess) -> None:
        result = bulkload("run", manifest, *WORDS, "--json", env=sandbox.environment, timeout=60)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["duplicates"] == 0
        held: dict[str, list[str]] = {}
        for version in stored_versions(sandbox.data):
            held.setdefault(version.name, []).append(version.sha256)
        wanted: dict[str, list[str]] = {}
        for row in entries():
            wanted.setdefault(row["name"], []).append(hashlib.sha256(row["content"]).hexdigest())
        assert held == wanted

    return resume


# Once


@pytest.mark.parametrize(("number", "seed"), each_once([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], [1, 2]))
def test_a_signal_at_any_moment_ends_the_run_in_time(seed, number, begin, manifest, start_sandbox, assert_resumes):
    """What is under way finishes, nothing new begins; code, summary and the command that goes on."""
    sent = random.Random(f"{seed} {number}").randrange(ENTRIES - 2)
    print(f"seed {seed}: after {sent} uploads")  # noqa: T201 - shown when it fails
    sandbox = start_sandbox("--time-scale", "0.02", "--fault", "upload:slow=0.2%50", "--seed", str(seed))
    run = begin("run", manifest, *WORDS, *SLOWLY, "--json", env=sandbox.environment)
    run.until(lambda: uploads(sandbox) > sent)
    run.process.send_signal(number)
    assert seconds_to_end(run) <= LONGEST_AFTER_FIRST + SLACK * times_slower()
    assert run.ended() == CODES[number], run.stderr
    assert "Traceback" not in run.stderr
    summary = run.summary()
    assert summary["exit_code"] == CODES[number]
    assert summary["requests"]["upload"] == uploads(sandbox)
    assert f"go on with: bulkload run {manifest}" in run.stderr
    assert_resumes(sandbox)


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_signal_while_the_program_is_loaded(number, start, manifest, start_sandbox):
    """From its first line on: its exit code and a word, instead of a death by the signal."""
    sandbox = start_sandbox("--time-scale", "0")
    process = start("run", manifest, *WORDS, "--json", env=sandbox.environment)
    wait_until(lambda: handles(process.pid, signal.SIGUSR1), process)  # the last one that it takes over
    process.send_signal(number)
    stdout, stderr = ended(process)
    assert process.returncode == CODES[number], stderr
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert not stdout or json.loads(stdout)["exit_code"] == CODES[number]
    assert uploads(sandbox) == 0


def test_a_second_signal_while_the_program_is_loaded(start, manifest, start_sandbox):
    """The same code; nobody is waited for."""
    sandbox = start_sandbox("--time-scale", "0")
    process = start("run", manifest, *WORDS, "--json", env=sandbox.environment)
    wait_until(lambda: handles(process.pid, signal.SIGUSR1), process)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    _, stderr = ended(process)
    assert process.returncode in (130, 143), stderr
    assert "Traceback" not in stderr
    assert uploads(sandbox) == 0


@pytest.mark.parametrize("words", [("--version",), ("run", "--help"), ("manifest", "schema")], ids=" ".join)
def test_sigusr1_kills_no_command(words, start):
    """Whenever it comes: it asks something."""
    process = start(*words, env={})
    wait_until(lambda: handles(process.pid, signal.SIGUSR1), process)
    for _ in range(10):
        if process.poll() is None:
            process.send_signal(signal.SIGUSR1)
    stdout, stderr = ended(process)
    assert process.returncode == 0, stderr
    assert stdout
    assert set(stderr.splitlines()) <= {"bulkload: starting"}


def test_an_upload_without_an_answer_is_cut_after_the_grace_time(begin, manifest, start_sandbox, assert_resumes):
    """It may have landed; the next run finds out."""
    sandbox = start_sandbox("--time-scale", "0", "--fault", "upload:stall@3")
    run = begin("run", manifest, *WORDS, *SLOWLY, "--json", env=sandbox.environment)
    run.until(lambda: len(stored_versions(sandbox.data)) > 3)
    run.process.send_signal(signal.SIGTERM)
    seconds = seconds_to_end(run)
    assert GRACE_SECONDS - 1 <= seconds <= LONGEST_AFTER_FIRST + SLACK * times_slower()
    assert run.ended() == 143, run.stderr
    # On a machine that is too busy for a summary within the second, the process is ended without one.
    if seconds < LONGEST_AFTER_FIRST:
        assert run.summary()["states"]["uploading"] == 1
    assert_resumes(sandbox)


# Twice


@pytest.mark.parametrize(
    ("numbers", "seed"), each_once([(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)], [1, 2])
)
def test_a_second_signal_ends_the_run_at_once(seed, numbers, begin, manifest, start_sandbox, assert_resumes):
    """Although answers are waited for. The code is the first signal's."""
    stored = random.Random(seed).randrange(7, 12)
    stalled = [word for number in (1, 3, 6) for word in ("--fault", f"upload:stall@{number}")]
    sandbox = start_sandbox("--time-scale", "0.02", *stalled)
    run = begin("run", manifest, *WORDS, *SLOWLY, "--json", env=sandbox.environment)
    run.until(lambda: len(stored_versions(sandbox.data)) > stored)
    run.process.send_signal(numbers[0])
    run.until_it_says("once more to cut it")
    run.process.send_signal(numbers[1])
    seconds = seconds_to_end(run)
    code = run.ended()
    assert seconds <= LONGEST_AFTER_SECOND + SLACK * times_slower()
    assert code == CODES[numbers[0]], run.stderr
    assert "Traceback" not in run.stderr
    # On a machine that is too busy for a summary within the second, the process is ended without one.
    if seconds < LONGEST_AFTER_SECOND:
        assert run.summary()["exit_code"] == code
        assert "go on with: bulkload run" in run.stderr
    assert_resumes(sandbox)


HANGS = """
import sys, time
import anyio
from bulkload.cli import running
from bulkload.engine import stop as stopping
stopping.GRACE_SECONDS = 0.5

async def work(progress, stop):
    print("at work", flush=True)
    await anyio.to_thread.run_sync(time.sleep, 60)

running.attended_loop(work)
"""


@pytest.mark.parametrize("times", [1, 2])
def test_a_thread_that_hangs_does_not_hold_the_process(times, tmp_path):
    """A read from a disk that does not answer cannot be cancelled; the process ends all the same."""
    with (
        (tmp_path / "said").open("wb") as said,
        subprocess.Popen([sys.executable, "-c", HANGS], cwd=tmp_path, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == b"at work\n"
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        if times == 2:
            wait_until(lambda: "once more to cut it" in (tmp_path / "said").read_text(), process)
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert time.monotonic() - began <= 0.5 + LONGEST_AFTER_SECOND + SLACK * times_slower()


# Terminals, pipes, and what is closed


def test_a_closed_terminal_ends_the_run_as_sigterm_does(start, manifest, start_sandbox, assert_resumes):
    """The kernel sends SIGHUP, and every word to the terminal fails from then on."""
    sandbox = start_sandbox("--time-scale", "0.02")
    terminal, end = pty.openpty()

    def own_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = start(
        "run", manifest, *WORDS, *SLOWLY, "-v",
        env=sandbox.environment, stdin=end, stdout=end, stderr=end, start_new_session=True, preexec_fn=own_terminal,
    )  # fmt: skip
    os.close(end)
    wait_until(lambda: uploads(sandbox) > 3, process)
    os.close(terminal)
    assert process.wait(timeout=LONGEST_AFTER_FIRST + SLACK * times_slower()) == 143
    assert 3 < uploads(sandbox) < ENTRIES
    assert_resumes(sandbox)


def test_nohup_is_obeyed(start, manifest, start_sandbox):
    """Whoever has SIGHUP ignored means it."""
    sandbox = start_sandbox("--time-scale", "0")

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = start("run", manifest, *WORDS, "--upload-rate", "40/s", "-q", env=sandbox.environment, preexec_fn=ignore)
    wait_until(lambda: uploads(sandbox) > 3, process)
    process.send_signal(signal.SIGHUP)
    _, stderr = ended(process)
    assert process.returncode == 0, stderr
    assert len(stored_versions(sandbox.data)) == ENTRIES


@pytest.mark.parametrize("closed", every(3, [(0,), (2,), (0, 1, 2)], first=2))
def test_closed_standard_streams_change_nothing(closed, start, manifest, start_sandbox):
    """``<&-``, ``2>&-``: no file that is opened later is taken for one of them."""
    sandbox = start_sandbox("--time-scale", "0")

    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    process = start("run", manifest, *WORDS, "-v", env=sandbox.environment, preexec_fn=close)
    _, stderr = ended(process)
    assert process.returncode == 0, stderr
    assert len(stored_versions(sandbox.data)) == ENTRIES


def test_a_reader_of_the_log_that_goes_away_changes_nothing(start, manifest, start_sandbox):
    """``2>&1 | head``: the run goes on, and its code is its own."""
    sandbox = start_sandbox("--time-scale", "0")
    process = start("run", manifest, *WORDS, "--upload-rate", "40/s", "-v", env=sandbox.environment)
    assert process.stderr is not None
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert len(stored_versions(sandbox.data)) == ENTRIES


def test_a_reader_of_the_summary_that_goes_away_does_not_make_a_success_of_it(begin, write_manifest, start_sandbox):
    """``--json | true``: 3 stays 3."""
    sandbox = start_sandbox("--time-scale", "0")
    manifest = write_manifest([{"name": "a", "content": ONNX + b"\x01", "sha256": "0" * 64}])
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as nobody_reads:
        run = begin("run", manifest, *WORDS, "--json", env=sandbox.environment, stdout=nobody_reads)
    os.close(reading)
    assert run.ended() == 3
    assert "Error" not in run.stderr


# Asleep


@pytest.mark.parametrize("seed", every(2, [1, 2]))
def test_a_run_that_sleeps_longer_than_its_timeouts_goes_on(seed, begin, manifest, start_sandbox):
    """SIGSTOP, SIGCONT: a closed laptop. Answers that came meanwhile are read or looked for; nothing is doubled."""
    sandbox = start_sandbox("--time-scale", "0.02", "--fault", "upload:slow=0.3%50", "--seed", str(seed))
    words = ("run", manifest, *WORDS, *SLOWLY, "--answer-timeout", "1s", "--wait-timeout", "20s", "--json")
    sent = random.Random(seed).randrange(3, 12)
    run = begin(*words, env=sandbox.environment)
    run.until(lambda: uploads(sandbox) > sent)
    run.process.send_signal(signal.SIGSTOP)
    time.sleep(2.0)  # longer than its timeouts
    run.process.send_signal(signal.SIGCONT)
    assert run.ended() == 0, run.stderr
    summary = run.summary()
    assert summary["states"]["ready"] == ENTRIES
    assert summary["duplicates"] == 0
    assert len(stored_versions(sandbox.data)) == ENTRIES


def test_sigusr1_says_how_it_is_getting_on(begin, manifest, start_sandbox):
    """A line on standard error, as often as it is asked for, and the run goes on to its end."""
    sandbox = start_sandbox("--time-scale", "0.02")
    run = begin("run", manifest, *WORDS, *SLOWLY, env=sandbox.environment)
    for _ in range(2):
        run.until_it_is(f" of {ENTRIES} done")
    assert run.ended() == 0, run.stderr

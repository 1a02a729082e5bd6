"""Causes that pass, and causes that are this machine's: none of them is written down as a file's fault."""

import asyncio
import errno
import json
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.core.model.errors import ExitCode, LocalTrouble
from bulkload.core.model.events import BytesSent, Event
from bulkload.core.model.settings import Settings
from bulkload.core.model.states import State
from bulkload.core.verdicts import FailureKind, local_failure, passes, upload_verdict
from bulkload.engine.publish import publish
from bulkload.ledger import LedgerReader
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.conftest import StartSandbox, clean_environment, homes
from tests.consumers import at_first
from tests.variants import every

ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"
NEW_WORKSPACE = ("--workspace", "w", "--create-workspace")
# Beyond what is read and sent in one piece.
LARGE = ONNX + b"\x12\xff\xff\xb7\x01" + bytes(3_014_655)

pytestmark = pytest.mark.anyio


def bytes_leave(event: Event) -> bool:
    return isinstance(event, BytesSent)


def rows_of(settings: Settings) -> list[dict[str, Any]]:
    with LedgerReader(settings.ledger) as reader:
        return [dict(zip(RESULT_COLUMNS, row, strict=True)) for row in reader.results()]


@contextmanager
def descriptor_limit_restored() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def no_more_descriptors() -> None:
    """What is open stays open; nothing more can be opened."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))


# Files and sockets


@pytest.mark.parametrize("limit", every(2, [40, 64]))
def test_few_files_that_may_be_open_make_a_run_slower_and_nothing_else(
    limit: int, write_manifest, start_sandbox: StartSandbox, tmp_path: Path
) -> None:
    """`ulimit -n 40`, 40 files of 3 MB."""
    rows = [{"name": f"m{number}", "content": LARGE + b"\x28" + bytes([number])} for number in range(40)]
    manifest, sandbox = write_manifest(rows), start_sandbox("--time-scale", "0")
    done = subprocess.run(
        [sys.executable, "-m", "bulkload", "run", str(manifest), *NEW_WORKSPACE, "--json"],
        env=clean_environment() | homes(tmp_path) | sandbox.environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == ExitCode.OK, done.stderr
    assert json.loads(done.stdout)["states"]["ready"] == 40
    assert "ulimit -n" in done.stderr


def test_a_soft_limit_is_raised_by_the_command_and_left_alone_by_the_library(
    write_manifest, start_sandbox: StartSandbox, tmp_path: Path
) -> None:
    """The hard one is what was meant; a program that embeds this one has its own reasons."""
    manifest, sandbox = write_manifest([{"name": "m", "content": ONNX}]), start_sandbox("--time-scale", "0")
    done = subprocess.run(
        [sys.executable, "-m", "bulkload", "run", str(manifest), *NEW_WORKSPACE],
        env=clean_environment() | homes(tmp_path) | sandbox.environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 4096)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == ExitCode.OK
    assert "at a time, not" not in done.stderr


@pytest.mark.parametrize("limit", every(4, [10, 12, 16, 18, 22]))
def test_too_few_files_for_any_run_are_one_clear_error(limit: int, write_manifest, tmp_path: Path) -> None:
    """Wherever they run out: in the event loop, at the manifest, before the first upload."""
    manifest = write_manifest([{"name": "m", "content": ONNX}])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bulkload",
            "run",
            str(manifest),
            "--workspace",
            "1",
            "--endpoint",
            "http://127.0.0.1:9",
        ],
        env=clean_environment() | homes(tmp_path) | {"BULKLOAD_TOKEN": "x"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == ExitCode.UNAVAILABLE, done.stderr
    assert "ulimit -n" in done.stderr
    assert "internal error" not in done.stderr


# A regular file whose first read fails with EIO, for anybody.
_FAILING_DISK = "/proc/self/mem"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".yaml", ".toml"])
async def test_a_manifest_on_a_disk_that_does_not_answer_is_not_invalid(suffix: str, tmp_path: Path) -> None:
    """Exit 6 as for a model, and what to look at; not 4, which says that the manifest is to be mended."""
    manifest = tmp_path / f"models{suffix}"
    manifest.symlink_to(_FAILING_DISK)
    with pytest.raises(LocalTrouble, match="Input/output error; look at the disk"):
        await publish(Settings(manifest=str(manifest), endpoint="http://127.0.0.1:9", ledger=tmp_path / "ledger.db"))


async def test_descriptors_that_run_out_in_mid_run_leave_the_entries_planned(
    write_manifest, settings_for, start_sandbox: StartSandbox
) -> None:
    """Another part of the program took them: exit 6 with what to do, and the next run goes on."""
    contents = (LARGE, ONNX, LARGE, ONNX)
    rows = [{"name": f"m{n}", "content": content + b"\x28" + bytes([n])} for n, content in enumerate(contents)]
    sandbox = start_sandbox("--time-scale", "0")
    settings = settings_for(write_manifest(rows), sandbox, wait=False, concurrency=1)
    with descriptor_limit_restored(), anyio.fail_after(60):
        summary = await publish(settings, on_event=at_first(bytes_leave, no_more_descriptors))
    assert summary.exit_code == ExitCode.UNAVAILABLE
    states = {row["state"] for row in rows_of(settings)}
    assert State.FAILED not in states
    assert State.PLANNED in states
    assert any("ulimit -n" in (row["message"] or "") for row in rows_of(settings) if row["state"] == State.PLANNED)
    summary = await publish(settings)
    assert summary.exit_code in (ExitCode.OK, ExitCode.STILL_OPEN)
    assert summary.states["failed"] == 0
    stored = [json.loads(line) for line in (sandbox.data / "requests.jsonl").read_text().splitlines()]
    assert len([1 for request in stored if "upload" in request["path"] and request["status"] == 200]) == len(rows)


# Threads


def without_threads(code: str, tmp_path: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run Python code in a process in which no thread can be started: each would want more stack than there is."""
    code = "import threading; threading.stack_size(1 << 46)\n" + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=clean_environment() | homes(tmp_path) | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["run", "models.jsonl", "--workspace", "1"],
        ["plan", "models.jsonl", "--workspace", "1", "--offline"],
        ["models", "list"],
        ["sandbox"],
    ],
)
def test_too_few_threads_are_one_clear_error_of_every_command(words: list[str], write_manifest, tmp_path: Path):
    write_manifest([{"name": "m", "content": ONNX}])
    code = f"import sys; from bulkload.cli import run_command_line; sys.exit(run_command_line({words!r}))"
    done = without_threads(code, tmp_path, BULKLOAD_ENDPOINT="http://127.0.0.1:9", BULKLOAD_TOKEN="x")
    assert done.returncode == ExitCode.UNAVAILABLE, done.stderr
    assert "start no more threads" in done.stderr
    assert "ulimit -u" in done.stderr
    assert "internal error" not in done.stderr


def test_too_few_threads_are_an_error_of_the_library_by_its_name(write_manifest, tmp_path: Path) -> None:
    write_manifest([{"name": "m", "content": ONNX}])
    code = """
    import anyio, bulkload
    from pathlib import Path
    from bulkload.core.model.errors import LocalTrouble
    settings = bulkload.Settings(
        manifest="models.jsonl", endpoint="http://127.0.0.1:9", ledger=Path("x.db"), workspace="1",
        credentials=bulkload.Credentials(token="x"),
    )
    try:
        anyio.run(bulkload.publish, settings)
    except LocalTrouble as error:
        print(error)
    """
    done = without_threads(code, tmp_path)
    assert "start no more threads" in done.stdout, done.stderr


async def test_threads_that_run_out_in_mid_run_end_it_with_words(
    write_manifest, settings_for, start_sandbox: StartSandbox
) -> None:
    """Whatever needs one first: nothing is failed, and the next run goes on."""
    import threading

    rows = [{"name": f"m{number}", "content": LARGE + b"\x28" + bytes([number])} for number in range(24)]
    sandbox = start_sandbox("--time-scale", "0")
    settings = settings_for(write_manifest(rows), sandbox, wait=False)
    before = threading.stack_size()
    try:
        with anyio.fail_after(60):
            summary = await publish(settings, on_event=at_first(bytes_leave, lambda: threading.stack_size(1 << 46)))
    finally:
        threading.stack_size(before)
    assert summary.states["failed"] == 0
    summary = await publish(settings)
    assert summary.states["failed"] == 0
    assert summary.states["planned"] == 0


# One entry's trouble


async def test_an_unforeseen_exception_while_files_are_read_ends_those_entries_with_words(
    write_manifest, settings_for, tmp_path: Path
) -> None:
    """Nobody waits for ever: here the event loop's threads were shut down by another part of the program."""
    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0)) as sandbox:
        settings = settings_for(
            write_manifest([{"name": "m", "content": ONNX}, {"name": "n", "content": LARGE}]), sandbox
        )
        dead = ThreadPoolExecutor(1)
        dead.shutdown()
        asyncio.get_running_loop().set_default_executor(dead)
        with anyio.fail_after(60):
            summary = await publish(settings)
        assert summary.exit_code == ExitCode.SOME_FAILED
        for row in rows_of(settings):
            assert (row["state"], row["cause"]) == (State.FAILED, "internal_error")
            assert "after shutdown" in row["message"]
        assert not sandbox.versions()


# The rule


@pytest.mark.parametrize(
    "number",
    [
        errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT,
        errno.EINTR, errno.ENOTCONN, errno.EHOSTDOWN, errno.ENODEV, errno.EHOSTUNREACH, errno.EBUSY,
    ],
)  # fmt: skip
def test_causes_that_pass_are_never_the_files_fault(number: int) -> None:
    failure = local_failure("/models/m.onnx", OSError(number, os.strerror(number)))
    assert passes(number)
    assert failure is not None
    assert failure.kind is FailureKind.LOCAL
    assert os.strerror(number) in str(failure)
    assert upload_verdict(failure, sealed=False).value == "not accepted"


@pytest.mark.parametrize(
    "number", [errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, None]
)
def test_causes_that_are_the_files_own_do_not_pass(number: int | None) -> None:
    assert not passes(number)
    assert local_failure("/models/m.onnx", OSError(number, "words") if number else OSError("words")) is None


def test_local_trouble_is_told_by_its_exit_code() -> None:
    assert LocalTrouble("words").exit_code == ExitCode.UNAVAILABLE

"""A real disk without room for the ledger: the run stops with one clear message, and goes on when there is room."""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bulkload.sandbox import read_request_log, stored_versions
from tests.conftest import clean_environment

ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28"
MODELS = 60
ENOUGH_FOR_THE_PLAN_KIB = 400


@pytest.fixture
def manifest(write_manifest) -> Path:
    """Sixty models: their intents and ids take more room than is left, their plan does not."""
    # Labels make the rows of the ledger long, so that few commits fill the disk.
    rows = [{"name": f"m{n}", "content": ONNX + bytes([n]), "labels": {"note": "x" * 500}} for n in range(MODELS)]
    return Path(write_manifest(rows))


def assert_stopped_in_the_middle(code: int, stdout: str, stderr: str, data: Path) -> None:
    """The reason and what to do in one line; the summary tells what the registry's log tells."""
    assert code == 1, stderr
    summary = json.loads(stdout.splitlines()[-1])
    assert summary["exit_code"] == 1
    assert "Traceback" not in stderr
    assert "internal error" not in stderr
    lines = [line for line in stderr.splitlines() if line.startswith("bulkload: ")]
    assert len(lines) == 1
    assert "the ledger cannot be written" in lines[0]
    assert "free space or mend the disk, then run again" in lines[0]
    asked = sum("/models/upload" in record.path for record in read_request_log(data / "requests.jsonl"))
    assert summary["requests"]["upload"] == asked
    assert 0 < len(stored_versions(data)) == asked < MODELS
    # Nothing the registry holds is unknown to the ledger.
    assert summary["states"]["planned"] == MODELS - asked


def assert_all_there_once(code: int, stdout: str, data: Path) -> None:
    assert code == 0
    summary = json.loads(stdout.splitlines()[-1])
    assert summary["states"]["ready"] == MODELS
    assert summary["duplicates"] == 0
    names = [version.name for version in stored_versions(data)]
    assert sorted(names) == sorted(f"m{n}" for n in range(MODELS))


WORDS = ("--workspace", "w", "--create-workspace", "--json", "--settle", "200ms", "--concurrency", "2")


def test_a_file_that_may_not_grow_stops_the_run_and_the_next_one_goes_on(bulkload, manifest, start_sandbox, tmp_path):
    """A limit on the size of files, as a quota sets it: no root needed."""
    sandbox = start_sandbox("--time-scale", "0")
    command = [sys.executable, "-m", "bulkload", "run", str(manifest), *WORDS]

    def limit() -> None:
        most = ENOUGH_FOR_THE_PLAN_KIB << 10
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    limited = subprocess.run(
        command,
        cwd=tmp_path,
        env=clean_environment() | sandbox.environment,
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert_stopped_in_the_middle(limited.returncode, limited.stdout, limited.stderr, sandbox.data)
    again = bulkload("run", manifest, *WORDS, env=sandbox.environment)
    assert_all_there_once(again.returncode, again.stdout, sandbox.data)


# A disk in a mount namespace of its own, which goes with the process. Two runs, with more room for the second one.
SMALL_DISK = """
set -u
mount -t tmpfs -o size="$KIB"k tmpfs disk
"$@" >first.out 2>first.err
echo $?
mount -o remount,size=64m disk
"$@" >second.out 2>second.err
echo $?
"""


def test_a_full_disk_stops_the_run_and_with_more_room_the_next_one_goes_on(manifest, start_sandbox, tmp_path):
    """A small tmpfs under the ledger, and nothing else on it."""
    unshare = [shutil.which("unshare") or "unshare", "--mount", "--map-root-user"]
    try:
        able = subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        able = False
    if not able:
        pytest.skip("mount namespaces are not allowed here")
    sandbox = start_sandbox("--time-scale", "0")
    (tmp_path / "disk").mkdir()
    command = [sys.executable, "-m", "bulkload", "run", str(manifest), *WORDS, "--ledger", "disk/ledger.db"]
    result = subprocess.run(
        [*unshare, "sh", "-c", SMALL_DISK, "sh", *command],
        cwd=tmp_path,
        env=clean_environment() | sandbox.environment | {"KIB": str(2 * ENOUGH_FOR_THE_PLAN_KIB)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    codes = [int(word) for word in result.stdout.split()]
    assert len(codes) == 2, result.stderr
    # Both ran before anybody could look: what the first one's summary says is held against the second one's log.
    first, second = ((tmp_path / f"{run}.out").read_text() for run in ("first", "second"))
    errors = (tmp_path / "first.err").read_text()
    assert codes[0] == 1, errors
    summary = json.loads(first.splitlines()[-1])
    assert "database or disk is full; free space or mend the disk, then run again" in errors
    assert 0 < summary["requests"]["upload"] == MODELS - summary["states"]["planned"] < MODELS
    assert_all_there_once(codes[1], second, sandbox.data)

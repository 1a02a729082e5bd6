"""A ledger that may only be read: another user's, or one on a read-only mount."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bulkload.core.model.errors import LedgerError
from bulkload.ledger import LedgerReader
from bulkload.ledger.sqlite.unwritable import connect
from bulkload.ledger.sqlite.writes import Store
from tests.conftest import clean_environment, homes

# Both commands in one process: what they print, a line each.
READ = """
import sys
from bulkload.cli import run_command_line as run
sys.exit(run(["status", sys.argv[1], "--json"]) or run(["results", sys.argv[1], "--format", "jsonl"]))
"""


def in_state(path: Path, state: str) -> None:
    """A ledger as a run left it that ended, was killed, or goes on; its second run is in the log only."""
    store = Store(path)
    store.begin_run("run-1", "2026-01-06T16:34:30Z")
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.begin_run("run-2", "2026-01-07T16:34:30Z")
    if state == "ended":
        store.close()
        return
    kept = path.with_name("kept")
    kept.mkdir()
    for suffix in ("", "-wal") if state == "killed, copied" else ("", "-wal", "-shm"):
        shutil.copy(f"{path}{suffix}", kept)
    store.close()
    for file in kept.iterdir():
        shutil.move(file, path.parent / file.name)
    kept.rmdir()


def mounted_read_only(folder: Path) -> list[str]:
    """Words before a command for which the folder is one."""
    script = f'mount --bind "{folder}" "{folder}" && mount -o remount,bind,ro "{folder}" && exec "$@"'
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    return words


def of_another_user(folder: Path) -> list[str]:
    """Words before a command that may read the folder, and write nothing in it."""
    folder.chmod(0o555)
    for file in folder.iterdir():
        file.chmod(0o444)
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root writes everywhere, and setpriv is not there to drop that right")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "theirs"
    place.mkdir()
    yield place
    place.chmod(0o755)


@pytest.mark.parametrize("state", ["ended", "killed", "killed, copied"])
@pytest.mark.parametrize("way", [mounted_read_only, of_another_user], ids=["mount", "user"])
def test_it_is_read_as_it_is(way, state, folder):
    """The last run is seen, also one whose words are in the log only; nothing is written beside the ledger."""
    in_state(folder / "m.csv.ledger.db", state)
    before = sorted(folder.iterdir())
    command = [*way(folder), sys.executable, "-c", READ, str(folder / "m.csv")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    status: dict[str, Any] = json.loads(found.stdout.splitlines()[0])
    assert status["last_run"]["run_id"] == "run-2"
    assert sorted(folder.iterdir()) == before


def test_a_run_that_may_go_on_is_not_called_cut_short(folder):
    """The lock is its owner's alone: who may not look at it cannot say."""
    in_state(folder / "m.csv.ledger.db", "killed")
    (folder / "m.csv.ledger.db.lock").touch()
    words = of_another_user(folder)
    for mode, said in (
        (0o444, "was cut short: run it again"),
        (0, "goes on or was cut short: only the ledger's owner"),
    ):
        (folder / "m.csv.ledger.db.lock").chmod(mode)
        found = subprocess.run(
            [*words, sys.executable, "-m", "bulkload", "status", str(folder / "m.csv")],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (found.returncode, said in found.stdout) == (0, True), found


def test_one_that_may_not_be_read_is_said_so(folder):
    """With whom to ask."""
    in_state(folder / "m.csv.ledger.db", "ended")
    words = of_another_user(folder)
    (folder / "m.csv.ledger.db").chmod(0)
    found = subprocess.run(
        [*words, sys.executable, "-c", READ, str(folder / "m.csv")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 1
    assert "m.csv.ledger.db: cannot be read (Permission denied); ask its owner" in found.stderr


def test_what_changes_under_the_reader_is_not_believed(tmp_path):
    """A run of the owner folds its log into the file that is read without SQLite's locks."""
    from contextlib import ExitStack

    path = tmp_path / "m.csv.ledger.db"
    in_state(path, "ended")
    with ExitStack() as undo:
        connection, is_valid = connect(path, undo)
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (2,)
        store = Store(path)
        store.begin_run("run-3", "2026-01-08T16:34:30Z")
        # In the log only: the file is as it was.
        assert is_valid()
        store.close()
        assert not is_valid()


def test_a_ledger_that_may_be_written_is_read_beside_a_run(tmp_path):
    """As ever: what is committed is seen."""
    path = tmp_path / "m.csv.ledger.db"
    store = Store(path)
    store.begin_run("run-1", "2026-01-06T16:34:30Z")
    with LedgerReader(path) as reader:
        assert (reader.last_run() or {})["run_id"] == "run-1"
        store.begin_run("run-2", "2026-01-07T16:34:30Z")
        assert (reader.last_run() or {})["run_id"] == "run-2"
    store.close()
    with pytest.raises(LedgerError, match="there is no such ledger"):
        LedgerReader(tmp_path / "none.db")


@pytest.mark.parametrize("way", [mounted_read_only, of_another_user], ids=["mount", "user"])
def test_a_plan_is_made_from_it(way, folder, start_sandbox, bulkload, tmp_path):
    """What a run of its owner would do: on a copy, and nothing is written beside the ledger."""
    environment = start_sandbox("--time-scale", "0.01").environment
    (folder / "m.onnx").write_bytes(b"a model")
    manifest = folder / "m.csv"
    manifest.write_text("name,path\nm,m.onnx\nn,m.onnx\n")
    words = ["--workspace", "w", "--create-workspace"]
    assert bulkload("run", manifest, *words, env=environment).returncode in (0, 3)
    with manifest.open("a") as more:
        more.write("o,m.onnx\n")
    before = sorted(folder.iterdir())
    found = subprocess.run(
        [*way(folder), sys.executable, "-m", "bulkload", "plan", str(manifest), *words, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment() | homes(tmp_path) | environment,
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert json.loads(found.stdout.splitlines()[-1])["actions"]["upload"] == 1
    assert sorted(folder.iterdir()) == before

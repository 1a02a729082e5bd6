"""Which private sandbox is meant by ``--sandbox``, and which ledger: looking into one makes none."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.variants import every

ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"


def folders(place: Path) -> set[Path]:
    return {path for path in place.rglob("*") if path.is_dir()}


@pytest.fixture
def manifest(write_manifest):
    return write_manifest([{"name": "a", "content": ONNX}])


@pytest.mark.parametrize("command", every(2, ["verify", "wait"], first=0))
def test_sandbox_means_its_ledger_where_there_is_another(command, bulkload, manifest, start_sandbox):
    """A manifest that was tried, and then published."""
    assert bulkload("run", manifest, "--sandbox").returncode == 0
    registry = start_sandbox("--time-scale", "0")
    words = ("--workspace", "w", "--create-workspace")
    assert bulkload("run", manifest, *words, env=registry.environment).returncode == 0
    for ways, environment in ((("--sandbox",), {}), ((), registry.environment)):
        done = bulkload(command, manifest, *ways, "--json", env=environment)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


@pytest.mark.parametrize("command", every(2, ["verify", "wait"], first=1))
def test_a_named_ledger_has_its_sandbox_beside_it(command, bulkload, manifest, tmp_path):
    """As `run --sandbox --ledger` keeps it; the folder around the ledger is nobody's sandbox."""
    assert bulkload("run", manifest, "--sandbox", "--ledger", "other.db").returncode == 0
    (tmp_path / "registry").mkdir()
    done = bulkload(command, "other.db", "--sandbox", "--json")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "registry").iterdir()) == []


@pytest.mark.parametrize("command", every(2, ["verify", "wait"], first=0))
def test_looking_makes_no_sandbox(command, bulkload, manifest, start_sandbox, tmp_path):
    """A ledger of a real registry has none, and says so."""
    registry = start_sandbox("--time-scale", "0")
    words = ("--workspace", "w", "--create-workspace")
    assert bulkload("run", manifest, *words, env=registry.environment).returncode == 0
    before = folders(tmp_path)
    done = bulkload(command, manifest, "--sandbox")
    assert done.returncode == 2
    assert "there is no private sandbox of this ledger; give --endpoint in place of --sandbox" in done.stderr
    assert folders(tmp_path) == before


@pytest.mark.parametrize("command", every(2, ["verify", "wait"], first=1))
def test_a_sandbox_and_a_registry_contradict_each_other(command, bulkload, manifest):
    """As with `run`."""
    assert bulkload("run", manifest, "--sandbox").returncode == 0
    done = bulkload(command, manifest, "--sandbox", "--endpoint", "https://registry.example.com")
    assert done.returncode == 2
    assert "--sandbox and --endpoint: give one of them" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["models", "list", "--sandbox", "m.csv"],
        pytest.param(["workspaces", "list", "--sandbox", "m.csv"], marks=pytest.mark.long),
        ["status", "m.csv"],
        ["verify", "m.csv", "--sandbox"],
        ["run", "m.csv", "--sandbox"],
        ["plan", "m.csv", "--sandbox"],
        pytest.param(["run", "m.csv", "--sandbox", "--ledger", "m.csv.sandbox/x.db"], marks=pytest.mark.long),
        pytest.param(
            ["plan", "m.csv", "--endpoint", "http://127.0.0.1:1", "--ledger", "m.csv.sandbox/x.db"],
            marks=pytest.mark.long,
        ),
        ["run", "m.csv", "--endpoint", "http://127.0.0.1:1", "--ledger", "m.csv.sandbox/x.db"],
    ],
    ids=" ".join,
)
def test_a_folder_that_nobody_else_may_enter_is_said(words, tmp_path):
    """Another user's: no defect of the program, and not as if there were nothing."""
    (tmp_path / "m.csv").write_text("name,path,workspace\na,a.onnx,1\n")
    (tmp_path / "a.onnx").write_bytes(ONNX)
    closed = tmp_path / "m.csv.sandbox"
    closed.mkdir(mode=0)
    command = [sys.executable, "-m", "bulkload", *words]
    if os.geteuid() == 0:
        drop = shutil.which("setpriv")
        if drop is None:
            pytest.skip("root enters every folder, and setpriv is not there to drop that right")
        command = [drop, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", *command]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=dict(os.environ) | {"BULKLOAD_TOKEN": "t"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    closed.chmod(0o700)
    assert done.returncode in (1, 2, 6), done.stderr
    assert "internal error" not in done.stderr
    assert "Permission denied" in done.stderr or done.returncode == 6


def test_a_second_run_beside_the_first_is_exit_11(bulkload, manifest, start_sandbox, tmp_path):
    """The first one has its sandbox, and the ledger in it."""
    folder = tmp_path / "models.jsonl.sandbox" / "registry"
    start_sandbox(data=folder)
    for words in (("run", manifest, "--sandbox"), ("sandbox", "--data", folder)):
        second = bulkload(*words)
        assert second.returncode == 11
        assert "another sandbox runs on this folder" in second.stderr
        assert "Traceback" not in second.stderr
    assert not (tmp_path / "models.jsonl.sandbox" / "ledger.db").exists()

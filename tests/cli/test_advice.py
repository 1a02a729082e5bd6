"""What a command says at its end is what helps: the next command, as it can be typed, and states by their names."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bulkload.sandbox import stored_versions
from tests.conftest import clean_environment, homes

ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28"
SCHEMA = {"x": "float32"}
CONVERTED = {"framework": "xgboost", "input_schema": SCHEMA, "output_schema": SCHEMA}
WORDS = ("--workspace", "w", "--create-workspace")


def advised(stderr: str) -> list[str]:
    """The command that is to go on, without the program's name."""
    (line,) = [line for line in stderr.splitlines() if line.startswith("go on with: ")]
    return shlex.split(line.removeprefix("go on with: "))[1:]


@pytest.fixture
def manifest(write_manifest):
    return write_manifest([{"name": "a", "content": b"N."} | CONVERTED, {"name": "b", "content": ONNX + b"\x01"}])


def test_no_wait_advises_the_command_that_waits(bulkload, manifest, start_sandbox):
    """The same again would do nothing. The registry and the token's file come along, as the user named them."""
    sandbox = start_sandbox("--time-scale", "0")
    (manifest.parent / "a token").write_text(sandbox.token)
    (manifest.parent / "a token").chmod(0o600)
    ways = ("--endpoint", sandbox.endpoint, "--token-file", "a token")
    first = bulkload("run", manifest, *WORDS, *ways, "--no-wait", "--concurrency", "3")
    assert first.returncode == 12, first.stderr
    words = advised(first.stderr)
    assert words[:2] == ["wait", f"{manifest}.ledger.db"]
    assert "--no-wait" not in words
    then = bulkload(*words, "--json")
    assert then.returncode == 0, then.stderr
    assert json.loads(then.stdout)["states"]["ready"] == 2


@pytest.mark.parametrize("ledger", [(), ("--ledger", "other.db")], ids=["beside", "named"])
def test_no_wait_with_a_private_sandbox(ledger, bulkload, manifest):
    """Wherever its ledger is, the advised command finds both."""
    first = bulkload("run", manifest, "--sandbox", "--no-wait", *ledger)
    assert first.returncode == 12, first.stderr
    then = bulkload(*advised(first.stderr), "--json")
    assert then.returncode == 0, then.stderr
    assert json.loads(then.stdout)["states"]["ready"] == 2


def test_no_wait_advises_the_same_command_while_something_is_to_be_sent(bulkload, manifest, start_sandbox):
    """Waiting would not send it."""
    sandbox = start_sandbox("--time-scale", "0", "--fault", "upload:429=7200@2")
    first = bulkload("run", manifest, *WORDS, "--no-wait", "--concurrency", "1", env=sandbox.environment)
    assert first.returncode == 6
    assert advised(first.stderr) == ["run", str(manifest), *WORDS, "--no-wait", "--concurrency", "1"]


def test_plan_says_where_entries_stand(bulkload, write_manifest, start_sandbox):
    """An entry in error is not "done", nor does a run publish it again by itself."""
    sandbox = start_sandbox("--time-scale", "0")
    broken = {"name": "broken", "content": b"no pickle"} | CONVERTED
    manifest = write_manifest(
        [{"name": "a", "content": ONNX + b"\x01"}, {"name": "b", "content": ONNX + b"\x02"}, broken]
    )
    assert bulkload("run", manifest, *WORDS, "-q", env=sandbox.environment).returncode == 3
    planned = bulkload("plan", manifest, *WORDS[:2], env=sandbox.environment)
    assert planned.returncode == 0, planned.stderr
    assert "3 entries: 2 ready, 1 error" in planned.stdout
    assert "--retry-failed" in planned.stdout
    assert "done" not in planned.stdout
    told = json.loads(bulkload("plan", manifest, *WORDS[:2], "--json", env=sandbox.environment).stdout)
    assert told["settled"] == {"ready": 2, "error": 1, "skipped": 0, "failed": 0}
    assert told["actions"]["nothing"] == 3
    assert len(stored_versions(sandbox.data)) == 3


def test_a_run_that_cannot_be_planned_has_not_started(bulkload, write_manifest, start_sandbox):
    """Two entries that turn out to be one, once the workspace's name is looked up: no run, and no event of one."""
    sandbox = start_sandbox("--time-scale", "0")
    once = bulkload("workspaces", "create", "w", env=sandbox.environment)
    row = {"name": "a", "path": "a.onnx", "content": ONNX + b"\x01"}
    manifest = write_manifest([row | {"workspace": "w"}, row | {"workspace": once.stdout.strip()}])
    result = bulkload("run", manifest, "-v", "--json", env=sandbox.environment)
    assert result.returncode == 4, result.stderr
    assert json.loads(result.stdout)["run_id"] == ""
    assert "run_started" not in result.stderr
    assert not manifest.with_name("models.jsonl.ledger.db").exists()


def test_a_program_that_is_not_on_the_path_is_called_by_a_name_that_works(tmp_path):
    """From its own folder down by the short one, from elsewhere by the whole one."""
    program = Path(sys.executable).with_name("bulkload")
    (tmp_path / "m.csv").write_text("name,path\n")
    above = program.parents[1]
    for folder, called in ((tmp_path, str(program)), (above, str(program.relative_to(above)))):
        found = subprocess.run(
            [program, "status", tmp_path / "m.csv"],
            cwd=folder,
            env=clean_environment() | homes(tmp_path) | {"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"`{called} run " in found.stderr

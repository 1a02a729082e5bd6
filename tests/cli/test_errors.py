"""What is wrong is said in one message, with the right exit code, and nothing is sent and nothing made."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bulkload.sandbox import read_request_log, stored_versions

ONNX = b"onnx bytes"
GOOD: dict[str, Any] = {"name": "good", "content": ONNX}
SKLEARN: dict[str, Any] = {"name": "s", "content": ONNX, "framework": "sklearn", "output_schema": {"y": "int64"}}

BAD_MANIFESTS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "missing file": ([{"name": "a", "path": "none.onnx"}], ["line 1: path", "does not exist"]),
    "folder": (
        [{"name": "a", "path": ".", "framework": "onnx"}],
        ["line 1: path", "is a folder", "name it by its own name"],
    ),
    "empty file": ([{"name": "a", "content": b""}], ["line 1: path", "empty"]),
    "duplicate rows": ([GOOD, GOOD], ["line 2", "line 1", "version label"]),
    "unknown framework": ([GOOD | {"framework": "onxx"}], ["line 1: framework", "onxx", 'did you mean "onnx"?']),
    "framework without a file": ([GOOD | {"framework": "mlflow"}], ["line 1: framework", "mlflow"]),
    "bad schema": ([SKLEARN | {"input_schema": {"x": "flaot32"}}], ["line 1: input_schema", 'did you mean "float32"?']),
    "missing schema": ([SKLEARN], ["line 1: input_schema", "sklearn"]),
    "bad name": ([GOOD | {"name": "My_Model"}], ["line 1: name", "my-model"]),
    "bad sha256": ([GOOD | {"sha256": "abc"}], ["line 1: sha256", "64"]),
    "bad pair": ([GOOD | {"arch": "arm", "accel": "openvino"}], ["line 1: accel", "openvino", "x86"]),
    "unknown field": ([GOOD | {"framwork": "onnx"}], ["line 1", "framwork", "framework"]),
}


def test_a_bad_manifest_is_exit_4(bulkload, write_manifest, start_sandbox, tmp_path):
    """The problem is named with its place and its remedy; not one request is sent and no ledger is made."""
    sandbox = start_sandbox()
    for case, (rows, words) in BAD_MANIFESTS.items():
        result = bulkload("run", write_manifest(rows), "--workspace", "w", "--json", env=sandbox.environment)
        assert result.returncode == 4, (case, result.stderr)
        for word in words:
            assert word in result.stderr, case
        assert "Traceback" not in result.stderr
        assert json.loads(result.stdout)["exit_code"] == 4
    assert read_request_log(sandbox.data / "requests.jsonl") == []
    assert not list(tmp_path.glob("*.ledger.db*"))


def test_every_problem_is_reported_in_one_go(bulkload, write_manifest):
    """Three bad rows are three lines, not three runs."""
    rows = [GOOD | {"name": "A"}, GOOD | {"framework": "x"}, {"name": "c", "path": "none.onnx"}, GOOD]
    result = bulkload("plan", write_manifest(rows), "--offline", "--workspace", "w")
    assert result.returncode == 4
    assert [line.split(": ")[1] for line in result.stderr.splitlines()[:-1]] == ["line 1", "line 2", "line 3"]
    assert "3 problems" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "content"), [("m.jsonl", b""), ("m.csv", b"name,path\n"), ("m.yaml", b"models: []\n")]
)
def test_an_empty_manifest_is_exit_4(bulkload, tmp_path, name, content):
    """A manifest that lost its rows is not a success."""
    (tmp_path / name).write_bytes(content)
    result = bulkload("run", name, "--sandbox")
    assert result.returncode == 4
    assert name in result.stderr


def test_an_unreadable_file_is_exit_4(write_manifest, tmp_path):
    """Also for root, once it has given up the right to read everything."""
    manifest = write_manifest([GOOD])
    (tmp_path / "good-0.onnx").chmod(0)
    command = [sys.executable, "-m", "bulkload", "plan", str(manifest), "--offline", "--workspace", "w"]
    if os.geteuid() == 0:
        drop = shutil.which("setpriv")
        if drop is None:
            pytest.skip("root reads everything, and setpriv is not there to drop that right")
        command = [drop, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", *command]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 4, result.stderr
    assert "line 1: path: good-0.onnx cannot be read" in result.stderr


@pytest.mark.parametrize("size", [10, 3 * 2**20])
def test_a_file_with_another_digest_never_becomes_a_version(bulkload, write_manifest, start_sandbox, size):
    """Small files and large ones: the entry is `failed` with both digests in its message, the run exits with 3."""
    sandbox = start_sandbox("--time-scale", "0")
    manifest = write_manifest([{"name": "a", "content": b"x" * size, "sha256": "0" * 64}, GOOD])
    words = ("--workspace", "w", "--create-workspace", "--json")
    result = bulkload("run", manifest, *words, env=sandbox.environment)
    assert result.returncode == 3, result.stderr
    summary = json.loads(result.stdout)
    assert summary["states"]["failed"] == summary["states"]["ready"] == 1
    assert summary["failures"][0]["cause"] == "wrong_digest"
    assert "0" * 64 in summary["failures"][0]["example"]
    assert [version.name for version in stored_versions(sandbox.data)] == ["good"]


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("endpoint", "code", "words"),
    [
        ("http://127.0.0.1:{port}", 6, ["no connection to 127.0.0.1:{port}", "run again"]),
        ("https://no-such-host.invalid", 6, ["no-such-host.invalid", "not known"]),
        ("http://registry.example.com", 2, ["http://registry.example.com", "without encryption", "--insecure-http"]),
        ("registry.example.com", 2, ["registry.example.com", "https://"]),
        ("https://user:secret@registry.example.com", 2, ["--token-file"]),
    ],
)
def test_an_unreachable_endpoint_is_exit_6_and_a_bad_one_exit_2(
    endpoint, code, words, bulkload, write_manifest, tmp_path
):
    """Nothing is made; the message says whose fault it is."""
    port = closed_port()
    result = bulkload(
        "run", write_manifest([GOOD]), "--workspace", "w", "--endpoint", endpoint.format(port=port),
        env={"BULKLOAD_TOKEN": "t"},
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    for word in words:
        assert word.format(port=port) in result.stderr
    assert "secret" not in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("*.ledger.db*"))


def test_a_wrong_token_is_exit_5(bulkload, write_manifest, start_sandbox, tmp_path):
    """And the token stands nowhere in the message."""
    sandbox = start_sandbox()
    environment = sandbox.environment | {"BULKLOAD_TOKEN": "wrong-token"}
    result = bulkload("run", write_manifest([GOOD]), "--workspace", "w", "--json", env=environment)
    assert result.returncode == 5
    assert "token" in result.stderr
    assert "wrong-token" not in result.stderr + result.stdout
    assert json.loads(result.stdout)["exit_code"] == 5
    assert not list(tmp_path.glob("*.ledger.db*"))
    assert stored_versions(sandbox.data) == []


def test_no_token_and_no_endpoint_are_exit_2(bulkload, write_manifest):
    """Each says which flag gives it."""
    manifest = write_manifest([GOOD])
    assert "--endpoint" in bulkload("run", manifest).stderr
    result = bulkload("run", manifest, "--endpoint", "http://127.0.0.1:1")
    assert result.returncode == 2
    assert "BULKLOAD_TOKEN" in result.stderr


def test_an_unknown_workspace_is_exit_4(bulkload, write_manifest, start_sandbox):
    """It names those that exist, and the flag that makes it."""
    sandbox = start_sandbox()
    result = bulkload("run", write_manifest([GOOD]), "--workspace", "nowhere", env=sandbox.environment)
    assert result.returncode == 4
    assert "nowhere" in result.stderr
    assert "Default Workspace" in result.stderr
    assert "--create-workspace" in result.stderr


def test_a_ledger_in_use_is_exit_11_and_names_its_holder(bulkload, write_manifest, start_sandbox, tmp_path):
    """The second of two runs is refused while the first one works."""
    import fcntl

    sandbox = start_sandbox()
    manifest = write_manifest([GOOD])
    with (tmp_path / "models.jsonl.ledger.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write('{"pid": 4711, "host": "build-7", "started_at": "2026-01-06T16:34:30Z"}')
        lock.flush()
        words = ("--workspace", "w", "--create-workspace")
        result = bulkload("run", manifest, *words, env=sandbox.environment)
    assert result.returncode == 11
    assert "process 4711 on build-7" in result.stderr
    assert stored_versions(sandbox.data) == []


def test_a_ledger_belongs_to_one_registry(bulkload, write_manifest, start_sandbox, tmp_path):
    """Another registry is exit 2, and nothing is sent to it."""
    first, second = start_sandbox(data=tmp_path / "1"), start_sandbox(data=tmp_path / "2")
    manifest = write_manifest([GOOD])
    words = ("--workspace", "w", "--create-workspace")
    assert bulkload("run", manifest, *words, env=first.environment).returncode == 0
    result = bulkload("run", manifest, *words, env=second.environment)
    assert result.returncode == 2
    assert "belongs to" in result.stderr
    assert stored_versions(second.data) == []


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["run", "m.csv", "--no-such-flag"],
        ["run", "m.csv", "--concurrency", "0"],
        ["run", "m.csv", "--upload-rate", "fast"],
        ["run", "m.csv", "--bandwidth", "50"],
        ["run", "m.csv", "--poll-interval", "30s..1s"],
        ["run", "m.csv", "--sandbox", "--set", "framwork=onnx"],
        ["run", "m.csv", "--sandbox", "--endpoint", "http://127.0.0.1:1"],
        ["run", "-"],
        ["sandbox", "--fault", "upload:explode"],
        ["no-such-command"],
    ],
)
def test_wrong_words_are_exit_2_with_one_message(bulkload, words):
    """Never a traceback."""
    result = bulkload(*words, env={"BULKLOAD_TOKEN": "t"})
    assert result.returncode == 2, result.stderr
    assert result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["rnu"], "run"), (["pln", "m.csv"], "plan"), (["model", "list"], "models"), (["models", "lst"], "list")],
)
def test_a_misspelt_command_is_told_which_may_be_meant(words, meant, bulkload):
    """At every level."""
    result = bulkload(*words)
    assert result.returncode == 2
    assert "Did you mean" in result.stderr
    assert f"'{meant}'" in result.stderr


@pytest.mark.parametrize("words", [["doctor"], ["whoami"], ["login"], ["logout"], ["models", "list"], ["run", "m.csv"]])
def test_what_is_advised_where_there_is_no_registry_exists(words, bulkload):
    """`--sandbox` only to commands that have it, and as they have it."""
    result = bulkload(*words)
    assert result.returncode == 2
    said = result.stdout + result.stderr
    assert "no registry; give --endpoint URL (or BULKLOAD_ENDPOINT)" in said
    has_flag = "--sandbox" in bulkload(*words[: 2 if words[0] == "models" else 1], "--help").stdout
    assert ("--sandbox" in said) == has_flag
    assert has_flag or "`bulkload sandbox` serves one to try" in said


def test_a_flag_is_also_a_variable_and_a_key_of_the_config_file(bulkload, write_manifest, start_sandbox, tmp_path):
    """Flag, then environment, then file, then default."""
    sandbox = start_sandbox("--time-scale", "0")
    manifest = write_manifest([GOOD])
    (tmp_path / "bulkload.toml").write_text('workspace = "from-file"\ncreate-workspace = true\nconcurrency = 3\n')
    assert bulkload("run", manifest, env=sandbox.environment).returncode == 0
    environment = sandbox.environment | {"BULKLOAD_WORKSPACE": "from-environment"}
    assert bulkload("run", manifest, env=environment).returncode == 0
    assert bulkload("run", manifest, "--workspace", "from-flag", env=environment).returncode == 0
    assert len({version.workspace_id for version in stored_versions(sandbox.data)}) == 3
    (tmp_path / "bulkload.toml").write_text("concurency = 3\n")
    result = bulkload("run", manifest, env=sandbox.environment)
    assert result.returncode == 2
    assert "did you mean 'concurrency'?" in result.stderr


def test_results_of_a_missing_ledger_make_no_ledger(bulkload, tmp_path):
    """Reading is not writing."""
    result = bulkload("results", "none.db")
    assert result.returncode != 0
    assert "there is no such ledger" in result.stderr
    assert not Path(tmp_path / "none.db").exists()

"""``bulkload run`` as its users call it: another process, no terminal, real files."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bulkload.sandbox import read_request_log, stored_versions

ONNX = b"\x08\x07\x12\x04demo" + bytes(range(200))


def last_line(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def uploads(data: Path) -> int:
    return sum(1 for record in read_request_log(data / "requests.jsonl") if "/models/upload" in record.path)


def test_the_30_real_models_all_become_terminal_with_the_right_bytes(shared, bulkload, tmp_path):
    """30 entries, each terminal; every digest equals the registry's and that of models.json; again: nothing is sent."""
    arguments = ("run", shared / "models" / "manifest.jsonl", "--sandbox", "--ledger", tmp_path / "l.db", "--json")
    first = bulkload(*arguments, timeout=120)
    summary = last_line(first.stdout)
    assert first.returncode == summary["exit_code"] == 3, first.stderr
    assert summary["entries"] == 30
    assert summary["states"]["ready"] + summary["states"]["error"] == 30
    assert summary["requests"]["upload"] == 30
    results = bulkload("results", tmp_path / "l.db", "--format", "jsonl").stdout.splitlines()
    rows = [json.loads(line) for line in results]
    declared = {model["file"]: model["sha256"] for model in json.loads((shared / "models" / "models.json").read_text())}
    stored = {version.id: version.sha256 for version in stored_versions(tmp_path / "l.db.sandbox" / "registry")}
    assert len(stored) == 30
    for row in rows:
        assert row["sha256"] == declared[row["path"]] == stored[row["version_id"]]
    again = last_line(bulkload(*arguments).stdout)
    assert again["requests"]["upload"] == again["requests"]["list"] == again["bytes_sent"] == 0
    assert len(stored_versions(tmp_path / "l.db.sandbox" / "registry")) == 30


def test_the_summary_is_the_contract(bulkload, write_manifest):
    """--json prints one object with exactly the documented keys, the eight states and the five kinds of requests."""
    manifest = write_manifest([{"name": "a", "content": ONNX}])
    result = bulkload("run", manifest, "--sandbox", "--json")
    summary = last_line(result.stdout)
    assert result.returncode == 0, result.stderr
    assert list(summary) == [
        "run_id", "endpoint", "manifest", "ledger", "exit_code", "entries", "states", "bytes_sent", "requests",
        "retries", "adopted", "duplicates", "elapsed_seconds", "failures", "error",
    ]  # fmt: skip
    assert set(summary["states"]) == {
        "planned", "uploading", "in_doubt", "uploaded", "ready", "error", "skipped", "failed",
    }  # fmt: skip
    assert set(summary["requests"]) == {"upload", "poll", "list", "auth", "other"}
    assert summary["bytes_sent"] == len(ONNX)
    assert len(result.stdout.splitlines()) == 1


def test_without_a_terminal_no_control_characters_are_written(bulkload, write_manifest):
    """Cron mails stay readable."""
    manifest = write_manifest([{"name": "a", "content": ONNX}])
    result = bulkload("run", manifest, "--sandbox")
    assert not set(result.stdout + result.stderr) & {"\x1b", "\r", "\b"}
    assert "1 entry: 1 ready; 1 upload" in result.stderr
    assert result.stdout == ""


def test_an_error_version_keeps_its_reason_and_its_conversion_logs(bulkload, write_manifest, tmp_path):
    """What the registry says about a model that it could not convert is in the results."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("requirements.txt", "numpy\n")
        archive.writestr("code.py", "x = 1\n")
    schema = {"x": "float32"}
    row = {"name": "c", "path": "c.zip", "framework": "custom", "input_schema": schema, "output_schema": schema}
    result = bulkload("run", write_manifest([row]), "--sandbox", "--json")
    assert result.returncode == 3, result.stderr
    assert last_line(result.stdout)["failures"][0]["cause"] == "conversion_error"
    (found,) = (
        json.loads(line) for line in bulkload("results", "models.jsonl", "--format", "jsonl").stdout.splitlines()
    )
    assert found["state"] == found["status"] == "error"
    assert "Inference" in found["message"]
    assert found["logs"]


def test_two_runs_into_new_ledgers_skip_what_is_there(bulkload, write_manifest, start_sandbox, tmp_path):
    """An equal version that another ledger published is skipped, not doubled."""
    sandbox = start_sandbox("--time-scale", "0")
    manifest = write_manifest([{"name": "a", "content": ONNX}, {"name": "b", "content": ONNX + b"b"}])
    workspace = ("--workspace", "bulk", "--create-workspace")
    assert bulkload("run", manifest, *workspace, "--ledger", "1.db", env=sandbox.environment).returncode == 0
    second = bulkload("run", manifest, *workspace, "--ledger", "2.db", "--json", env=sandbox.environment)
    assert last_line(second.stdout)["states"]["skipped"] == 2
    assert last_line(second.stdout)["requests"]["upload"] == 0
    third = bulkload(
        "run", manifest, *workspace, "--ledger", "3.db", "--on-existing", "upload", env=sandbox.environment
    )
    assert third.returncode == 0, third.stderr
    assert len(stored_versions(sandbox.data)) == 4


def test_a_changed_file_is_published_as_a_new_version_and_a_touched_one_is_not(bulkload, write_manifest, tmp_path):
    """Nightly runs send what changed."""
    manifest = write_manifest([{"name": "a", "content": ONNX}, {"name": "b", "content": ONNX + b"b"}])
    assert bulkload("run", manifest, "--sandbox").returncode == 0
    (tmp_path / "a-0.onnx").write_bytes(ONNX + b"new")
    (tmp_path / "b-0.onnx").write_bytes(ONNX + b"b")
    summary = last_line(bulkload("run", manifest, "--sandbox", "--json").stdout)
    assert summary["requests"]["upload"] == 1
    assert summary["states"]["ready"] == summary["entries"] == 2
    with sqlite3.connect(tmp_path / "models.jsonl.sandbox" / "ledger.db") as ledger:
        assert ledger.execute("SELECT count(*) FROM past_publications").fetchone() == (1,)
    ledger.close()


def test_no_wait_leaves_versions_converting_and_wait_sees_them_through(bulkload, write_manifest, start_sandbox):
    """--no-wait ends with 12 after the uploads; `wait` polls the rest and sends nothing."""
    sandbox = start_sandbox("--time-scale", "0.01")
    schema = {"x": "float32"}
    row = {"name": "s", "content": b"N.", "framework": "sklearn", "input_schema": schema, "output_schema": schema}
    manifest = write_manifest([row])
    words = ("--workspace", "w", "--create-workspace", "--no-wait")
    first = bulkload("run", manifest, *words, "--json", env=sandbox.environment)
    assert first.returncode == 12, first.stderr
    assert last_line(first.stdout)["states"]["uploaded"] == 1
    assert last_line(first.stdout)["requests"]["poll"] == 0
    waited = bulkload("wait", "models.jsonl.ledger.db", "--json", env=sandbox.environment)
    assert waited.returncode == 0, waited.stderr
    assert last_line(waited.stdout)["states"]["ready"] == 1
    assert uploads(sandbox.data) == 1


def test_a_version_that_never_ends_is_given_up_after_the_wait_timeout(bulkload, write_manifest, start_sandbox):
    """Its entry stays `uploaded`, the run ends with 12, and the next run goes on polling it."""
    sandbox = start_sandbox("--fault", "upload:stuck@1", "--time-scale", "0")
    schema = {"x": "float32"}
    row = {"name": "s", "content": b"N.", "framework": "sklearn", "input_schema": schema, "output_schema": schema}
    manifest = write_manifest([row])
    words = ("--workspace", "w", "--create-workspace", "--wait-timeout", "300ms", "--poll-interval", "50ms..100ms")
    for _ in range(2):
        result = bulkload("run", manifest, *words, "--json", env=sandbox.environment)
        assert result.returncode == 12, result.stderr
        assert last_line(result.stdout)["states"]["uploaded"] == 1
    assert uploads(sandbox.data) == 1


def test_limits_hold(bulkload, write_manifest, start_sandbox):
    """--upload-rate paces evenly: the registry's log shows no interval much shorter than the pace allows."""
    sandbox = start_sandbox("--time-scale", "0")
    manifest = write_manifest([{"name": f"m{n}", "content": ONNX + bytes([n])} for n in range(10)])
    words = ("--workspace", "w", "--create-workspace", "--upload-rate", "10/s")
    assert bulkload("run", manifest, *words, env=sandbox.environment).returncode == 0
    log = read_request_log(sandbox.data / "requests.jsonl")
    times = [record.t for record in log if "/models/upload" in record.path]
    assert len(times) == 10
    assert times[-1] - times[0] >= 0.85


@pytest.mark.parametrize("name", ["quickstart.yaml", "quickstart.csv"])
def test_the_sample_manifests_pass_the_offline_check(bulkload, name):
    """Both twins, as they lie in the project."""
    manifest = Path(__file__).parents[2] / "manifests" / name
    result = bulkload("plan", manifest, "--offline", "--sandbox")
    assert result.returncode == 0, result.stderr
    assert "17 entries, no problem found" in result.stdout


def test_the_demo_ends_as_announced_and_sends_nothing_twice(bulkload, tmp_path):
    """The first minute of a new user."""
    first = bulkload("demo", timeout=100)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("  ready") == 16
    assert "Look further" in first.stdout
    again = bulkload("demo")
    assert again.returncode == 0, again.stderr
    assert "nothing sent" in again.stderr

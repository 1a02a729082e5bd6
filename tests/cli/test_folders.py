"""A folder by the commands that people use: published, found equal, and never half explained."""

import json
from pathlib import Path

import pytest

from bulkload.core.model.errors import ExitCode

# The smallest SavedModel that holds a graph.
SAVED_MODEL = b"\x08\x01\x12\x04\x12\x02\x0a\x00"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "model" / "variables").mkdir(parents=True)
    (tmp_path / "model" / "saved_model.pb").write_bytes(SAVED_MODEL)
    (tmp_path / "model" / "variables" / "variables.data").write_bytes(b"weights")
    manifest = tmp_path / "models.jsonl"
    manifest.write_text(json.dumps({"name": "m", "path": "model", "framework": "tensorflow"}) + "\n")
    return manifest


def test_it_is_published_once_and_verified(manifest: Path, bulkload) -> None:
    assert bulkload("run", manifest, "--sandbox").returncode == ExitCode.OK
    (row,) = map(json.loads, bulkload("results", manifest, "--format", "jsonl").stdout.splitlines())
    assert (row["path"], row["state"]) == ("model/", "ready")
    again = bulkload("run", manifest, "--sandbox")
    assert again.returncode == ExitCode.OK, again.stderr
    (same,) = map(json.loads, bulkload("results", manifest, "--format", "jsonl").stdout.splitlines())
    assert same["version_id"] == row["version_id"]
    verified = bulkload("verify", manifest, "--sandbox")
    assert verified.returncode == ExitCode.OK, verified.stderr


def test_curl_cannot_send_it_and_the_plan_says_so(manifest: Path, bulkload) -> None:
    done = bulkload("plan", manifest, "--sandbox", "--curl")
    assert done.returncode == ExitCode.OK, done.stderr
    assert "model/ is sent as a zip, which curl cannot make; `bulkload run` does" in done.stdout
    assert "curl --" not in done.stdout

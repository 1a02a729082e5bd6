"""``bulkload plan --curl``: run by a real shell and curl, it stores what ``bulkload run`` stores."""

import io
import json
import os
import shutil
import subprocess
import zipfile
from typing import Any

import pytest

from bulkload.sandbox import read_request_log, stored_versions
from tests.conftest import clean_environment
from tests.variants import every

SCHEMA = {"x": "float32"}
# File names may hold no quotes and backslashes, folders may.
FOLDER = 'a "folder"; \\ and $more'


def archive() -> bytes:
    """A zip that is sent in pieces."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as files:
        files.writestr("model/main.py", "# nothing\n" * 200_000)
    return buffer.getvalue()


ARCHIVE = archive()
ROWS: list[dict[str, Any]] = [
    {"name": "native", "content": b"onnx bytes", "visibility": "public"},
    {
        "name": "converted", "content": b"pickle", "path": f"{FOLDER}/it's a; model, $HOME `id` %.pkl",
        "framework": "sklearn", "input_schema": SCHEMA, "output_schema": SCHEMA,
        "requirements": ["a; b", "it's \"c\"", "$TOKEN `id`"],
    },
    {
        "name": "custom", "content": ARCHIVE, "path": "custom.zip", "framework": "custom", "arch": "arm",
        "input_schema": SCHEMA, "output_schema": SCHEMA,
        "framework_config": {"framework": "custom", "config": {"note": "50 % \\ @file <x>; y"}},
    },
]  # fmt: skip
# Each version has its own.
OWN = {"version_id", "version_uuid", "created_at", "status", "error_summary"}


def run_shell(script: str, token: str) -> "subprocess.CompletedProcess[str]":
    """As a person would who pastes it."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    environment = clean_environment() | {"BULKLOAD_TOKEN": token}
    return subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, env=environment, timeout=60, check=False
    )


def stored(bulkload: Any, sandbox: Any) -> list[dict[str, Any]]:
    """What the registry says of each version."""
    shown = [bulkload("models", "versions", row["name"], "--json", env=sandbox.environment).stdout for row in ROWS]
    versions = [json.loads(line) for lines in shown for line in lines.splitlines()]
    return [{key: value for key, value in version.items() if key not in OWN} for version in versions]


@pytest.mark.parametrize("route", every(2, ["auto", "convert"]))
def test_curl_sends_what_a_run_sends(route, bulkload, start_sandbox, write_manifest, tmp_path):
    """The same call, file, name and metadata, whatever signs stand in them; bulkload then has nothing left to send."""
    words = ("--workspace", "108", "--route", route)
    (tmp_path / FOLDER).mkdir()
    manifest = write_manifest(ROWS)
    ours, theirs = start_sandbox(data=tmp_path / "ours"), start_sandbox(data=tmp_path / "theirs")
    assert bulkload("run", manifest, *words, "--no-wait", env=ours.environment).returncode == 12
    plan = bulkload("plan", manifest, *words, "--curl", "--ledger", "other.db", env=theirs.environment)
    assert plan.returncode == 0, plan.stderr
    assert theirs.token not in plan.stdout + plan.stderr
    assert "3 to upload" in plan.stderr
    result = run_shell(plan.stdout, theirs.token)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count('{"insert_models"') == 3
    assert len(stored(bulkload, ours)) == 3
    assert stored(bulkload, theirs) == stored(bulkload, ours)
    calls = [
        sorted(each.path for each in read_request_log(data / "requests.jsonl") if "/models/upload" in each.path)
        for data in (ours.data, theirs.data)
    ]
    assert calls[0] == calls[1]
    again = bulkload("plan", manifest, *words, "--curl", "--ledger", "other.db", env=theirs.environment)
    assert (again.stdout, "3 to skip" in again.stderr) == ("", True)


def test_a_refusal_is_seen(bulkload, start_sandbox, write_manifest):
    """By curl's exit code, and by the registry's words."""
    sandbox = start_sandbox()
    plan = bulkload("plan", write_manifest(ROWS[:1]), "--workspace", "108", "--curl", env=sandbox.environment)
    result = run_shell(plan.stdout, "wrong")
    assert result.returncode == 22
    assert "Jwt" in result.stdout
    assert stored_versions(sandbox.data) == []


def test_the_token_is_in_no_list_of_processes(bulkload, start_sandbox, write_manifest, tmp_path):
    """A curl that writes down its words in place of the real one."""
    sandbox = start_sandbox()
    plan = bulkload("plan", write_manifest(ROWS[:1]), "--workspace", "108", "--curl", env=sandbox.environment)
    spy = tmp_path / "bin" / "curl"
    spy.parent.mkdir()
    spy.write_text('#!/bin/sh\necho "$@"; cat <&3; cat >/dev/null\n')
    spy.chmod(0o755)
    script = f"PATH={spy.parent}{os.pathsep}$PATH\n{plan.stdout}"
    shown, header, *_ = run_shell(script, "planted-token").stdout.splitlines()
    assert "planted-token" not in shown
    assert header == "Authorization: Bearer planted-token"


def test_what_cannot_be_said_by_curl_is_exit_2(bulkload, start_sandbox, write_manifest):
    """A workspace that is still to be made has no id; nor has one that nobody was asked about."""
    sandbox = start_sandbox()
    manifest = write_manifest(ROWS[:1])
    words = ("plan", manifest, "--workspace", "new", "--create-workspace", "--curl")
    result = bulkload(*words, env=sandbox.environment)
    assert result.returncode == 2
    assert "workspace 'new' is still to be made" in result.stderr
    assert bulkload(*words, "--offline", env=sandbox.environment).returncode == 2


def test_certificates_go_with_it(bulkload, start_sandbox, write_manifest):
    """curl trusts what bulkload trusts."""
    sandbox = start_sandbox()
    words = ("--ca-file", "ca file.pem", "--client-cert", "me.pem", "--client-key", "key.pem")
    plan = bulkload("plan", write_manifest(ROWS[:1]), "--workspace", "108", "--curl", *words, env=sandbox.environment)
    assert "--cacert 'ca file.pem' --cert me.pem --key key.pem" in plan.stdout

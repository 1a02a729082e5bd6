"""Long runs with short-lived tokens: renewed early and once, and a password that stops working stops the run."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from bulkload.sandbox import LogRecord, read_request_log, stored_versions
from tests.variants import every

TOKEN_PATH = "/auth/realms/master/protocol/openid-connect/token"
LIFE_SECONDS = 3


def requests_of(data: Path) -> list[LogRecord]:
    return read_request_log(data / "requests.jsonl")


def token_requests(data: Path) -> list[LogRecord]:
    return [record for record in requests_of(data) if record.path == TOKEN_PATH]


def rows(count: int) -> list[dict[str, Any]]:
    schema = {"x": "float32"}
    row = {"framework": "xgboost", "input_schema": schema, "output_schema": schema}
    # A whole pickle, and then what is not looked at.
    return [{"name": f"m{number}", "content": b"N.%d" % number, **row} for number in range(count)]


def user(sandbox: Any) -> dict[str, str]:
    """What gets in by password."""
    return {
        "BULKLOAD_ENDPOINT": sandbox.endpoint,
        "BULKLOAD_USERNAME": sandbox.username,
        "BULKLOAD_PASSWORD": sandbox.password,
    }


@pytest.mark.parametrize(("uploads", "rate"), [(120, "12/s"), pytest.param(300, "30/s", marks=pytest.mark.long)])
def test_hundreds_of_uploads_with_tokens_of_3_seconds(uploads, rate, bulkload, start_sandbox, write_manifest):
    """Not one entry fails, not one request is refused, and about one request for a token a life."""
    sandbox = start_sandbox("--time-scale", "0", "--token-life", str(LIFE_SECONDS), "--no-strict")
    words = ("--workspace", "108", "--upload-rate", rate, "--route", "convert", "--json")
    result = bulkload("run", write_manifest(rows(uploads)), *words, env=user(sandbox), timeout=110)
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["states"]["ready"] == uploads, result.stderr
    assert (summary["states"]["failed"], summary["retries"], summary["requests"]["upload"]) == (0, 0, uploads)
    assert 401 not in {record.status for record in requests_of(sandbox.data)}
    asked = token_requests(sandbox.data)
    lives = summary["elapsed_seconds"] / LIFE_SECONDS
    # Renewed after four fifths of a life.
    assert lives <= len(asked) <= math.ceil(lives / 0.8) + 1
    assert summary["requests"]["auth"] == len(asked)
    assert len(stored_versions(sandbox.data)) == uploads


def test_a_password_that_is_refused_in_mid_run_is_exit_5_and_the_run_resumes(bulkload, start_sandbox, write_manifest):
    """It is tried once; what was not sent stays planned; the same command then goes on, and nothing is sent twice."""
    faults = ("--fault", "token:401@2", "--fault", "token:401@3")
    sandbox = start_sandbox("--time-scale", "0", "--token-life", "2", *faults)
    manifest = write_manifest(rows(50))
    words = ("run", manifest, "--workspace", "108", "--upload-rate", "10/s", "--json")
    result = bulkload(*words, env=user(sandbox), timeout=110)
    assert result.returncode == 5, result.stderr
    assert "Keycloak does not let user@example.com in" in result.stderr
    states = json.loads(result.stdout.splitlines()[-1])["states"]
    assert 0 < states["planned"] < 50
    assert (states["failed"], states["in_doubt"], states["uploading"]) == (0, 0, 0)
    # The login, its refresh token, and once the password.
    assert len(token_requests(sandbox.data)) == 3
    result = bulkload(*words, env=user(sandbox), timeout=110)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["states"]["ready"] == 50
    assert sorted(version.name for version in stored_versions(sandbox.data)) == sorted(f"m{n}" for n in range(50))


def test_keycloak_may_be_down_for_a_moment(bulkload, start_sandbox, write_manifest):
    """The run goes on with the token that still serves, or waits; nothing is in doubt for it."""
    faults = ("--fault", "token:503@1", "--fault", "token:refuse@3", "--fault", "token:stall=1@4")
    sandbox = start_sandbox("--time-scale", "0", "--token-life", "2", *faults)
    words = ("--workspace", "108", "--upload-rate", "20/s", "--json")
    result = bulkload("run", write_manifest(rows(60)), *words, env=user(sandbox), timeout=110)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout.splitlines()[-1])
    assert (summary["states"]["ready"], summary["adopted"]) == (60, 0)
    assert len(stored_versions(sandbox.data)) == 60


MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


@pytest.mark.parametrize("around", every(4, [("", "\n"), ("", "\r\n"), (MARK, "\r\n\n"), ("\n", "\n")], first=2))
def test_a_secret_may_come_with_what_its_editor_added(around, bulkload, start_sandbox, tmp_path):
    """By each way in: a variable of a Kubernetes secret has a line's end as often as a file has."""
    sandbox = start_sandbox("--time-scale", "0")
    account = json.loads((sandbox.data / "account.json").read_text())

    def written(secret: str) -> str:
        return f"{around[0]}{secret}{around[1]}"

    for name in ("token", "password", "client_secret"):
        (tmp_path / name).write_bytes(written(account[name]).encode())
        (tmp_path / name).chmod(0o600)
    named = {"BULKLOAD_USERNAME": written(sandbox.username)}
    ways = [
        {"BULKLOAD_TOKEN": written(sandbox.token)},
        {"BULKLOAD_TOKEN_FILE": "token"},
        {"BULKLOAD_TOKEN_COMMAND": "cat token"},
        named | {"BULKLOAD_PASSWORD": written(sandbox.password)},
        named | {"BULKLOAD_PASSWORD_FILE": "password"},
        named
        | {"BULKLOAD_PASSWORD": sandbox.password, "BULKLOAD_CLIENT_ID": written("api-client")}
        | {"BULKLOAD_CLIENT_SECRET": written(account["client_secret"])},
        {"WALLAROO_USER": written(sandbox.username), "WALLAROO_PASSWORD": written(sandbox.password)},
    ]
    for way in ways:
        result = bulkload("whoami", env=way | {"BULKLOAD_ENDPOINT": written(sandbox.endpoint)})
        assert result.returncode == 0, (way, result.stderr)
        assert result.stderr == ""


def test_who_else_may_read_a_secret_is_said_once(bulkload, start_sandbox, tmp_path):
    """On standard error, with what to do; the file is used all the same."""
    sandbox = start_sandbox("--time-scale", "0")
    (tmp_path / "token").write_text(sandbox.token)
    (tmp_path / "token").chmod(0o666)
    result = bulkload("whoami", "--token-file", "token", env={"BULKLOAD_ENDPOINT": sandbox.endpoint})
    assert result.returncode == 0
    assert result.stderr.count("token holds a secret, and others may change it (mode 0666)") == 1
    assert "chmod 600" in result.stderr

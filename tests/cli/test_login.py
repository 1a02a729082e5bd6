"""``bulkload login``, ``whoami`` and ``logout``: in by a browser, and out again."""

import json
import re
import stat
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bulkload.sandbox import read_request_log, stored_versions
from tests.conftest import clean_environment, homes

TOKEN_PATH = "/auth/realms/master/protocol/openid-connect/token"
USER = "user@example.com"


@contextmanager
def logging_in(folder: Path, endpoint: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """``bulkload login`` that waits, and the address that it shows."""
    environment = clean_environment() | homes(folder) | {"BULKLOAD_ENDPOINT": endpoint}
    command = [sys.executable, "-m", "bulkload", "login"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stderr is not None
        try:
            shown = re.fullmatch(r"Open (\S+)\n", child.stderr.readline())
            assert shown is not None
            assert re.search(r"the code [A-Z]{4}-[A-Z]{4}", child.stderr.readline())
            yield child, shown[1]
        finally:
            child.terminate()


def decide(address: str, password: str, **fields: str) -> None:
    """What a person does on the page at that address."""
    page = urllib.parse.urlsplit(address)
    form = dict(urllib.parse.parse_qsl(page.query)) | fields | {"password": password}
    with urllib.request.urlopen(address, urllib.parse.urlencode(form).encode()) as answer:
        answer.read()


def log_in(folder: Path, sandbox: Any) -> str:
    """Log in, confirmed at once; what the command says."""
    with logging_in(folder, sandbox.endpoint) as (child, address):
        decide(address, sandbox.password)
        output, words = child.communicate(timeout=60)
    assert child.returncode == 0, words
    assert output == ""
    return words


def requests_for_tokens(data: Path) -> int:
    return sum(record.path == TOKEN_PATH for record in read_request_log(data / "requests.jsonl"))


@pytest.fixture
def sandbox(start_sandbox: Any) -> Any:
    """A sandbox that nobody has given a token of."""
    return start_sandbox("--time-scale", "0")


def test_log_in_publish_and_log_out(sandbox, bulkload, write_manifest, tmp_path):
    """One login serves the commands that follow without a request for a token, until it is forgotten."""
    environment = {"BULKLOAD_ENDPOINT": sandbox.endpoint}
    # Whoever waits for long is told what for, and nothing else before the end.
    *waits, last = log_in(tmp_path, sandbox).splitlines()
    assert last == f"logged in to {sandbox.endpoint} as {USER}"
    assert all(wait.startswith("waiting for the browser, ") for wait in waits)
    store = tmp_path / "state" / "bulkload" / "logins.json"
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    asked = requests_for_tokens(sandbox.data)

    manifest = write_manifest([{"name": "a", "content": b"onnx bytes"}])
    result = bulkload("run", manifest, "--workspace", "w", "--create-workspace", env=environment)
    assert result.returncode in (0, 3), result.stderr
    assert len(stored_versions(sandbox.data)) == 1
    who = json.loads(bulkload("whoami", "--json", env=environment).stdout)
    assert list(who) == ["endpoint", "username", "source", "token_seconds", "workspaces"]
    assert (who["username"], who["source"], who["workspaces"]) == (USER, f"the login of {USER}", 2)
    # Measured against the registry's clock, which tells whole seconds.
    assert 3500 < who["token_seconds"] <= 3601
    assert requests_for_tokens(sandbox.data) == asked

    result = bulkload("logout", env=environment)
    assert (result.returncode, result.stderr) == (0, f"logged out of {sandbox.endpoint}, {USER}\n")
    assert json.loads(store.read_text()) == []
    assert bulkload("whoami", env=environment).returncode == 2
    result = bulkload("logout", env=environment)
    assert result.returncode == 2
    assert f"nobody is logged in to {sandbox.endpoint}" in result.stderr


def test_a_login_that_is_denied_is_exit_5(sandbox, tmp_path):
    """Nothing is stored."""
    with logging_in(tmp_path, sandbox.endpoint) as (child, address):
        decide(address, sandbox.password, deny="1")
        words = child.communicate(timeout=60)[1]
    assert child.returncode == 5
    assert "refused in the browser; run `bulkload login` again" in words
    assert not (tmp_path / "state" / "bulkload" / "logins.json").exists()


def test_a_registry_without_device_login_says_what_else_there_is(sandbox, bulkload, tmp_path):
    """The client may not, or is not there."""
    result = bulkload("login", "--client-id", "nobody", env={"BULKLOAD_ENDPOINT": sandbox.endpoint})
    assert result.returncode == 5
    assert "starts no login by a browser" in result.stderr
    assert "BULKLOAD_PASSWORD" in result.stderr


def test_a_session_that_keycloak_cannot_end_is_forgotten_all_the_same(start_sandbox, bulkload, tmp_path):
    """And the command says so."""
    sandbox = start_sandbox()
    log_in(tmp_path, sandbox)
    sandbox.process.stdin.close()
    sandbox.process.wait(timeout=60)
    result = bulkload("logout", env={"BULKLOAD_ENDPOINT": sandbox.endpoint})
    assert result.returncode == 0
    assert "Keycloak did not confirm it" in result.stderr
    assert json.loads((tmp_path / "state" / "bulkload" / "logins.json").read_text()) == []


def test_whoami_asks_the_registry(sandbox, bulkload):
    """A token that it does not accept is exit 5; one that it does stands with its user and its source."""
    environment = {"BULKLOAD_ENDPOINT": sandbox.endpoint, "BULKLOAD_TOKEN": "not-one"}
    assert bulkload("whoami", env=environment).returncode == 5
    result = bulkload("whoami", env=sandbox.environment)
    assert result.returncode == 0, result.stderr
    assert dict(line.split(None, 1) for line in result.stdout.splitlines()) == {
        "registry": sandbox.endpoint,
        "user": USER,
        "by": "BULKLOAD_TOKEN",
        "token": "does not say how long it serves",
        "workspaces": "1",
    }

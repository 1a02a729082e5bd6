"""``bulkload doctor``: each step that may go wrong is found, with what to do and its exit code."""

import json
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bulkload.sandbox import read_request_log, stored_versions
from tests.cli.in_process import Place, run_with, terminal
from tests.conftest import homes

STEPS = ["address", "tls", "registry", "clock", "token", "workspace", "upload", "ledger"]


def diagnose(bulkload: Any, *words: object, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and each check by its step."""
    result = bulkload("doctor", "--json", *words, env=environment)
    assert result.stdout, result.stderr
    found = json.loads(result.stdout)
    assert list(found) == ["endpoint", "exit_code", "checks"]
    assert found["exit_code"] == result.returncode
    assert [check["step"] for check in found["checks"]] == STEPS
    assert "Traceback" not in result.stderr
    return result.returncode, {check["step"]: check for check in found["checks"]}


def findings(checks: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {step: check["finding"] for step, check in checks.items() if check["finding"] != "ok"}


def test_all_is_well(bulkload, start_sandbox, tmp_path):
    """Exit 0; every step in words; no model sent, nothing made."""
    sandbox = start_sandbox()
    before = set(tmp_path.iterdir())
    code, checks = diagnose(bulkload, "--workspace", "108", **sandbox.environment)
    assert (code, findings(checks)) == (0, {}), checks
    assert "OWNER" in checks["upload"]["words"]
    result = bulkload("doctor", env=sandbox.environment)
    assert result.returncode == 0
    assert [line.split()[1] for line in result.stdout.splitlines()] == STEPS
    assert set(tmp_path.iterdir()) == before
    assert not stored_versions(sandbox.data)
    assert not [each for each in read_request_log(sandbox.data / "requests.jsonl") if "upload" in each.path]


def test_no_address(bulkload):
    """None, or one that cannot be."""
    for environment in ({}, {"BULKLOAD_ENDPOINT": "registry.example.com"}):
        code, checks = diagnose(bulkload, **environment)
        assert code == 2
        assert findings(checks) == {"address": "failed"} | dict.fromkeys(STEPS[1:7], "skipped")


def test_nothing_listens(bulkload):
    """The address is what is wrong; the rest cannot be looked at."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{held.getsockname()[1]}"
        code, checks = diagnose(bulkload, BULKLOAD_ENDPOINT=endpoint, BULKLOAD_TOKEN="t")
    assert code == 6
    assert findings(checks) == {"address": "failed"} | dict.fromkeys(STEPS[1:7], "skipped")
    assert "Connection refused; check host and port" in checks["address"]["words"]


@pytest.fixture
def tls_endpoint(tmp_path: Path) -> Iterator[str]:
    """A server with a certificate that nobody vouches for."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl command to make a certificate with")
    key, file = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(file)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        secure = context.wrap_socket(connection, server_side=True)
                        secure.recv(65_536)
                        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                        secure.close()
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=60)


def test_a_certificate_that_is_not_trusted(bulkload, tls_endpoint, tmp_path):
    """The address is right, TLS is what is wrong, and the flag that mends it is named; with it, TLS is in order."""
    code, checks = diagnose(bulkload, BULKLOAD_ENDPOINT=tls_endpoint, BULKLOAD_TOKEN="t")
    assert code == 6
    assert findings(checks) == {"tls": "failed"} | dict.fromkeys(STEPS[2:7], "skipped")
    assert "--ca-file" in checks["tls"]["words"]
    words = ("--ca-file", tmp_path / "certificate.pem")
    _, checks = diagnose(bulkload, *words, BULKLOAD_ENDPOINT=tls_endpoint, BULKLOAD_TOKEN="t")
    assert findings(checks).get("tls") is None
    assert findings(checks)["clock"] == "note"


def test_something_else_answers(bulkload, start_sandbox):
    """It is reached, and is no registry."""
    sandbox = start_sandbox("--fault", "any:html=404")
    code, checks = diagnose(bulkload, **sandbox.environment)
    assert code == 6
    assert findings(checks) == {"registry": "failed"} | dict.fromkeys(STEPS[3:7], "skipped")
    assert "address of a Wallaroo registry" in checks["registry"]["words"]


def test_no_token_and_a_wrong_one(bulkload, start_sandbox):
    """What does not need one has been looked at by then."""
    sandbox = start_sandbox()
    code, checks = diagnose(bulkload, BULKLOAD_ENDPOINT=sandbox.endpoint)
    assert code == 2
    assert findings(checks) == {"token": "failed", "workspace": "skipped", "upload": "skipped"}
    assert "bulkload login" in checks["token"]["words"]
    for environment in (
        {"BULKLOAD_TOKEN": "wrong-secret"},
        {"BULKLOAD_USERNAME": "me", "BULKLOAD_PASSWORD": "wrong-secret"},
    ):
        code, checks = diagnose(bulkload, BULKLOAD_ENDPOINT=sandbox.endpoint, **environment)
        assert code == 5
        assert findings(checks) == {"token": "failed", "workspace": "skipped", "upload": "skipped"}
        assert "wrong-secret" not in checks["token"]["words"]


def test_a_token_that_will_not_last(bulkload, start_sandbox):
    """A given one of a few minutes is a note; a password renews it."""
    sandbox = start_sandbox("--token-life", "300")
    user = {"BULKLOAD_USERNAME": sandbox.username, "BULKLOAD_PASSWORD": sandbox.password}
    _, checks = diagnose(bulkload, BULKLOAD_ENDPOINT=sandbox.endpoint, **user)
    assert "then it is renewed" in checks["token"]["words"]
    form = {"grant_type": "password", "client_id": "sdk-client", "username": sandbox.username}
    body = urllib.parse.urlencode(form | {"password": sandbox.password}).encode()
    with urllib.request.urlopen(f"{sandbox.endpoint}/auth/realms/master/protocol/openid-connect/token", body) as answer:
        token = json.load(answer)["access_token"]
    code, checks = diagnose(bulkload, BULKLOAD_ENDPOINT=sandbox.endpoint, BULKLOAD_TOKEN=token)
    assert code == 0
    assert findings(checks) == {"token": "note", "upload": "note"}
    assert "nothing renews it" in checks["token"]["words"]


def test_an_unknown_workspace(bulkload, start_sandbox):
    """With those that there are."""
    sandbox = start_sandbox()
    code, checks = diagnose(bulkload, "--workspace", "nowhere", **sandbox.environment)
    assert code == 2
    assert findings(checks) == {"workspace": "failed", "upload": "skipped"}
    assert "Default Workspace" in checks["workspace"]["words"]


def test_a_ledger_that_cannot_be_made(bulkload, start_sandbox, tmp_path):
    """No such folder; a file that is no ledger. All else is in order."""
    sandbox = start_sandbox()
    (tmp_path / "junk.db").write_text("junk" * 1000)
    for path in ("nowhere/l.db", "junk.db"):
        code, checks = diagnose(bulkload, "--ledger", path, **sandbox.environment)
        assert code == 1
        assert findings(checks) == {"upload": "note", "ledger": "failed"}


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(environment: dict[str, str], coloured: bool, tmp_path: Path) -> None:
    """As no-color.org has it."""
    place = Place(tmp_path, homes(tmp_path) | {"TERM": "xterm"} | environment)
    ledger = str(tmp_path / "x.ledger.db")
    with terminal() as (stream, pieces):
        code, _ = run_with(place, ["doctor", "--ledger", ledger], stream, tmp_path / "said")
    assert code == 2
    text = b"".join(pieces).decode()
    assert "no registry; give --endpoint" in text
    assert ("\x1b[31m" in text) == coloured

"""`bulkload sandbox`: its flags reach the registry."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkload.cli.sandbox import command
from bulkload.sandbox import SandboxSettings


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SandboxSettings]:
    """The settings that some words make, without a registry being started."""

    def settings(*words: str) -> SandboxSettings:
        started: list[SandboxSettings] = []
        monkeypatch.setattr("bulkload.cli.running.run_loop", lambda serve: started.append(serve.args[0]))
        command.main(list(words), standalone_mode=False)
        return started[0]

    return settings


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {"strict": True, "stuck_native_via_convert": False, "token_seconds": 3600, "refresh_token_seconds": 1800}),
        (("--no-strict",), {"strict": False}),
        (("--strict",), {"strict": True}),
        (("--stuck-native-via-convert",), {"stuck_native_via_convert": True}),
        (("--token-life", "3", "--refresh-token-life", "0.5"), {"token_seconds": 3, "refresh_token_seconds": 0.5}),
        (("--host", "::1"), {"host": "::1"}),
        ((), {"host": "127.0.0.1", "device_approval_seconds": None}),
        (("--refresh-once", "--device-life", "9"), {"refresh_once": True, "device_code_seconds": 9}),
        (
            ("--device-interval", "0", "--approve-device-after", "2"),
            {"device_interval_seconds": 0, "device_approval_seconds": 2},
        ),
        (("--fault", "list:lag=5", "--fault", "poll:503@1"), {"faults": ("list:lag=5", "poll:503@1")}),
    ],
)
def test_a_flag_is_a_setting(
    settings_of: Callable[..., SandboxSettings], words: tuple[str, ...], expected: dict[str, Any]
) -> None:
    """Under the name that the help shows."""
    found = settings_of(*words)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    "words", [("--token-life", "-1"), ("--fault", "poll:lag"), ("--strict=maybe",), ("--host", "everywhere")]
)
def test_a_bad_flag_is_a_usage_error(bulkload: Callable[..., Any], words: tuple[str, ...]) -> None:
    """Exit 2, and nothing is started."""
    assert bulkload("sandbox", *words).returncode == 2


def test_what_keeps_it_from_starting_is_said(bulkload: Callable[..., Any], tmp_path: Path) -> None:
    """Which port or folder, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = bulkload("sandbox", "--port", str(port))
    assert result.returncode == 2
    assert f"port {port} of 127.0.0.1 is in use; choose another --port, or 0 for any free one" in result.stderr
    (tmp_path / "file").write_text("")
    result = bulkload("sandbox", "--data", tmp_path / "file" / "data")
    assert result.returncode == 2
    assert "Not a directory; name another place with --data or --request-log" in result.stderr
    result = bulkload("sandbox", "--host", "192.0.2.77")
    assert result.returncode == 2
    assert "of 192.0.2.77: Cannot assign requested address; choose another --host or --port" in result.stderr


def test_token_lifetimes_are_those_of_the_token_endpoint(start_sandbox: Callable[..., Any], tmp_path: Path) -> None:
    """In a process of its own; the account is in the data folder."""
    sandbox = start_sandbox("--token-life", "0", "--refresh-token-life", "7")
    account = json.loads((sandbox.data / "account.json").read_text())
    form = f"grant_type=password&client_id=sdk-client&username={account['email']}&password={account['password']}"
    url = f"{sandbox.endpoint}/auth/realms/master/protocol/openid-connect/token"
    with urllib.request.urlopen(url, form.encode()) as response:
        answer = json.load(response)
    assert (answer["expires_in"], answer["refresh_expires_in"]) == (0, 7)
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    late = urllib.request.Request(f"{sandbox.endpoint}/v1/api/workspaces/list", b"{}", headers)
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(late)
    refused.value.close()

"""Waiting for a person with a browser: at Keycloak's pace, until the code is confirmed, refused or has run out."""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.core.model.errors import NotAuthorised, RegistryUnavailable
from bulkload.core.model.settings import Credentials
from bulkload.core.verdicts import CallFailed, Failure, FailureKind
from bulkload.engine.inspect import login
from bulkload.registry import Registry
from bulkload.registry.auth.keycloak import DeviceCode, Grant, GrantRefused
from bulkload.sandbox import Sandbox, SandboxSettings

pytestmark = pytest.mark.anyio

DEVICE = "/auth/realms/master/protocol/openid-connect/auth/device"
TOKEN = "/auth/realms/master/protocol/openid-connect/token"
CODE = DeviceCode("device-secret", "ABCD-EFGH", "https://kc/device", expires_in=60, interval=0.01)


async def test_a_confirmed_code_brings_a_login(tmp_path: Path) -> None:
    """Asked for no more often than Keycloak allows: it never has to say slow_down."""
    shown: list[DeviceCode] = []
    settings = SandboxSettings(data=tmp_path / "data", device_interval_seconds=1.0, device_approval_seconds=1.5)
    async with Sandbox(settings) as sandbox, Registry(sandbox.endpoint, Credentials()) as registry:
        login = await log_in(registry, "sdk-client", shown.append)
        paths = [(record.path, record.status) for record in sandbox.requests()]
        async with Registry(sandbox.endpoint, Credentials(token=login.access_token)) as other:
            assert await other.workspaces()
    assert paths == [(DEVICE, 200), (TOKEN, 400), (TOKEN, 200)]
    assert (login.endpoint, login.username, login.client_id) == (sandbox.endpoint, sandbox.username, "sdk-client")
    assert shown[0].user_code in (shown[0].verification_uri_complete or "")
    assert shown[0].device_code not in repr(shown)


class Keycloak:
    """Gives a code, and to the question for its tokens one answer after the other, the last one for ever."""

    realm = "https://r.example.com/auth/realms/master"

    def __init__(self, *answers: Any) -> None:
        self.asked: list[float] = []
        self.code = CODE
        self._answers = list(answers)

    async def start_device(self) -> DeviceCode:
        return self.code

    async def finish_device(self, device_code: str) -> Grant:
        self.asked.append(anyio.current_time())
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Grant)
        return answer


class KeycloakAlone:
    """A registry of which only its Keycloak is asked."""

    endpoint = "https://r.example.com"

    def __init__(self, *answers: Any) -> None:
        self.keycloak = Keycloak(*answers)


# Nobody wants to wait for RFC 8628's seconds.
log_in = partial(login.log_in, shortest=0.0, slower=0.1)
PENDING = GrantRefused("authorization_pending", "")
LOST = CallFailed(Failure(call="log in", kind=FailureKind.NO_CONNECTION, message="gone"))


@pytest.mark.parametrize("answer", [GrantRefused("slow_down", ""), LOST])
async def test_slow_down_makes_it_slower(answer: Exception) -> None:
    """For good, as RFC 8628 wants it; a lost connection, too."""
    registry = KeycloakAlone(PENDING, PENDING, answer, PENDING, Grant("a"))
    login = await log_in(registry, "c", lambda _: None)  # type: ignore[arg-type]
    assert login.access_token == "a"
    asked = registry.keycloak.asked
    pauses = [after - before for before, after in itertools.pairwise(asked)]
    assert min(pauses[:2]) < 0.1 <= min(pauses[2:])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("access_denied", "refused in the browser"),
        ("expired_token", "the code has run out"),
        ("invalid_grant", "invalid_grant"),
    ],
)
async def test_a_refusal_ends_it(error: str, words: str) -> None:
    """Once, with what to do."""
    registry = KeycloakAlone(PENDING, GrantRefused(error, ""))
    with pytest.raises(NotAuthorised, match=rf"{words}; run `bulkload login` again"):
        await log_in(registry, "c", lambda _: None)  # type: ignore[arg-type]
    assert len(registry.keycloak.asked) == 2


async def test_nobody_comes() -> None:
    """The code's life bounds the wait."""
    registry = KeycloakAlone(PENDING)
    registry.keycloak.code = DeviceCode(
        "device-secret", "ABCD-EFGH", "https://kc/device", expires_in=0.2, interval=0.01
    )
    with anyio.fail_after(60), pytest.raises(NotAuthorised, match="nobody confirmed the code in time"):
        await log_in(registry, "c", lambda _: None)  # type: ignore[arg-type]


async def test_no_keycloak_to_begin_with() -> None:
    """As for any other call."""
    async with Registry("http://127.0.0.1:9", Credentials()) as registry:
        with pytest.raises(RegistryUnavailable, match="Connection refused"):
            await log_in(registry, "c", lambda _: None)

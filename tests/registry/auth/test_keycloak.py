"""Users: passwords, refresh tokens, confidential clients; whose fault it is when there is no token."""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import anyio
import pytest

from bulkload.core.model.errors import NotAuthorised, UsageError
from bulkload.core.model.settings import Credentials
from bulkload.core.verdicts import CallFailed, FailureKind, Verdict, upload_verdict

pytestmark = pytest.mark.anyio

TOKEN_PATH = "/auth/realms/master/protocol/openid-connect/token"


def token_requests(sandbox: Any) -> int:
    """How often the sandbox was asked for tokens."""
    return sum(record.path == TOKEN_PATH for record in sandbox.requests())


def user_of(sandbox: Any, **others: Any) -> Credentials:
    """The sandbox's user."""
    return Credentials(**{"username": sandbox.username, "password": sandbox.password} | others)


class Realm:
    """A Keycloak that plays one grant after the other, the last one for ever, and a registry that takes all."""

    def __init__(self, bench: Any, *answers: bytes) -> None:
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self._bench = bench
        self._answers = list(answers)

    async def play(self, connection: Any) -> None:
        """For one connection."""
        while True:
            request = await connection.request()
            if not request.path.startswith("/auth/"):
                await connection.send(self._bench.answer(body={"workspaces": []}))
                continue
            self.forms.append(dict(parse_qsl(request.body.decode())))
            self.headers.append(request.headers)
            await connection.send(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])


def grant(bench: Any, word: str = "access", **others: Any) -> bytes:
    """Keycloak's answer with tokens."""
    found: bytes = bench.answer(body={"access_token": word, "token_type": "Bearer", **others})
    return found


def refusal(bench: Any, error: str = "invalid_grant", description: str = "Invalid user credentials") -> bytes:
    """Keycloak's answer without."""
    found: bytes = bench.answer(401, {"error": error, "error_description": description})
    return found


async def test_a_password_gets_in(start: Any, bench: Any) -> None:
    """One request for a token serves all others; it is counted as `auth`."""
    async with (
        start() as (sandbox, _),
        bench.registry(sandbox.endpoint, credentials=user_of(sandbox)) as registry,
    ):
        for _ in range(5):
            assert await registry.workspaces()
        assert token_requests(sandbox) == registry.requests["auth"] == 1


async def test_a_password_and_a_secret_may_stand_in_files(start: Any, bench: Any, tmp_path: Path) -> None:
    """Their first line; a confidential client sends its secret as HTTP Basic."""
    async with start() as (sandbox, _):
        (tmp_path / "password").write_text(f"{sandbox.password}\n")
        (tmp_path / "secret").write_text(f"{sandbox.account.client_secret}\r\n")
        credentials = Credentials(
            username=sandbox.username,
            password_file=tmp_path / "password",
            client_id="api-client",
            client_secret_file=tmp_path / "secret",
        )
        async with bench.registry(sandbox.endpoint, credentials=credentials) as registry:
            assert await registry.workspaces()


async def test_the_request_is_keycloaks(bench: Any) -> None:
    """A public client names itself in the form, a confidential one in the header."""
    realm = Realm(bench, grant(bench))
    public = Credentials(username="me@example.com", password="p&w ü")
    async with bench.before(realm.play, credentials=public) as (_, registry):
        await registry.workspaces()
    confidential = Credentials(username="me", password="pw", client_id="api-client", client_secret="s:ü")
    async with bench.before(realm.play, credentials=confidential) as (_, registry):
        await registry.workspaces()
    assert realm.forms == [
        {"grant_type": "password", "username": "me@example.com", "password": "p&w ü", "client_id": "sdk-client"},
        {"grant_type": "password", "username": "me", "password": "pw"},
    ]
    assert "authorization" not in realm.headers[0]
    assert realm.headers[1]["authorization"] == "Basic " + base64.b64encode("api-client:s:ü".encode()).decode()


async def test_a_token_is_renewed_before_its_end_by_the_refresh_token(bench: Any) -> None:
    """The password is needed once."""
    first = grant(bench, "one", expires_in=0.3, refresh_token="r1", refresh_expires_in=60)
    realm = Realm(bench, first, grant(bench, "two", expires_in=60))
    async with bench.before(realm.play, credentials=Credentials(username="me", password="pw")) as (wire, registry):
        assert await registry.token() == "one"
        await anyio.sleep(0.25)
        await registry.workspaces()
    assert [form["grant_type"] for form in realm.forms] == ["password", "refresh_token"]
    assert realm.forms[1]["refresh_token"] == "r1"
    assert wire.requests[-1].headers["authorization"] == "Bearer two"


@pytest.mark.parametrize("why", ["it lived shorter", "it is refused"])
async def test_where_the_refresh_token_serves_no_more_the_password_does(bench: Any, why: str) -> None:
    """A refresh token may live shorter than the access token."""
    refused = why == "it is refused"
    first = grant(bench, "one", expires_in=0.2, refresh_token="r1", refresh_expires_in=60 if refused else 0.05)
    others = (refusal(bench, description="Token is not active"),) if refused else ()
    realm = Realm(bench, first, *others, grant(bench, "two"))
    async with bench.before(realm.play, credentials=Credentials(username="me", password="pw")) as (_, registry):
        await registry.token()
        await anyio.sleep(0.2)
        assert await registry.token() == "two"
    kinds = [form["grant_type"] for form in realm.forms]
    assert kinds == (["password", "refresh_token", "password"] if refused else ["password", "password"])


async def test_one_login_for_all_who_wait(start: Any, bench: Any) -> None:
    """However many requests begin together, and again when the token is refused to all of them."""
    async with (
        start() as (sandbox, _),
        bench.registry(sandbox.endpoint, credentials=user_of(sandbox)) as registry,
    ):
        for expected in (1, 2):
            async with anyio.create_task_group() as tasks:
                for _ in range(30):
                    tasks.start_soon(registry.workspaces)
            assert token_requests(sandbox) == expected
            registry._transport.tokens.refuse(await registry.token(), "401")


async def test_short_lives_make_no_storm(start: Any, bench: Any) -> None:
    """Tokens of one second, asked for without a pause: none is refused, and about one request a life renews them."""
    async with (
        start(token_seconds=1.0) as (sandbox, _),
        bench.registry(sandbox.endpoint, credentials=user_of(sandbox)) as registry,
    ):
        end = anyio.current_time() + 3.0
        while anyio.current_time() < end:
            await registry.workspaces()
        assert 3 <= token_requests(sandbox) <= 6
        assert {record.status for record in sandbox.requests()} == {200}


async def test_a_wrong_password_is_tried_once(start: Any, bench: Any) -> None:
    """Whoever waits is told the same: more tries would lock the account. Keycloak's words are in the message."""
    async with start() as (sandbox, _):
        credentials = user_of(sandbox, password="a wrong one")
        async with bench.registry(sandbox.endpoint, credentials=credentials) as registry:
            for _ in range(5):
                with pytest.raises(NotAuthorised, match="Invalid user credentials") as raised:
                    await registry.workspaces()
                assert "a wrong one" not in str(raised.value)
        assert token_requests(sandbox) == 1


async def test_a_wrong_client_is_named(start: Any, bench: Any) -> None:
    """By Keycloak."""
    async with start() as (sandbox, _):
        credentials = user_of(sandbox, client_id="api-client", client_secret="wrong")
        async with bench.registry(sandbox.endpoint, credentials=credentials) as registry:
            with pytest.raises(NotAuthorised, match=r"invalid_client.*--client-id"):
                await registry.token()


@pytest.mark.parametrize("fault", ["503", "429=7", "refuse", "garbage", "html", "half"])
async def test_without_a_token_nothing_was_sent(start: Any, bench: Any, fault: str) -> None:
    """What passes at Keycloak may be tried again, an upload whose seal is on disk too; `Retry-After` comes along."""
    async with start(faults=(f"token:{fault}@1",)) as (sandbox, _):
        async with bench.registry(sandbox.endpoint, credentials=user_of(sandbox)) as registry:
            with pytest.raises(CallFailed) as raised:
                await bench.upload(registry, workspace_id=sandbox.workspace_id)
            failure = raised.value.failure
            assert failure.kind is FailureKind.NO_CONNECTION
            assert failure.retry_after == (7 if fault == "429=7" else None)
            assert upload_verdict(failure, sealed=True) is Verdict.NOT_ACCEPTED
            assert await bench.upload(registry, workspace_id=sandbox.workspace_id)
        assert [record.path for record in sandbox.requests()][:1] == [TOKEN_PATH]
        assert len(sandbox.versions()) == 1


async def test_a_token_that_still_serves_is_used_while_keycloak_is_down(bench: Any) -> None:
    """It is renewed early enough for a second try."""
    realm = Realm(bench, grant(bench, "one", expires_in=5), bench.answer(503), grant(bench, "two"))
    async with bench.before(realm.play, credentials=Credentials(username="me", password="pw")) as (_, registry):
        assert await registry.token() == "one"
        registry._transport.tokens._due = 0.0
        for _ in range(3):
            assert await registry.token() == "one"
        assert len(realm.forms) == 2
        registry._transport.tokens._due = 0.0
        assert await registry.token() == "two"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, b"not found", "there is no Keycloak; give its address with --auth-url"),
        (405, b"", "there is no Keycloak"),
        (301, b"", "redirects to https://elsewhere.example.com"),
        (403, b"<html><title>Forbidden by the firewall</title></html>", "Forbidden by the firewall"),
        (200, b'{"hello": "world"}', "--auth-url"),
    ],
)
async def test_something_else_than_keycloak(bench: Any, status: int, body: bytes, words: str) -> None:
    """A mistake in a setting; trying again would not help. No redirect is followed."""
    realm = Realm(bench, bench.answer(status, body, location="https://elsewhere.example.com/"))
    async with bench.before(realm.play, credentials=Credentials(username="me", password="pw")) as (_, registry):
        with pytest.raises(NotAuthorised, match=words):
            await registry.token()
    assert len(realm.forms) == 1


async def test_keycloak_elsewhere(bench: Any) -> None:
    """The password goes there, the token to the registry, neither to the other."""
    realm = Realm(bench, grant(bench, "the-token"))

    async with bench.playing(realm.play) as keycloak:
        credentials = Credentials(username="me", password="pw-secret", auth_url=keycloak.endpoint)
        async with bench.replying(bench.answer(body={"workspaces": []}), credentials=credentials) as (wire, registry):
            await registry.workspaces()
    assert [request.path for request in wire.requests] == ["/v1/api/workspaces/list"]
    assert "pw-secret" not in repr(wire.requests)
    assert [request.path for request in keycloak.requests] == [TOKEN_PATH]
    assert "the-token" not in repr(keycloak.requests)


async def test_nothing_secret_is_shown(bench: Any) -> None:
    """Whatever Keycloak or a gateway before it says."""
    credentials = Credentials(username="me", password="pw secret&1", client_id="c", client_secret="client-secret")
    shown: list[str] = []

    async def echo(connection: Any) -> None:
        while True:
            request = await connection.request()
            words = request.body + repr(request.headers).encode()
            if b"refresh_token" in request.body:
                await connection.send(bench.answer(503, words, "text/plain"))
            elif b"grant_type" in request.body:
                await connection.send(
                    grant(bench, "access-secret", expires_in=0.1, refresh_token="refresh-secret")
                    if not shown
                    else bench.answer(401, {"error": "x", "error_description": words.decode()})
                )
            else:
                await connection.send(bench.answer(500, words, "text/plain"))

    async with bench.before(echo, credentials=credentials) as (_, registry):
        for _ in range(3):
            with pytest.raises((CallFailed, NotAuthorised)) as raised:
                await registry.workspaces()
            shown += [str(raised.value), repr(raised.value)]
            await anyio.sleep(0.1)
        shown += [repr(registry), repr(registry.keycloak), repr(credentials)]
    assert "(a secret)" in "".join(shown)
    basic = base64.b64encode(b"c:client-secret").decode()
    for secret in ("pw secret&1", "pw+secret%261", "client-secret", "access-secret", "refresh-secret", basic):
        assert not [words for words in shown if secret in words]


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), (b"", "is empty"), (b"\xff", "no text")])
async def test_a_file_without_a_password_is_named(
    bench: Any, tmp_path: Path, content: bytes | None, words: str
) -> None:
    """A mistake in the setting: nothing is asked."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    realm = Realm(bench, grant(bench))
    credentials = Credentials(username="me", password_file=file)
    async with bench.before(realm.play, credentials=credentials) as (_, registry):
        with pytest.raises(UsageError, match=words) as raised:
            await registry.token()
    assert str(file) in str(raised.value)
    assert realm.forms == []

"""Keycloak's doors: grants, clients, device logins, sessions, a password that changes in mid-run."""

import base64
import json
from typing import Any

import aiohttp
import pytest

from bulkload.core.bounds import MOST_DEVICE_LOGINS
from bulkload.sandbox import Sandbox, SandboxSettings
from bulkload.sandbox.accounts.accounts import open_account
from bulkload.sandbox.accounts.keycloak import DEVICE_GRANT, GrantError, Keycloak, Lives
from bulkload.sandbox.door.paths import PASSWORD, REALM, USER, USERS

pytestmark = pytest.mark.anyio
Answer = tuple[int, dict[str, Any]]


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def by_password(caller: Any) -> dict[str, str]:
    """The form of a password grant."""
    sandbox: Sandbox = caller.sandbox
    account = {"username": sandbox.username, "password": sandbox.password}
    return {"grant_type": "password", "client_id": "sdk-client", **account}


def by_refresh(answer: dict[str, Any]) -> dict[str, str]:
    """The form that asks for the next token."""
    return {"grant_type": "refresh_token", "client_id": "sdk-client", "refresh_token": answer["refresh_token"]}


async def post(caller: Any, path: str, **form: str) -> Answer:
    """A form to a path of the realm; an answer without a body is {}."""
    url = f"{caller.sandbox.endpoint}{REALM}/protocol/openid-connect/{path}"
    async with aiohttp.ClientSession() as session, session.post(url, data=form) as response:
        return response.status, json.loads(await response.read() or b"{}")


def basic(caller: Any, secret: str | None = None) -> str:
    return aiohttp.encode_basic_auth("api-client", secret or caller.sandbox.account.client_secret)


# Clients


async def test_a_service_account_has_a_token_and_nobody_behind_it(start: Any) -> None:
    """client_credentials: a clientId, no e-mail, no refresh token; the token serves."""
    async with start() as caller:
        status, answer = await caller.token_request(authorization=basic(caller), grant_type="client_credentials")
        assert status == 200
        assert "refresh_token" not in answer
        claims = claims_of(answer["access_token"])
        assert claims["clientId"] == claims["azp"] == "api-client"
        assert "email" not in claims
        headers = {"Authorization": f"Bearer {answer['access_token']}"}
        assert (await caller.ask("features/list", headers=headers))[0] == 200


async def test_a_public_client_has_no_service_account(start: Any) -> None:
    async with start() as caller:
        status, answer = await caller.token_request(grant_type="client_credentials", client_id="sdk-client")
        assert (status, answer["error"]) == (401, "unauthorized_client")


@pytest.mark.parametrize("header", ["Basic !!", "Basic YXBpLWNsaWVudA==", "Basic"])
async def test_a_broken_header_is_an_invalid_client(start: Any, header: str) -> None:
    async with start() as caller:
        status, answer = await caller.token_request(authorization=header, grant_type="client_credentials")
        assert (status, answer["error"]) == (401, "invalid_client")


async def test_a_secret_serves_in_the_header_and_in_the_form_and_a_wrong_one_nowhere(start: Any) -> None:
    async with start() as caller:
        account = {key: value for key, value in by_password(caller).items() if key != "client_id"}
        assert (await caller.token_request(authorization=basic(caller), **account))[0] == 200
        inside = {"client_id": "api-client", "client_secret": caller.sandbox.account.client_secret}
        assert (await caller.token_request(**account, **inside))[0] == 200
        assert (await caller.token_request(authorization=basic(caller, "wrong"), **account))[0] == 401
        assert (await caller.token_request(**account, **inside | {"client_secret": "wrong"}))[0] == 401


async def test_a_refresh_token_is_of_one_client(start: Any) -> None:
    async with start() as caller:
        _, answer = await caller.token_request(**by_password(caller))
        form = by_refresh(answer) | {"client_id": "api-client"}
        status, refused = await caller.token_request(authorization=basic(caller), **form)
        assert (status, refused["error_description"]) == (400, "Invalid refresh token")


# Sessions


async def test_a_refresh_stays_in_its_session_and_a_logout_ends_it(start: Any) -> None:
    """Afterwards no refresh token of it serves, also none that came before; another session goes on."""
    async with start() as caller:
        _, first = await caller.token_request(**by_password(caller))
        _, other = await caller.token_request(**by_password(caller))
        _, second = await caller.token_request(**by_refresh(first))
        assert second["session_state"] == first["session_state"] != other["session_state"]
        form = {"client_id": "sdk-client", "refresh_token": second["refresh_token"]}
        assert await post(caller, "logout", **form) == (204, {})
        for spent in (first, second):
            status, answer = await caller.token_request(**by_refresh(spent))
            assert (status, answer["error"], answer["error_description"]) == (
                400,
                "invalid_grant",
                "Session not active",
            )
        assert (await caller.token_request(**by_refresh(other)))[0] == 200
        assert (await post(caller, "logout", **form))[0] == 400


async def test_a_refresh_token_can_serve_once(start: Any) -> None:
    """Its successor serves; the spent one is refused."""
    async with start(refresh_once=True) as caller:
        _, first = await caller.token_request(**by_password(caller))
        _, second = await caller.token_request(**by_refresh(first))
        status, answer = await caller.token_request(**by_refresh(first))
        assert (status, answer["error"]) == (400, "invalid_grant")
        assert (await caller.token_request(**by_refresh(second)))[0] == 200


async def test_a_refresh_token_may_live_shorter_than_its_access_token(start: Any) -> None:
    """As the api-client's do: afterwards only a new login helps."""
    async with start(token_seconds=3600, refresh_token_seconds=0) as caller:
        _, answer = await caller.token_request(**by_password(caller))
        headers = {"Authorization": f"Bearer {answer['access_token']}"}
        assert (await caller.ask("features/list", headers=headers))[0] == 200
        status, refused = await caller.token_request(**by_refresh(answer))
        assert (status, refused["error_description"]) == (400, "Token is not active")


async def test_an_offline_token_runs_out_never(start: Any) -> None:
    """refresh_expires_in is 0, which means that."""
    async with start(refresh_token_seconds=0) as caller:
        _, answer = await caller.token_request(**by_password(caller), scope="offline_access")
        assert answer["refresh_expires_in"] == 0
        status, again = await caller.token_request(**by_refresh(answer))
        assert (status, again["refresh_expires_in"]) == (200, 0)


# The password in mid-run


async def test_a_password_can_change_while_the_sandbox_runs(start: Any) -> None:
    """By Keycloak's admin API: the old one is refused, tokens serve on, and a restart remembers."""
    async with start() as caller:
        before = by_password(caller)
        _, answer = await caller.token_request(**before)
        path = PASSWORD.format(user_id=caller.sandbox.account.user_id)
        new = {"type": "password", "temporary": False, "value": "another"}
        async with caller.session.put(f"{caller.sandbox.endpoint}{path}", json=new) as response:
            assert (response.status, await response.read()) == (204, b"")
        assert caller.sandbox.password == "another"
        status, refused = await caller.token_request(**before)
        assert (status, refused["error_description"]) == (401, "Invalid user credentials")
        assert (await caller.token_request(**before | {"password": "another"}))[0] == 200
        assert (await caller.token_request(**by_refresh(answer)))[0] == 200
    async with start() as caller:
        assert caller.sandbox.password == "another"


async def test_the_nth_token_request_can_be_refused_in_keycloaks_form(start: Any) -> None:
    """`token:401@2`: the fault has the error body of these paths, not the registry's."""
    async with start(faults=("token:401@2",)) as caller:
        answers = [await caller.token_request(**by_password(caller)) for _ in range(3)]
        assert [status for status, _ in answers] == [200, 401, 200]
        assert answers[1][1] == {"error": "invalid_grant", "error_description": "a fault was asked for"}


async def test_users_are_found_by_id_and_by_email(start: Any) -> None:
    """Keycloak's admin API, as far as the vendor's SDK asks it."""
    async with start() as caller:
        account, endpoint = caller.sandbox.account, caller.sandbox.endpoint
        async with caller.session.get(f"{endpoint}{USERS}", params={"email": account.email}) as response:
            (user,) = await response.json()
        assert (user["id"], user["email"], user["enabled"]) == (account.user_id, account.email, True)
        async with caller.session.get(f"{endpoint}{USER.format(user_id=account.user_id)}") as response:
            assert await response.json() == user
        async with caller.session.get(f"{endpoint}{USERS}", params={"email": "x@y"}) as response:
            assert await response.json() == []
        async with caller.session.get(f"{endpoint}{USER.format(user_id='x')}") as response:
            assert response.status == 404
        async with aiohttp.ClientSession() as stranger, stranger.get(f"{endpoint}{USERS}") as response:
            assert response.status == 401


# Device logins


def polling(device: dict[str, Any]) -> dict[str, str]:
    """The form that asks whether a person has decided."""
    return {"grant_type": DEVICE_GRANT, "client_id": "sdk-client", "device_code": device["device_code"]}


async def decide(caller: Any, device: dict[str, Any], **fields: str) -> int:
    """What a person does on the page of a device's code; the status of the page that comes."""
    form = {"user_code": device["user_code"], **fields}
    address = device["verification_uri_complete"]
    async with aiohttp.ClientSession() as browser, browser.post(address, data=form) as page:
        assert page.content_type == "text/html"
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        return page.status


async def test_the_password_approves_a_device(start: Any) -> None:
    """Before: authorization_pending. After: tokens, once."""
    async with start(device_interval_seconds=0) as caller:
        status, device = await post(caller, "auth/device", client_id="sdk-client")
        assert (status, device["expires_in"], device["interval"]) == (200, 600, 0)
        assert device["verification_uri_complete"] == f"{device['verification_uri']}?user_code={device['user_code']}"
        status, answer = await caller.token_request(**polling(device))
        assert (status, answer["error"]) == (400, "authorization_pending")
        async with aiohttp.ClientSession() as browser:
            async with browser.get(device["verification_uri"]) as page:
                assert "user_code" in await page.text()
            async with browser.get(device["verification_uri_complete"]) as page:
                assert f'value="{device["user_code"]}"' in await page.text()
        assert await decide(caller, device, password=caller.sandbox.password) == 200
        assert await decide(caller, device, password=caller.sandbox.password) == 400  # decided already
        status, answer = await caller.token_request(**polling(device))
        assert (status, claims_of(answer["access_token"])["email"]) == (200, caller.sandbox.username)
        assert (await caller.token_request(**by_refresh(answer)))[0] == 200
        assert (await caller.token_request(**polling(device)))[1]["error"] == "invalid_grant"


async def test_a_person_can_deny_a_device(start: Any) -> None:
    async with start(device_interval_seconds=0) as caller:
        _, device = await post(caller, "auth/device", client_id="sdk-client")
        assert await decide(caller, device, password=caller.sandbox.password, deny="1") == 200
        assert (await caller.token_request(**polling(device)))[1]["error"] == "access_denied"


@pytest.mark.parametrize("fields", [{}, {"password": ""}, {"password": "guess"}, {"deny": "1"}, {"token": "x"}])
async def test_nobody_decides_about_a_device_without_the_password(start: Any, fields: dict[str, str]) -> None:
    """Neither by opening its page, nor by sending the page's form: who asked for the code knows it."""
    async with start(device_interval_seconds=0) as caller:
        _, device = await post(caller, "auth/device", client_id="sdk-client")
        async with aiohttp.ClientSession() as browser:
            for address in ("verification_uri", "verification_uri_complete"):
                await browser.get(device[address])
                await browser.get(device[address], params=fields | {"user_code": device["user_code"]})
        assert await decide(caller, device, **fields) == 401
        status, answer = await caller.token_request(**polling(device))
        assert (status, answer["error"]) == (400, "authorization_pending")


async def test_a_new_password_is_the_one_that_approves(start: Any) -> None:
    async with start(device_interval_seconds=0) as caller:
        old = caller.sandbox.password
        caller.sandbox._registry.change_password("new")
        _, device = await post(caller, "auth/device", client_id="sdk-client")
        assert await decide(caller, device, password=old) == 401
        assert await decide(caller, device, password="new") == 200


def test_codes_that_nobody_uses_are_forgotten(keycloak: Any) -> None:
    """Anybody may ask for one: the oldest go, so that memory ends somewhere."""
    realm = keycloak()
    devices = [started(realm) for _ in range(MOST_DEVICE_LOGINS + 1)]
    assert [poll(realm, devices[at], 1.0) for at in (0, 1, -1)] == [
        "invalid_grant",
        "authorization_pending",
        "authorization_pending",
    ]


async def test_a_code_that_is_none_is_shown_harmlessly(start: Any) -> None:
    """What a page repeats is escaped."""
    async with start() as caller:
        url = f"{caller.sandbox.endpoint}{REALM}/device"
        async with caller.session.get(url, params={"user_code": "<script>"}) as page:
            assert "&lt;script&gt;" in (text := await page.text())
            assert "<script>" not in text


async def test_the_confidential_client_has_no_device_login(start: Any) -> None:
    async with start() as caller:
        form = {"client_id": "api-client", "client_secret": caller.sandbox.account.client_secret}
        status, answer = await post(caller, "auth/device", **form)
        assert (status, answer["error"]) == (400, "unauthorized_client")


# The same without waiting: the clock is an argument.


@pytest.fixture
def keycloak(tmp_path: Any) -> Any:
    """A realm with the given lives."""
    account = open_account(tmp_path)

    def make(**lives: Any) -> Keycloak:
        settings = SandboxSettings(data=tmp_path, **lives)
        assert isinstance(settings.lives(), Lives)
        return Keycloak(lambda: account, settings.lives())

    return make


def poll(realm: Keycloak, device: dict[str, Any], now: float) -> str:
    """The error of a poll, or `granted`."""
    try:
        realm.grant(polling(device), None, issuer="http://x", now=now)
    except GrantError as error:
        return error.error
    return "granted"


def started(realm: Keycloak) -> dict[str, Any]:
    return realm.start_device({"client_id": "sdk-client"}, None, issuer="http://x", now=0.0)


def test_who_polls_too_soon_is_told_to_slow_down(keycloak: Any) -> None:
    """The interval counts from the last poll, also from one that was too soon."""
    realm = keycloak(device_interval_seconds=5)
    device = started(realm)
    times = (0.0, 4.0, 8.0, 13.0)
    assert [poll(realm, device, now) for now in times] == [
        "authorization_pending",
        "slow_down",
        "slow_down",
        "authorization_pending",
    ]


def test_a_device_can_approve_itself(keycloak: Any) -> None:
    realm = keycloak(device_interval_seconds=1, device_approval_seconds=10)
    device = started(realm)
    assert [poll(realm, device, now) for now in (9.0, 10.0)] == ["authorization_pending", "granted"]


def test_a_device_code_runs_out(keycloak: Any) -> None:
    """For who polls and for who opens the page; afterwards it is unknown."""
    realm = keycloak(device_code_seconds=60)
    device = started(realm)
    assert not realm.decide_device(device["user_code"], 60.0, approved=True)
    assert [poll(realm, device, now) for now in (60.0, 70.0)] == ["expired_token", "invalid_grant"]


def test_user_codes_can_be_typed_in_small_letters(keycloak: Any) -> None:
    realm = keycloak()
    assert realm.decide_device(f" {started(realm)['user_code'].lower()} ", 1.0, approved=True)

"""Stored logins: for their owner's eyes only, one a registry and user, renewed once for all processes."""

import json
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.core.model.errors import NotAuthorised, UsageError
from bulkload.core.model.settings import Credentials
from bulkload.registry.auth import login_store as module
from bulkload.registry.auth.keycloak import Grant
from bulkload.registry.auth.login_store import Login, LoginStore
from bulkload.registry.auth.tokens import login_of

pytestmark = pytest.mark.anyio

REALM = "/auth/realms/master"


def login(**changes: Any) -> Login:
    """A login of just now."""
    values: dict[str, Any] = {
        "endpoint": "https://r.example.com",
        "username": "me",
        "realm": f"https://r.example.com{REALM}",
        "client_id": "sdk-client",
        "access_token": "access-secret",
        "refresh_token": "refresh-secret",
        "received_at": time.time(),
        "access_life": 60.0,
        "refresh_life": 1800.0,
    }
    return Login(**values | changes)


def credentials(store: LoginStore, **changes: Any) -> Credentials:
    """What leads to that login."""
    return replace(Credentials(username="me", logins=store.path), **changes)


@pytest.fixture
def store(tmp_path: Path) -> LoginStore:
    """An empty store in a folder of its own."""
    (tmp_path / "state").mkdir()
    return LoginStore(tmp_path / "state" / "logins.json")


async def test_a_login_is_for_its_owners_eyes(store: LoginStore) -> None:
    """Mode 0600 whatever the umask; tokens stand in no repr; nothing else is left in the folder but the lock."""
    before = os.umask(0)
    try:
        async with store.locked():
            store.put(login())
    finally:
        os.umask(before)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert {path.name for path in store.path.parent.iterdir()} == {"logins.json", "logins.json.lock"}
    assert "secret" not in repr(store.all())
    assert store.find("https://r.example.com", None) == store.find("https://r.example.com", "me") is not None


async def test_one_login_a_registry_and_user(store: LoginStore) -> None:
    """A second one takes the place of the first; another user or registry has its own; one of several must be named."""
    for each in (login(), login(access_token="newer"), login(username="you"), login(endpoint="https://other")):
        store.put(each)
    assert len(store.all()) == 3
    assert [each.access_token for each in store.all() if each.username == "me"] == ["newer", "access-secret"]
    with pytest.raises(UsageError, match=r"several users .* \(me, you\); say which with --username"):
        store.find("https://r.example.com", None)
    store.remove(login(username="you"))
    found = store.find("https://r.example.com", None)
    assert found is not None
    assert found.username == "me"
    assert store.find("https://nowhere", None) is None


@pytest.mark.parametrize(("mode", "content", "words"), [
    (0o644, b"[]", "others can read it .mode 644.; .*chmod 600"),
    (0o600, b"junk", "holds no logins"),
    (0o600, b'[{"endpoint": "x"}]', "holds no logins"),
])  # fmt: skip
async def test_a_store_that_cannot_be_trusted_is_refused(
    store: LoginStore, mode: int, content: bytes, words: str
) -> None:
    """With what to do, and without what it holds."""
    store.path.write_bytes(content)
    store.path.chmod(mode)
    with pytest.raises(UsageError, match=words):
        store.all()


async def test_a_lock_that_is_held_too_long_is_named(store: LoginStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody hangs: waiting for ever would not help."""
    monkeypatch.setattr(module, "LONGEST_LOCK_SECONDS", 0.1)
    async with store.locked():
        with pytest.raises(UsageError, match=r"logins\.json\.lock: another process has held it"):
            async with LoginStore(store.path).locked():
                pass


async def test_a_login_is_used_without_a_request(start: Any, bench: Any, store: LoginStore) -> None:
    """As long as its token serves."""
    async with start() as (sandbox, _):
        stored = login(endpoint=sandbox.endpoint, realm=sandbox.endpoint + REALM, access_token=sandbox.token)
        store.put(stored)
        async with bench.registry(sandbox.endpoint, credentials=credentials(store)) as registry:
            assert await registry.workspaces()
            assert registry.requests["auth"] == 0


@pytest.fixture
def logged_in(start: Any, bench: Any, store: LoginStore) -> Any:
    """A sandbox with short lives whose user is logged in."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def running(**settings: Any) -> Any:
        async with start(**settings) as (sandbox, _):
            user = Credentials(username=sandbox.username, password=sandbox.password)
            async with bench.registry(sandbox.endpoint, credentials=user) as registry:
                grant = await registry.keycloak.log_in(sandbox.username, sandbox.password)
                store.put(login_of(grant, sandbox.endpoint, registry.keycloak.realm, "sdk-client"))
            yield sandbox

    return running


async def test_a_login_is_renewed_by_one_process_for_all(logged_in: Any, bench: Any, store: LoginStore) -> None:
    """Its refresh token serves once: whoever comes second takes what the first has stored."""
    # Renewed after four fifths of a life: more than a second before its end, for a machine that is slow to ask.
    async with logged_in(token_seconds=6.0, refresh_once=True) as sandbox:
        held = credentials(store, username=sandbox.username)
        async with (
            bench.registry(sandbox.endpoint, credentials=held) as one,
            bench.registry(sandbox.endpoint, credentials=held) as other,
        ):
            tokens = {await one.token()}
            with anyio.fail_after(60):
                while len(tokens) < 3:
                    async with anyio.create_task_group() as tasks:
                        for registry in (one, other):
                            for _ in range(5):
                                tasks.start_soon(registry.workspaces)
                    tokens |= {await one.token(), await other.token()}
                    await anyio.sleep(0.05)
            assert one.requests["auth"] + other.requests["auth"] == 2
        assert {record.status for record in sandbox.requests()} == {200}
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


async def test_a_refused_token_is_renewed_too(logged_in: Any, bench: Any, store: LoginStore) -> None:
    """Also where it should still serve."""
    async with logged_in() as sandbox:
        (stored,) = store.all()
        store.put(Login(**{name: getattr(stored, name) for name in stored.__struct_fields__} | {"access_token": "old"}))
        async with bench.registry(sandbox.endpoint, credentials=credentials(store, username=None)) as registry:
            word = await registry.token()
            assert word == "old"
            registry._transport.tokens.refuse(word, "401")
            assert await registry.workspaces()
        assert store.all()[0].access_token not in ("old", stored.access_token)


async def test_a_login_that_has_run_out_says_what_to_do(store: LoginStore, bench: Any) -> None:
    """Nothing is asked: there is nothing to ask with."""
    store.put(login(received_at=time.time() - 3600, endpoint="https://r.example.com"))
    async with bench.registry("https://r.example.com", credentials=credentials(store)) as registry:
        with pytest.raises(NotAuthorised, match=r"login of me has run out; run `bulkload login --endpoint https://r\."):
            await registry.token()


async def test_a_login_that_was_ended_elsewhere_says_so(logged_in: Any, bench: Any, store: LoginStore) -> None:
    """Keycloak's words are in the message; the refresh token is not."""
    async with logged_in(token_seconds=1.0) as sandbox:
        (stored,) = store.all()
        async with bench.registry(sandbox.endpoint, credentials=credentials(store, username=None)) as registry:
            await registry.keycloak.log_out(stored.refresh_token)
            await anyio.sleep(1.0)
            with pytest.raises(NotAuthorised, match=r"has ended: .*; run `bulkload login") as raised:
                await registry.token()
        assert str(stored.refresh_token) not in str(raised.value)


async def test_logged_out_meanwhile(store: LoginStore, bench: Any) -> None:
    """By another process."""
    async with bench.registry("https://r.example.com", credentials=credentials(store)) as registry:
        with pytest.raises(NotAuthorised, match="nobody is logged in"):
            await registry.token()


def test_lives_are_measured_by_one_clock() -> None:
    """From when the tokens were received; a clock that was set back says nothing, so they are renewed."""
    stored = login(received_at=1000.0, access_life=60.0, refresh_life=None)
    assert stored.access_left(1010.0) == 50
    assert stored.access_left(2000.0) == 0
    assert stored.access_left(900.0) == 0
    assert stored.refresh_left(1e9) is None
    assert login(refresh_token=None).refresh_left(0.0) == 0
    assert login_of(Grant("a", 60, "r", 0), "e", "realm", "c", "me").refresh_life is None


async def test_the_sdks_cache_is_only_read(start: Any, bench: Any, tmp_path: Path) -> None:
    """Its access token serves as long as it does; its refresh token is left to the SDK."""
    cache = tmp_path / "keycloak.json"
    async with start() as (sandbox, _):
        held = {
            "access_token": sandbox.token, "expiry": time.time() + 60, "refresh_token": "r",
            "refresh_token_expiry": time.time() + 60, "user_id": "u", "user_email": "e",
        }  # fmt: skip
        cache.write_text(json.dumps(held))
        async with bench.registry(sandbox.endpoint, credentials=Credentials(sdk_cache=cache)) as registry:
            assert await registry.workspaces()
            assert registry.requests["auth"] == 0
    assert json.loads(cache.read_text()) == held
    for content in (json.dumps(held | {"expiry": time.time() - 1}), "junk", "{}"):
        cache.write_text(content)
        async with bench.registry("https://r.example.com", credentials=Credentials(sdk_cache=cache)) as registry:
            with pytest.raises(NotAuthorised, match="run `bulkload login`"):
                await registry.token()

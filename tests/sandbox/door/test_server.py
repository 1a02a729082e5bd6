"""The sandbox as a whole: start, stop, restart, accounts, request log."""

import asyncio
import contextlib
import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bulkload.sandbox import DataFolderInUseError, Sandbox, SandboxSettings, read_request_log, stored_versions
from tests.busy import times_slower

pytestmark = pytest.mark.anyio


async def test_a_restart_serves_what_was_published_before(start: Any) -> None:
    """Same versions, ids that go on, same token, same identity; on another port."""
    async with start() as caller:
        first = await caller.publish()
        before, token, identity = caller.sandbox.versions(), caller.sandbox.token, caller.sandbox.sandbox_id
    async with start() as caller:
        assert caller.sandbox.versions() == before
        assert (caller.sandbox.token, caller.sandbox.sandbox_id) == (token, identity)
        assert (await caller.poll(first))["status"] == "ready"
        assert await caller.publish() == first + 1
        assert len(caller.sandbox.versions()) == 2


async def test_a_converting_version_goes_on_converting_over_a_restart(start: Any) -> None:
    """Its times are in its row; the restarted queue knows how long its converters are busy."""
    async with start(time_scale=100.0, converters=1) as caller:
        first = await caller.publish(framework="xgboost", file_name="a.pkl")
        finished_at = stored_versions(caller.sandbox.data, now=time.time() + 1001)
        assert [version.status for version in finished_at] == ["ready"]
    async with start(time_scale=100.0, converters=1) as caller:
        assert (await caller.poll(first))["status"] == "pending_load_native"
        await caller.publish(framework="xgboost", file_name="a.pkl", name="second")
        later = {
            version.name: version.status for version in stored_versions(caller.sandbox.data, now=time.time() + 1100)
        }
        assert later == {"m": "ready", "second": "pending_load_native"}


async def test_a_killed_sandbox_keeps_all_that_it_answered(tmp_path: Path) -> None:
    """kill -9 after an answer, and in the middle of a body: the answered version is there, the other is not."""
    program = (
        "import anyio, json, sys, pathlib\n"
        "from bulkload.sandbox import Sandbox, SandboxSettings\n"
        "async def main():\n"
        "    async with Sandbox(SandboxSettings(data=pathlib.Path(sys.argv[1]))) as s:\n"
        "        print(json.dumps([s.endpoint, s.token, s.workspace_id]), flush=True)\n"
        "        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    data = tmp_path / "data"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(data), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        endpoint, token, workspace_id = json.loads(await child.stdout.readline())
        conversion = {"framework": "onnx", "requirements": []}
        metadata = {"name": "m", "visibility": "private", "workspace_id": workspace_id, "conversion": conversion}
        form = aiohttp.FormData()
        form.add_field("metadata", json.dumps(metadata), content_type="application/json")
        form.add_field("file", b"answered", filename="a.onnx")
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            async with session.post(f"{endpoint}/v1/api/models/upload", data=form) as response:
                assert response.status == 200
            reader, writer = await asyncio.open_connection("127.0.0.1", int(endpoint.rpartition(":")[2]))
            head = "POST /v1/api/models/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n"
            writer.write(
                f"{head}Authorization: Bearer {token}\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n".encode()
            )
            writer.write(b'--x\r\nContent-Disposition: form-data; name="file"; filename="b"\r\n\r\n' + b"a" * 4_000_000)
            await writer.drain()
            child.kill()
            await child.wait()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    assert [version.path.read_bytes() for version in stored_versions(data)] == [b"answered"]
    async with Sandbox(SandboxSettings(data=data)) as sandbox:
        assert len(sandbox.versions()) == 1
        assert list((data / "incoming").iterdir()) == []
    assert [record.fate for record in read_request_log(data / "requests.jsonl")] == ["answered"]


async def reaches(host: str, caller: Any) -> bool:
    """Whether the sandbox can be reached at another address of this machine."""
    port = caller.sandbox.endpoint.rpartition(":")[2]
    try:
        async with caller.session.get(f"http://{host}:{port}/v1/api/config") as response:
            return bool(response.status == 200)
    except aiohttp.ClientConnectorError:
        return False


async def test_it_listens_on_the_loopback_address_unless_told_otherwise(start: Any) -> None:
    """All addresses only where they were asked for; a name is none."""
    async with start() as caller:
        assert caller.sandbox.endpoint.startswith("http://127.0.0.1:")
        assert not await reaches("127.0.0.2", caller)
    async with start(host="0.0.0.0") as caller:
        # What it shows can be called; "0.0.0.0" is no machine's address, and no loopback address either.
        assert caller.sandbox.endpoint.startswith("http://127.0.0.1:")
        assert await reaches("127.0.0.1", caller)
    with pytest.raises(ValueError, match="expected an IP address"):
        SandboxSettings(data=Path("x"), host="localhost")


async def test_two_sandboxes_cannot_share_a_data_folder(start: Any) -> None:
    """The second one says so; when the first has stopped it may start."""
    async with start() as caller:
        with pytest.raises(DataFolderInUseError, match="another sandbox"):
            async with Sandbox(SandboxSettings(data=caller.sandbox.data)):
                pass
    async with start():
        pass


async def test_an_error_in_the_block_comes_out_as_it_is(start: Any) -> None:
    """Not wrapped in a group; and the sandbox stops."""
    with pytest.raises(KeyError, match="mine"):
        async with start():
            raise KeyError("mine")
    async with start():
        pass


async def test_a_port_that_is_taken_is_an_os_error(start: Any, tmp_path: Path) -> None:
    """And the data folder is free again."""
    async with start() as caller:
        port = int(caller.sandbox.endpoint.rpartition(":")[2])
        other = tmp_path / "other"
        with pytest.raises(OSError, match="in use"):
            async with Sandbox(SandboxSettings(data=other, port=port)):
                pass
        async with Sandbox(SandboxSettings(data=other)):
            pass


async def test_it_listens_on_the_loopback_address_only(start: Any) -> None:
    """There is one account and no TLS."""
    async with start() as caller:
        assert caller.sandbox.endpoint.startswith("http://127.0.0.1:")


async def test_stopping_does_not_wait_for_idle_connections(start: Any) -> None:
    """A client with kept-alive connections does not hold it up."""
    async with start() as caller:
        for _ in range(3):
            await caller.ask("features/list")
        began = time.monotonic()
    assert time.monotonic() - began < 0.9 * times_slower()


async def test_connections_are_kept_alive(start: Any) -> None:
    """Many requests, one connection; also after a refusal."""
    async with start() as caller:
        connections = set()
        for path in ("features/list", "models/teleport", "models/get_version_by_id", "workspaces/list"):
            url = f"{caller.sandbox.endpoint}/v1/api/{path}"
            async with caller.session.post(url, json={}) as response:
                assert response.connection is None or response.connection.transport is not None
                if response.connection is not None and response.connection.transport is not None:
                    connections.add(response.connection.transport.get_extra_info("sockname"))
                await response.read()
        assert len(connections) <= 1


# Accounts


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (None, "Jwt is missing"),
        ("definitely_a_bearer_token_str", "Jwt is missing"),
        ("Bearer nonsense", "Jwt verification fails"),
        ("Bearer a.b.c", "Jwt verification fails"),
    ],
)
async def test_a_call_without_a_good_token_is_refused_in_the_gateways_words(
    start: Any, header: str | None, text: str
) -> None:
    """401 as plain text."""
    async with start() as caller, aiohttp.ClientSession() as session:
        headers = {} if header is None else {"Authorization": header}
        url = f"{caller.sandbox.endpoint}/v1/api/models/list"
        async with session.post(url, json={}, headers=headers) as response:
            assert (response.status, response.content_type) == (401, "text/plain")
            assert await response.text() == text


async def test_the_configuration_is_served_without_a_token(start: Any) -> None:
    """default_arch as the real one; sandbox_id is the folder's identity."""
    async with start() as caller, aiohttp.ClientSession(caller.sandbox.endpoint) as session:
        response = await session.get("/v1/api/config")
        assert await response.json() == {"default_arch": "x86", "sandbox_id": caller.sandbox.sandbox_id}


async def test_secrets_are_for_the_owner_only(start: Any) -> None:
    """Mode 0600."""
    async with start() as caller:
        assert stat.S_IMODE((caller.sandbox.data / "account.json").stat().st_mode) == 0o600


async def test_the_password_grant_gives_a_token_that_works_and_can_be_refreshed(start: Any) -> None:
    """Keycloak's answer, key for key; the lifetimes are the settings'."""
    async with start(token_seconds=7200.0, refresh_token_seconds=60.0) as caller:
        account = {"username": caller.sandbox.username, "password": caller.sandbox.password}
        status, answer = await caller.token_request(grant_type="password", client_id="sdk-client", **account)
        assert status == 200
        assert (answer["expires_in"], answer["refresh_expires_in"], answer["token_type"]) == (7200, 60, "Bearer")
        grant = {"grant_type": "refresh_token", "client_id": "sdk-client", "refresh_token": answer["refresh_token"]}
        status, refreshed = await caller.token_request(**grant)
        assert status == 200
        for token in (answer["access_token"], refreshed["access_token"]):
            status, _ = await caller.ask("workspaces/list", headers={"Authorization": f"Bearer {token}"})
            assert status == 200
        status, _ = await caller.ask("workspaces/list", headers={"Authorization": f"Bearer {answer['refresh_token']}"})
        assert status == 401


async def test_tokens_expire(start: Any) -> None:
    """The access token in the gateway's words, the refresh token in Keycloak's; the account's own token never."""
    async with start(token_seconds=0.0, refresh_token_seconds=0.0) as caller:
        account = {"username": caller.sandbox.username, "password": caller.sandbox.password}
        _, answer = await caller.token_request(grant_type="password", client_id="sdk-client", **account)
        headers = {"Authorization": f"Bearer {answer['access_token']}"}
        assert await caller.ask("workspaces/list", headers=headers) == (401, "Jwt is expired")
        grant = {"grant_type": "refresh_token", "client_id": "sdk-client", "refresh_token": answer["refresh_token"]}
        status, refused = await caller.token_request(**grant)
        assert (status, refused["error"], refused["error_description"]) == (400, "invalid_grant", "Token is not active")
        assert (await caller.ask("workspaces/list"))[0] == 200


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password", "client_id": "sdk-client", "username": "x", "password": "y"}, 401, "invalid_grant"),
        ({"grant_type": "password", "client_id": "nobody"}, 401, "invalid_client"),
        ({"grant_type": "password", "client_id": "api-client"}, 401, "invalid_client"),
        ({"grant_type": "magic", "client_id": "sdk-client"}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "client_id": "sdk-client", "refresh_token": "x"}, 400, "invalid_grant"),
    ],
)
async def test_a_refused_grant_is_keycloaks_error(start: Any, form: dict[str, str], status: int, error: str) -> None:
    """error and error_description."""
    async with start() as caller:
        refused, answer = await caller.token_request(**form)
        assert (refused, answer["error"]) == (status, error)


async def test_the_confidential_client_needs_its_secret(start: Any) -> None:
    """As HTTP Basic."""
    async with start() as caller:
        account = {"username": caller.sandbox.username, "password": caller.sandbox.password}
        secret = aiohttp.encode_basic_auth("api-client", caller.sandbox.account.client_secret)
        status, _ = await caller.token_request(authorization=secret, grant_type="password", **account)
        assert status == 200


# Request log


async def test_the_log_has_one_line_a_request_with_the_documented_keys(start: Any, tmp_path: Path) -> None:
    """Readable at once, by line, where it was asked to be."""
    path = tmp_path / "deep" / "log.jsonl"
    async with start(request_log=path) as caller:
        before = time.time()
        version_id = await caller.publish(b"x" * 1000)
        await caller.poll(version_id)
        await caller.ask("models/teleport")
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        keys = ["seq", "t", "method", "path", "status", "bytes", "version_id", "fate"]
        assert [list(line) for line in lines] == [keys] * 3
        assert [line["seq"] for line in lines] == [1, 2, 3]
        assert [line["status"] for line in lines] == [202, 200, 404]
        assert [line["version_id"] for line in lines] == [version_id, version_id, None]
        assert {line["fate"] for line in lines} == {"answered"}
        assert lines[0]["bytes"] > 1000
        assert all(before - 0.1 <= line["t"] <= time.time() + 0.1 for line in lines)
        assert read_request_log(path) == caller.sandbox.requests()


async def test_the_log_goes_on_over_a_restart_and_a_torn_line(start: Any) -> None:
    """Numbers continue; half a line of a killed sandbox is cut off."""
    async with start() as caller:
        await caller.ask("features/list")
        log = caller.sandbox.settings.request_log_path
    with log.open("a") as file:
        file.write('{"seq":2,"t":1')
    assert [record.seq for record in read_request_log(log)] == [1]
    async with start() as caller:
        await caller.ask("features/list")
    assert [record.seq for record in read_request_log(log)] == [1, 2]


def open_descriptors() -> int:
    """0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


async def test_nothing_is_left_open(start: Any) -> None:
    """Descriptors come and go with the sandbox."""
    async with start() as caller:
        await caller.publish(os.urandom(300_000))
    before = open_descriptors()
    for _ in range(3):
        async with start() as caller:
            await caller.publish(os.urandom(300_000))
    after = open_descriptors()
    assert after <= before

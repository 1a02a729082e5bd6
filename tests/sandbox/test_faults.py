"""Faults over real connections: what the client sees, what the registry holds, what the log says."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

pytestmark = pytest.mark.anyio
GONE = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)


@pytest.mark.parametrize(
    ("fault", "stored"),
    [("refuse", 0), ("reset", 0), ("lost-answer", 1), ("half", 1)],
)
async def test_the_connection_is_lost(start: Any, fault: str, stored: int) -> None:
    """The client gets no answer; whether the version is there depends on the fault; the next request is served."""
    async with start(faults=(f"upload:{fault}@1",)) as caller:
        with pytest.raises(GONE):
            await caller.send(b"x" * 500_000)
        assert len(caller.sandbox.versions()) == stored
        record = caller.sandbox.requests()[0]
        assert record.fate == fault
        assert record.version_id == (caller.sandbox.versions()[0].id if stored else None)
        assert record.status == (202 if fault == "half" else None)
        await caller.publish(b"next")
        assert len(caller.sandbox.versions()) == stored + 1


async def test_reset_cuts_the_body_in_the_middle(start: Any) -> None:
    """About half of it was read, or as much as asked for."""
    async with start(faults=("upload:reset@1", "upload:reset=1000@2")) as caller:
        for _ in range(2):
            with pytest.raises(GONE):
                await caller.send(b"x" * 8_000_000)
        first, second = caller.sandbox.requests()
        assert 3_900_000 < first.bytes < 8_000_000
        assert 1000 <= second.bytes < 4_000_000


async def test_a_late_upload_is_dropped_at_once_and_stored_afterwards(start: Any) -> None:
    """The client is gone before the version is there."""
    async with start(faults=("upload:late@1",)) as caller:
        with pytest.raises(GONE):
            await caller.send(b"late")
        assert caller.sandbox.requests()[0].fate == "late"
        await caller.until(lambda: len(caller.sandbox.versions()) == 1)
        assert caller.sandbox.versions()[0].path.read_bytes() == b"late"


async def test_a_late_upload_lands_when_the_sandbox_stops(start: Any) -> None:
    """Its delay ends with the sandbox; it is never half there."""
    async with start(faults=("upload:late=3600",)) as caller:
        with pytest.raises(GONE):
            await caller.send(b"late")
        assert caller.sandbox.versions() == []
    assert [version.size for version in caller.sandbox.versions()] == [4]


async def test_a_stalled_request_gets_no_answer_and_is_in_the_log_meanwhile(start: Any) -> None:
    """Done, but silent; stopping the sandbox does not wait for it."""
    async with start(faults=("upload:stall@1",)) as caller:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(caller.send(b"stalled"), 0.3)
        assert caller.sandbox.requests()[0].fate == "stall"
        assert len(caller.sandbox.versions()) == 1


async def test_a_stall_ends_with_a_closed_connection(start: Any) -> None:
    """After its seconds."""
    async with start(faults=("poll:stall=0.05",)) as caller:
        with pytest.raises(GONE):
            await caller.ask("models/get_version_by_id", {"model_version_id": 1})


async def test_a_body_that_is_no_longer_read_stalls_the_client(start: Any) -> None:
    """More than the sockets' buffers hold; nothing is stored."""
    async with start(faults=("upload:stall-body=1000",)) as caller:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(caller.send(b"x" * 30_000_000), 0.5)
        assert caller.sandbox.requests()[0].fate == "stall-body"
        assert caller.sandbox.versions() == []


async def test_a_slow_answer_comes_later(start: Any) -> None:
    """By its seconds, complete."""
    async with start(faults=("list:slow=0.2",)) as caller:
        began = time.monotonic()
        assert (await caller.ask("models/list"))[0] == 200
        assert time.monotonic() - began >= 0.2


async def test_garbage_is_a_success_that_is_no_json(start: Any) -> None:
    """The version is stored and the answer says nothing about it."""
    async with start(faults=("upload:garbage",)) as caller:
        with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
            await caller.send()
        assert caller.sandbox.requests()[0].status == 202
        assert len(caller.sandbox.versions()) == 1


async def test_html_is_a_gateways_page_and_nothing_was_done(start: Any) -> None:
    """502, or the code asked for."""
    async with start(faults=("upload:html@1", "poll:html=504")) as caller:
        status, page = await caller.send()
        assert (status, "<html>" in page) == (502, True)
        assert (await caller.ask("models/get_version_by_id", {"model_version_id": 1}))[0] == 504
        assert caller.sandbox.versions() == []


async def test_a_lost_answer_may_come_as_a_gateways_code(start: Any) -> None:
    """The version is stored; the gateway gave up waiting."""
    async with start(faults=("upload:lost-answer=504",)) as caller:
        assert (await caller.send())[0] == 504
        assert len(caller.sandbox.versions()) == 1


@pytest.mark.parametrize("code", [202, 400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 507])
async def test_a_status_code_is_answered_after_the_body_and_nothing_is_done(start: Any, code: int) -> None:
    """With the registry's error body, a success code too."""
    async with start(faults=(f"upload:{code}@1",)) as caller:
        status, answer = await caller.send(b"x" * 300_000)
        assert (status, answer["code"]) == (code, code)
        assert caller.sandbox.versions() == []
        (record,) = caller.sandbox.requests()
        assert (record.status, record.fate) == (code, str(code))
        assert record.bytes > 300_000
        await caller.publish()


async def test_retry_after_comes_in_both_forms(start: Any) -> None:
    """Seconds as given, and a date that many seconds away."""
    async with start(faults=("poll:429=5@1", "poll:503=date+60@2")) as caller:
        url = f"{caller.sandbox.endpoint}/v1/api/models/get_version_by_id"
        async with caller.session.post(url, json={}) as response:
            assert response.headers["Retry-After"] == "5"
        async with caller.session.post(url, json={}) as response:
            due = parsedate_to_datetime(response.headers["Retry-After"])
            answered = parsedate_to_datetime(response.headers["Date"])
            assert 58 <= (due - answered).total_seconds() <= 61


async def test_a_redirect_has_a_location(start: Any) -> None:
    """To the same place, or to the one given."""
    async with start(faults=("upload:307@1", "upload:301=http://127.0.0.1:1/x@2")) as caller:
        url = f"{caller.sandbox.endpoint}/v1/api/models/upload"
        for location in ("/v1/api/models/upload", "http://127.0.0.1:1/x"):
            async with caller.session.post(url, data=b"", allow_redirects=False) as response:
                assert response.headers["Location"] == location


async def test_the_registry_without_memory_says_so_in_its_own_words(start: Any) -> None:
    """A 500 that passes."""
    async with start(faults=("upload:500=memory@1",)) as caller:
        status, answer = await caller.send()
        assert status == 500
        assert "Insufficient memory available for model upload" in answer["msg"]


async def test_an_upload_with_a_wrong_digest_stores_other_bytes(start: Any) -> None:
    """One bit differs, and the registry's digest is that of what it holds."""
    async with start(faults=("upload:wrong-digest@1",)) as caller:
        version = await caller.poll(await caller.publish(b"right bytes"))
        (stored,) = caller.sandbox.versions()
        held = stored.path.read_bytes()
        assert held != b"right bytes"
        assert len(held) == len(b"right bytes")
        assert version["file_info"]["sha"] == stored.sha256 == hashlib.sha256(held).hexdigest()


async def test_faults_of_an_upload_stay_with_its_version(start: Any) -> None:
    """In every later answer; the next upload has none of them."""
    async with start(faults=("upload:no-digest@1", "upload:stuck@2", "upload:unknown-status@3")) as caller:
        ids = [await caller.publish(name=f"m{number}") for number in range(4)]
        versions = [await caller.poll(version_id) for version_id in ids]
        assert versions[0]["file_info"]["sha"] is None
        statuses = ["ready", "attempting_load_container", "quarantined", "ready"]
        assert [version["status"] for version in versions] == statuses
        listed = (await caller.ask("models/list_versions", {"model_id": "m0"}))[1]
        assert [item["sha"] for item in listed] == [None]


async def test_faults_of_a_poll_concern_that_answer_only(start: Any) -> None:
    """The next poll tells the truth."""
    faults = ("poll:no-digest@1", "poll:wrong-digest@2", "poll:stuck@3", "poll:unknown-status@4")
    async with start(faults=faults) as caller:
        version_id = await caller.publish()
        seen = [await caller.poll(version_id) for _ in range(5)]
        truth = seen[4]["file_info"]["sha"]
        assert seen[0]["file_info"]["sha"] is None
        assert seen[1]["file_info"]["sha"] not in {None, truth}
        statuses = ["ready", "ready", "attempting_load_container", "quarantined", "ready"]
        assert [version["status"] for version in seen] == statuses


async def test_a_late_summary_is_null_at_first(start: Any, archive: Callable[..., bytes]) -> None:
    """`error` without a reason, the reason in a later answer."""
    broken = archive({"model/main.py": None})
    async with start(faults=("upload:late-summary=0.2@1", "poll:late-summary@1")) as caller:
        first = await caller.publish(broken, name="a", framework="custom", file_name="a.zip")
        second = await caller.publish(broken, name="b", framework="custom", file_name="b.zip")
        assert (await caller.poll(second))["error_summary"] is None
        assert (await caller.poll(second))["error_summary"] is not None
        while (version := await caller.poll(first))["error_summary"] is None:
            assert version["status"] == "error"
        assert "No Python modules" in version["error_summary"]


async def test_a_null_summary_is_the_word(start: Any) -> None:
    """As some real versions have it."""
    async with start(faults=("upload:null-summary@1", "poll:null-summary@2")) as caller:
        first = await caller.publish(b"no model")
        second = await caller.publish(b"no model")
        assert (await caller.poll(first))["error_summary"] == "null"
        seen = [(await caller.poll(second))["error_summary"] for _ in range(2)]
        assert seen[0] == "null"
        assert "not an ONNX model" in seen[1]


async def test_a_status_can_be_missing(start: Any) -> None:
    """No such key in that answer, or, met by an upload, in any answer about that version."""
    async with start(faults=("poll:no-status@1", "upload:no-status@2", "list:no-status@1")) as caller:
        first = await caller.publish()
        assert "status" not in await caller.poll(first)
        assert (await caller.poll(first))["status"] == "ready"
        assert "status" not in (await caller.ask("models/list_versions", {"model_id": "m"}))[1][0]
        assert "status" in (await caller.ask("models/list_versions", {"model_id": "m"}))[1][0]
        assert "status" not in await caller.poll(await caller.publish())


async def listed_ids(caller: Any) -> list[set[int]]:
    """What each of the three listings knows of model `m`."""
    workspace_id = caller.sandbox.workspace_id
    _, everything = await caller.ask("models/list", {"workspace_id": workspace_id})
    _, flat = await caller.ask("models/list_versions", {"model_id": "m"})
    _, scoped = await caller.ask("models/list_versions_for_model", {"model_id": "m", "workspace_id": workspace_id})
    nested = [
        {item["model_version"]["id"] for model in answer["models"] for item in model["model_versions"]}
        for answer in (everything, scoped)
    ]
    return [*nested, {item["id"] for item in flat}]


async def test_a_listing_that_lags_does_not_know_new_versions(start: Any) -> None:
    """They are there: found by id. The next listing, which does not lag, has them."""
    async with start(faults=("list:lag=3600*3",)) as caller:
        version_id = await caller.publish()
        assert await listed_ids(caller) == [set(), set(), set()]
        assert (await caller.ask("models/get_version_by_id", {"model_version_id": version_id}))[0] == 200
        assert await listed_ids(caller) == [{version_id}] * 3


async def test_a_lag_ends(start: Any) -> None:
    """When the version is as old as the lag; a version's own lag concerns that version only."""
    async with start(faults=("upload:lag=0.3@1",)) as caller:
        late = await caller.publish()
        prompt = await caller.publish()
        stored = caller.sandbox.versions()[0]
        while (seen := await listed_ids(caller)) != [{late, prompt}] * 3:
            assert all(prompt in ids for ids in seen)
        assert time.time() >= stored.created_at + 0.25


@pytest.mark.parametrize(
    ("body", "content_type"), [('{"code": 1, "extra": []}', "application/json"), ("no room", "text/plain")]
)
async def test_a_status_may_have_any_body(start: Any, body: str, content_type: str) -> None:
    """What stands after `body:`, as it is."""
    async with start(faults=(f"list:503=body:{body}*1",)) as caller:
        async with caller.session.post(f"{caller.sandbox.endpoint}/v1/api/models/list", json={}) as response:
            assert (response.status, response.content_type, await response.text()) == (503, content_type, body)
        assert (await caller.ask("models/list"))[0] == 200


async def test_a_fault_of_the_token_endpoint(start: Any) -> None:
    """Only that one."""
    async with start(faults=("token:503@1",)) as caller:
        status, _ = await caller.token_request(grant_type="password")
        assert status == 503
        assert (await caller.ask("workspaces/list"))[0] == 200


async def test_requests_above_a_limit_are_refused_with_the_time_to_wait(start: Any) -> None:
    """429, Retry-After, the log says limited, and other calls are served."""
    async with start(limits=("upload=2/h",)) as caller:
        await caller.publish()
        await caller.publish()
        status, answer = await caller.send()
        assert (status, answer["code"]) == (429, 429)
        url = f"{caller.sandbox.endpoint}/v1/api/models/upload"
        async with caller.session.post(url, data=b"") as response:
            assert 3590 <= int(response.headers["Retry-After"]) <= 3600
        assert [record.fate for record in caller.sandbox.requests()] == ["answered", "answered", "limited", "limited"]
        assert (await caller.ask("models/list"))[0] == 200
        assert len(caller.sandbox.versions()) == 2


async def test_half_an_answer_promises_the_whole(start: Any) -> None:
    """Content-Length of all of it, half of the bytes."""
    async with start(faults=("list:half",)) as caller:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(caller.sandbox.endpoint.rpartition(":")[2]))
        head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {caller.sandbox.token}\r\nContent-Length: 2\r\n\r\n{{}}"
        writer.write(f"POST /v1/api/models/list HTTP/1.1\r\n{head}".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        whole = json.dumps({"models": []}, separators=(",", ":"))
        assert f"Content-Length: {len(whole)}\r\n".encode() in answer
        assert answer.endswith(b"\r\n\r\n" + whole[: len(whole) // 2].encode())

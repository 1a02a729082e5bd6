"""Answers that never end: every call has an end, whatever comes and however slowly; what moves is given its time."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from bulkload.core.bounds import SLOWEST_LISTING_BYTES_PER_SECOND
from bulkload.core.model.settings import Credentials
from bulkload.core.verdicts import CallFailed, FailureKind, Verdict, upload_verdict
from tests.registry.test_one_request import CALLS

pytestmark = pytest.mark.anyio


@pytest.fixture
def bench(either_bench: Any) -> Any:
    """Without TLS, and with it."""
    return either_bench


SHORT = 0.4
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n"
DRIPS = {
    "the status line": b"",
    "the head": b"HTTP/1.1 200 OK\r\nx-slow: ",
    "the body": HEAD + b'\r\n{"models":[',
    "the body of an error": HEAD.replace(b"200 OK", b"500 Sorry") + b"\r\n",
    "a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
    "nothing but go on": b"HTTP/1.1 100 Continue\r\n\r\n",
}


def dripping(begin: bytes) -> Callable[[Any], Any]:
    """A server that answers a byte every now and then, far oftener than what is silent would be cut."""

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(begin)
        drip = b"H" if not begin else b" "
        while True:
            await anyio.sleep(SHORT / 20)
            await connection.send(drip)

    return play


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("what", DRIPS)
async def test_an_answer_in_drips_has_an_end(bench: Any, what: str, call: str) -> None:
    """No byte of it came too late, and it is not whole in time."""
    short = {"read_timeout": SHORT, "answer_timeout": SHORT}
    async with bench.before(dripping(DRIPS[what]), **short) as (_, registry):
        with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
            await CALLS[call](registry, bench)
        assert registry.requests.total() == 1
    failure = raised.value.failure
    if what == "the body of an error":
        # Of a listing the beginning has that short time.
        assert failure.status == 500 or call == "list_workspace"
    else:
        assert failure.kind in (FailureKind.CUT, FailureKind.FOREIGN)
    if call.startswith("upload"):
        assert upload_verdict(failure, sealed=True) is Verdict.IN_DOUBT


async def test_keycloaks_answer_has_an_end(bench: Any) -> None:
    """It would hold up everybody who waits for a token."""
    credentials = Credentials(username="me", password="a-password")
    drips = dripping(DRIPS["the body"])
    async with bench.before(drips, credentials=credentials, read_timeout=SHORT) as (_, registry):
        with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
            await registry.workspaces()
    assert raised.value.failure.kind is FailureKind.NO_CONNECTION


async def test_a_listing_may_take_its_time(bench: Any) -> None:
    """Many times as long as any other call, as long as it comes at a speed; what we do meanwhile does not count."""
    piece = b" " * (SLOWEST_LISTING_BYTES_PER_SECOND // 4)

    async def play(connection: Any) -> None:
        await connection.request()
        whole = b'{"models":[' + piece * 20 + b"]}"
        await connection.send(bench.answer(length=len(whole)) + b'{"models":[')
        for _ in range(20):
            await connection.send(piece)
            await anyio.sleep(SHORT / 4)
        await connection.send(b"]}")

    async with bench.before(play, read_timeout=SHORT) as (_, registry):
        began = anyio.current_time()
        assert [version async for version in registry.list_workspace(1)] == []
        assert anyio.current_time() - began > 2 * SHORT


async def test_who_takes_long_over_a_listing_does_not_make_it_slow(bench: Any) -> None:
    """A ledger on a slow disk, for one."""
    version = {"model_version": {"id": 5, "name": "m", "workspace_id": 1}}
    whole = {"models": [{"model_versions": [version] * 20}]}
    async with bench.replying(bench.answer(body=whole), read_timeout=SHORT) as (_, registry):
        found = 0
        async for versions in registry.list_workspace(1):
            await anyio.sleep(2 * SHORT)
            found += len(versions)
    assert found == 20


async def test_a_long_body_after_leave_is_not_taken_for_a_late_answer(bench: Any) -> None:
    """The time for the answer begins with the last byte, not with the leave that was given before the first."""
    async with bench.replying(bench.answer(202, bench.inserted(5)), answer_timeout=SHORT) as (wire, registry):
        async with registry.uploading("models/upload", bench.form(), 2) as upload:
            for _ in range(2):
                await upload.write(b"x")
                await anyio.sleep(1.5 * SHORT)
            assert await upload.finish() == 5
        assert wire.requests[0].headers["expect"] == "100-continue"

"""Expect: 100-continue: a large body stays here when its head is refused; who never answers is waited for briefly."""

from typing import Any

import anyio
import pytest

from bulkload.core.model.settings import Credentials
from bulkload.core.verdicts import CallFailed, FailureKind

pytestmark = pytest.mark.anyio


@pytest.fixture
def bench(either_bench: Any) -> Any:
    """Without TLS, and with it."""
    return either_bench


SIZE = 3 << 20


async def upload(registry: Any, bench: Any, workspace_id: int = 1) -> Any:
    """A large upload."""
    return await bench.push(registry, SIZE, form=bench.form(workspace_id=workspace_id))


async def test_a_refused_head_spares_the_body(start: Any, bench: Any) -> None:
    """One request, none of its body; and the connection is not used again, which still owes it."""
    async with (
        start() as (sandbox, registry),
        bench.registry(sandbox.endpoint, credentials=Credentials(token="wrong")) as other,
    ):
        with pytest.raises(CallFailed) as raised:
            await upload(other, bench, sandbox.workspace_id)
        assert raised.value.failure.status == 401
        (record,) = sandbox.requests()
        assert (record.status, record.bytes) == (401, 0)
        assert await upload(registry, bench, sandbox.workspace_id)
        assert await other.config()


async def test_a_limit_spares_it_too(start: Any, bench: Any) -> None:
    """429 before the body."""
    async with start(limits=("upload=1/m",)) as (sandbox, registry):
        await upload(registry, bench, sandbox.workspace_id)
        with pytest.raises(CallFailed) as raised:
            await upload(registry, bench, sandbox.workspace_id)
        assert raised.value.failure.status == 429
        assert [record.bytes > SIZE for record in sandbox.requests()] == [True, False]


async def test_who_never_gives_leave_gets_the_body_all_the_same(bench: Any) -> None:
    """After a second at the first upload, and at once from then on: one request each."""

    async def play(connection: Any) -> None:
        while True:
            head = await connection.head(leave=False)
            await connection.reader.readexactly(int(head.headers["content-length"]))
            await connection.send(bench.answer(202, bench.inserted()))

    async with bench.before(play) as (wire, registry):
        registry._transport.leave_timeout = 0.2
        began = anyio.current_time()
        await upload(registry, bench)
        assert 0.2 <= anyio.current_time() - began < 5
        await upload(registry, bench)
    assert ["expect" in request.headers for request in wire.requests] == [True, False]


async def test_a_late_refusal_after_the_wait_is_one(bench: Any) -> None:
    """The body is under way by then; the status still counts."""

    async def play(connection: Any) -> None:
        await connection.head(leave=False)
        await connection.reader.readexactly(1000)
        await connection.send(bench.answer(413))
        await anyio.sleep_forever()

    async with bench.before(play) as (_, registry):
        registry._transport.leave_timeout = 0.05
        with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
            await upload(registry, bench)
    assert raised.value.failure.status == 413


async def test_a_slow_error_page_does_not_set_the_body_free(bench: Any) -> None:
    """Its head was the answer: while the rest of it comes, nothing is sent."""
    received = bytearray()

    async def play(connection: Any) -> None:
        await connection.head(leave=False)
        refusal = bench.answer(403, {"msg": "not you", "code": 403})
        await connection.send(refusal[:-5])
        with anyio.move_on_after(0.3):
            received.extend(await connection.reader.read(1))
        await connection.send(refusal[-5:])
        await connection.reader.read()

    async with bench.before(play) as (_, registry):
        registry._transport.leave_timeout = 0.1
        with anyio.fail_after(60), pytest.raises(CallFailed, match="403 not you"):
            await upload(registry, bench)
    assert received == b""


async def test_a_refused_expectation_is_not_asked_again(bench: Any) -> None:
    """417 refuses the question: nothing was sent, the next attempt comes without it."""

    async def play(connection: Any) -> None:
        while True:
            head = await connection.head(leave=False)
            if "expect" in head.headers:
                await connection.send(bench.answer(417))
                return
            await connection.reader.readexactly(int(head.headers["content-length"]))
            await connection.send(bench.answer(202, bench.inserted(7)))

    async with bench.before(play) as (wire, registry):
        with pytest.raises(CallFailed) as raised:
            await upload(registry, bench)
        assert raised.value.failure.kind is FailureKind.NO_CONNECTION
        assert await upload(registry, bench) == 7
    assert len(wire.requests) == 2


async def test_a_small_upload_asks_for_no_leave(bench: Any) -> None:
    """It would cost a round trip, and spare next to nothing."""
    async with bench.replying(bench.answer(202, bench.inserted())) as (wire, registry):
        await bench.upload(registry)
    assert "expect" not in wire.requests[0].headers

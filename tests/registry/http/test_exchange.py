"""The rules of the exchange, without and with TLS, on both event loops: a connection owes nothing when it is used."""

import gzip
import inspect
import ssl
import time
from contextlib import suppress
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection as PooledConnection
from aiohttp.http import HttpResponseParser
from aiohttp.streams import StreamReader

from bulkload.core.bounds import LARGEST_ANSWER_BYTES, MOST_INTERIM_ANSWERS
from bulkload.core.verdicts import CallFailed, FailureKind
from bulkload.registry.http.connections import Line, Pool
from tests.registry.test_one_request import CALLS

pytestmark = pytest.mark.anyio

MEBIBYTE = 1 << 20


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The command line runs on uvloop, whose transports are its own."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def bench(either_bench: Any) -> Any:
    """Without TLS, and with it."""
    return either_bench


async def test_a_request_is_exact_to_the_byte(bench: Any) -> None:
    """What is sent of a head is made here: nothing of the template that the pool is asked with."""
    heads: list[bytes] = []

    async def play(connection: Any) -> None:
        while True:
            head = await connection.reader.readuntil(b"\r\n\r\n")
            heads.append(head)
            if b"Content-Length: 22" in head:
                await connection.reader.readexactly(22)
            await connection.send(bench.answer(body={"model_versions": []}))

    async with bench.before(play) as (wire, registry):
        await registry.config()
        with suppress(CallFailed):
            await registry.version(12)
    place = wire.endpoint.partition("//")[2]
    fields = f"Host: {place}\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nUser-Agent: "
    assert heads[0].decode().startswith(f"GET /v1/api/config HTTP/1.1\r\n{fields}bulkload/")
    assert heads[0].count(b"\r\n") == 6
    assert heads[1].decode().startswith(f"POST /v1/api/models/get_version_by_id HTTP/1.1\r\n{fields}bulkload/")
    end = f"Authorization: Bearer {bench.token}\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n"
    assert heads[1].decode().endswith(end)


@pytest.mark.parametrize("status", [202, 403])
@pytest.mark.parametrize("call", ["upload", "upload in pieces"])
async def test_a_connection_that_still_owes_a_body_is_not_used_again(bench: Any, status: int, call: str) -> None:
    """Its next request would be read as the rest of the body. The answer says that it stays open."""

    async def play(connection: Any) -> None:
        if connection.wire.connections > 1:
            await connection.request()
            await connection.send(bench.answer(202, bench.inserted(7)))
            return
        await connection.head()
        await connection.reader.readexactly(1000)
        await connection.send(bench.answer(status, bench.inserted(5)))
        await anyio.sleep_forever()

    async with bench.before(play) as (wire, registry):
        sending = (
            bench.upload(registry, b"x" * (32 * MEBIBYTE)) if call == "upload" else bench.push(registry, 32 * MEBIBYTE)
        )
        with anyio.fail_after(60), pytest.raises(CallFailed):
            await sending
        assert await bench.upload(registry) == 7
        assert wire.connections == 2


@pytest.mark.parametrize(
    "behind",
    [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 408 Request Timeout\r\n\r\n"],
)
@pytest.mark.parametrize("call", ["version", "upload", "upload in pieces", "list_workspace"])
async def test_what_comes_behind_an_answer_spoils_no_other(bench: Any, behind: bytes, call: str) -> None:
    """In one segment with it, as it would be pipelined: the answer counts, and the connection is dropped."""
    good = bench.answer(202, {"models": [], **bench.inserted(5)})

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(good + (behind if connection.wire.connections == 1 else b""))
        await anyio.sleep_forever()

    async with bench.before(play) as (wire, registry):
        with suppress(CallFailed):
            await CALLS[call](registry, bench)
        assert await bench.upload(registry) == 5
        assert wire.connections == 2


@pytest.mark.parametrize("framed", ["by length", "in chunks", "to the end"])
@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_is_read_however_it_is_framed_and_cut(bench: Any, framed: str, packed: bool) -> None:
    """A byte at a time, plain and as a gzip."""
    body = b'{"insert_models":{"returning":[{"models":[{"id":5}]}]}}'
    head = b"HTTP/1.1 202 X\r\n"
    if packed:
        body, head = gzip.compress(body), head + b"Content-Encoding: gzip\r\n"
    if framed == "by length":
        whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif framed == "in chunks":
        chunks = b"".join(b"3\r\n%b\r\n" % body[at : at + 3] for at in range(0, len(body) // 3 * 3, 3))
        rest = body[len(body) // 3 * 3 :]
        whole = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
        whole += (b"%x\r\n%b\r\n" % (len(rest), rest) if rest else b"") + b"0\r\n\r\n"
    else:
        whole = head + b"\r\n" + body

    async def play(connection: Any) -> None:
        for _ in range(2):
            await connection.request()
            for at in range(len(whole)):
                await connection.send(whole[at : at + 1])
                await anyio.lowlevel.checkpoint()
            if framed == "to the end":
                return

    async with bench.before(play) as (wire, registry):
        for _ in range(2):
            assert await bench.upload(registry) == 5
        assert wire.connections == (2 if framed == "to the end" else 1)


async def test_a_blocked_body_wakes_when_it_is_answered(bench: Any) -> None:
    """Nobody waits until nothing has moved for a minute: the server takes no more, and says why."""

    async def play(connection: Any) -> None:
        await connection.head()
        await connection.reader.read(1000)
        # Not before the other side is stuck.
        await anyio.sleep(0.3)
        await connection.send(bench.answer(413, {"msg": "too large", "code": 413}))
        await anyio.sleep_forever()

    async with bench.before(play) as (_, registry):
        with anyio.fail_after(60), pytest.raises(CallFailed, match="too large") as raised:
            await bench.push(registry, 64 * MEBIBYTE)
        assert raised.value.failure.status == 413
        with anyio.fail_after(60), pytest.raises(CallFailed, match="too large"):
            await bench.upload(registry, b"x" * (64 * MEBIBYTE))


@pytest.mark.parametrize("call", ["upload", "upload in pieces"])
async def test_the_time_for_the_answer_begins_with_the_last_byte(bench: Any, call: str) -> None:
    """A body that takes longer than that is no late answer."""
    slow, size = 0.8, 48 * MEBIBYTE

    async def play(connection: Any) -> None:
        head = await connection.head()
        left = int(head.headers["content-length"])
        while left:
            left -= len(await connection.reader.readexactly(min(left, 4 * MEBIBYTE)))
            # Slow while the client has most of it, and quick from then on.
            await anyio.sleep(slow / 6 if left > size / 3 else 0)
        await connection.send(bench.answer(202, bench.inserted(5)))

    async with bench.before(play, answer_timeout=slow) as (_, registry):
        began = anyio.current_time()
        sending = bench.upload(registry, b"x" * size) if call == "upload" else bench.push(registry, size)
        assert await sending == 5
        assert anyio.current_time() - began > slow


async def test_a_listing_is_read_while_it_arrives(bench: Any) -> None:
    """Its beginning comes before its end, it has no time as a whole, and when it breaks off that is said."""
    second, node = anyio.Event(), b'{"model_versions":[{"model_version":{"id":%d,"name":"m","workspace_id":1}}]}'

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"models":[', node % 1, b",")
        await second.wait()
        await connection.send(node % 2)

    found: list[int] = []

    async def listed(registry: Any) -> None:
        async for versions in registry.list_workspace(1):
            found.extend(version.version_id for version in versions)
            await anyio.sleep(0.4)
            second.set()

    async with bench.before(play, read_timeout=0.3) as (_, registry):
        with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
            await listed(registry)
        assert found == [1, 2]
        assert raised.value.failure.kind is FailureKind.CUT


async def test_interim_answers_are_bounded(bench: Any) -> None:
    """And some are passed over."""
    go_on, hints = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
    good = bench.answer(202, bench.inserted(5))
    async with bench.replying(go_on + hints + good, (go_on + hints) * MOST_INTERIM_ANSWERS + good) as (_, registry):
        assert await bench.upload(registry) == 5
        with pytest.raises(CallFailed, match="says to go on more than 100 times") as raised:
            await bench.upload(registry)
        assert raised.value.failure.kind is FailureKind.FOREIGN


async def test_an_answer_is_read_within_bounds(bench: Any) -> None:
    """What is packed counts as what it becomes."""
    bomb = gzip.compress(b" " * (2 * LARGEST_ANSWER_BYTES))
    async with bench.replying(
        bench.answer(200, bomb, content_encoding="gzip"), bench.answer(body={"default_arch": "x86"})
    ) as (wire, registry):
        with pytest.raises(CallFailed, match="more than 16,777,216 bytes"):
            await registry.config()
        assert await registry.config() == {"default_arch": "x86"}
        assert wire.connections == 2


async def test_an_upgrade_is_no_answer(bench: Any) -> None:
    """Nobody asked for another protocol."""
    async with bench.replying(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n") as (
        _,
        registry,
    ):
        with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
            await registry.config()
        assert raised.value.failure.kind is FailureKind.FOREIGN


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.long)])
async def test_whoever_is_stopped_at_any_moment_leaves_a_sound_pool(
    bench: Any, call: str, step: int, anyio_backend: tuple[str, dict[str, bool]]
) -> None:
    """Cancelled after one, two, three ... rounds of the event loop: the next call gets its own answer.

    Each of the four kinds (asyncio and uvloop, with TLS and without) has another quarter of the moments in `make test`.
    """
    first = (2 * anyio_backend[1]["use_uvloop"] + (bench.tls is not None)) % step

    async def play(connection: Any) -> None:
        while True:
            request = await connection.request()
            await anyio.lowlevel.checkpoint()
            answer = bench.answer(202, {"models": [], "model_versions": [], **bench.inserted(len(request.body))})
            await connection.send(answer[:60])
            await anyio.lowlevel.checkpoint()
            await connection.send(answer[60:])

    async with bench.before(play) as (_, registry):
        for rounds in range(first, 40, step):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:

                    async def stop(scope: anyio.CancelScope = scope, rounds: int = rounds) -> None:
                        for _ in range(rounds):
                            await anyio.lowlevel.checkpoint()
                        scope.cancel()

                    tasks.start_soon(stop)
                    with suppress(CallFailed):
                        await CALLS[call](registry, bench)
            form = bench.form()
            content = b"x" * (rounds + 1)
            length = form.content_length(len(content))
            with anyio.fail_after(60):
                assert await registry.send_small("models/upload", form, content) == length


async def test_many_at_once_get_their_own_answers(bench: Any) -> None:
    """A few connections of a pool, a few hundred questions."""

    async def play(connection: Any) -> None:
        while True:
            request = await connection.request()
            await connection.send(bench.answer(202, bench.inserted(len(request.body))))

    async def ask(registry: Any, number: int) -> None:
        form = bench.form()
        content = b"x" * number
        for _ in range(10):
            answered = await registry.send_small("models/upload", form, content)
            assert answered == form.content_length(number)

    async with bench.before(play) as (wire, registry), anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(ask, registry, number)
    assert len(wire.requests) == 200
    assert wire.connections == 20


async def test_tickets_of_a_new_connection_are_no_answer(certificates: Any, bench: Any) -> None:
    """TLS 1.3 sends them behind the handshake; whoever is slow to ask finds them there, and asks all the same."""

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(bench.answer(202, bench.inserted(5)))

    async with bench.before(play) as (wire, registry), anyio.create_task_group() as tasks:

        async def keep_busy() -> None:
            while True:
                time.sleep(0.005)  # noqa: ASYNC251 - the event loop is to be late
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(keep_busy)
        for _ in range(10):
            assert await bench.upload(registry) == 5
        tasks.cancel_scope.cancel()
    assert wire.connections == 10


async def test_client_certificates_are_shown(certificates: Any, bench: Any) -> None:
    """With TLS 1.3, too."""
    from bulkload.core.model.settings import Connection

    key, file = certificates.make("holder")
    context = certificates.server()
    context.load_verify_locations(file)
    context.verify_mode = ssl.CERT_REQUIRED

    async def play(connection: Any) -> None:
        while True:
            await connection.request()
            await connection.send(bench.answer(202, bench.inserted(5)))

    holder = Connection(ca_file=certificates.file, client_cert=file, client_key=key)
    async with bench.playing(play, tls=context) as wire, bench.registry(wire.endpoint, connection=holder) as registry:
        for _ in range(3):
            assert await bench.upload(registry) == 5
    assert wire.connections == 1


def attributes(of: Any) -> set[str]:
    """What an object has, also by its ``__slots__``."""
    return set(dir(of))


async def test_the_attributes_of_aiohttp_that_are_used_are_there(bench: Any) -> None:
    """Not all of them are documented: a version without them is found here, and pyproject.toml bounds the version."""
    import asyncio

    loop = asyncio.get_running_loop()
    line = Line(loop)
    assert {
        *("transport", "should_close", "force_close", "abort", "exception", "set_exception", "writing_paused"),
        *("set_response_params", "start_timeout", "data_received", "feed_data", "connection_lost", "resume_writing"),
        *("_loop", "_parser"),
    } <= attributes(line)
    assert issubclass(Line, ResponseHandler)
    parameters = inspect.signature(ResponseHandler.set_response_params).parameters
    assert {"read_until_eof", "read_timeout", "max_line_size", "max_field_size", "max_headers"} <= set(parameters)
    assert parameters["auto_decompress"].default is True
    assert list(inspect.signature(Pool.connect).parameters) == ["self", "req", "traces", "timeout"]
    assert {"protocol", "release", "close"} <= attributes(PooledConnection)
    assert {"at_eof", "is_eof", "read_nowait", "readany", "exception", "set_exception"} <= attributes(StreamReader)
    assert HttpResponseParser.__module__ == "aiohttp._http_parser", "the parser in Python is many times as slow"
    pool = Pool(limit=0)
    assert isinstance(pool._factory(), Line)
    await pool.close()
    assert {"code", "headers", "raw_headers", "should_close"} <= attributes(aiohttp.http.RawResponseMessage)


@pytest.mark.parametrize("call", CALLS)
async def test_a_registry_that_is_closed_under_a_request_ends_it(bench: Any, call: str) -> None:
    """Whoever waits for an answer is told."""

    async def play(connection: Any) -> None:
        await connection.request()
        await anyio.sleep_forever()

    ended: list[FailureKind] = []

    async def ask(registry: Any) -> None:
        with pytest.raises(CallFailed) as raised:
            await CALLS[call](registry, bench)
        ended.append(raised.value.failure.kind)

    async with bench.playing(play) as wire, anyio.create_task_group() as tasks:
        async with bench.registry(wire.endpoint) as registry:
            tasks.start_soon(ask, registry)
            await bench.until(lambda: (wire.requests and wire.requests[0].body) or (call == "config" and wire.requests))
        with anyio.fail_after(60):
            while not ended:  # noqa: ASYNC110 - nothing tells
                await anyio.sleep(0.005)
    assert ended == [FailureKind.CUT]

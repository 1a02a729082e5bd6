"""Connections that served before: what happened on them while nobody asked anything spoils no request."""

import re
import socket
import ssl
import struct
import threading
from typing import Any

import anyio
import pytest

from bulkload.core.verdicts import CallFailed, FailureKind, Verdict, upload_verdict
from tests.registry.test_one_request import CALLS

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The command line runs on uvloop, whose transports are its own."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def bench(either_bench: Any) -> Any:
    """Without TLS, and with it."""
    return either_bench


TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
WHAT_HAPPENS = {
    "closed": b"",
    "reset": None,
    "a 408, then closed": TOO_LATE,
    "half a 408": TOO_LATE[:20],
    "an answer that nobody asked for": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a line's end": b"\r\n",
}


class Idle:
    """A server that does something on each connection once it has served one request."""

    def __init__(self, bench: Any, happens: bytes | None, *, stays_open: bool = False) -> None:
        self.done = 0
        # Set when the first answer was read: what happens comes after it, not with it.
        self.idle = anyio.Event()
        self._bench = bench
        self._happens = happens
        self._stays_open = stays_open

    async def __call__(self, connection: Any) -> None:
        await connection.request()
        good = self._bench.answer(202, {"models": [], **self._bench.inserted(5), "workspaces": []})
        await connection.send(good)
        if connection.wire.connections > 1:
            await anyio.sleep_forever()
        await self.idle.wait()
        if self._happens is None:
            connection.reset()
        elif self._happens:
            await connection.send(self._happens)
        self.done += 1
        if self._stays_open:
            await anyio.sleep_forever()


@pytest.mark.parametrize("call", ["upload", "upload in pieces", "create_workspace"])
@pytest.mark.parametrize("what", WHAT_HAPPENS)
async def test_what_happened_meanwhile_costs_another_connection(bench: Any, what: str, call: str) -> None:
    """The request is sent once, and its own answer is taken."""
    server = Idle(bench, WHAT_HAPPENS[what])
    async with bench.before(server) as (wire, registry):
        await registry.config()
        server.idle.set()
        await bench.until(lambda: server.done == 1)
        if call == "create_workspace":
            with pytest.raises(CallFailed) as raised:
                await registry.create_workspace("w")
            assert raised.value.failure.kind is FailureKind.UNREADABLE
        else:
            with anyio.fail_after(60):
                assert await CALLS[call](registry, bench) == 5
        assert wire.connections == 2
        assert len(wire.requests) == registry.requests.total() == 2
        assert [request.method for request in wire.requests] == ["GET", "POST"]


class InAThread:
    """A server that closes its first connection after one request, whatever the client's event loop does meanwhile."""

    def __init__(self, good: bytes, happens: bytes | None, tls: ssl.SSLContext | None = None) -> None:
        self.closed = threading.Event()
        self.requests: list[bytes] = []
        self._good = good
        self._happens = happens
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self.endpoint = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "InAThread":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        self._listener.settimeout(10)
        for _ in range(2):
            connection, _ = self._listener.accept()
            connection.settimeout(10)
            # Or an answer would wait until the tickets before it are acknowledged, and not be sent when it is reset.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                received = b""
                while b"\r\n\r\n" not in received:
                    received += connection.recv(1 << 16)
                head, _, body = received.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: *([0-9]+)", head, re.IGNORECASE)
                while len(body) < int(length[1] if length else 0):
                    body += connection.recv(1 << 16)
                self.requests.append(head)
                connection.sendall(self._good)
                if len(self.requests) == 1 and self._happens is not None:
                    connection.sendall(self._happens)
                elif len(self.requests) == 1:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.closed.set()


@pytest.mark.parametrize("call", ["upload", "create_workspace"])
@pytest.mark.parametrize("what", ["closed", "reset", "a 408, then closed"])
async def test_nor_does_what_the_event_loop_has_not_heard_of_yet(bench: Any, what: str, call: str) -> None:
    """It was busy, and asks the next thing before it looks at its sockets."""
    good = bench.answer(202, {"models": [], **bench.inserted(5)})
    with InAThread(good, WHAT_HAPPENS[what], bench.tls) as server:
        async with bench.registry(server.endpoint) as registry:
            await registry.config()
            assert server.closed.wait(10)
            if call == "create_workspace":
                with pytest.raises(CallFailed) as raised:
                    await registry.create_workspace("w")
                assert raised.value.failure.kind is FailureKind.UNREADABLE
            else:
                assert await bench.upload(registry) == 5
        assert [head.split()[0] for head in server.requests] == [b"GET", b"POST"]


@pytest.mark.parametrize("call", ["upload", "upload in pieces"])
@pytest.mark.parametrize("what", ["half a 408", "an answer that nobody asked for", "a line's end"])
async def test_an_open_connection_on_which_something_was_said_is_not_used(bench: Any, what: str, call: str) -> None:
    """What was said would be taken for the answer."""
    server = Idle(bench, WHAT_HAPPENS[what], stays_open=True)
    async with bench.before(server) as (wire, registry):
        await registry.config()
        server.idle.set()
        await bench.until(lambda: server.done == 1)
        with anyio.fail_after(60):
            assert await CALLS[call](registry, bench) == 5
        assert wire.connections == 2


async def test_a_quiet_connection_is_used_again(bench: Any) -> None:
    """Or each request would pay for a new one."""
    async with bench.replying(bench.answer(202, bench.inserted(5))) as (wire, registry):
        for _ in range(5):
            await bench.upload(registry)
            await CALLS["upload in pieces"](registry, bench)
        assert wire.connections == 1


async def test_a_server_that_closes_what_it_accepts_gets_nothing(bench: Any) -> None:
    """At most once more at once; then it is no connection, or one that was lost, and nothing was ever sealed away."""

    async def play(connection: Any) -> None:
        connection.reset()

    async with bench.before(play) as (wire, registry):
        for _ in range(20):
            before = wire.connections
            with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
                await bench.upload(registry)
            assert raised.value.failure.kind in (FailureKind.NO_CONNECTION, FailureKind.CUT)
            await bench.until(lambda: wire.connections > before)  # noqa: B023
            assert wire.connections - before <= 2


async def test_the_first_byte_is_told(bench: Any) -> None:
    """Once for an upload that left; never for one that could not."""
    told: list[int] = []
    async with bench.replying(bench.answer(202, bench.inserted(5))) as (_, registry):
        form = bench.form()
        await registry.send_small("models/upload", form, b"x", on_first_byte=lambda: told.append(1))
    assert told == [1]
    async with bench.registry("http://127.0.0.1:1") as registry:
        with pytest.raises(CallFailed):
            await registry.send_small("models/upload", form, b"x", on_first_byte=lambda: told.append(2))
    assert told == [1]


async def test_a_small_upload_that_is_reset_after_its_bytes_left_stays_in_doubt(bench: Any) -> None:
    """Its bytes may have been read, whatever the connection served before."""

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(bench.answer(body={}))
        await connection.request()
        connection.reset()

    async with bench.before(play) as (wire, registry):
        await registry.config()
        with pytest.raises(CallFailed) as raised:
            await bench.upload(registry)
        assert upload_verdict(raised.value.failure, sealed=True) is Verdict.IN_DOUBT
        assert wire.connections == 1


@pytest.mark.parametrize("status", [403, 413, 503])
async def test_after_a_refusal_in_mid_body_the_next_request_has_a_connection_of_its_own(
    bench: Any, status: int
) -> None:
    """Else it would be read as the rest of the body that never came; likewise where the body was not begun at all."""

    async def play(connection: Any) -> None:
        head = await connection.head(leave=connection.wire.connections > 1)
        if connection.wire.connections > 2:
            await connection.reader.readexactly(int(head.headers["content-length"]))
            await connection.send(bench.answer(202, bench.inserted(7)))
        else:
            if connection.wire.connections == 2:
                await connection.reader.readexactly(1000)
            await connection.send(bench.answer(status, {"msg": "no", "code": status}))
        await anyio.sleep_forever()

    async with bench.before(play) as (wire, registry):
        for _ in range(2):
            with pytest.raises(CallFailed) as raised:
                await CALLS["upload in pieces"](registry, bench)
            assert raised.value.failure.status == status
        assert await bench.upload(registry) == 7
        assert wire.connections == 3

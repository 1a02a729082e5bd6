"""Proxies: asked for everything without TLS, asked to CONNECT with it; their password is theirs alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest

from bulkload.core.model.settings import Connection
from bulkload.core.verdicts import CallFailed, FailureKind
from tests.registry.test_one_request import CALLS

pytestmark = pytest.mark.anyio

ME = "//me:p%40ss@"
SENT = "Basic bWU6cEBzcw=="


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The command line runs on uvloop, whose transports are its own."""
    return "asyncio", {"use_uvloop": request.param}


class Proxy:
    """Lets through whoever has the password; ``heads`` are those of CONNECT."""

    def __init__(self) -> None:
        self.heads: list[Any] = []
        # What is sent before, or instead of, the way through.
        self.before = b""
        self.leads_to = 0
        self.says = b"HTTP/1.1 200 Connection established\r\n\r\n"

    async def __call__(self, connection: Any) -> None:
        """One connection."""
        head = await connection.head()
        self.heads.append(head)
        await connection.send(self.before + self.says)
        if b" 200 " not in self.says:
            return
        assert head.path == "registry.invalid:443"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.leads_to)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_pass_on, connection.reader, writer)
            tasks.start_soon(_pass_on, reader, connection.writer)


async def _pass_on(reader: Any, writer: Any) -> None:
    try:
        with suppress(ConnectionError):
            while piece := await reader.read(1 << 16):
                writer.write(piece)
                await writer.drain()
    finally:
        writer.close()


@asynccontextmanager
async def tunnel(bench: Any, certificates: Any, play: Any) -> AsyncIterator[tuple[Any, Any, Proxy]]:
    """A registry by TLS that is reached by no other way than a proxy: its name leads nowhere."""
    proxy = Proxy()
    key, file = certificates.make("invalid", "-addext", "subjectAltName=DNS:registry.invalid")
    async with bench.playing(play, tls=certificates.server(key, file)) as wire, bench.playing(proxy) as door:
        proxy.leads_to = int(wire.endpoint.rpartition(":")[2])
        connection = Connection(ca_file=file, proxies={"https": door.endpoint.replace("//", ME)})
        async with bench.registry("https://registry.invalid", connection=connection) as registry:
            yield wire, registry, proxy


async def test_tls_goes_through_a_proxy(bench: Any, certificates: Any) -> None:
    """One CONNECT for many requests, with the proxy's password; the registry never sees that."""

    async def play(connection: Any) -> None:
        while True:
            request = await connection.request()
            length = len(request.body)
            await connection.send(bench.answer(202, {"models": [], "workspaces": [], **bench.inserted(length)}))

    async with tunnel(bench, certificates, play) as (wire, registry, proxy):
        await registry.workspaces()
        form = bench.form()
        for _ in range(3):
            assert await bench.upload(registry) == form.content_length(5)
            assert await CALLS["upload in pieces"](registry, bench) == form.content_length(8 << 20)
            assert [some async for some in registry.list_workspace(1)] == []
    assert len(proxy.heads) == wire.connections == 1
    assert proxy.heads[0].method == "CONNECT"
    assert proxy.heads[0].headers["proxy-authorization"] == SENT
    assert "authorization" not in proxy.heads[0].headers
    for request in wire.requests:
        assert not [name for name in request.headers if name.startswith("proxy")]
        assert request.path.startswith("/v1/api/")
        assert request.headers["authorization"] == f"Bearer {bench.token}"


@pytest.mark.parametrize(
    "says",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
)
async def test_a_proxy_that_lets_nobody_through_is_told_as_such(bench: Any, certificates: Any, says: bytes) -> None:
    """Whatever it says; nothing is sent."""

    async def play(connection: Any) -> None:
        await connection.request()

    async with tunnel(bench, certificates, play) as (wire, registry, proxy):
        proxy.says = says
        with anyio.fail_after(60), pytest.raises(CallFailed):
            await bench.upload(registry)
        assert wire.requests == []


async def test_a_proxy_may_say_more_before(bench: Any, certificates: Any) -> None:
    """Interim answers to CONNECT are no answers."""

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(bench.answer(202, bench.inserted(5)))

    async with tunnel(bench, certificates, play) as (_, registry, proxy):
        proxy.before = b"HTTP/1.1 103 Early Hints\r\n\r\n"
        assert await bench.upload(registry) == 5


async def test_many_at_once_through_a_proxy_each_carry_its_password(bench: Any) -> None:
    """Without TLS it is in every head, also on connections that served before."""

    async def play(connection: Any) -> None:
        while True:
            await connection.request()
            await connection.send(bench.answer(202, bench.inserted(5)))

    async with bench.playing(play) as wire:
        connection = Connection(proxies={"http": wire.endpoint.replace("//", ME)}, insecure_http=True)
        async with (
            bench.registry("http://registry.invalid/base", connection=connection) as registry,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(3):
                tasks.start_soon(bench.upload, registry)
            await CALLS["upload in pieces"](registry, bench)
        assert len(wire.requests) == 4
        for request in wire.requests:
            assert request.path == "http://registry.invalid/base/v1/api/" + request.path.partition("/v1/api/")[2]
            assert request.headers["host"] == "registry.invalid"
            assert request.headers["proxy-authorization"] == SENT


async def test_a_connection_through_a_proxy_that_closed_while_idle_costs_another(bench: Any, certificates: Any) -> None:
    """It is known before a byte leaves."""
    closed = 0

    async def play(connection: Any) -> None:
        nonlocal closed
        await connection.request()
        await connection.send(bench.answer(202, bench.inserted(5)))
        closed += 1

    async with tunnel(bench, certificates, play) as (wire, registry, proxy):
        for number in range(3):
            assert await bench.upload(registry) == 5
            await bench.until(lambda: closed == number + 1)  # noqa: B023
            # The proxy passes it on.
            await anyio.sleep(0.05)
        assert len(proxy.heads) == wire.connections == 3


async def test_no_proxy_at_all(bench: Any) -> None:
    """It is the proxy that is not there."""
    connection = Connection(proxies={"https": "http://127.0.0.1:1"})
    async with bench.registry("https://registry.invalid", connection=connection) as registry:
        with pytest.raises(CallFailed, match="no connection to the proxy") as raised:
            await bench.upload(registry)
        assert raised.value.failure.kind is FailureKind.NO_CONNECTION

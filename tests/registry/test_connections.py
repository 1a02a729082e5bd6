"""Connections: whose fault it is when there is none, and what they keep to themselves."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from bulkload.core.verdicts import CallFailed, FailureKind, Verdict, upload_verdict

pytestmark = pytest.mark.anyio


async def no_connection(bench: Any, endpoint: str, **options: Any) -> str:
    """The message of an upload that never left."""
    async with bench.registry(endpoint, **options) as registry:
        with anyio.fail_after(20), pytest.raises(CallFailed) as raised:
            await bench.upload(registry)
    failure = raised.value.failure
    assert failure.kind is FailureKind.NO_CONNECTION
    assert upload_verdict(failure, sealed=True) is Verdict.NOT_ACCEPTED
    return str(failure.message)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port where nobody listens, and nobody else can as long as the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


async def test_a_refused_port(bench: Any, closed_port: int) -> None:
    """Named, with the system's word for it."""
    message = await no_connection(bench, f"http://127.0.0.1:{closed_port}")
    assert message == f"no connection to 127.0.0.1:{closed_port}: Connection refused"


async def test_an_unknown_host(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the name that is wrong. (The name never leaves this machine: no test depends on a name server.)"""

    async def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", unknown)
    assert await no_connection(bench, "http://registry.invalid") == "the host name registry.invalid is not known"


async def test_a_name_server_that_does_not_answer(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking a name up counts as connecting."""

    async def silent(*_: Any, **__: Any) -> Any:
        await anyio.sleep(0.3)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", silent)
    assert await no_connection(bench, "http://registry.invalid", connect_timeout=0.05) == "none within 0.05 s"
    # The library's own lookup goes on for a moment; it must be over before the loop is.
    await anyio.sleep(0.4)


async def test_a_host_that_does_not_answer(bench: Any) -> None:
    """A port whose queue is full takes no connection and refuses none."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        try:
            for connection in waiting:
                connection.setblocking(False)
                connection.connect_ex(("127.0.0.1", port))
            message = await no_connection(bench, f"http://127.0.0.1:{port}", connect_timeout=0.1)
        finally:
            for connection in waiting:
                connection.close()
    assert message == "none within 0.1 s"


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """A server's side with a certificate that nobody vouches for."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl command to make a certificate with")
    key, chain = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(chain)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


async def test_a_certificate_that_nobody_vouches_for(bench: Any, certificate: ssl.SSLContext) -> None:
    """Nothing is sent, and the message says what is wrong with it."""
    async with bench.playing(lambda connection: connection.request(), tls=certificate) as wire:
        message = await no_connection(bench, wire.endpoint)
    assert message == "no trusted TLS connection to 127.0.0.1: self-signed certificate"
    assert wire.requests == []


async def test_a_trusted_certificate(
    bench: Any, certificate: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large bodies pass through TLS, and a stalled one is cut."""

    async def play(connection: Any) -> None:
        received = await connection.request()
        await connection.send(bench.answer(202, bench.inserted(len(received.body))))
        await connection.head()
        await anyio.sleep_forever()

    context = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
    # aiohttp makes its context once a process, when it is imported: SSL_CERT_FILE would come too late here.
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", context)
    form, piece = bench.form(), b"x" * (1 << 20)

    async def pieces() -> AsyncGenerator[bytes]:
        yield form.head
        for _ in range(24):
            yield piece
        yield form.tail

    async with (
        bench.playing(play, tls=certificate) as wire,
        bench.registry(wire.endpoint, progress_timeout=0.2) as registry,
    ):
        length = form.content_length(24 << 20)
        assert await registry.upload("models/upload", form, 24 << 20, pieces()) == length
        with anyio.fail_after(10), pytest.raises(CallFailed, match="nothing moved"):
            await registry.upload("models/upload", form, 24 << 20, pieces())


async def test_no_tls_where_tls_is_asked_for(bench: Any) -> None:
    """http:// was meant."""

    async def play(connection: Any) -> None:
        await connection.reader.read(100)
        await connection.send(bench.answer(400))

    async with bench.playing(play) as wire:
        message = await no_connection(bench, wire.endpoint.replace("http:", "https:"))
    assert "does not speak TLS; is its address http://127.0.0.1:" in message


async def test_cookies_are_not_kept(bench: Any) -> None:
    """A load balancer's would tie all uploads to one server."""

    async def play(connection: Any) -> None:
        while True:
            await connection.request()
            await connection.send(bench.answer(body={}, set_cookie="server=3; Path=/"))

    # By name: the library keeps no cookies of bare addresses anyway.
    async with (
        bench.playing(play) as wire,
        bench.registry(wire.endpoint.replace("127.0.0.1", "localhost")) as registry,
    ):
        await registry.config()
        await registry.config()
    assert len(wire.requests) == 2
    assert not [request for request in wire.requests if "cookie" in request.headers]


async def test_netrc_is_not_read(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its password is not for the registry, and has no place beside a token."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with bench.replying(bench.answer(body={"workspaces": []})) as (wire, registry):
        await registry.config()
        await registry.workspaces()
    assert "authorization" not in wire.requests[0].headers
    assert wire.requests[1].headers["authorization"] == f"Bearer {bench.token}"


async def test_a_connection_is_used_again(bench: Any) -> None:
    """Also after uploads in pieces and refusals: a new one for each would be dear with TLS."""
    async with bench.replying(bench.answer(202, bench.inserted()), bench.answer(404), bench.answer(body={})) as (
        wire,
        registry,
    ):
        form = bench.form()

        async def pieces() -> AsyncGenerator[bytes]:
            yield form.head
            yield b"x" * 1_000_000
            yield form.tail

        await registry.upload("models/upload", form, 1_000_000, pieces())
        with pytest.raises(CallFailed):
            await registry.version(1)
        await registry.config()
        assert wire.connections == 1


async def test_an_aiohttp_that_sends_twice_is_too_old() -> None:
    """Before 3.14.4 it could send the remainder of a file again and report success."""
    version = tuple(int(part) for part in aiohttp.__version__.split(".")[:3])
    assert version >= (3, 14, 4)

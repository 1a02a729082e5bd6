"""Connections: whose fault it is when there is none, and what they keep to themselves."""

import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from bulkload.core.model.errors import UsageError
from bulkload.core.model.settings import Connection
from bulkload.core.verdicts import CallFailed, FailureKind, Verdict, upload_verdict
from bulkload.registry.http.exchange import Limits
from bulkload.registry.http.failures import loss
from tests.registry.certificates import Certificates

pytestmark = pytest.mark.anyio

# Lets a token go to another machine without TLS, as --insecure-http does.
IN_CLEAR = Connection(insecure_http=True)


async def no_connection(bench: Any, endpoint: str, **options: Any) -> str:
    """The message of an upload that never left."""
    async with bench.registry(endpoint, **options) as registry:
        with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
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
    assert message.startswith(f"no connection to 127.0.0.1:{closed_port}: Connection refused; check host and port")


async def test_an_unknown_host(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the name that is wrong. (The name never leaves this machine: no test depends on a name server.)"""

    async def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", unknown)
    message = await no_connection(bench, "http://registry.invalid", connection=IN_CLEAR)
    assert message.startswith("the host name registry.invalid is not known; check its spelling")


async def test_a_name_server_that_does_not_answer(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking a name up counts as connecting."""

    async def silent(*_: Any, **__: Any) -> Any:
        await anyio.sleep(0.3)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", silent)
    message = await no_connection(bench, "http://registry.invalid", connection=IN_CLEAR, connect_timeout=0.05)
    assert message.startswith("no connection within 0.05 s")
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
    assert message.startswith("no connection within 0.1 s")


async def test_a_certificate_that_nobody_vouches_for(bench: Any, certificates: Certificates) -> None:
    """Nothing is sent, and the message says what is wrong with it and what to do."""
    async with bench.playing(lambda connection: connection.request(), tls=certificates.server()) as wire:
        message = await no_connection(bench, wire.endpoint)
    assert message.startswith("no trusted TLS connection to 127.0.0.1: self-signed certificate;")
    assert message.endswith("with --ca-file")
    assert wire.requests == []


async def test_a_certificate_for_another_name(bench: Any, certificates: Certificates) -> None:
    """Trusted, but not for this address."""
    key, file = certificates.make("other", "-addext", "subjectAltName=DNS:registry.example.com")
    async with bench.playing(lambda connection: connection.request(), tls=certificates.server(key, file)) as wire:
        message = await no_connection(bench, wire.endpoint, connection=Connection(ca_file=file))
    assert "mismatch" in message
    assert message.endswith("give the name that stands in its certificate as the endpoint")


async def test_a_certificate_that_has_run_out(bench: Any, certificates: Certificates) -> None:
    """Its operator's fault, or this machine's clock's."""
    key, file = certificates.run_out()
    async with bench.playing(lambda connection: connection.request(), tls=certificates.server(key, file)) as wire:
        message = await no_connection(bench, wire.endpoint, connection=Connection(ca_file=file))
    assert "its operator must renew it" in message


async def test_a_trusted_certificate(bench: Any, certificates: Certificates) -> None:
    """Large bodies pass through TLS, and a stalled one is cut."""

    async def play(connection: Any) -> None:
        received = await connection.request()
        await connection.send(bench.answer(202, bench.inserted(len(received.body))))
        await connection.head()
        await anyio.sleep_forever()

    connection = Connection(ca_file=certificates.file)
    async with (
        bench.playing(play, tls=certificates.server()) as wire,
        bench.registry(wire.endpoint, connection=connection, progress_timeout=0.2) as registry,
    ):
        assert await bench.push(registry, 24 << 20) == bench.form().content_length(24 << 20)
        with anyio.fail_after(60), pytest.raises(CallFailed, match="nothing moved"):
            await bench.push(registry, 24 << 20)


async def test_a_client_certificate(bench: Any, certificates: Certificates) -> None:
    """Where the registry wants one, it is shown; without it, the message says which flag."""

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(bench.answer(body={"workspaces": []}))

    key, file = certificates.make("me")
    context = certificates.server()
    context.load_verify_locations(file)
    context.verify_mode = ssl.CERT_REQUIRED
    # TLS 1.3 says so after the handshake, when a reset may be quicker.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    trusting = Connection(ca_file=certificates.file)
    async with bench.playing(play, tls=context) as wire:
        async with bench.registry(
            wire.endpoint, connection=replace(trusting, client_cert=file, client_key=key)
        ) as registry:
            assert await registry.workspaces() == []
        assert "--client-cert" in await no_connection(bench, wire.endpoint, connection=trusting)
        assert len(wire.requests) == 1


async def test_a_client_certificate_that_tls_1_3_misses() -> None:
    """Said after the handshake: still nothing of the request was looked at."""
    error = aiohttp.ClientOSError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")
    failure = loss("config", error, Limits(1.0, None))
    assert failure.kind is FailureKind.NO_CONNECTION
    assert "--client-cert" in failure.message


async def test_files_that_are_no_certificates_are_named(bench: Any, certificates: Certificates, tmp_path: Path) -> None:
    """Missing, no PEM, a key with a password (nobody is asked for it), another one's key, a pipe that nobody fills."""
    locked, file = certificates.make("locked", "-passout", "pass:secret")
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    pipe = tmp_path / "pipe.pem"
    os.mkfifo(pipe)
    wrong = {
        "pipe.pem": Connection(ca_file=pipe),
        "pipe.pem: ": Connection(client_cert=pipe, client_key=certificates.key),
        "pipe.pem: is": Connection(client_cert=file, client_key=pipe),
        "none.pem": Connection(ca_file=tmp_path / "none.pem"),
        "junk.pem": Connection(ca_file=junk),
        "locked-key.pem": Connection(client_cert=file, client_key=locked),
        "server-key.pem": Connection(client_cert=file, client_key=certificates.key),
        "--client-cert": Connection(client_key=certificates.key),
    }
    for name, connection in wrong.items():
        with pytest.raises(UsageError) as raised:
            async with bench.registry("https://registry.invalid", connection=connection):
                pass
        assert name in str(raised.value)
    # Nothing of it concerns a registry without TLS.
    async with bench.registry("http://registry.invalid", connection=Connection(ca_file=junk)):
        pass


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
        await bench.push(registry, 1_000_000)
        with pytest.raises(CallFailed):
            await registry.version(1)
        await registry.config()
        assert wire.connections == 1


async def test_an_aiohttp_that_sends_twice_is_too_old() -> None:
    """Before 3.14.4 it could send the remainder of a file again and report success."""
    version = tuple(int(part) for part in aiohttp.__version__.split(".")[:3])
    assert version >= (3, 14, 4)

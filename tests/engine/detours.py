"""Requests that go where no registry is: a registry some of whose calls go elsewhere, and a loop of such connections.

A registry's own requests for a token go through none of its calls, so these are led astray where they connect.
"""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from bulkload.core.model.records import RegistryVersion
from bulkload.registry import Registry
from bulkload.registry.upload import Upload

CALLS = {
    "/models/upload": "upload",
    "/get_version_by_id": "poll",
    "/models/list": "list",
    "/openid-connect/token": "token",
}


def call_of(path: str) -> str:
    """The kind of call, as the sandbox's faults name it."""
    return next((call for part, call in CALLS.items() if part in path), "other")


@dataclass
class Detour:
    """Requests of one call that go to an address where no registry is; all others find theirs."""

    call: str
    address: str
    times: int
    # Requests that go right before.
    after: int = 0
    seen: int = 0

    def takes(self, call: str) -> bool:
        """Whether this request goes there."""
        if call != self.call:
            return False
        self.seen += 1
        return self.after < self.seen <= self.after + self.times

    @property
    def taken(self) -> int:
        """How many went there."""
        return max(0, min(self.seen - self.after, self.times))


class AstrayRegistry(Registry):
    """A registry some of whose calls go elsewhere."""

    def __init__(self, endpoint: str, *words: Any, detour: Detour, **timeouts: Any) -> None:
        super().__init__(endpoint, *words, **timeouts)
        self._detour = detour
        self._elsewhere = Registry(detour.address, *words, **timeouts)

    async def __aenter__(self) -> Self:
        await self._elsewhere.__aenter__()
        return await super().__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        await self._elsewhere.__aexit__()

    @property
    def requests(self) -> Counter[str]:
        return super().requests + self._elsewhere.requests

    async def send_small(self, *words: Any, **options: Any) -> int:
        if self._detour.takes("upload"):
            return await self._elsewhere.send_small(*words, **options)
        return await super().send_small(*words, **options)

    def uploading(self, *words: Any) -> Upload:
        if self._detour.takes("upload"):
            return self._elsewhere.uploading(*words)
        return super().uploading(*words)

    async def version(self, version_id: int) -> RegistryVersion:
        if self._detour.takes("poll"):
            return await self._elsewhere.version(version_id)
        return await super().version(version_id)

    def list_workspace(self, workspace_id: int) -> AsyncGenerator[list[RegistryVersion]]:
        if self._detour.takes("list"):
            return self._elsewhere.list_workspace(workspace_id)
        return super().list_workspace(workspace_id)

    async def list_versions_for_model(self, name: str, workspace_id: int) -> list[RegistryVersion]:
        if self._detour.takes("list"):
            return await self._elsewhere.list_versions_for_model(name, workspace_id)
        return await super().list_versions_for_model(name, workspace_id)


class DetouringLoop(asyncio.SelectorEventLoop):
    """An event loop whose name server does not know ``.invalid``, and some of whose connections go elsewhere."""

    # A port, and what takes connections to it to the port of its address.
    detour: tuple[int, Detour] | None = None

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """No test depends on a real name server."""
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return await super().getaddrinfo(host, port, **options)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        if self.detour is not None and address[1] == self.detour[0] and self.detour[1].takes("token"):
            address = (address[0], int(self.detour[1].address.rpartition(":")[2]))
        await super().sock_connect(sock, address)


@contextmanager
def token_requests_go_to(port: int, detour: Detour) -> Iterator[None]:
    """Some of the connections to a port are led astray; each token request makes one."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, DetouringLoop)
    loop.detour = (port, detour)
    try:
        yield
    finally:
        loop.detour = None


# Addresses with a fault.


@dataclass(frozen=True)
class Certificate:
    """A server's side, and the file by which it is vouched for."""

    context: ssl.SSLContext
    chain: Path

    @classmethod
    def made_in(cls, folder: Path) -> Self:
        """A new one, for 127.0.0.1."""
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("there is no openssl command to make a certificate with")
        key, chain = folder / "key.pem", folder / "certificate.pem"
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run([*command, "-keyout", str(key), "-out", str(chain)], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        return cls(context, chain)


@asynccontextmanager
async def served(answer: Any, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    """The port of a server that answers each connection so."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def listening(tls: ssl.SSLContext | None) -> Any:
    """A server that is no registry."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    return served(answer, tls)


def in_front_of(port: int, tls: ssl.SSLContext) -> Any:
    """A server that speaks TLS for one that does not, and closes each connection when it was answered."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        try:
            for source, target in ((reader, to_server), (from_server, writer)):
                head = await source.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                target.write(head + await source.readexactly(int(lengths[0].partition(b":")[2])))
                await target.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # whoever came has gone
        finally:
            to_server.close()
            writer.close()

    return served(answer, tls)


@contextmanager
def held_port(*, queue_full: bool) -> Iterator[int]:
    """A port where nobody listens and nobody else can; or one that takes no connection and refuses none."""
    with ExitStack() as stack:
        held = stack.enter_context(socket.socket())
        held.bind(("127.0.0.1", 0))
        if queue_full:
            held.listen(0)
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(held.getsockname())
        yield held.getsockname()[1]


@asynccontextmanager
async def unreachable(fault: str, stranger: Certificate) -> AsyncIterator[str]:
    """An address that has the fault."""
    if fault == "unknown host":
        # No token goes to another machine without encryption.
        yield "https://registry.invalid"
    elif fault == "untrusted certificate":
        async with listening(stranger.context) as port:
            yield f"https://127.0.0.1:{port}"
    elif fault == "TLS to plain HTTP":
        async with listening(None) as port:
            yield f"https://127.0.0.1:{port}"
    else:
        with held_port(queue_full=fault == "connect timeout") as port:
            yield f"http://127.0.0.1:{port}"

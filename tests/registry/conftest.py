"""A registry client before a real sandbox, and before a server that plays exact bytes."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bulkload.core.model import settings
from bulkload.core.model.records import Conversion, Entry
from bulkload.core.model.settings import Credentials
from bulkload.registry import Registry
from bulkload.registry.form import Form, upload_form, upload_metadata
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.registry.certificates import Certificates

CONVERT = "models/upload_and_convert"
TOKEN = "a-secret-token"
# Far more than anything takes, on whatever machine.
LONGEST_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Received:
    """A request as its bytes came in; ``body`` is shorter than announced where the client went away."""

    method: str
    path: str
    # Lower-case names.
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


@dataclass
class Connection:
    """The server's side of one connection."""

    wire: "Wire"
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self, *, leave: bool = True) -> Received:
        """Wait for a request's head; its body is left unread. ``leave``: as a server does that is about to read it."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
        received = Received(method, path, headers, b"")
        self.wire.requests.append(received)
        if leave and headers.get("expect") == "100-continue":
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return received

    async def request(self) -> Received:
        """Wait for a whole request, or for what comes of it."""
        head = await self.head()
        try:
            body = await self.reader.readexactly(int(head.headers.get("content-length", "0")))
        except asyncio.IncompleteReadError as cut:
            body = cut.partial
        self.wire.requests[-1] = received = Received(head.method, head.path, head.headers, body)
        return received

    async def send(self, *pieces: bytes) -> None:
        """Send these bytes."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    def reset(self) -> None:
        """Break off with a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


Play = Callable[[Connection], Awaitable[None]]


@dataclass
class Wire:
    """A TCP server: ``play`` is called for each connection, which ends when it returns."""

    play: Play
    endpoint: str = ""
    requests: list[Received] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play for one connection."""
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await self.play(Connection(self, reader, writer))
        with suppress(ConnectionError, ssl.SSLError):
            writer.close()
            await writer.wait_closed()


def answer(
    status: int = 200,
    body: bytes | dict[str, Any] | list[Any] = b"",
    content_type: str = "application/json",
    length: int | None = None,
    **headers: str,
) -> bytes:
    """A whole HTTP answer; ``retry_after="5"`` is a header; ``length`` other than the body's makes it a lie."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content) if length is None else length}"]
    lines += [f"Content-Type: {content_type}"] if content_type else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def inserted(version_id: int = 1216) -> dict[str, Any]:
    """The body of an upload's answer."""
    return {"insert_models": {"returning": [{"models": [{"id": version_id}]}]}}


@asynccontextmanager
async def playing(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """A server on a free port of the loopback address; at the end nothing of it is left."""
    wire = Wire(play)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await wire.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20, ssl=tls)
    wire.endpoint = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


class Bench:
    """What the tests of this folder build with."""

    answer = staticmethod(answer)
    inserted = staticmethod(inserted)
    convert = CONVERT
    token = TOKEN

    def __init__(self, certificates: Certificates | None = None) -> None:
        """``certificates``: its servers speak TLS with them, and its clients trust them."""
        self.tls = None if certificates is None else certificates.server()
        self._trusting = settings.Connection() if certificates is None else certificates.trusted

    def playing(self, play: Play, tls: ssl.SSLContext | None = None) -> AbstractAsyncContextManager[Wire]:
        """A server on a free port of the loopback address; at the end nothing of it is left."""
        return playing(play, tls or self.tls)

    def registry(self, endpoint: str, **options: Any) -> Registry:
        """A client; options are those of ``Registry``, and ``credentials``."""
        options.setdefault("connection", self._trusting)
        return Registry(endpoint, options.pop("credentials", Credentials(token=TOKEN)), **options)

    @asynccontextmanager
    async def replying(self, *answers: bytes, **options: Any) -> AsyncIterator[tuple[Wire, Registry]]:
        """A server that gives one answer after the other, the last one for ever, and a client before it."""
        left = list(answers)

        async def play(connection: Connection) -> None:
            while True:
                await connection.request()
                await connection.send(left.pop(0) if len(left) > 1 else left[0])

        async with self.before(play, **options) as (wire, registry):
            yield wire, registry

    @asynccontextmanager
    async def before(self, play: Play, **options: Any) -> AsyncIterator[tuple[Wire, Registry]]:
        """A server that plays ``play`` for each connection, and a client before it."""
        async with self.playing(play) as wire, self.registry(wire.endpoint, **options) as registry:
            yield wire, registry

    @staticmethod
    def entry(framework: str = "onnx", name: str = "m", **fields: Any) -> Entry:
        """An entry; fields of ``Conversion`` are sorted into it."""
        conversion = {key: fields.pop(key) for key in Conversion.__struct_fields__ if key in fields}
        return Entry(
            line=1,
            name=name,
            path="model.onnx",
            source="/models/model.onnx",
            conversion=Conversion(framework=framework, **conversion),
            **fields,
        )

    def form(self, workspace_id: int = 1, file_name: str = "model.onnx", **fields: Any) -> Form:
        """A form; fields are those of ``entry``."""
        return upload_form(upload_metadata(self.entry(**fields), workspace_id), file_name)

    async def upload(self, registry: Registry, content: bytes = b"bytes", call: str = CONVERT, **fields: Any) -> int:
        """Upload a small file; fields are those of ``form``."""
        form = self.form(**fields)
        return await registry.send_small(call, form, content)

    async def push(self, registry: Registry, size: int, *, form: Form | None = None) -> int:
        """Upload a file of ``size`` bytes, a mebibyte at a time."""
        async with registry.uploading(CONVERT, form or self.form(), size) as upload:
            for start in range(0, size, 1 << 20):
                await upload.write(b"x" * min(1 << 20, size - start))
            return await upload.finish()

    @staticmethod
    async def until(holds: Callable[[], bool]) -> None:
        """Wait for something that happens on the server's side."""
        async with asyncio.timeout(LONGEST_WAIT_SECONDS):
            while not holds():  # noqa: ASYNC110 - nothing tells when a server has done something
                await asyncio.sleep(0.002)


@pytest.fixture
def bench() -> Bench:
    """What to build with."""
    return Bench()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Made once: it takes a while."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["http", "https"])
def either_bench(request: pytest.FixtureRequest) -> Bench:
    """The same without and with TLS."""
    return Bench(request.getfixturevalue("certificates") if request.param == "https" else None)


Starter = Callable[..., AbstractAsyncContextManager[tuple[Sandbox, Registry]]]


@pytest.fixture
def start(tmp_path: Path) -> Starter:
    """Start a sandbox and a client: ``async with start(faults=("upload:503@1",)) as (sandbox, registry)``."""

    @asynccontextmanager
    async def running(answer_timeout: float = 20.0, **settings: Any) -> AsyncIterator[tuple[Sandbox, Registry]]:
        defaults: dict[str, Any] = {"data": tmp_path / "data", "time_scale": 0.0}
        async with (
            Sandbox(SandboxSettings(**defaults | settings)) as sandbox,
            Registry(sandbox.endpoint, Credentials(token=sandbox.token), answer_timeout=answer_timeout) as registry,
        ):
            yield sandbox, registry

    return running

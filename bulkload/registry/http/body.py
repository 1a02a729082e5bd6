"""Bodies on their way out: begun on a live connection, an upload's watched for progress and broken off for good."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress

import aiohttp
import anyio
from aiohttp.abc import AbstractStreamWriter

from bulkload.core.verdicts import CallFailed, Failure, FailureKind
from bulkload.registry.http.connections import is_quiet

# How often progress is looked at within the time that it may take.
CHECKS = 4
# The pool hands out none that it knows to be dead. One may die in the moment before the first byte, hardly two.
CONNECTIONS_TRIED = 2


class NothingSent(aiohttp.ClientConnectionError):
    """No byte of the request was handed to a socket."""


class Unsent:
    """What of a request's body tells whether anything was handed to the socket."""

    # The connection was gone, or not fit for a request, just before the first byte.
    is_stale = False

    async def send(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Middleware: a request of which nothing was handed to the socket goes by another connection, at once."""
        for _ in range(CONNECTIONS_TRIED):
            self.is_stale = False
            try:
                response = await handler(request)
            except aiohttp.ClientError:
                if not self.is_stale:
                    raise
            else:
                if not self.is_stale:
                    return response
                # It was there before the question.
                response.close()
        raise NothingSent("the connection was closed before anything could be sent")

    def begin(self, writer: AbstractStreamWriter) -> None:
        """The first byte is about to be handed over. Raises ``NothingSent`` where it would be lost."""
        if not is_quiet(writer.transport):
            self.is_stale = True
            raise NothingSent


class JsonBody(aiohttp.BytesPayload, Unsent):
    """A question."""

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write it. aiohttp calls this."""
        self.begin(writer)
        await super().write_with_length(writer, content_length)


class UploadBody(aiohttp.Payload, Unsent):
    """The whole form, or its pieces.

    The upload is cut when the registry takes nothing for ``progress_timeout`` seconds. Time that the pieces themselves
    take (reading, pacing, the seal's commit) does not count.
    """

    def __init__(
        self,
        content: bytes | AsyncIterator[bytes],
        length: int,
        *,
        call: str,
        progress_timeout: float,
        answer_timeout: float,
        on_first_byte: Callable[[], None],
    ) -> None:
        """``answer_timeout``: seconds for the whole answer, from the last byte. ``on_first_byte``: it leaves now."""
        super().__init__(content)
        # Why this side broke the upload off: what the iterator raised, or that nothing moved.
        self.broken_by: Exception | None = None
        # Its answer was not whole in time.
        self.unanswered: CallFailed | None = None
        # Bytes that were announced and have not been handed to the transport.
        self.unsent = length
        # It comes in pieces: what is sent before a refusal is lost time.
        self.is_large = not isinstance(content, bytes)
        # The head went ahead, to ask for leave.
        self.follows_head = False
        self._call = call
        self._content = content
        self._progress_timeout = progress_timeout
        self._answer_timeout = answer_timeout
        self._on_first_byte = on_first_byte
        self._patience: asyncio.TimerHandle | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._is_written = False
        # Whoever waits for that.
        self._settling: asyncio.Future[None] | None = None

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body. aiohttp calls this, in a task of its own."""
        if not self.follows_head:
            self.begin(writer)
        self._on_first_byte()
        self._transport = writer.transport
        try:
            if isinstance(self._content, bytes):
                await self._hand_over(writer, self._content)
            else:
                await self._write_pieces(writer, self._content)
            if self.unsent:
                raise self._broken(ValueError(f"the body ends {self.unsent} bytes before its announced length"))
            self._patience = asyncio.get_running_loop().call_later(self._answer_timeout, self._unanswered)
        except BaseException:
            # The rest must not leave: what the transport still holds could make a version that nobody waits for.
            if self._transport is not None:
                self._transport.abort()
            raise
        finally:
            self._is_written = True
            if self._settling is not None and not self._settling.done():
                self._settling.set_result(None)

    async def settle(self) -> None:
        """Wait until nothing of this body runs any more: afterwards the iterator is closed and no byte leaves."""
        if self._patience is not None:
            self._patience.cancel()
        if self._transport is None:
            # Not begun: refused before the body, or without a connection.
            if isinstance(self._content, AsyncGenerator):
                await self._content.aclose()
            return
        if not self._is_written:
            self._settling = asyncio.get_running_loop().create_future()
            with anyio.CancelScope(shield=True):
                await self._settling
        # A closing transport first sends what it holds, however long that takes. One that is not closing may serve
        # another request by now.
        if self._transport.is_closing():
            self._transport.abort()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Not for a body that may be gigabytes and can be read only once."""
        raise TypeError(f"an upload's body is bytes, not {encoding} ({errors})")

    async def _write_pieces(self, writer: AbstractStreamWriter, pieces: AsyncIterator[bytes]) -> None:
        try:
            while (piece := await self._next(pieces)) is not None:
                await self._hand_over(writer, piece)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        try:
            return await anext(pieces)
        except StopAsyncIteration:
            return None
        except Exception as error:  # noqa: BLE001 - whatever it is, it comes out of the upload as it is
            raise self._broken(error) from None

    async def _hand_over(self, writer: AbstractStreamWriter, piece: bytes) -> None:
        """Give the transport a piece and wait until it has room for another one."""
        if len(piece) > self.unsent:
            raise self._broken(ValueError(f"the body is {len(piece) - self.unsent} bytes longer than announced"))
        self.unsent -= len(piece)
        watch = _Watch(writer.transport, self._progress_timeout, self._stalled)
        try:
            await writer.write(piece)
        finally:
            watch.end()
        if self.broken_by is not None:
            raise self.broken_by

    def _stalled(self) -> None:
        self._broken(_cut(self._call, f"nothing moved for {self._progress_timeout:g} s"))

    def _unanswered(self) -> None:
        self.unanswered = _cut(self._call, f"no whole answer within {self._answer_timeout:g} s")
        if self._transport is not None:
            self._transport.abort()

    def _broken(self, error: Exception) -> Exception:
        self.broken_by = error
        return error


def _cut(call: str, words: str) -> CallFailed:
    return CallFailed(Failure(call=call, kind=FailureKind.CUT, message=words))


class _Watch:
    """Aborts a transport that moves nothing for a while; whoever waits for room in it then waits no more.

    A timer, because aiohttp's wait for room cannot be cancelled and taken up again.
    """

    def __init__(self, transport: asyncio.WriteTransport | None, seconds: float, stalled: Callable[[], None]) -> None:
        self._stalled = stalled
        self._transport = transport
        self._interval = seconds / CHECKS
        self._quiet = 0
        self._acknowledged = -1
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._interval, self._check)

    def end(self) -> None:
        """Watch no longer."""
        self._timer.cancel()

    def _check(self) -> None:
        if self._transport is None:
            return
        now = _acknowledged(self._transport)
        self._quiet = self._quiet + 1 if now == self._acknowledged else 0
        self._acknowledged = now
        if self._quiet == CHECKS:
            self._stalled()
            self._transport.abort()
        else:
            self._timer = self._loop.call_later(self._interval, self._check)


def _acknowledged(transport: asyncio.WriteTransport) -> int:
    """A number that changes when the other side takes something.

    Where the system tells, the bytes that it has acknowledged. The transport's own buffer is a poor measure: with TLS
    it moves by half a mebibyte at a time, which a slow line takes minutes for.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and hasattr(socket, "TCP_INFO"):
        with suppress(OSError, struct.error):
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            # tcpi_bytes_acked of Linux's struct tcp_info.
            return int(struct.unpack_from("=Q", info, 120)[0])
    return transport.get_write_buffer_size()

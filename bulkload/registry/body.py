"""An upload's body on its way out: written as the registry takes it, watched for progress, broken off for good."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator

import aiohttp
import anyio
from aiohttp.abc import AbstractStreamWriter

# What is handed over at a time: the measure of progress. Smaller than a piece, so that a slow line is not mistaken for
# a dead one; above the 64 KiB from which aiohttp waits until the transport has room.
SLICE_BYTES = 131_072


class UploadBody(aiohttp.Payload):
    """The whole form, or its pieces, with a deadline that moves as they leave.

    ``scope`` is cancelled when the registry takes nothing for ``progress_timeout`` seconds, or does not answer within
    ``answer_timeout`` seconds after the last byte. Time that the pieces themselves take does not count.
    """

    def __init__(
        self,
        content: bytes | AsyncIterator[bytes],
        length: int,
        scope: anyio.CancelScope,
        *,
        progress_timeout: float,
        answer_timeout: float,
    ) -> None:
        super().__init__(content)
        # What the iterator raised.
        self.broken_by: Exception | None = None
        # Why the scope was cancelled, in words.
        self.complaint = ""
        # Bytes that were promised and have not been handed over.
        self.unsent = length
        self._content = content
        self._scope = scope
        self._progress_timeout = progress_timeout
        self._answer_timeout = answer_timeout
        self._transport: asyncio.WriteTransport | None = None
        self._written = anyio.Event()

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body. aiohttp calls this, in a task of its own."""
        self._transport = writer.transport
        try:
            if isinstance(self._content, bytes):
                await self._hand_over(writer, self._content)
            else:
                await self._write_pieces(writer, self._content)
            if self.unsent:
                raise self._broken(ValueError(f"the body ends {self.unsent} bytes before its announced length"))
            self._wait_for(self._answer_timeout, f"no answer within {self._answer_timeout:g} s after the last byte")
        except BaseException:
            # The rest must not leave: what the transport still holds could make a version that nobody waits for.
            if self._transport is not None:
                self._transport.abort()
            raise
        finally:
            self._written.set()

    async def settle(self) -> None:
        """Wait until nothing of this body runs any more: afterwards the iterator is closed and no byte leaves."""
        if self._transport is None:
            return
        with anyio.CancelScope(shield=True):
            await self._written.wait()
        # A closing transport first sends what it holds, however long that takes. One that is not closing may serve
        # another request by now.
        if self._transport.is_closing():
            self._transport.abort()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Not for a body that may be gigabytes and can be read only once."""
        raise TypeError("an upload's body is bytes")

    async def _write_pieces(self, writer: AbstractStreamWriter, pieces: AsyncIterator[bytes]) -> None:
        try:
            while True:
                # Our own time (reading, pacing, the seal's commit) is not the registry's lack of progress.
                self._scope.deadline = math.inf
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                except Exception as error:
                    raise self._broken(error) from None
                await self._hand_over(writer, piece)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def _hand_over(self, writer: AbstractStreamWriter, piece: bytes) -> None:
        if len(piece) > self.unsent:
            raise self._broken(ValueError(f"the body is {len(piece) - self.unsent} bytes longer than announced"))
        view = memoryview(piece)
        for start in range(0, len(piece), SLICE_BYTES):
            part = view[start : start + SLICE_BYTES]
            self._wait_for(self._progress_timeout, f"nothing moved for {self._progress_timeout:g} s")
            await writer.write(part)
            self.unsent -= len(part)

    def _wait_for(self, seconds: float, complaint: str) -> None:
        self.complaint = complaint
        self._scope.deadline = anyio.current_time() + seconds

    def _broken(self, error: Exception) -> Exception:
        self.broken_by = error
        return error

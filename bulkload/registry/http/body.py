"""An upload's body on its way out, pushed piece by piece: watched, refused at once, broken off for good."""

from types import TracebackType
from typing import Self

import anyio

from bulkload.registry.http.exchange import Request
from bulkload.registry.http.judging import Answer
from bulkload.registry.http.transport import Transport


class PushedBody:
    """One upload. What is pushed leaves at once, and ``answer`` waits for what the registry says of it all.

    When the registry answers early, or the connection is lost, the block that pushes is cancelled, and ends with
    ``CallFailed``. However it ends, nothing of the upload is under way afterwards. The upload is cut when the registry
    takes nothing for the time without progress; what the block itself takes (reading, pacing, commits) does not count.
    """

    def __init__(
        self,
        transport: Transport,
        call: str,
        content_type: str,
        length: int,
    ) -> None:
        """``length``: the body's, in bytes. Nothing is sent yet."""
        # Bytes that were announced and have not been handed over.
        self.unsent = length
        # A byte of the body was handed over.
        self.has_departed = False
        self._length = length
        self._transport = transport
        self._call = call
        self._content_type = content_type
        self._limits = transport.uploading
        self._request: Request | None = None
        self._token = ""
        self._asks_leave = False
        # In one of the methods below, which look for an answer themselves.
        self._is_talking = True
        self._scope = anyio.CancelScope()

    async def __aenter__(self) -> Self:
        """Nothing is sent yet."""
        self._scope.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Break off what was not answered."""
        is_ours = self._scope.__exit__(kind, error, trace)
        try:
            if is_ours or (kind is None and self._scope.cancel_called):
                with self._transport.naming(self._call, self._limits):
                    await self._refuse_answer()
                raise AssertionError("an answer or a loss has ended the block")
        finally:
            if self._request is not None:
                self._request.end()

    async def _begin(self) -> None:
        """Get a token, a connection, and leave to send the body where that is asked for."""
        if self._request is not None:
            return
        self._is_talking = True
        transport = self._transport
        self._token = await transport.token(large=True)
        # A token that is refused costs the head of the request, not gigabytes of body.
        self._asks_leave = transport.asks_leave
        head = transport.upload_head(
            self._call, self._content_type, self._length, self._token, ask_leave=self._asks_leave
        )
        self._request, way = transport.new_request("upload", self._limits)
        request = self._request
        with transport.naming(self._call, self._limits):
            await request.connect(way)
            request.line.on_change = self._look
            request.write(head)
            if self._asks_leave and not await request.leave(transport.leave_timeout):
                # It is not asked again.
                transport.asks_leave = False
            await self._refuse_answer()
        self._is_talking = False

    async def push(self, piece: bytes | memoryview) -> None:
        """Hand over the next piece, and wait until there is room for another one."""
        if len(piece) > self.unsent:
            raise other_length(len(piece) - self.unsent)
        await self._begin()
        self._is_talking = True
        request = self._begun
        with self._transport.naming(self._call, self._limits):
            await request.line.listen()
            await self._refuse_answer()
            self.has_departed = True
            self.unsent -= len(piece)
            is_whole = await request.write_all(piece)
            if self.unsent or not is_whole:
                await self._refuse_answer()
            else:
                request.is_whole = True
                request.begin_deadline()
        self._is_talking = False

    async def answer(self) -> Answer:
        """What the registry answers, whose time began with the last byte. Nothing can be pushed after it."""
        if self.unsent:
            raise other_length(-self.unsent)
        self._is_talking = True
        request = self._begun
        try:
            with self._transport.naming(self._call, self._limits):
                await request.answered()
                return await self._transport.judged(request, self._call, self._token, asked_leave=self._asks_leave)
        finally:
            request.end()

    @property
    def _begun(self) -> Request:
        if self._request is None:
            raise RuntimeError("nothing was pushed")
        return self._request

    def _look(self) -> None:
        line = self._begun.line
        if not self._is_talking and self.unsent and (line.head is not None or line.loss is not None):
            self._scope.cancel()

    async def _refuse_answer(self) -> None:
        """Raise what an answer says that came before the whole body had left, or why none will come."""
        line = self._begun.line
        if line.head is None:
            if (error := line.loss) is not None:
                raise error
            return
        # Nothing more is sent: its time begins before the last byte has left.
        self._begun.begin_deadline()
        answer = await self._transport.judged(self._begun, self._call, self._token, asked_leave=self._asks_leave)
        # Whatever was stored before the whole file had left is not that file.
        raise self._transport.judge.not_understood(self._call, self._transport.judge.decoded(self._call, answer))


def other_length(by: int) -> ValueError:
    """A body that is so many bytes longer than announced; or shorter."""
    if by < 0:
        return ValueError(f"the body ends {-by} bytes before its announced length")
    return ValueError(f"the body is {by} bytes longer than announced")

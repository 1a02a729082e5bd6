"""One upload, pushed: whoever sends it reads the file, and decides in plain sight when the last byte leaves."""

from types import TracebackType
from typing import Self

from bulkload.registry import answers
from bulkload.registry.form import Form
from bulkload.registry.http.body import PushedBody, other_length
from bulkload.registry.http.judging import Answer, Judge
from bulkload.registry.http.transport import Transport


class Upload:
    """``async with registry.uploading(call, form, size) as upload``: ``write`` the file's pieces, then ``finish``.

    Nothing is sent before ``begin``, or the first piece. Until ``finish``, the end of the form stays here: no registry
    can have the whole. When the registry answers early, or the connection is lost, the block is cancelled and ends with
    ``CallFailed``, also while it reads or waits for something else. However it ends, nothing of the upload is under
    way afterwards.
    """

    def __init__(self, transport: Transport, call: str, form: Form, size: int) -> None:
        """``size``: the file's, in bytes."""
        self._body = PushedBody(transport, call, form.content_type, form.content_length(size))
        self._judge = transport.judge
        self._call = call
        self._form = form
        self._is_begun = False

    async def __aenter__(self) -> Self:
        """Nothing is sent yet."""
        await self._body.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Break off what is not finished."""
        await self._body.__aexit__(kind, error, trace)

    @property
    def departed(self) -> bool:
        """A byte of the body was handed to the socket. Before that, nothing can have arrived."""
        return self._body.has_departed

    async def begin(self) -> None:
        """Get a token, a connection, and leave, and send the beginning of the form; at the latest with the first piece.

        Whoever paces the pieces begins before: what this waits for is no piece's time. Raises ``CallFailed``,
        ``NotAuthorised``, ``UsageError``.
        """
        if not self._is_begun:
            self._is_begun = True
            await self._body.push(self._form.head)

    async def write(self, piece: bytes | memoryview) -> None:
        """Send the next piece, and wait until there is room for another one.

        Raises as ``begin`` does, and ``ValueError`` for more bytes than were announced.
        """
        await self.begin()
        if (by := len(piece) + len(self._form.tail) - self._body.unsent) > 0:
            raise other_length(by)
        await self._body.push(piece)

    async def finish(self) -> int:
        """Send the end of the form, and return the id that the answer names. Raises as ``write`` does."""
        await self.begin()
        if by := len(self._form.tail) - self._body.unsent:
            raise other_length(by)
        await self._body.push(self._form.tail)
        return uploaded(self._call, await self._body.answer(), self._judge)


def uploaded(call: str, answer: Answer, judge: Judge) -> int:
    """The id that an upload's answer names."""
    decoded = judge.decoded(call, answer)
    version_id = answers.uploaded_version_id(decoded)
    # Whatever was stored before the whole file had left is not that file.
    if version_id is None or not answer.to_all:
        raise judge.not_understood(call, decoded)
    judge.has_worked(call)
    return version_id

"""The pool of connections: only one on which nothing has happened since its last answer is used again."""

import asyncio
import functools
import select
from typing import Any, cast
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace

from bulkload.core.bounds import LARGEST_HEAD_BYTES, MOST_HEAD_LINES, MOST_INTERIM_ANSWERS

# Bytes, an end or an error: on a connection that nobody asked anything, each of them is one thing too many.
_ANYTHING = select.POLLIN | getattr(select, "POLLRDHUP", 0)


class Connector(aiohttp.TCPConnector):
    """Hands out new connections, and of those that served before the quiet ones."""

    def __init__(self, **options: Any) -> None:
        """Options are those of aiohttp's."""
        super().__init__(**options)
        self._factory = functools.partial(_Protocol, loop=asyncio.get_running_loop())  # type: ignore[assignment]
        self._served: WeakSet[asyncio.BaseProtocol] = WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> Connection:
        """A connection for a request."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None or protocol not in self._served:
                if protocol is not None:
                    self._served.add(protocol)
                return connection
            if is_quiet(protocol.transport):
                return connection
            connection.close()


class HeadTooLarge(aiohttp.ClientError):
    """What came instead of the head of an answer, or before it, is beyond all measure."""


class _Protocol(ResponseHandler):
    """A connection that takes one answer a question, with a head of bounded size."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        # The body of the answer, once its head is there.
        self._body: StreamReader | None = None
        self._head_bytes = self._interim = 0

    def set_response_params(self, **options: Any) -> None:
        """A question is about to be asked. aiohttp calls this."""
        self._body, self._head_bytes, self._interim = None, 0, 0
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        if self._body is None:
            self._head_bytes += len(data)
        elif data and self._body.is_eof():
            # Nobody asked.
            self.force_close()
            return
        super().data_received(data)
        # A beginning of the body may have come with it.
        if self._body is None and self._head_bytes > LARGEST_HEAD_BYTES and self._parser is not None:
            self._refuse("its answer has a head of more than", LARGEST_HEAD_BYTES, "bytes")

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """The head of an answer is there."""
        message, body = data
        if 100 <= message.code < 200 and message.code != 101:
            self._interim += 1
            self._head_bytes = 0
            if self._interim > MOST_INTERIM_ANSWERS:
                self._refuse("it says to go on more than", MOST_INTERIM_ANSWERS, "times")
                return
        elif sum(len(name) + len(value) for name, value in message.raw_headers) > LARGEST_HEAD_BYTES:
            self._refuse("its answer has a head of more than", LARGEST_HEAD_BYTES, "bytes")
            return
        else:
            self._body = body
        super().feed_data(data, size)

    def _refuse(self, what: str, most: int, unit: str) -> None:
        self.set_exception(HeadTooLarge(f"{what} {most:,} {unit}; {HEAD_REMEDY}"))
        if self.transport is not None:
            self.transport.abort()


HEAD_REMEDY = "ask the operator of whatever stands before the registry"
# aiohttp's own words name neither bound.
HEAD_BOUNDS = (
    f"its answer has a head of more than {LARGEST_HEAD_BYTES:,} bytes or {MOST_HEAD_LINES:,} lines; {HEAD_REMEDY}"
)


def is_quiet(transport: asyncio.BaseTransport | None) -> bool:
    """Whether a connection is open, and silent since its last answer.

    A registry, or a gateway before it, closes what was idle for long, and some say ``408`` first: written to such a
    connection, a request is lost, or gets an answer that was given before it was asked. The event loop may not have
    heard of it yet, so the socket itself is asked.
    """
    # Not isinstance: uvloop's transports are of no class of asyncio's.
    stream = cast("asyncio.Transport | None", transport)
    if stream is None or stream.is_closing() or stream.get_write_buffer_size():
        return False
    # What was read already, or came in the middle of another answer.
    if getattr(stream.get_protocol(), "should_close", False):
        return False
    connection = stream.get_extra_info("socket")
    if connection is None:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), _ANYTHING)
    return not poll.poll(0)

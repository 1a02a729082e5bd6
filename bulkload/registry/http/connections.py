"""Connections: those of the pool, of which only one that is quiet since its last answer is used again."""

import asyncio
import functools
import select
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anyio
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import StreamReader

from bulkload.core.bounds import LARGEST_HEAD_BYTES, MOST_HEAD_LINES, MOST_INTERIM_ANSWERS

_PORTS = {"http": 80, "https": 443}

# Of those that were not used for so long, the other side may just be closing one: aiohttp's own measure.
QUIET_SECONDS = 15.0

# Bytes, an end or an error: on a connection that nobody asked anything, each of them is one thing too many.
_ANYTHING = select.POLLIN | getattr(select, "POLLRDHUP", 0)

HEAD_REMEDY = "ask the operator of whatever stands before the registry"


class Pool(aiohttp.TCPConnector):
    """aiohttp's connector, with its names, proxies and TLS, of connections that are lines.

    Those between two requests are kept here, each whole with what aiohttp knows it by: to give them back to aiohttp's
    own pool and take them out again costs as much as a request's head.
    """

    def __init__(self, **options: Any) -> None:
        """Options are those of aiohttp's."""
        super().__init__(**options)
        self._factory = functools.partial(Line, loop=asyncio.get_running_loop())  # type: ignore[assignment]
        # By where they lead, those that were used last at the end.
        self._quiet: dict[aiohttp.ClientRequest, deque[Line]] = {}

    def take(self, template: aiohttp.ClientRequest) -> "Line | None":
        """A connection that leads there and is fit for a request; None: there is none now."""
        lines = self._quiet.get(template)
        while lines:
            line = lines.pop()
            if line.is_quiet() and self._loop.time() - line.quiet_since <= QUIET_SECONDS:
                return line
            line.drop()
        return None

    def keep(self, template: aiohttp.ClientRequest, line: "Line") -> None:
        """One whose request is over, for the next."""
        now = line.quiet_since = self._loop.time()
        lines = self._quiet.setdefault(template, deque())
        lines.append(line)
        if now - lines[0].quiet_since > QUIET_SECONDS:
            lines.popleft().drop()

    async def line(self, template: aiohttp.ClientRequest, limit: aiohttp.ClientTimeout) -> "Line":
        """A new connection. Raises what aiohttp raises."""
        try:
            connection = await self.connect(template, [], limit)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None
        line = connection.protocol
        if not isinstance(line, Line):
            raise aiohttp.ClientConnectionResetError("the connection is closed")
        line.connection = connection
        return line

    async def close_all(self) -> None:
        """Close all of them."""
        for lines in self._quiet.values():
            while lines:
                lines.pop().drop()
        await self.close()


class HeadTooLarge(aiohttp.ClientError):
    """What came instead of the head of an answer, or before it, is beyond all measure."""


class Line(ResponseHandler):
    """A connection that takes one answer a question, with a head of bounded size.

    Whoever waits for the answer, or for room to write, waits for ``change`` and looks at what is so now.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        # The answer's head and body; the body may still be on its way.
        self.head: RawResponseMessage | None = None
        self.body: StreamReader | None = None
        # All that was written had left when the answer began.
        self.had_left = False
        # "100 Continue" came.
        self.may_go_on = False
        # A question of ours was asked. Before that, the pool itself may ask a proxy to CONNECT.
        self.is_used = False
        # What aiohttp knows it by, and since when nobody has used it.
        self.connection: Connection | None = None
        self.quiet_since = 0.0
        # Called at every change.
        self.on_change: Callable[[], None] | None = None
        self._head_bytes = self._interim = 0
        self._change: asyncio.Future[None] | None = None
        self._poll: select.poll | None = None

    def ask(self, silence: float | None) -> None:
        """A question is about to be asked; its answer is cut when nothing of it comes for ``silence`` seconds."""
        self.head = self.body = None
        self.may_go_on = False
        self.is_used = True
        self._head_bytes = self._interim = 0
        self.set_response_params(
            read_until_eof=True,
            read_timeout=silence,
            max_line_size=LARGEST_HEAD_BYTES,
            max_field_size=LARGEST_HEAD_BYTES,
            max_headers=MOST_HEAD_LINES,
        )

    @property
    def has_answered(self) -> bool:
        """Whether the whole answer was read, all that was written has left, and another question may be asked."""
        return (
            self.body is not None
            and self.body.at_eof()
            and not self.should_close
            and self.transport is not None
            and not self.transport.get_write_buffer_size()
        )

    @property
    def is_encrypted(self) -> bool:
        """Whether it is one with TLS."""
        return self.transport is not None and self.transport.get_extra_info("sslcontext") is not None

    @property
    def loss(self) -> BaseException | None:
        """Why no answer will come any more; None as long as one may."""
        error = self.exception()
        if error is None and self.transport is None:
            # Closed from here.
            error = aiohttp.ClientConnectionResetError("the connection is closed")
        return error

    def is_quiet(self) -> bool:
        """Whether it is open, and silent since its last answer.

        A registry, or a gateway before it, closes what was idle for long, and some say ``408`` first: written to such a
        connection, a request is lost, or gets an answer that was given before it was asked. The event loop may not have
        heard of it yet, so the socket itself is asked.
        """
        transport = self.transport
        # What was read already, or came behind another answer, is known to should_close.
        if transport is None or transport.is_closing() or self.should_close:
            return False
        said = self._said(transport)
        if self.is_used:
            return not said and not transport.get_write_buffer_size()
        if said and self.is_encrypted:
            # A new connection may get tickets for later ones at any moment: those are no answer.
            said &= ~select.POLLIN
        return not said

    def drop(self) -> None:
        """Nothing of it is used any more: it is reset."""
        self.on_change = None
        self.abort()
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    async def listen(self) -> None:
        """Before more of a body is written: what was said meanwhile, such as a refusal, is heard first."""
        if self.transport is not None and self._said(self.transport):
            # The event loop looks at its sockets between two rounds.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def _said(self, transport: asyncio.Transport) -> int:
        """What the system knows of the socket: poll's flags."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), _ANYTHING)
        found = self._poll.poll(0)
        return found[0][1] if found else 0

    async def change(self) -> None:
        """Wait until an answer begins, leave is given, there is room to write, or the connection is lost."""
        self._change = self._loop.create_future()
        try:
            await self._change
        finally:
            self._change = None

    def fail(self, error: Exception) -> None:
        """Break it off: who waits for the answer gets ``error``."""
        transport, body = self.transport, self.body
        if self.exception() is None:
            self.set_exception(error)
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(error)
        if transport is not None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.body is None:
            self._head_bytes += len(data)
        elif data and self.body.is_eof():
            # Nobody asked.
            self.force_close()
            return
        super().data_received(data)
        # A beginning of the body may have come with it.
        if self.body is None and self._head_bytes > LARGEST_HEAD_BYTES and self._parser is not None:
            self._refuse("its answer has a head of more than", LARGEST_HEAD_BYTES, "bytes")

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """The head of an answer is there."""
        message, body = data
        if self.exception() is not None:
            # It was refused, and this came with what it was refused for.
            return
        if 100 <= message.code < 200 and message.code != 101:
            self._interim += 1
            self._head_bytes = 0
            if self._interim > MOST_INTERIM_ANSWERS:
                self._refuse("it says to go on more than", MOST_INTERIM_ANSWERS, "times")
                return
            self.may_go_on = self.may_go_on or message.code == 100
        elif self.body is not None:
            # A second answer to one question.
            self.force_close()
            return
        elif self._head_bytes > LARGEST_HEAD_BYTES < sum(len(name) + len(value) for name, value in message.raw_headers):
            self._refuse("its answer has a head of more than", LARGEST_HEAD_BYTES, "bytes")
            return
        else:
            self.had_left = self.transport is not None and not self.transport.get_write_buffer_size()
            self.head, self.body = message, body
        if self.is_used:
            self._changed()
        else:
            super().feed_data(data, size)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """No answer will come any more."""
        super().set_exception(exc, *cause)
        if isinstance(exc, HttpProcessingError):
            # What the parser said, which aiohttp tells only to whoever waits at its queue.
            exc.__cause__ = cause[0] if cause else None
        self._changed()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._changed()

    def resume_reading(self, resume_parser: bool = True) -> None:
        # aiohttp asks for it after every answer, and then feeds its parser with nothing.
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._changed()

    def _changed(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)
        if self.on_change is not None:
            self.on_change()

    def _refuse(self, what: str, most: int, unit: str) -> None:
        self.fail(HeadTooLarge(f"{what} {most:,} {unit}; {HEAD_REMEDY}"))


def new_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket whose end is certain.

    Closed or killed, it sends nothing more: what the kernel still holds of an upload is dropped and the connection
    reset, so that no version lands after we stopped waiting for it. And it finds out when a gateway on the way has
    forgotten a connection that was silent while the registry worked.
    """
    family, kind, protocol, _, _ = address
    connection = socket.socket(family, kind, protocol)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
        # Not every system has all of them.
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection


async def is_reached(address: str, seconds: float) -> bool:
    """Whether something takes connections at an address: of a failed one, this tells the network from TLS."""
    parts = urlsplit(address)
    try:
        with anyio.fail_after(seconds):
            async with await anyio.connect_tcp(parts.hostname or "", parts.port or _PORTS[parts.scheme]):
                return True
    except OSError:
        return False

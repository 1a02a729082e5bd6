"""One request and its answer, on aiohttp's connections and parser: sent once, at most, and read within its limits.

aiohttp's own session costs most of what a small upload costs, follows redirects, sends again, and gives connections
back that still owe a body. Here a connection goes back to the pool only when its whole request has left and its whole
answer was read; else it is reset, so that nothing of a request is under way once it is over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import aiohttp
import anyio
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from bulkload.registry.http.connections import Line, Pool
from bulkload.registry.http.deadlines import Deadlines
from bulkload.registry.http.progress import Watch
from bulkload.registry.http.way import Way

# A new one may die in the moment before the first byte, hardly two.
CONNECTIONS_TRIED = 2
# What is handed over at once: with TLS, asyncio takes any number of bytes, and then does not tell what has left. So few
# are still in the cache once they are encrypted: of 2 MiB at once, each byte takes a quarter longer.
SLICE_BYTES = 256 << 10


class NothingSent(aiohttp.ClientConnectionError):
    """No byte of the request was handed to a socket."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a request may take."""

    connect: float
    # To the end of its answer: of a read from its beginning, of an upload from its last byte.
    total: float | None
    # Without a byte of its answer.
    silence: float | None = None
    # Without a byte of its body that is taken.
    progress: float | None = None


class Exchange:
    """Begins requests, each on a connection that is fit for it."""

    def __init__(self, **options: Any) -> None:
        """Needs a running event loop; nothing is connected yet. Options are those of aiohttp's connector."""
        self._pool = Pool(**options)
        self._deadlines: dict[float, Deadlines] = {}

    async def close(self) -> None:
        """Close all connections."""
        for deadlines in self._deadlines.values():
            deadlines.close()
        await self._pool.close_all()

    def deadlines(self, seconds: float) -> Deadlines:
        """Those of so many seconds."""
        found = self._deadlines.get(seconds)
        if found is None:
            found = self._deadlines[seconds] = Deadlines(seconds)
        return found

    def idle_line(self, way: Way) -> Line | None:
        """A connection that was used before, and is fit for a request that begins before anything is waited for."""
        return self._pool.take(way.template)

    async def new_line(self, way: Way, seconds: float) -> Line:
        """A connection as fit, made within so many seconds."""
        for _ in range(CONNECTIONS_TRIED):
            line = await self._pool.line(way.template, _connecting(seconds))
            if line.is_quiet():
                return line
            line.drop()
        raise NothingSent("the connection was closed before anything could be sent")

    def keep(self, way: Way, line: Line) -> None:
        """Its request is over, and it may take another one."""
        self._pool.keep(way.template, line)

    async def ask(self, way: Way, question: bytes, limits: Limits) -> "Request":
        """Send a question as one buffer, and wait for the head of its answer."""
        request = Request(self, limits)
        try:
            request.begin_deadline()
            await request.connect(way)
            request.write(question)
            request.is_whole = True
            await request.answered()
        except BaseException:
            request.end()
            raise
        return request

    async def send(self, way: Way, buffer: bytes, limits: Limits, on_first_byte: Callable[[], None]) -> "Request":
        """Send a whole upload as one buffer, and wait for the head of its answer, whose time begins then."""
        request = Request(self, limits)
        try:
            await request.connect(way)
            on_first_byte()
            if len(buffer) > SLICE_BYTES:
                request.is_whole = await request.write_all(buffer)
            else:
                request.write(buffer)
                request.is_whole = True
                if request.is_blocked:
                    await request.room()
            request.begin_deadline()
            await request.answered()
        except BaseException:
            request.end()
            raise
        return request


@lru_cache(maxsize=16)
def _connecting(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=seconds)


class Request:
    """A request under way. Whoever has one ends it, whatever happened."""

    __slots__ = ("_deadlines", "_exchange", "_is_late", "_limits", "_way", "is_whole", "line")

    # Its connection, once it has one.
    line: Line

    def __init__(self, exchange: Exchange, limits: Limits) -> None:
        # All of it was handed to the connection.
        self.is_whole = False
        self._exchange = exchange
        self._limits = limits
        # Where its connection leads; None: it has none, or none any more.
        self._way: Way | None = None
        self._deadlines: Deadlines | None = None
        self._is_late = False

    @property
    def head(self) -> RawResponseMessage:
        """The head of its answer, which has been waited for."""
        if (head := self.line.head) is None:
            raise RuntimeError("the request has no answer")
        return head

    @property
    def body(self) -> StreamReader:
        """The body of its answer."""
        if (body := self.line.body) is None:
            raise RuntimeError("the request has no answer")
        return body

    @property
    def is_blocked(self) -> bool:
        """What was written has not left."""
        return self.line.writing_paused

    def begin_deadline(self) -> None:
        """The time for the answer begins."""
        if self._limits.total is not None:
            self._deadlines = self._exchange.deadlines(self._limits.total)
            self._deadlines.begin(self)

    def expire(self) -> None:
        """The time for the answer is over."""
        self._is_late = True
        if self._way is not None:
            self.line.fail(TimeoutError())

    async def connect(self, way: Way) -> None:
        """Get a connection; the next call is ``write``."""
        line = self._exchange.idle_line(way)
        if line is None:
            line = await self._exchange.new_line(way, self._limits.connect)
        self._way, self.line = way, line
        if self._is_late:
            raise TimeoutError
        line.ask(self._limits.silence)

    def write(self, data: bytes | memoryview) -> None:
        """Hand bytes to the connection."""
        line = self.line
        if (error := line.loss) is not None:
            raise error
        if line.transport is None or line.transport.is_closing():
            raise aiohttp.ClientConnectionResetError("the connection is closing")
        line.transport.write(data)

    async def write_all(self, data: bytes | memoryview) -> bool:
        """Hand over much of a body, and wait for room to write more; whether all of it was, before anybody answered."""
        line, data = self.line, memoryview(data)
        # Without TLS, the system takes what it has room for, and what has not left is known.
        most = SLICE_BYTES if line.is_encrypted else max(1, len(data))
        for start in range(0, len(data), most):
            if line.head is not None:
                return False
            self.write(data[start : start + most])
            if self.is_blocked:
                await self.room()
        return True

    async def room(self) -> None:
        """Wait until there is room to write again, or an answer has come. Raises when nothing moves for too long."""
        line = self.line
        if self._limits.progress is None:
            raise RuntimeError("a body that is not bounded in time")
        watch = Watch(line, self._limits.progress)
        try:
            while line.writing_paused and line.head is None:
                if (error := line.loss) is not None:
                    raise error
                await line.change()
        finally:
            watch.end()

    async def leave(self, seconds: float) -> bool:
        """Wait for leave to go on, or for an answer instead; whether one of them came within so many seconds."""
        line = self.line
        with anyio.move_on_after(seconds):
            while not line.may_go_on and line.head is None:
                if (error := line.loss) is not None:
                    raise error
                await line.change()
        return line.may_go_on or line.head is not None

    async def answered(self) -> None:
        """Wait for the head of the answer."""
        line = self.line
        if self._limits.silence is not None:
            line.start_timeout()
        while line.head is None:
            if (error := line.loss) is not None:
                raise error
            await line.change()

    @property
    def whole_body(self) -> bytes:
        """The answer's body, where all of it has come with its head; else nothing."""
        body = self.body
        return body.read_nowait() if body.is_eof() else b""

    async def read(self, most: int, into: bytearray | None = None) -> bytearray:
        """The answer's body, or so much of it that it is over ``most`` bytes.

        What came before a loss is in ``into``.
        """
        body = self.body
        into = bytearray() if into is None else into
        while piece := await body.readany():
            into += piece
            if len(into) > most:
                break
        return into

    def end(self) -> None:
        """Nothing of it is under way any more: its connection is another request's, or gone."""
        if self._deadlines is not None:
            self._deadlines.end(self)
        way, self._way = self._way, None
        if way is None:
            return
        line = self.line
        line.on_change = None
        if self.is_whole and line.has_answered:
            self._exchange.keep(way, line)
        else:
            line.drop()

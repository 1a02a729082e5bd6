"""Whoever owns the ledger's storage, and commits in groups.

Callers hand in messages; it takes all that wait, executes them in one transaction, commits once, and only then lets the
callers go on: durable when the call returns, and cheap when many call at once. It never waits for more to come.

A message may be executed twice before it is committed: it has no effect beyond the ledger.
"""

import asyncio
import contextlib
import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import anyio

from bulkload.ledger.groups import GroupCommit, OnCommit, Refused, Storage
from bulkload.ledger.interface import Message

T = TypeVar("T")

# One transaction holds the loop's answers back until it is committed, so it stays small.
LARGEST_GROUP = 512

Call = tuple[Message[Any], "asyncio.Future[Any]"]
OpenStorage = Callable[[], Storage]


class Writer(ABC):
    """Executes messages on a storage, in the order of the calls."""

    def __init__(self, open_storage: OpenStorage) -> None:
        """``open_storage`` is called where the messages are executed: a storage belongs to the thread that made it."""
        self._open_storage = open_storage
        self._calls: deque[Call] = deque()
        self._will_ring = False
        self._loop = asyncio.get_running_loop()
        self._stopped = False

    @abstractmethod
    async def start(self) -> None:
        """Open the storage. Raises what opening raises; ``stop`` is due in any case."""

    @abstractmethod
    async def stop(self) -> None:
        """Finish what was handed in, close the storage."""

    @abstractmethod
    def _ring(self) -> None:
        """Something was handed in: once for all of this turn of the loop."""

    async def call(self, message: Message[T]) -> T:
        """Execute a message and return its answer once it is committed.

        Shielded: a cancelled caller would not know whether its write landed. Raises why the message was refused, which
        then has changed nothing, and ``LedgerError`` where the commit fails.
        """
        if self._stopped:
            raise RuntimeError("the ledger is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.append((message, future))
        if not self._will_ring:
            self._will_ring = True
            self._loop.call_soon(self._ring)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if anyio.current_effective_deadline() > float("-inf"):
                raise  # by somebody who does not know anyio's scopes, and would not ask again
            # The scope is told again at the next wait. (A shielded scope around each call costs more than the call.)
            with anyio.CancelScope(shield=True):
                await asyncio.wait([future])
            return future.result()

    def _next_group(self) -> list[Call]:
        """All that waits; empty when nothing does."""
        return [self._calls.popleft() for _ in range(min(len(self._calls), LARGEST_GROUP))]


class ThreadWriter(Writer):
    """In a thread of its own: the loop goes on while the disk is waited for."""

    def __init__(self, open_storage: OpenStorage) -> None:
        super().__init__(open_storage)
        # Rung when something was handed in (True) and at the end (False).
        self._bell: queue.SimpleQueue[bool] = queue.SimpleQueue()
        # A daemon: a loop that was torn down without ``stop`` must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="bulkload-ledger", daemon=True)
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended = asyncio.Event()

    async def start(self) -> None:
        """Open the storage in the thread."""
        self._thread.start()
        with anyio.CancelScope(shield=True):
            await self._opened

    async def stop(self) -> None:
        """Finish what was handed in, close the storage, end the thread."""
        self._stopped = True
        self._bell.put(False)
        if self._thread.ident is not None:
            with anyio.CancelScope(shield=True):
                # To wait in another thread would need one, and there may be none.
                await self._ended.wait()
            self._thread.join()

    def _ring(self) -> None:
        # A thread that wakes up takes the interpreter away.
        self._will_ring = False
        self._bell.put(True)

    def _work(self) -> None:
        try:
            self._serve()
        finally:
            # The loop may be gone when a run was torn down.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ended.set)

    def _serve(self) -> None:
        try:
            groups = GroupCommit(self._open_storage())
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever started the thread
            self._tell([self._opened], [Refused(error)])
            return
        self._tell([self._opened], [None])
        with groups:
            more = True
            while more:
                more = self._bell.get()
                while group := self._next_group():
                    self._tell([future for _, future in group], groups.execute([message for message, _ in group]))

    def _tell(self, futures: "list[asyncio.Future[Any]]", replies: list[Any | Refused]) -> None:
        # The loop may be gone when a run was torn down; what was committed stays committed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_resolve, futures, replies)


class LoopWriter(Writer):
    """In the loop itself, which waits for the disk: where no second thread may run, or time must stand still.

    ``on_commit`` sees every commit, and may end the ledger there as a process that is killed would.
    """

    def __init__(self, open_storage: OpenStorage, on_commit: OnCommit | None = None) -> None:
        super().__init__(open_storage)
        self._on_commit = on_commit
        self._groups: GroupCommit | None = None
        # What ``on_commit`` ended it by: nothing is executed after it.
        self._end: BaseException | None = None

    async def start(self) -> None:
        """Open the storage."""
        self._groups = GroupCommit(self._open_storage(), self._on_commit)

    async def stop(self) -> None:
        """Finish what was handed in, close the storage."""
        self._stopped = True
        if self._groups is not None:
            with self._groups:
                self._ring()

    def _ring(self) -> None:
        self._will_ring = False
        while self._groups is not None and (group := self._next_group()):
            _resolve([future for _, future in group], self._execute(self._groups, [message for message, _ in group]))

    def _execute(self, groups: GroupCommit, messages: list[Message[Any]]) -> list[Any | Refused]:
        if self._end is None:
            try:
                return groups.execute(messages)
            except BaseException as error:  # noqa: BLE001 - raised by on_commit
                self._end = error
        return [Refused(self._end)] * len(messages)


def _resolve(futures: "list[asyncio.Future[Any]]", replies: list[Any | Refused]) -> None:
    for future, reply in zip(futures, replies, strict=True):
        if future.done():
            continue  # cancelled from outside anyio; the write stands
        if isinstance(reply, Refused):
            future.set_exception(reply.error)
        else:
            future.set_result(reply)

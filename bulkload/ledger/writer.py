"""Whoever owns the ledger's storage, and commits in groups.

Callers hand in messages. All that wait are handed over together, executed in one transaction, committed once, and only
then do the callers go on: durable when the call returns, and cheap when many call at once. No time is waited for more
to come, but what is handed in while a group is executed, or by those whom it lets go on, makes the next one.

A message may be executed twice before it is committed: it has no effect beyond the ledger.
"""

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio

from bulkload.ledger.groups import GroupCommit, OnCommit, Refused, Storage
from bulkload.ledger.interface import Message

T = TypeVar("T")

# One transaction holds the loop's answers back until it is committed, so it stays small.
LARGEST_GROUP = 512

OpenStorage = Callable[[], Storage]


@dataclass(slots=True)
class Call:
    """A message that was handed in."""

    message: Message[Any]
    # Done when the reply is there, or its caller was cancelled before.
    told: "asyncio.Future[None]"
    reply: Any = None
    is_answered: bool = False

    def answer(self) -> Any:
        """What the message's execution returned; raises why it was refused."""
        if isinstance(self.reply, Refused):
            raise self.reply.error
        return self.reply


class Writer(ABC):
    """Executes messages on a storage, in the order of the calls."""

    def __init__(self, open_storage: OpenStorage) -> None:
        """``open_storage`` is called where the messages are executed: a storage belongs to the thread that made it."""
        self._open_storage = open_storage
        self._calls: deque[Call] = deque()
        # What waits will be handed over: in the next turn of the loop, or when the group before it is committed.
        self._will_hand_over = False
        self._loop = asyncio.get_running_loop()
        self._stopped = False

    @abstractmethod
    async def start(self) -> None:
        """Open the storage. Raises what opening raises; ``stop`` is due in any case."""

    @abstractmethod
    async def stop(self) -> None:
        """Finish what was handed in, close the storage."""

    @abstractmethod
    def _gather(self) -> None:
        """Something waits: hand it over, with what comes together with it."""

    async def call(self, message: Message[T]) -> T:
        """Execute a message and return its answer once it is committed.

        Shielded: a cancelled caller would not know whether its write landed. Raises why the message was refused, which
        then has changed nothing, and ``LedgerError`` where the commit fails.
        """
        if self._stopped:
            raise RuntimeError("the ledger is closed")
        call = Call(message, self._loop.create_future())
        self._calls.append(call)
        if not self._will_hand_over:
            self._will_hand_over = True
            self._loop.call_soon(self._gather)
        try:
            await call.told
        except asyncio.CancelledError:
            if anyio.current_effective_deadline() > float("-inf"):
                raise  # by somebody who does not know anyio's scopes, and would not ask again
            if not call.is_answered:
                call.told = self._loop.create_future()
                # The scope is told again at the next wait. (A shielded scope around each call costs more than it.)
                with anyio.CancelScope(shield=True):
                    await call.told
        answer: T = call.answer()
        return answer

    def _next_group(self) -> list[Call]:
        """All that waits; empty when nothing does."""
        return [self._calls.popleft() for _ in range(min(len(self._calls), LARGEST_GROUP))]


class ThreadWriter(Writer):
    """In a thread of its own: the loop goes on while the disk is waited for."""

    def __init__(self, open_storage: OpenStorage) -> None:
        super().__init__(open_storage)
        # Groups for the thread, and an empty one at the end.
        self._groups: queue.SimpleQueue[list[Call]] = queue.SimpleQueue()
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
        while group := self._next_group():
            self._groups.put(group)
        self._groups.put([])
        if self._thread.ident is not None:
            with anyio.CancelScope(shield=True):
                # To wait in another thread would need one, and there may be none.
                await self._ended.wait()
            self._thread.join()

    def _gather(self) -> None:
        # A turn of the loop, which takes no time when nothing happens, brings the messages of all that happened now;
        # and the thread that wakes up then takes the interpreter from nobody (half the switches).
        self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        # While a group is executed, the next one waits for its end.
        group = self._next_group()
        self._will_hand_over = bool(group)
        if group:
            self._groups.put(group)

    def _committed(self, group: list[Call], replies: list[Any | Refused]) -> None:
        _answer(group, replies)
        # Behind those who go on by these answers: what they say next is of the next group.
        self._loop.call_soon(self._gather)

    # In the thread.

    def _work(self) -> None:
        try:
            self._serve()
        finally:
            self._tell(self._ended.set)

    def _serve(self) -> None:
        try:
            storage = self._open_storage()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever started the thread
            self._tell(_fail, self._opened, error)
            return
        self._tell(_succeed, self._opened)
        with GroupCommit(storage) as groups:
            while group := self._groups.get():
                while group:
                    replies = groups.execute([call.message for call in group])
                    # Nobody else hands over what still waits when the loop is gone.
                    group = [] if self._tell(self._committed, group, replies) else self._next_group()

    def _tell(self, callback: Callable[..., object], *arguments: Any) -> bool:
        """Whether the loop is still there: not when a run was torn down. What was committed stays committed."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            return False
        return True


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
                self._gather()

    def _gather(self) -> None:
        self._will_hand_over = False
        while self._groups is not None and (group := self._next_group()):
            _answer(group, self._execute(self._groups, [call.message for call in group]))

    def _execute(self, groups: GroupCommit, messages: list[Message[Any]]) -> list[Any | Refused]:
        if self._end is None:
            try:
                return groups.execute(messages)
            except BaseException as error:  # noqa: BLE001 - raised by on_commit
                self._end = error
        return [Refused(self._end)] * len(messages)


def _answer(group: list[Call], replies: list[Any | Refused]) -> None:
    for call, reply in zip(group, replies, strict=True):
        call.reply, call.is_answered = reply, True
        _succeed(call.told)


def _succeed(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)  # else its caller was cancelled; the write stands


def _fail(future: "asyncio.Future[None]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)

"""The one thread that owns the ledger's connection and commits in groups.

An operation may be run twice before it is committed: it has no effect beyond the ledger.

Callers hand it operations; it takes all that wait, runs them in one transaction, commits once, and only then lets the
callers go on: durable when the call returns, and cheap when many call at once. It never waits for more to come.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import anyio

from bulkload.ledger.sqlite.connection import ledger_error
from bulkload.ledger.sqlite.writes import Store

T = TypeVar("T")

# One transaction holds the loop's answers back until it is committed, so it stays small.
LARGEST_GROUP = 512

Operation = Callable[[Store], Any]
Call = tuple[Operation, "asyncio.Future[Any]"]
Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]


class Writer:
    """Runs operations on a store in a thread of its own, in the order of the calls."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        """``open_store`` runs in the thread: SQLite's connection belongs to the thread that made it."""
        self._open_store = open_store
        self._calls: deque[Call] = deque()
        # Rung when something was handed in (True) and at the end (False).
        self._bell: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._will_ring = False
        # A daemon: a loop that was torn down without ``stop`` must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="bulkload-ledger", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended = asyncio.Event()
        self._stopped = False

    async def start(self) -> None:
        """Open the store in the thread. Raises what opening raises; ``stop`` is due in any case."""
        self._thread.start()
        with anyio.CancelScope(shield=True):
            await self._opened

    async def call(self, operation: Callable[[Store], T]) -> T:
        """Run ``operation(store)`` and return its result once it is committed.

        Shielded: a cancelled caller would not know whether its write landed. Raises what the operation raises, which
        then has changed nothing, and ``LedgerError`` where the commit fails.
        """
        if self._stopped:
            raise RuntimeError("the ledger is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.append((operation, future))
        if not self._will_ring:
            # Once for all of this turn of the loop: a thread that wakes up takes the interpreter away.
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

    async def stop(self) -> None:
        """Finish what was handed in, close the store, end the thread."""
        self._stopped = True
        self._bell.put(False)
        if self._thread.ident is not None:
            with anyio.CancelScope(shield=True):
                # To wait in another thread would need one, and there may be none.
                await self._ended.wait()
            self._thread.join()

    def _ring(self) -> None:
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
            store = self._open_store()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever started the thread
            self._tell([(self._opened, None, error)])
            return
        self._tell([(self._opened, None, None)])
        with contextlib.closing(store):
            more = True
            while more:
                more = self._bell.get()
                while group := self._next_group():
                    self._tell(self._commit(store, group))

    def _next_group(self) -> list[Call]:
        """All that waits; empty when nothing does."""
        return [self._calls.popleft() for _ in range(min(len(self._calls), LARGEST_GROUP))]

    def _commit(self, store: Store, group: list[Call]) -> list[Outcome]:
        try:
            store.begin()
        except Exception as error:  # noqa: BLE001 - the file is locked, or fails: it belongs to all callers
            return _refused(group, error, store)
        try:
            outcomes: list[Outcome] = [(future, operation(store), None) for operation, future in group]
            store.commit()
        except Exception as error:  # noqa: BLE001 - whose fault it is comes out one by one
            store.roll_back()
            # A lone operation is its own: it is not run again to find that out.
            return _refused(group, error, store) if len(group) == 1 else self._commit_one_by_one(store, group)
        return outcomes

    def _commit_one_by_one(self, store: Store, group: list[Call]) -> list[Outcome]:
        """Again, so that an operation that raises spares the others: rare, and dear for those that do not."""
        try:
            store.begin()
            outcomes = [self._attempt(store, *call) for call in group]
            store.commit()
        except Exception as error:  # noqa: BLE001 - it belongs to all callers of this group
            store.roll_back()
            return _refused(group, error, store)
        return outcomes

    def _attempt(self, store: Store, operation: Operation, future: "asyncio.Future[Any]") -> Outcome:
        try:
            return future, store.attempt(operation), None
        except Exception as error:
            if not store.in_transaction:
                # SQLite gave up the whole group: what its other callers wrote is gone as well.
                raise
            return future, None, _named(error, store)

    def _tell(self, outcomes: list[Outcome]) -> None:
        # The loop may be gone when a run was torn down; what was committed stays committed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_resolve, outcomes)


def _refused(group: list[Call], error: Exception, store: Store) -> list[Outcome]:
    return [(future, None, _named(error, store)) for _, future in group]


def _resolve(outcomes: list[Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():
            continue  # cancelled from outside anyio; the write stands
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


def _named(error: Exception, store: Store) -> Exception:
    """SQLite's own words (a full disk, a damaged file) as a ledger error; anything else as it is."""
    if isinstance(error, sqlite3.Error):
        remedy = f"the ledger cannot be written: {error}; free space or mend the disk, then run again"
        return ledger_error(store.path, error, remedy)
    return error

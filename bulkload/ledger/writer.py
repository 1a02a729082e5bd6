"""The one thread that owns the ledger's connection and commits in groups.

Callers hand it operations; it takes all that wait, runs them in one transaction, commits once, and only then lets the
callers go on: durable when the call returns, and cheap when many call at once. It never waits for more to come.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import anyio

from bulkload.core.errors import LedgerError
from bulkload.ledger.store import Store

T = TypeVar("T")

# One transaction holds the loop's answers back until it is committed, so it stays small.
LARGEST_GROUP = 512

Operation = Callable[[Store], Any]
Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]


class Writer:
    """Runs operations on a store in a thread of its own, in the order of the calls."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._queue: queue.SimpleQueue[tuple[Operation, asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="bulkload-ledger", daemon=True)
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Open the store in the thread. Raises what opening raises."""
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._thread.start()
        await self._opened

    async def call(self, operation: Callable[[Store], T]) -> T:
        """Run ``operation(store)`` and return its result once it is committed.

        Shielded: a cancelled caller would not know whether its write landed. Raises what the operation raises, which
        then has changed nothing, and ``LedgerError`` where the commit fails.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((operation, future))
        with anyio.CancelScope(shield=True):
            await future
        return future.result()

    async def stop(self) -> None:
        """Finish what was handed in, close the store, end the thread."""
        self._queue.put(None)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._thread.join)

    def _work(self) -> None:
        try:
            store = self._open_store()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever started the thread
            self._loop.call_soon_threadsafe(self._opened.set_exception, error)
            return
        self._loop.call_soon_threadsafe(self._opened.set_result, None)
        with contextlib.closing(store):
            while group := self._next_group():
                self._tell(self._commit(store, group))

    def _next_group(self) -> list[tuple[Operation, "asyncio.Future[Any]"]]:
        """Wait for one operation, then take all that wait behind it; empty at the end."""
        first = self._queue.get()
        if first is None:
            return []
        group = [first]
        while len(group) < LARGEST_GROUP:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._queue.put(None)
                break
            group.append(item)
        return group

    def _commit(self, store: Store, group: list[tuple[Operation, "asyncio.Future[Any]"]]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        try:
            store.begin()
            for operation, future in group:
                try:
                    outcomes.append((future, store.attempt(operation), None))
                except Exception as error:  # noqa: BLE001 - it belongs to the caller
                    outcomes.append((future, None, _named(error)))
            store.commit()
        except Exception as error:  # noqa: BLE001 - it belongs to all callers of this group
            store.roll_back()
            return [(future, None, _named(error)) for _, future in group]
        return outcomes

    def _tell(self, outcomes: list[Outcome]) -> None:
        # The loop may be gone when a run was torn down; what was committed stays committed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: list[Outcome]) -> None:
    for future, result, error in outcomes:
        if future.cancelled():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


def _named(error: Exception) -> Exception:
    """SQLite's own words (a full disk, a damaged file) as a ledger error; anything else as it is."""
    if isinstance(error, sqlite3.Error):
        return LedgerError(f"the ledger cannot be written: {error}; free space or mend the disk, then run again")
    return error

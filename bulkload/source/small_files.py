"""Small files of one event loop, read in a thread, some in one hop."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")

# Few, so that those of a slow file system are read beside each other: of one that takes longer for a file than this.
FILES_A_HOP = 8
SLOW_FILE_SECONDS = 0.002
MOST_HOPS = 6
# How long the loop stands still for a hop, where the one before it was quick.
LENT_SECONDS = 0.002


class SmallFiles(Generic[T]):
    """Files that are wanted at the same time are read in one hop to a thread.

    A hop costs as much as reading, and a thread that reads beside the loop takes the interpreter away from it at each
    step: so there is one at a time, which the loop lends its time to, unless the file system takes its own. Whoever
    waits is told how it ended, whatever happens.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, read: Callable[[str], T]) -> None:
        """``read(path)`` is called in a thread."""
        self._loop = loop
        self._read = read
        self._wanted: deque[tuple[str, asyncio.Future[T]]] = deque()
        self._hops = 0
        self._is_slow = False

    async def read(self, path: str) -> T:
        """Read one file. Raises what reading it raises, and ``RuntimeError`` where there is no thread for it."""
        found: asyncio.Future[T] = self._loop.create_future()
        if not self._wanted:
            self._loop.call_soon(self._start)
        self._wanted.append((path, found))
        return await found

    def _start(self) -> None:
        while self._wanted and self._hops < (MOST_HOPS if self._is_slow else 1):
            some = [self._wanted.popleft() for _ in range(min(FILES_A_HOP, len(self._wanted)))]
            reading, futures = _Reading(self._read, [path for path, _ in some]), [future for _, future in some]
            try:
                hop = self._loop.run_in_executor(None, reading.work)
            except Exception as error:  # noqa: BLE001 - no thread: it belongs to those who wait for these files
                _tell_all(futures, error)
                continue
            self._hops += 1
            if not self._is_slow and reading.is_over.wait(LENT_SECONDS):
                self._give_out(futures, reading)
            else:
                hop.add_done_callback(partial(self._come_back, futures, reading))

    def _come_back(
        self, futures: "list[asyncio.Future[T]]", reading: "_Reading[T]", hop: "asyncio.Future[None]"
    ) -> None:
        error = asyncio.CancelledError() if hop.cancelled() else hop.exception()
        if error is None:
            self._give_out(futures, reading)
        else:
            self._hops -= 1
            _tell_all(futures, error)
        self._start()

    def _give_out(self, futures: "list[asyncio.Future[T]]", reading: "_Reading[T]") -> None:
        self._hops -= 1
        self._is_slow = reading.seconds > SLOW_FILE_SECONDS * len(futures)
        for future, found in zip(futures, reading.found, strict=True):
            if future.done():
                continue  # nobody waits for it any more
            if isinstance(found, Exception):
                future.set_exception(found)
            else:
                future.set_result(found)


def _tell_all(futures: "list[asyncio.Future[T]]", error: BaseException) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(as_exception(error))


def as_exception(error: BaseException) -> Exception:
    """What ended a hop, for those that wait for it: they were neither cancelled themselves nor told to exit."""
    if isinstance(error, Exception):
        return error
    return RuntimeError(f"the thread that read it was given up ({type(error).__name__})")


class _Reading(Generic[T]):
    """Some files, read in one hop."""

    def __init__(self, read: Callable[[str], T], paths: list[str]) -> None:
        self.is_over = threading.Event()
        # The files, or why they were not read, and the seconds that this took.
        self.found: list[T | Exception] = []
        self.seconds = 0.0
        self._read = read
        self._paths = paths

    def work(self) -> None:
        """In a thread."""
        began = time.monotonic()
        for path in self._paths:
            try:
                self.found.append(self._read(path))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is one file's
                self.found.append(error)
        self.seconds = time.monotonic() - began
        self.is_over.set()

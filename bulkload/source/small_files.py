"""Small files of one event loop, read in a thread, some in one hop."""

import asyncio
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


class SmallFiles(Generic[T]):
    """Files that are wanted at the same time are read in one hop to a thread.

    A hop costs as much as reading, and each thread takes the interpreter away from the loop: so there is one at a time,
    unless the file system takes its time. Whoever waits is told how it ended, whatever happens.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, read: Callable[[str], T]) -> None:
        """``read(path)`` is called in a thread."""
        self._loop = loop
        self._read = read
        self._wanted: deque[tuple[str, asyncio.Future[T]]] = deque()
        self._hops = 0
        self._most_hops = 1

    async def read(self, path: str) -> T:
        """Read one file. Raises what reading it raises, and ``RuntimeError`` where there is no thread for it."""
        found: asyncio.Future[T] = self._loop.create_future()
        if not self._wanted:
            self._loop.call_soon(self._start)
        self._wanted.append((path, found))
        return await found

    def _start(self) -> None:
        while self._wanted and self._hops < self._most_hops:
            some = [self._wanted.popleft() for _ in range(min(FILES_A_HOP, len(self._wanted)))]
            futures = [future for _, future in some]
            paths = [path for path, _ in some]
            try:
                hop = self._loop.run_in_executor(None, _read_each, self._read, paths)
            except Exception as error:  # noqa: BLE001 - no thread: it belongs to those who wait for these files
                _tell_all(futures, error)
                continue
            self._hops += 1
            hop.add_done_callback(partial(self._give_out, futures))

    def _give_out(
        self, wanted: "list[asyncio.Future[T]]", hop: "asyncio.Future[tuple[list[T | Exception], float]]"
    ) -> None:
        self._hops -= 1
        try:
            files, seconds = hop.result()
        except BaseException as error:  # noqa: BLE001 - a callback's exception would be nobody's, and they would wait on
            _tell_all(wanted, error)
        else:
            self._most_hops = MOST_HOPS if seconds > SLOW_FILE_SECONDS * len(files) else 1
            for future, found in zip(wanted, files, strict=True):
                if future.done():
                    continue  # nobody waits for it any more
                if isinstance(found, Exception):
                    future.set_exception(found)
                else:
                    future.set_result(found)
        self._start()


def _tell_all(futures: "list[asyncio.Future[T]]", error: BaseException) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(as_exception(error))


def as_exception(error: BaseException) -> Exception:
    """What ended a hop, for those that wait for it: they were neither cancelled themselves nor told to exit."""
    if isinstance(error, Exception):
        return error
    return RuntimeError(f"the thread that read it was given up ({type(error).__name__})")


def _read_each(read: Callable[[str], T], paths: list[str]) -> tuple[list[T | Exception], float]:
    """The files, or why they were not read, and the seconds that this took."""
    began = time.monotonic()
    found: list[T | Exception] = []
    for path in paths:
        try:
            found.append(read(path))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is one file's
            found.append(error)
    return found, time.monotonic() - began

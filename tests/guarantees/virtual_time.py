"""An event loop whose clock moves only when nothing else is left to do: hours pass in no time, and always alike."""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class NothingLeft(Exception):
    """Every task waits for something that nobody will ever do."""


class _Clock(selectors.SelectSelector):
    """Stands in for the wait on sockets, of which there are none: the time that would be waited is skipped."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.now = now

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise NothingLeft
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at ``now`` seconds. Work for other threads is done at once, in this one."""

    def __init__(self, now: float = 0.0) -> None:
        self._virtual_clock = _Clock(now)
        super().__init__(self._virtual_clock)

    def time(self) -> float:
        """Seconds on the virtual clock."""
        return self._virtual_clock.now

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any, **context: Any) -> asyncio.Handle:  # type: ignore[override]
        """There is one thread only, and a byte through a socket would wake nobody."""
        return self.call_soon(callback, *args, **context)

    def run_in_executor(self, executor: Any, function: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        """Now, and here."""
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(function(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits the future
            future.set_exception(error)
        return future

"""Requests that have so many seconds: one timer for all of them, as most are over long before."""

import asyncio
from typing import Protocol


class Late(Protocol):
    """What has a deadline."""

    def expire(self) -> None:
        """It is over."""


class Deadlines:
    """What was begun, in the order in which it must be over: all have the same number of seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._ends: dict[Late, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, each: Late) -> None:
        """From now on; what was begun before begins anew."""
        self._ends.pop(each, None)
        self._ends[each] = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def end(self, each: Late) -> None:
        """It is over in time, or was not begun."""
        self._ends.pop(each, None)

    def close(self) -> None:
        """Nothing has a deadline any more."""
        self._ends.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._ends:
            each, end = next(iter(self._ends.items()))
            if end > now:
                self._timer = self._loop.call_at(end, self._look)
                return
            del self._ends[each]
            each.expire()

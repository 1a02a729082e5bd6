"""The clock that a run goes by."""

import asyncio
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol

import anyio


class Clock(Protocol):
    """The time, asked for and waited for. Every wait of the engine that is not for an answer goes through it."""

    def now(self) -> float:
        """Monotonic seconds: whatever is decided by time is decided by these."""
        ...

    def utc_now(self) -> str:
        """The wall clock, as ISO 8601 in UTC: for people and records only; no decision looks at it."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def within(self, seconds: float | None) -> AbstractContextManager[object]:
        """Give up what is awaited in the block after so many seconds; None: never."""
        ...


class LoopClock:
    """The clock of the event loop that it is made in, and the machine's wall clock."""

    def __init__(self) -> None:
        # The loop's own function: an entry asks for the time a dozen times, and anyio looks for the loop each time.
        self.now = asyncio.get_running_loop().time
        # The second that was written last, and how.
        self._second, self._written = -1, ""

    def utc_now(self) -> str:
        """Of this machine, to the millisecond."""
        now = time.time()
        second = int(now)
        if second != self._second:
            # Thousands of records are of one second.
            self._second, self._written = second, datetime.fromtimestamp(second, UTC).isoformat()[:19]
        return f"{self._written}.{int((now - second) * 1000):03d}Z"

    async def sleep(self, seconds: float) -> None:
        """Wait, and let others work."""
        await anyio.sleep(seconds)

    def within(self, seconds: float | None) -> AbstractContextManager[object]:
        """A cancel scope with a deadline."""
        return anyio.move_on_after(seconds)

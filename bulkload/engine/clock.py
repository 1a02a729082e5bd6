"""The clock that a run goes by."""

import asyncio
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

    def utc_now(self) -> str:
        """Of this machine."""
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def sleep(self, seconds: float) -> None:
        """Wait, and let others work."""
        await anyio.sleep(seconds)

    def within(self, seconds: float | None) -> AbstractContextManager[object]:
        """A cancel scope with a deadline."""
        return anyio.move_on_after(seconds)

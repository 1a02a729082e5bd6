"""Waiting for one's turn."""

from collections.abc import Awaitable, Callable

import anyio

from bulkload.core.limits.pacing import timer_seconds
from bulkload.engine.clock import Clock
from bulkload.engine.stop import Stop

# Work to be done before a call can be made; None where there is none.
Missing = Callable[[], Callable[[], Awaitable[object]] | None]

# A rate may rise while somebody waits for it.
LONGEST_NAP_SECONDS = 1.0


class Stopped(Exception):
    """The run is to take nothing new: what waited for its turn was not done."""


async def sleep_unless_stopped(clock: Clock, seconds: float, stop: Stop) -> None:
    """Wait. Raises ``Stopped`` as soon as the run stops."""
    with clock.within(seconds):
        await stop.wait()
    if stop.asked:
        raise Stopped


def nothing_missing() -> None:
    """Nothing has to be done first."""


class Turns:
    """One after the other, in the order of asking, each as soon as ``take`` lets it."""

    def __init__(self, clock: Clock, take: Callable[[float, float], float], stop: Stop | None = None) -> None:
        """``take``: as ``Pacer.take``. ``stop``: who waits is told when the run stops."""
        self._clock = clock
        self._take = take
        self._stop = stop
        self._queue = anyio.Lock(fast_acquire=True)

    @property
    def crowded(self) -> bool:
        """Whether somebody waits."""
        return self._queue.locked()

    async def wait(self, units: float = 1.0, missing: Missing = nothing_missing) -> None:
        """Wait for one's turn, and for what is ``missing`` when it comes (None: nothing is).

        Raises ``Stopped`` when the run stops meanwhile.
        """
        if not self._queue.locked() and missing() is None and self._take(self._clock.now(), units) <= 0.0:
            return
        async with self._queue:
            while True:
                if (work := missing()) is not None:
                    await work()
                seconds = self._take(self._clock.now(), units)
                if seconds <= 0.0:
                    return
                await self._sleep(timer_seconds(min(seconds, LONGEST_NAP_SECONDS)))

    async def _sleep(self, seconds: float) -> None:
        if self._stop is None:
            await self._clock.sleep(seconds)
        else:
            await sleep_unless_stopped(self._clock, seconds, self._stop)

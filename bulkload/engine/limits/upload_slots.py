"""Uploads at a time, as many as the registry answers quickly."""

from collections import deque

import anyio

from bulkload.core.limits.adapting import Concurrency, Decision
from bulkload.core.verdicts import Failure, tells_of_trouble
from bulkload.engine.clock import Clock
from bulkload.engine.events import Events
from bulkload.engine.limits.rate_limiter import limit_changed


class UploadSlots:
    """Slots that all workers share: ``async with slots``.

    anyio's limiter gives way to others also where a slot is free, which costs a small upload a tenth of its time.
    """

    def __init__(self, clock: Clock, most: int, events: Events) -> None:
        self.concurrency = Concurrency(most)
        self._clock = clock
        self._events = events
        self._taken = 0
        self._waiting: deque[anyio.Event] = deque()

    async def __aenter__(self) -> None:
        if self._taken < self.concurrency.limit and not self._waiting:
            self._taken += 1
            return
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self._give_back()
            else:
                self._waiting.remove(turn)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        self._taken -= 1
        while self._waiting and self._taken < self.concurrency.limit:
            self._taken += 1
            self._waiting.popleft().set()

    def settle(
        self, began: float, seconds: float | None, failure: Failure | None = None, *, waiting: bool = False
    ) -> None:
        """An upload was accepted, ``seconds`` after it was sent (None: that tells nothing), or it failed.

        ``waiting``: uploads hold their slots because their rate is limited, so more of them would be of no use.
        """
        now = self._clock.now()
        if failure is None:
            busy = not waiting and self._taken >= self.concurrency.limit
            self._apply(self.concurrency.accepted(now, began, seconds, busy=busy))
        elif tells_of_trouble(failure):
            self._apply(self.concurrency.failed(now, began, str(failure)))

    def lacking(self, began: float, reason: str) -> None:
        """This machine has not enough for so many uploads at a time."""
        self._apply(self.concurrency.failed(self._clock.now(), began, reason))

    def moving(self) -> None:
        """A piece of a large body is about to leave."""
        busy = self._taken >= self.concurrency.limit
        self._apply(self.concurrency.moving(self._clock.now(), busy=busy))

    def _apply(self, decision: Decision | None) -> None:
        if decision is not None:
            # A slot more may be somebody's at once.
            self._taken += 1
            self._give_back()
            self._events(limit_changed("concurrency", decision))

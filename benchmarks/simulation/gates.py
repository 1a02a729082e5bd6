"""``bulkload.engine.limits.turns`` on virtual time: the same decisions, asked in the same order."""

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from benchmarks.simulation.clock import Action, Clock
from bulkload.core.limits.adapting import Concurrency
from bulkload.core.limits.outage import Prospect
from bulkload.core.limits.pacing import Pacer, Throttle
from bulkload.core.model.settings import Settings
from bulkload.core.polls.schedule import AUTO_POLL_RATE
from bulkload.core.verdicts import Failure, tells_of_trouble
from bulkload.engine.limits.turns import LONGEST_NAP_SECONDS

# Timers wake up late, by so much at the most.
LATE_SECONDS = 0.001


class Turns:
    """One after the other, in the order of asking."""

    __slots__ = ("_asking", "_clock", "_queue", "_random", "_take")

    def __init__(self, clock: Clock, chance: random.Random, take: Callable[[float], float]) -> None:
        self._clock = clock
        self._random = chance.random
        self._take = take
        self._queue: deque[tuple[Action, Any]] = deque()
        self._asking = False

    @property
    def crowded(self) -> bool:
        return self._asking

    def wait(self, proceed: Action, subject: Any) -> None:
        """Go on with ``proceed(subject)`` when there is leave."""
        if self._asking:
            self._queue.append((proceed, subject))
        elif self._take(self._clock.now) <= 0.0:
            proceed(subject)
        else:
            self._queue.append((proceed, subject))
            self._ask()

    def _ask(self, _: object = None) -> None:
        self._asking = True
        while self._queue:
            now = self._clock.now
            seconds = self._take(now)
            if seconds > 0.0:
                self._clock.at(now + min(seconds, LONGEST_NAP_SECONDS) + LATE_SECONDS * self._random(), self._ask)
                return
            proceed, subject = self._queue.popleft()
            proceed(subject)
        self._asking = False


class Gate:
    """One kind of call."""

    __slots__ = ("_clock", "_departing", "_departures", "_entering", "throttle")

    def __init__(self, clock: Clock, chance: random.Random, asked: float | None) -> None:
        self.throttle = Throttle(asked)
        self._clock = clock
        self._departures = Pacer(None)
        self._entering = Turns(clock, chance, self.throttle.take)
        self._departing = Turns(clock, chance, self._depart)

    def enter(self, proceed: Action, subject: Any) -> None:
        self._entering.wait(proceed, subject)

    def depart(self, proceed: Action, subject: Any) -> None:
        self._departing.wait(proceed, subject)

    def answered(self, began: float, failure: Failure | None) -> None:
        if failure is None or not tells_of_trouble(failure):
            self.throttle.accepted(self._clock.now, began)
        else:
            self.throttle.failed(self._clock.now, began, failure)

    @property
    def crowded(self) -> bool:
        return self._entering.crowded

    def prospect(self, patience: float) -> Prospect:
        return self.throttle.outage.prospect(self._clock.now, patience)

    def _depart(self, now: float) -> float:
        self._departures.rate = self.throttle.rate(now)
        return self._departures.take(now)


class Slots:
    """Uploads at a time."""

    __slots__ = ("_clock", "_queue", "_taken", "concurrency")

    def __init__(self, clock: Clock, most: int) -> None:
        self.concurrency = Concurrency(most)
        self._clock = clock
        self._taken = 0
        self._queue: deque[tuple[Action, Any]] = deque()

    def acquire(self, proceed: Action, subject: Any) -> None:
        if self._queue or self._taken >= self.concurrency.limit:
            self._queue.append((proceed, subject))
        else:
            self._taken += 1
            proceed(subject)

    def release(self) -> None:
        self._taken -= 1
        self._hand_on()

    def answered(self, began: float, seconds: float | None, failure: Failure | None, *, waiting: bool) -> None:
        now, concurrency = self._clock.now, self.concurrency
        if failure is None:
            busy = not waiting and self._taken >= concurrency.limit
            concurrency.accepted(now, began, seconds, busy=busy)
        elif tells_of_trouble(failure):
            concurrency.failed(now, began, str(failure))
        self._hand_on()

    def _hand_on(self) -> None:
        while self._queue and self._taken < self.concurrency.limit:
            self._taken += 1
            proceed, subject = self._queue.popleft()
            proceed(subject)


class Places:
    """``--max-converting``: places on the registry's conversion queue."""

    __slots__ = ("_most", "_queue", "_taken")

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._taken = 0
        self._queue: deque[tuple[Action, Any]] = deque()

    def take(self, proceed: Action, subject: Any) -> None:
        if self._most is not None and self._taken >= self._most:
            self._queue.append((proceed, subject))
        else:
            self._taken += 1
            proceed(subject)

    def hold(self) -> None:
        self._taken += 1

    def release(self) -> None:
        self._taken -= 1
        while self._queue and (self._most is None or self._taken < self._most):
            self._taken += 1
            proceed, subject = self._queue.popleft()
            proceed(subject)


class Gates:
    """All doors of a run."""

    __slots__ = ("_clock", "further_polls", "lists", "places", "polls", "slots", "uploads")

    def __init__(self, clock: Clock, chance: random.Random, settings: Settings) -> None:
        self._clock = clock
        self.uploads = Gate(clock, chance, settings.upload_rate)
        self.polls = Gate(clock, chance, settings.poll_rate)
        self.lists = Gate(clock, chance, settings.list_rate)
        self.slots = Slots(clock, settings.concurrency)
        self.places = Places(settings.max_converting)
        further = Pacer(AUTO_POLL_RATE if settings.poll_rate is None else None)
        self.further_polls = Turns(clock, chance, further.take)

    def hold(self, seconds: float) -> None:
        for gate in (self.uploads, self.polls, self.lists):
            gate.throttle.pacer.hold(self._clock.now, seconds)

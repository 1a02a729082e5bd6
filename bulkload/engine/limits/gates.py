"""The doors that the calls of a run pass, each kind of call its own: at its rate, and shut when the registry asks."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from bulkload.core.limits.adapting import Concurrency, Decision
from bulkload.core.limits.outage import Prospect
from bulkload.core.limits.pacing import Pacer, Throttle, byte_pacer, timer_seconds
from bulkload.core.model.events import Held, LimitChanged, Outage, OutageEnded, Paced, RequestSent
from bulkload.core.model.settings import Settings
from bulkload.core.polls.schedule import AUTO_POLL_RATE
from bulkload.core.verdicts import CallFailed, Failure, tells_of_trouble
from bulkload.engine.clock import Clock
from bulkload.engine.events import Events
from bulkload.engine.stop import Stop

T = TypeVar("T")
# Work to be done before a call can be made; None where there is none.
Missing = Callable[[], Callable[[], Awaitable[object]] | None]

# A rate may rise while somebody waits for it.
LONGEST_NAP_SECONDS = 1.0
# How often a rate that comes back is told, and the share of it below which a change is none.
PACED_SECONDS = 1.0
SAME_RATE = 0.01


class Stopped(Exception):
    """The run is to take nothing new: what waited for leave was not done."""


async def sleep_unless_stopped(clock: Clock, seconds: float, stop: Stop) -> None:
    """Wait. Raises ``Stopped`` as soon as the run stops."""
    with clock.within(seconds):
        await stop.wait()
    if stop.asked:
        raise Stopped


class Turns:
    """One after the other, in the order of asking, each as soon as ``take`` gives leave."""

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

    async def wait(self, units: float = 1.0, missing: Missing = lambda: None) -> None:
        """Wait for leave, and for what is ``missing`` when the turn comes (None: nothing is).

        Raises ``Stopped`` when the run stops meanwhile.
        """
        if not self._queue.locked() and missing() is None and self._take(self._clock(), units) <= 0.0:
            return
        async with self._queue:
            while True:
                if (work := missing()) is not None:
                    await work()
                seconds = self._take(self._clock(), units)
                if seconds <= 0.0:
                    return
                await self._sleep(timer_seconds(min(seconds, LONGEST_NAP_SECONDS)))

    async def _sleep(self, seconds: float) -> None:
        if self._stop is None:
            await self._clock.sleep(seconds)
        else:
            await sleep_unless_stopped(self._clock, seconds, self._stop)


class Gate:
    """One kind of call."""

    def __init__(self, clock: Clock, call: str, asked: float | None, stop: Stop, events: Events) -> None:
        """``asked``: calls a second at the most; None: no limit."""
        self._clock = clock
        self._events = events
        # The rate that was told last, and when the next may be.
        self._told_rate, self._tells_at = asked, float("-inf")
        self.throttle = Throttle(asked)
        self._call = call
        # After what lies between leave and call (a commit, a token), calls must not leave in a bunch.
        self._departures = Pacer(None)
        self._entering = Turns(clock, self._enter, stop)
        self._departing = Turns(clock, self._depart, stop)

    async def enter(self) -> None:
        """Wait until a call may be made. Raises ``Stopped`` when the run stops meanwhile."""
        await self._entering.wait()

    def turn_back(self) -> None:
        """The call is not made after all."""
        self.throttle.pacer.give_back()

    async def depart(self, missing: Missing) -> None:
        """The call is about to be made, some time after ``enter``, when nothing is ``missing`` for it.

        Raises ``Stopped`` when it has to wait and the run stops meanwhile.
        """
        await self._departing.wait(missing=missing)
        self.note_request()

    def note_request(self) -> None:
        """A call leaves."""
        if self._events.hears(RequestSent):
            self._events(RequestSent(self._call))

    async def observed(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Make the call and learn from how it goes. Raises what it raises."""
        began = self._clock()
        try:
            result = await operation()
        except CallFailed as failed:
            self.answered(began, failed.failure)
            raise
        self.answered(began)
        return result

    def answered(self, began: float, failure: Failure | None = None) -> None:
        """A call that began at ``began`` was answered, or failed: whatever does not pass is an answer."""
        now, was_out = self._clock(), self.throttle.outage.is_on
        if failure is None or not tells_of_trouble(failure):
            self.throttle.accepted(now, began)
        elif (decision := self.throttle.failed(now, began, failure)) is not None:
            _tell(self._events, "rate", decision, self._call)
        if self.throttle.outage.is_on != was_out:
            self._tells_at = now
            if was_out:
                self._events(OutageEnded(self._call))
        if now >= self._tells_at:
            self._tell_rate(now)

    @property
    def crowded(self) -> bool:
        """Whether calls wait for leave."""
        return self._entering.crowded

    def prospect(self, patience: float) -> Prospect:
        """What an outage of this kind of call means for one that failed."""
        return self.throttle.outage.prospect(self._clock(), patience)

    def outage_event(self, failure: Failure, backoff: float, patience: float) -> Outage | None:
        """What is told of a call that waits for the end of an outage; None where there is none."""
        return self.throttle.outage.told(self._call, self._clock(), failure, backoff, patience)

    def _enter(self, now: float, _: float) -> float:
        wait = self.throttle.take(now)
        if now >= self._tells_at:
            self._tell_rate(now)
        return wait

    def _tell_rate(self, now: float) -> None:
        """Say how often calls may be made now, where that has changed."""
        self._tells_at = now + PACED_SECONDS
        if not self._events.hears(Paced):
            return
        rate, told = self.throttle.rate(now), self._told_rate
        if rate != told and not (rate and told and abs(rate - told) < SAME_RATE * told):
            self._told_rate = rate
            self._events(Paced(self._call, rate))

    def _depart(self, now: float, units: float) -> float:
        # Who had leave before the registry asked for a pause has not left yet.
        if (held := self.throttle.pacer.held(now)) > 0.0:
            return held
        self._departures.rate = self.throttle.rate(now)
        return self._departures.take(now, units)


class Slots:
    """Uploads at a time, as many as the registry answers quickly, shared by all lanes: ``async with slots``.

    anyio's limiter gives way to others also where a slot is free, which costs a small upload a tenth of its time.
    """

    def __init__(self, clock: Clock, most: int, events: Events) -> None:
        self._clock = clock
        self._events = events
        self.concurrency = Concurrency(most)
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
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._taken < self.concurrency.limit:
            self._taken += 1
            self._waiting.popleft().set()

    def answered(
        self, began: float, seconds: float | None, failure: Failure | None = None, *, waiting: bool = False
    ) -> None:
        """An upload was accepted, ``seconds`` after it was sent (None: that tells nothing), or it failed.

        ``waiting``: uploads hold their slots because their rate is limited, so more of them would be of no use.
        """
        now = self._clock()
        if failure is not None:
            if tells_of_trouble(failure):
                self._apply(self.concurrency.failed(now, began, str(failure)))
            return
        busy = not waiting and self._is_full
        self._apply(self.concurrency.accepted(now, began, seconds, busy=busy))

    def lacking(self, began: float, reason: str) -> None:
        """This machine has not enough for so many uploads at a time."""
        self._apply(self.concurrency.failed(self._clock(), began, reason))

    def moving(self) -> None:
        """A piece of a large body is about to leave."""
        self._apply(self.concurrency.moving(self._clock(), busy=self._is_full))

    @property
    def _is_full(self) -> bool:
        return self._taken >= self.concurrency.limit

    def _apply(self, decision: Decision | None) -> None:
        if decision is not None:
            self._admit()
            _tell(self._events, "concurrency", decision)


class Gates:
    """All doors of a run."""

    def __init__(self, settings: Settings, stop: Stop, clock: Clock, events: Events) -> None:
        self._clock = clock
        self._events = events
        self.uploads = Gate(clock, "upload", settings.upload_rate, stop, events)
        self.polls = Gate(clock, "poll", settings.poll_rate, stop, events)
        self.lists = Gate(clock, "list", settings.list_rate, stop, events)
        self.tokens = Gate(clock, "token", settings.token_rate, stop, events)
        self.slots = Slots(clock, settings.concurrency, events)
        # `--poll-rate auto`: a version's first poll keeps pace with the uploads, all further ones share this.
        further = Pacer(AUTO_POLL_RATE if settings.poll_rate is None else None)
        self.further_polls = Turns(clock, further.take, stop)
        # A body under way is given its grace time when the run stops.
        self.bytes = Turns(clock, byte_pacer(settings.bandwidth).take)

    async def before_login(self) -> None:
        """A token is about to be asked for, by whichever call needs one."""
        await self.tokens.enter()
        self.tokens.note_request()

    def hold(self, seconds: float) -> None:
        """The registry asked for a pause: it holds for everybody, not only for the call that was told."""
        now = self._clock()
        for gate in (self.uploads, self.polls, self.lists, self.tokens):
            gate.throttle.pacer.hold(now, seconds)
        self._events(Held(seconds, now + seconds))


def _tell(events: Events, limit: str, decision: Decision, kind: str | None = None) -> None:
    events(
        LimitChanged(
            limit=limit,
            kind=kind,
            before=decision.before,
            after=decision.after,
            found=decision.found,
            reason=decision.reason,
        )
    )

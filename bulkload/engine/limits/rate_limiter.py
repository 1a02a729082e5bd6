"""One kind of call: at the rate that the user wants and the registry takes, and not at all while it wants a pause."""

from bulkload.core.limits.adapting import Decision
from bulkload.core.limits.outage import Prospect
from bulkload.core.limits.pacing import Pacer, Throttle
from bulkload.core.model.events import LimitChanged, Outage, OutageEnded, Paced, RequestSent
from bulkload.core.verdicts import Failure, tells_of_trouble
from bulkload.engine.clock import Clock
from bulkload.engine.events import Events
from bulkload.engine.limits.turns import Missing, Turns
from bulkload.engine.stop import Stop

# How often a rate that comes back is told, and the share of it below which a change is none.
PACED_SECONDS = 1.0
SAME_RATE = 0.01


class RateLimiter:
    """Gives permits for one kind of call. A permit is one request."""

    def __init__(self, clock: Clock, call: str, asked: float | None, stop: Stop, events: Events) -> None:
        """``asked``: calls a second at the most; None: no limit."""
        self.throttle = Throttle(asked)
        self._clock = clock
        self._events = events
        # The rate that was told last, and when the next may be.
        self._told_rate, self._tells_at = asked, float("-inf")
        self._call = call
        # After what lies between permit and call (a commit, a token), calls must not leave in a bunch.
        self._departures = Pacer(None)
        self._reserving = Turns(clock, self._reserve, stop)
        self._departing = Turns(clock, self._depart, stop)

    async def reserve(self) -> None:
        """Wait for a permit. Raises ``Stopped`` when the run stops meanwhile."""
        await self._reserving.wait()

    def give_back(self) -> None:
        """The call is not made after all."""
        self.throttle.pacer.give_back()

    async def depart(self, missing: Missing) -> None:
        """The call is about to be made, some time after ``reserve``, when nothing is ``missing`` for it.

        Raises ``Stopped`` when it has to wait and the run stops meanwhile.
        """
        await self._departing.wait(missing=missing)
        self.note_request()

    async def begin(self, missing: Missing) -> None:
        """``reserve`` and ``depart`` in one, for a call with nothing in between."""
        await self._reserving.wait(missing=missing)
        self.note_request()

    def note_request(self) -> None:
        """A call leaves."""
        if self._events.hears(RequestSent):
            self._events(RequestSent(self._call))

    def settle(self, began: float, failure: Failure | None = None) -> None:
        """A call that began at ``began`` was answered, or failed: whatever does not pass is an answer."""
        now, throttle = self._clock.now(), self.throttle
        was_out = throttle.outage.is_on
        if failure is None or not tells_of_trouble(failure):
            throttle.accepted(now, began)
        elif (decision := throttle.failed(now, began, failure)) is not None:
            self._events(limit_changed("rate", decision, self._call))
        if throttle.outage.is_on != was_out:
            self._tells_at = now
            if was_out:
                self._events(OutageEnded(self._call))
        if now >= self._tells_at:
            self._tell_rate(now)

    @property
    def crowded(self) -> bool:
        """Whether calls wait for a permit."""
        return self._reserving.crowded

    def prospect(self, patience: float) -> Prospect:
        """What an outage of this kind of call means for one that failed."""
        return self.throttle.outage.prospect(self._clock.now(), patience)

    def outage_event(self, failure: Failure, backoff: float, patience: float) -> Outage | None:
        """What is told of a call that waits for the end of an outage; None where there is none."""
        return self.throttle.outage.told(self._call, self._clock.now(), failure, backoff, patience)

    def _reserve(self, now: float, _: float) -> float:
        wait = self.throttle.take(now)
        if now >= self._tells_at:
            self._tell_rate(now)
        return wait

    def _depart(self, now: float, units: float) -> float:
        # Who had a permit before the registry asked for a pause has not left yet.
        if (held := self.throttle.pacer.held(now)) > 0.0:
            return held
        self._departures.rate = self.throttle.rate(now)
        return self._departures.take(now, units)

    def _tell_rate(self, now: float) -> None:
        """Say how often calls may be made now, where that has changed."""
        self._tells_at = now + PACED_SECONDS
        if not self._events.hears(Paced):
            return
        rate, told = self.throttle.rate(now), self._told_rate
        if rate != told and not (rate and told and abs(rate - told) < SAME_RATE * told):
            self._told_rate = rate
            self._events(Paced(self._call, rate))


def limit_changed(limit: str, decision: Decision, kind: str | None = None) -> LimitChanged:
    """A decision of core, as what is told of it."""
    return LimitChanged(
        limit=limit,
        kind=kind,
        before=decision.before,
        after=decision.after,
        found=decision.found,
        reason=decision.reason,
    )

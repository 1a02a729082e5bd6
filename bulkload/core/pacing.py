"""Evenly paced budgets: a calculator apart from the sleeper. Time comes in as an argument, in monotonic seconds."""

from dataclasses import dataclass, field

from bulkload.core.adapting import LIMIT_SECONDS, UNKNOWN_RATE, Decision, LearntRate
from bulkload.core.outage import Outage
from bulkload.core.verdicts import Failure, FailureKind

# Timers wake up late, which is made up for by half a unit: less than one cannot add up to a burst, so no second ever
# holds more than one unit above the rate.
EARLY_UNITS = 0.5
# The same for bytes, in seconds of them: their pieces take longer than timers are late.
EARLY_SECONDS = 0.02
# Where the first refusal taught a higher rate than a lone one does, what was sent was a burst.
BURST_RATE = UNKNOWN_RATE / 2


@dataclass(slots=True)
class Pacer:
    """Spreads units (calls, bytes) evenly. An unused past is never saved up."""

    # Units a second; None: no limit. It may change at any time.
    rate: float | None
    # Units that may start before their time.
    early: float = EARLY_UNITS
    # When the last ones were due, and how many they were.
    _due: float = float("-inf")
    _units: float = 0.0
    # Nothing starts before this moment, whatever the rate.
    _held_until: float = float("-inf")

    def take(self, now: float, units: float = 1.0) -> float:
        """Take ``units`` if they may start now, and return 0; else the seconds after which to ask again."""
        due, early = now, 0.0
        if self.rate is not None:
            early = self.early / self.rate
            # What started early at a lower rate holds nobody back for longer than this one says.
            due = min(self._due, now + early) + self._units / self.rate
        wait = max(due - early, self._held_until) - now
        if wait > 0.0:
            return wait
        self._due, self._units = max(now, due), units
        return 0.0

    def hold(self, now: float, seconds: float) -> None:
        """Let nothing start for ``seconds``: the registry asked everybody to wait."""
        self._held_until = max(self._held_until, now + seconds)

    def held(self, now: float) -> float:
        """Seconds for which nothing may start."""
        return max(0.0, self._held_until - now)


def byte_pacer(bandwidth: float | None) -> Pacer:
    """A pacer of bytes, ``bandwidth`` of them a second."""
    return Pacer(bandwidth, early=EARLY_SECONDS * (bandwidth or 0.0))


@dataclass(slots=True)
class Throttle:
    """One kind of call: as often as the user wants at the most, and as often as the registry takes it."""

    # Calls a second at the most; None: no limit.
    asked: float | None
    learnt: LearntRate = field(default_factory=LearntRate)
    outage: Outage = field(default_factory=Outage)
    pacer: Pacer = field(default_factory=lambda: Pacer(None))

    def take(self, now: float) -> float:
        """Take leave for one call and return 0; else the seconds after which to ask again."""
        self.pacer.rate = self.rate(now)
        return self.pacer.take(now)

    def rate(self, now: float) -> float | None:
        """Calls a second that may be made now; None: no limit."""
        pause = self.outage.pause
        rates = (self.asked, self.learnt.rate(now), 1.0 / pause if pause else None)
        return min((rate for rate in rates if rate is not None), default=None)

    def accepted(self, now: float, began: float) -> None:
        """The registry took a call that began at ``began``, whatever it thinks of what was asked."""
        self.learnt.accepted(now, began)
        self.outage.succeeded(now)

    def failed(self, now: float, began: float, failure: Failure) -> Decision | None:
        """A call failed in a way that passes. Returns the decision about the rate, where it was one too many."""
        self.outage.failed(now, began)
        if failure.kind is FailureKind.STATUS and (failure.status == 429 or failure.retry_after is not None):
            decision = self.learnt.refused(now, began, str(failure))
            if decision is not None and decision.before is None and (decision.after or 0.0) > BURST_RATE:
                # A burst without a rate fills the registry's second: nothing more would be taken in it.
                self.pacer.hold(now, LIMIT_SECONDS)
            return decision
        return None

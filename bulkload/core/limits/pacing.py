"""Evenly paced budgets: a calculator apart from the sleeper. Time comes in as an argument, in monotonic seconds."""

import math
from dataclasses import dataclass, field

from bulkload.core.limits.adapting import LIMIT_SECONDS, Decision, Departure, LearntRate
from bulkload.core.limits.outage import Outage
from bulkload.core.verdicts import Failure, FailureKind

# Timers wake up late: what starts late by up to so much does not put off what comes after it. Less than one unit cannot
# add up to a burst, so no second ever holds more than one unit above the rate.
LATE_UNITS = 0.5
# The same for bytes, in seconds of them: their pieces take longer than timers are late.
LATE_SECONDS = 0.02


@dataclass(slots=True)
class Pacer:
    """Spreads units (calls, bytes) evenly. An unused past is never saved up."""

    # Units a second; None: no limit. It may change at any time.
    rate: float | None
    # Units by which one may be late without putting off the next.
    late: float = LATE_UNITS
    # When the last ones were due, and how many they were.
    _due: float = float("-inf")
    _units: float = 0.0
    # Nothing starts before this moment, whatever the rate.
    _held_until: float = float("-inf")

    def take(self, now: float, units: float = 1.0) -> float:
        """Take ``units`` if they may start now, and return 0; else the seconds after which to ask again."""
        if self.rate is None:
            if self._held_until > now:
                return self._held_until - now
            self._due, self._units = now, units
            return 0.0
        unit_seconds = 1.0 / self.rate
        due = self._due + self._units * unit_seconds
        wait = max(due, self._held_until) - now
        if wait > 0.0:
            return wait
        # After an idle time nothing is made up for: it would be a burst.
        timely = now - due < units * unit_seconds
        self._due, self._units = max(due, now - self.late * unit_seconds) if timely else now, units
        return 0.0

    def give_back(self, units: float = 1.0) -> None:
        """Units that were taken last are not used after all."""
        if self.rate is not None:
            self._due -= units / self.rate

    def hold(self, now: float, seconds: float) -> None:
        """Let nothing start for ``seconds``: the registry asked everybody to wait."""
        self._held_until = max(self._held_until, now + seconds)

    def held(self, now: float) -> float:
        """Seconds for which nothing may start."""
        return max(0.0, self._held_until - now)


def byte_pacer(bandwidth: float | None) -> Pacer:
    """A pacer of bytes, ``bandwidth`` of them a second."""
    return Pacer(bandwidth, late=LATE_SECONDS * (bandwidth or 0.0))


@dataclass(slots=True)
class Throttle:
    """One kind of call: as often as the user wants at the most, and as often as the registry takes it."""

    # Calls a second at the most; None: no limit.
    asked: float | None
    learnt: LearntRate = field(default_factory=LearntRate)
    outage: Outage = field(default_factory=Outage)
    pacer: Pacer = field(default_factory=lambda: Pacer(None))

    def take(self, now: float) -> float:
        """Let one call start now and return 0; else the seconds after which to ask again."""
        # Most registries limit nothing, and are not down.
        is_free = self.learnt.limit is None and self.outage.since is None
        self.pacer.rate = self.asked if is_free else self.rate(now)
        return self.pacer.take(now)

    def rate(self, now: float) -> float | None:
        """Calls a second that may be made now; None: no limit."""
        rate, learnt = self.asked, self.learnt.rate(now)
        if learnt is not None and (rate is None or learnt < rate):
            rate = learnt
        if self.outage.is_on:
            slow = 1.0 / self.outage.pause
            rate = slow if rate is None else min(rate, slow)
        return rate

    def accepted(self, now: float, sent: Departure, latest: int) -> None:
        """The registry took a call, whatever it thinks of what was asked."""
        if self.outage.is_on:
            self.learnt.resumed(now, latest)
        self.outage.succeeded(sent)
        self.learnt.accepted(now, sent)

    def failed(self, now: float, sent: Departure, latest: int, failure: Failure) -> Decision | None:
        """A call failed in a way that passes. Returns the decision about the rate, where it was one too many."""
        self.outage.failed(now, sent, latest)
        # Whoever says so.
        answered = failure.kind in (FailureKind.STATUS, FailureKind.FOREIGN)
        if answered and (failure.status == 429 or failure.retry_after is not None):
            decision = self.learnt.refused(now, sent, latest, str(failure))
            if decision is not None and decision.before is None and self.learnt.has_taken:
                # What was sent without a rate fills the registry's second: nothing more would be taken in it.
                self.pacer.hold(now, LIMIT_SECONDS)
            return decision
        return None


def timer_seconds(seconds: float) -> float:
    """How long to set a timer so that ``seconds`` are over when it fires.

    Event loops may count whole milliseconds. A timer that fires in the one in which its time ends is set anew until
    that is over: a hundred turns of the loop for nothing.
    """
    # A tenth less: it must not end behind the millisecond.
    return (math.ceil(seconds * 1000) - 0.1) / 1000

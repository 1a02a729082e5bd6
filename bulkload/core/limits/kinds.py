"""Calls that share a rate: how often they may leave, what is learnt from their answers, what is told of that."""

from bulkload.core.limits.adapting import Decision
from bulkload.core.limits.pacing import Throttle
from bulkload.core.limits.permits import Permit
from bulkload.core.model.events import Event, LimitChanged, OutageEnded, Paced
from bulkload.core.verdicts import Failure, tells_of_trouble

# How often a rate that comes back is told, and the share of it below which a change is none.
PACED_SECONDS = 1.0
SAME_RATE = 0.01

NOTHING: tuple[Event, ...] = ()


class Kind:
    """One kind of call. ``name``: as events name it."""

    __slots__ = ("_tells_at", "_told_rate", "name", "throttle")

    def __init__(self, name: str, asked: float | None) -> None:
        self.name = name
        self.throttle = Throttle(asked)
        # The rate that was told last, and when the next may be.
        self._told_rate, self._tells_at = asked, float("-inf")

    def take(self, now: float, _: Permit) -> float:
        """Let one call leave now and return 0; else the seconds after which to ask again."""
        return self.throttle.take(now)

    def settle(self, now: float, permit: Permit, latest: int, failure: Failure | None) -> tuple[Event, ...]:
        """A call was answered, or failed: whatever does not pass is an answer. Returns what is to be told."""
        throttle, decision = self.throttle, None
        if failure is None and throttle.outage.since is None:
            throttle.learnt.accepted(now, permit)
            return NOTHING if now < self._tells_at else tuple(self._told(now, None, was_out=False, is_out=False))
        was_out = throttle.outage.is_on
        if failure is None or not tells_of_trouble(failure):
            throttle.accepted(now, permit, latest)
        else:
            decision = throttle.failed(now, permit, latest, failure)
        is_out = throttle.outage.is_on
        if decision is None and was_out == is_out and now < self._tells_at:
            return NOTHING
        return tuple(self._told(now, decision, was_out=was_out, is_out=is_out))

    def _told(self, now: float, decision: Decision | None, *, was_out: bool, is_out: bool) -> list[Event]:
        told: list[Event] = []
        if decision is not None:
            told.append(limit_changed("rate", decision, self.name))
        if was_out and not is_out:
            told.append(OutageEnded(self.name))
        if was_out != is_out or now >= self._tells_at:
            self._tells_at = now + PACED_SECONDS
            rate, before = self.throttle.rate(now), self._told_rate
            if rate != before and not (rate and before and abs(rate - before) < SAME_RATE * before):
                self._told_rate = rate
                told.append(Paced(self.name, rate))
        return told


def limit_changed(limit: str, decision: Decision, kind: str | None = None) -> LimitChanged:
    """A decision, as what is told of it."""
    return LimitChanged(
        limit=limit,
        kind=kind,
        before=decision.before,
        after=decision.after,
        found=decision.found,
        reason=decision.reason,
    )

"""What a registry allows, learnt from how it takes what it is sent: uploads at a time, and calls a second.

Nobody tells these limits before they are passed. Decisions only: time comes in as an argument, in monotonic seconds;
a decision goes out as a record with its reason.
"""

from dataclasses import dataclass

# Uploads at a time to begin with.
FIRST_CONCURRENCY = 4
# Answers that came sooner waited in no queue worth the name.
QUICK_SECONDS = 0.1
# Where answers take so many times longer than the quickest did, more at a time only makes the queue longer.
SLOWER = 2.0
SLOWER_CUT = 0.8
REFUSED_CUT = 0.5

# The limit that is aimed at lies so much below the rate that was refused: evenly paced requests do not arrive so.
BELOW_REFUSED = 0.98
# After a refusal the rate is cut to this share of it ...
RATE_CUT = 0.95
# ... and comes back within this time, ever slower as it comes near (CUBIC, RFC 9438); then it grows ever faster.
RETURN_SECONDS = 15.0
# Beyond the limit the rate doubles within this time, and grows sixteen times within twice that.
DOUBLING_SECONDS = 4.0
# Limits are counted in seconds at the shortest: so long after a cut, what was sent before it may still fill the
# registry's second. What is refused meanwhile says nothing about the limit; the rate alone is cut, to this share.
LIMIT_SECONDS = 1.0
REFUSED_AGAIN_CUT = 0.8
# What passes may be so much above the mean of the time since the last refusal, pauses included.
ABOVE_MEAN = 1.25
LOWEST_RATE = 1.0
# Where the very first requests are refused.
UNKNOWN_RATE = 8.0
# A rate so many times above the limit says that there is none any more.
FORGOTTEN = 64.0


@dataclass(frozen=True, slots=True)
class Decision:
    """A limit that was changed; None: no limit."""

    before: float | None
    after: float | None
    reason: str


@dataclass(slots=True)
class Concurrency:
    """Uploads at a time: twice as many after each round while that helps, then one more; fewer when it is too much.

    A round is as many answers as there are uploads at a time.
    """

    # Never above this.
    most: int
    limit: int = 0
    # No limit was met so far: it grows fast.
    _searching: bool = True
    _answers: int = 0
    _timed: int = 0
    _seconds: float = 0.0
    # The mean wait for an answer in the quickest round.
    _quickest: float = float("inf")
    # What began before the last cut says nothing about it.
    _cut_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.limit = self.limit or min(self.most, FIRST_CONCURRENCY)

    def accepted(self, now: float, began: float, seconds: float | None, *, busy: bool) -> Decision | None:
        """An upload that began at ``began`` was accepted, ``seconds`` after it was sent (None: that tells nothing).

        ``busy``: as many as allowed were under way.
        """
        if began < self._cut_at:
            return None
        self._answers += 1
        if seconds is not None:
            self._timed += 1
            self._seconds += seconds
        if self._answers < self.limit:
            return None
        mean = self._seconds / self._timed if self._timed else 0.0
        self._answers, self._timed, self._seconds = 0, 0, 0.0
        if mean:
            self._quickest = min(self._quickest, mean)
        if mean > max(QUICK_SECONDS, SLOWER * self._quickest):
            return self._cut(now, SLOWER_CUT, f"answers take {mean:.2f} s, they took {self._quickest:.2f} s")
        if not busy:
            return None
        return self._change(self.limit * 2 if self._searching else self.limit + 1, "answers are as quick as before")

    def failed(self, now: float, began: float, reason: str) -> Decision | None:
        """An upload that began at ``began`` was refused for now, or lost."""
        return None if began < self._cut_at else self._cut(now, REFUSED_CUT, reason)

    def _cut(self, now: float, share: float, reason: str) -> Decision | None:
        self._searching, self._cut_at = False, now
        return self._change(int(self.limit * share), reason)

    def _change(self, limit: int, reason: str) -> Decision | None:
        before, self.limit = self.limit, max(1, min(self.most, limit))
        return Decision(before, self.limit, reason) if self.limit != before else None


@dataclass(slots=True)
class LearntRate:
    """Calls a second that a registry was found to take; no limit before the first refusal."""

    # The rate that it takes, as far as refusals tell; None: it never refused.
    _limit: float | None = None
    # What it was cut to, and since when calls are accepted again; None: not yet.
    _low: float = 0.0
    _since: float | None = None
    # Accepted since the last refusal, or since the first call.
    _accepted: int = 0
    _counting_since: float = float("-inf")

    def rate(self, now: float) -> float | None:
        """The rate to keep now; None: no limit is known."""
        if self._limit is None:
            return None
        if self._since is None:
            return self._low
        passed = now - self._since
        if passed < RETURN_SECONDS:
            return self._limit - (self._limit - self._low) * (1.0 - passed / RETURN_SECONDS) ** 3
        doublings = ((passed - RETURN_SECONDS) / DOUBLING_SECONDS) ** 2
        return None if doublings > FORGOTTEN else self._limit * 2.0**doublings

    def accepted(self, now: float, began: float) -> None:
        """A call that began at ``began`` was taken."""
        if began < self._counting_since:
            return
        if not self._accepted and self._limit is None:
            self._counting_since = began
        self._accepted += 1
        if self._since is None:
            self._since = now

    def refused(self, now: float, began: float, reason: str) -> Decision | None:
        """A call that began at ``began`` was too many."""
        if began < self._counting_since and self._limit is not None:
            return None
        before = self.rate(now)
        self._low = max(LOWEST_RATE, self._cut(began, before))
        self._accepted, self._counting_since, self._since = 0, now, None
        return Decision(before, self._low, reason)

    def _cut(self, began: float, rate: float | None) -> float:
        """Learn the limit; returns what to cut to. ``began``: when the refused call began."""
        if not self._accepted:
            # Nothing passed since the last refusal, which says nothing about the limit.
            self._limit = self._limit or UNKNOWN_RATE
            return (self._low or UNKNOWN_RATE) / 2
        # What began later than the refused call is not answered yet.
        seconds = began - self._counting_since
        if rate is not None and seconds < LIMIT_SECONDS:
            return REFUSED_AGAIN_CUT * rate
        mean = self._accepted / max(LIMIT_SECONDS, seconds)
        met = mean if rate is None else min(rate, ABOVE_MEAN * mean)
        self._limit = max(LOWEST_RATE, BELOW_REFUSED * met)
        return RATE_CUT * self._limit

"""What a registry allows, learnt from how it takes what it is sent: uploads at a time, and calls a second.

Nobody tells these limits before they are passed. Decisions only: time comes in as an argument, in monotonic seconds;
a decision goes out as a record with its reason.
"""

from collections import deque
from dataclasses import dataclass, field

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
RETURN_SECONDS = 12.0
# Where the same limit was met again beyond it, looking there is of less use: so much longer is the way back then.
CONFIRMED_RETURN_SECONDS = 36.0
# What is taken of so many times the limit has met it again.
SAME_LIMIT = 0.9
# Beyond the limit the rate doubles within this time, and grows sixteen times within twice that.
DOUBLING_SECONDS = 4.0
# The limit is what was taken of the calls of so many seconds, up to the one that was refused. So long after a cut, what
# was sent before it may still fill the registry's second: what is refused meanwhile says nothing about the limit, and
# the rate alone is cut, to this share.
LIMIT_SECONDS = 1.0
REFUSED_AGAIN_CUT = 0.8
NOTHING_TAKEN_CUT = 0.5
LOWEST_RATE = 1.0
# Where the very first requests are refused. Of limits below nothing is confirmed: refusals at random look like them.
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
    _low: float = UNKNOWN_RATE
    _since: float | None = None
    # What began before the last cut was sent at another rate.
    _cut_at: float = float("-inf")
    # When the calls of late began that were accepted.
    _accepted: deque[float] = field(default_factory=deque)
    # When the call began whose refusal taught the limit, and the rate at that time.
    _refused: float = float("-inf")
    _rate: float = float("inf")
    # That was the last refusal.
    _taught: bool = False
    _return_seconds: float = RETURN_SECONDS

    def rate(self, now: float) -> float | None:
        """The rate to keep now; None: no limit is known."""
        if self._limit is None:
            return None
        if self._since is None:
            return self._low
        passed = now - self._since
        if passed < self._return_seconds:
            return self._limit - (self._limit - self._low) * (1.0 - passed / self._return_seconds) ** 3
        doublings = ((passed - self._return_seconds) / DOUBLING_SECONDS) ** 2
        return None if doublings > FORGOTTEN else self._limit * 2.0**doublings

    def accepted(self, now: float, began: float) -> None:
        """A call that began at ``began`` was taken."""
        self._accepted.append(began)
        while self._accepted[0] < began - 2 * LIMIT_SECONDS:
            self._accepted.popleft()
        if self._limit is None:
            return
        if began >= self._cut_at:
            self._since = now if self._since is None else self._since
        elif self._refused - LIMIT_SECONDS < began <= self._refused:
            # A refusal is answered sooner than what was taken before it.
            self._limit = max(self._limit, self._taken_before(self._refused))
            if self._taught:
                self._low = max(self._low, RATE_CUT * self._limit)

    def refused(self, now: float, began: float, reason: str) -> Decision | None:
        """A call that began at ``began`` was too many."""
        if began < self._cut_at:
            return None
        before = self.rate(now)
        self._low = max(LOWEST_RATE, self._cut(began, before))
        self._cut_at, self._since = now, None
        return Decision(before, self._low, reason)

    def _cut(self, began: float, rate: float | None) -> float:
        """Learn the limit, where this refusal teaches it; returns what to cut to."""
        before, beyond = self._limit, rate is not None and self._limit is not None and rate > self._limit
        self._taught, self._return_seconds = False, RETURN_SECONDS
        if self._limit is not None and self._since is None:
            return NOTHING_TAKEN_CUT * self._low
        if rate is not None and began - self._cut_at < LIMIT_SECONDS:
            return REFUSED_AGAIN_CUT * rate
        self._refused, self._rate = began, float("inf") if rate is None else rate
        limit = self._taken_before(began)
        if not limit:
            self._limit = self._limit or UNKNOWN_RATE
            return NOTHING_TAKEN_CUT * (rate or UNKNOWN_RATE)
        self._limit, self._taught = max(LOWEST_RATE, limit), True
        if (
            beyond
            and before is not None
            and before >= UNKNOWN_RATE
            and SAME_LIMIT * before <= limit <= before / SAME_LIMIT
        ):
            self._return_seconds = CONFIRMED_RETURN_SECONDS
        return RATE_CUT * self._limit

    def _taken_before(self, moment: float) -> float:
        """The limit to aim at, by what was taken of the calls up to ``moment``."""
        taken = sum(moment - LIMIT_SECONDS < began <= moment for began in self._accepted)
        return BELOW_REFUSED * min(self._rate, taken / LIMIT_SECONDS)

"""What a registry allows, learnt from how it takes what it is sent: uploads at a time, and calls a second.

Nobody tells these limits before they are passed. Decisions only: time comes in as an argument, in monotonic seconds;
a decision goes out as a record with its reason.

An answer is judged against the decisions that are older than the departure of its call. Which of them is older is told
by numbers, as clocks may show the same for both: departures are counted, and a decision notes the ``latest`` of them.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

# Uploads at a time to begin with.
FIRST_CONCURRENCY = 4
# Large bodies that move without trouble for so long are a round, too.
LARGE_ROUND_SECONDS = 1.0
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
# ... and comes back within this time, ever slower as it comes near (CUBIC, RFC 9438); then it grows ever faster, ...
RETURN_SECONDS = 8.0
# ... after so long. A limit that is met again where it was expected is kept to for longer each time, up to: each look
# beyond it costs a pause.
CALM_SECONDS = 15.0
LONGEST_CALM_SECONDS = 120.0
MET_AGAIN = 0.1
# What passed for so long was no burst. A limit far below that is looked beyond as soon as a new one: it may be in the
# way for a while only, as when others publish, too.
PROOF_SECONDS = 60.0
# Beyond the limit the rate doubles within this time, and grows sixteen times within twice that.
DOUBLING_SECONDS = 4.0
# Limits are counted in seconds at the shortest: what passed in the second before a refusal was the limit. What is
# refused sooner after a cut or a pause says little about it: the rate is cut to this share ...
LIMIT_SECONDS = 1.0
REFUSED_AGAIN_CUT = 0.8
# ... and the limit to this one, unless nothing had passed since the cut.
SOON_AGAIN_CUT = 0.9
# Where the registry asks for longer pauses, it counts in longer times, of which a second may hold far more than its
# share: what passes may be so much above the mean, pauses included.
LONG_PAUSE_SECONDS = 2.0
ABOVE_MEAN = 1.25
LOWEST_RATE = 1.0
# Where the very first requests are refused.
UNKNOWN_RATE = 8.0
# A rate so many times above the limit says that there is none any more.
FORGOTTEN = 64.0


class Departure(Protocol):
    """A call that left: when, and as which of all calls."""

    @property
    def began(self) -> float:
        """The moment."""

    @property
    def number(self) -> int:
        """From 1; as many as had left when it did."""


@dataclass(frozen=True, slots=True)
class Departed:
    """Such a call, and no more."""

    began: float
    number: int


@dataclass(frozen=True, slots=True)
class Decision:
    """A limit that was changed; None: no limit."""

    before: float | None
    after: float | None
    reason: str
    # Of a rate: the limit that is aimed at.
    found: float | None = None


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
    # What left before the last cut says nothing about it.
    _cut_after: int = -1
    # When large bodies began to move, or last made it grow.
    _grown_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.limit = self.limit or min(self.most, FIRST_CONCURRENCY)

    def accepted(self, sent: Departure, latest: int, seconds: float | None, *, busy: bool) -> Decision | None:
        """An upload was accepted, ``seconds`` after it was sent (None: that tells nothing).

        ``busy``: as many as allowed were under way.
        """
        if sent.number <= self._cut_after:
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
            return self._cut(latest, SLOWER_CUT, f"answers take {mean:.2f} s, they took {self._quickest:.2f} s")
        if not busy:
            return None
        return self._change(self.limit * 2 if self._searching else self.limit + 1, "answers are as quick as before")

    def moving(self, now: float, *, busy: bool) -> Decision | None:
        """A piece of a large body is about to leave: its answer may be minutes away, and needs not be waited for."""
        if not (self._searching and busy) or now < self._grown_at + LARGE_ROUND_SECONDS:
            return None
        was_moving, self._grown_at = self._grown_at > float("-inf"), now
        return self._change(self.limit * 2, "bodies move without trouble") if was_moving else None

    def failed(self, sent: Departure, latest: int, reason: str) -> Decision | None:
        """An upload was refused for now, or lost; or this machine has not enough for so many at a time."""
        return None if sent.number <= self._cut_after else self._cut(latest, REFUSED_CUT, reason)

    def _cut(self, latest: int, share: float, reason: str) -> Decision | None:
        self._searching, self._cut_after = False, latest
        return self._change(int(self.limit * share), reason)

    def _change(self, limit: int, reason: str) -> Decision | None:
        before, self.limit = self.limit, max(1, min(self.most, limit))
        return Decision(before, self.limit, reason) if self.limit != before else None


@dataclass(slots=True)
class LearntRate:
    """Calls a second that a registry was found to take; no limit before the first refusal."""

    # The rate that it takes, as far as refusals tell; None: it never refused.
    limit: float | None = None
    # It was refused only once.
    _searching: bool = True
    # What it was cut to, when, after which departure, and since when calls are accepted again; None: not yet.
    _low: float = 0.0
    _cut_at: float = float("-inf")
    _cut_after: int = -1
    _since: float | None = None
    # Accepted since the cut.
    _accepted: int = 0
    # When those that were accepted in the last second of accepted ones began.
    _last: deque[float] = field(default_factory=deque)
    # How long the limit is kept to, and which one that goes for.
    _calm_seconds: float = CALM_SECONDS
    _trusted: float = 0.0
    # The highest rate that was kept up for so long: what is in the way of it now may pass, and is soon looked beyond.
    _proved: float = 0.0
    _proof_began: float = float("-inf")
    _proof_count: int = 0

    def rate(self, now: float) -> float | None:
        """The rate to keep now; None: no limit is known."""
        if self.limit is None:
            return None
        if self._since is None:
            return self._low
        passed = now - self._since
        if passed < RETURN_SECONDS:
            return self.limit - (self.limit - self._low) * (1.0 - passed / RETURN_SECONDS) ** 3
        doublings = (max(0.0, passed - self._calm_seconds) / DOUBLING_SECONDS) ** 2
        return None if doublings > FORGOTTEN else self.limit * 2.0**doublings

    def accepted(self, now: float, sent: Departure) -> None:
        """A call was taken."""
        if sent.began < self._proof_began + PROOF_SECONDS:
            self._proof_count += 1
        else:
            self._proved = max(self._proved, self._proof_count / PROOF_SECONDS)
            self._proof_began, self._proof_count = sent.began, 1
        self._last.append(sent.began)
        while self._last[0] <= sent.began - LIMIT_SECONDS:
            self._last.popleft()
        if sent.number > self._cut_after:
            self._accepted += 1
            self._since = now if self._since is None else self._since
        elif self._searching and self._since is None:
            # Those of the first burst that were under way when one of it was refused.
            self.limit = max(self.limit or 0.0, BELOW_REFUSED * len(self._last) / LIMIT_SECONDS)

    @property
    def has_taken(self) -> bool:
        """Whether anything was accepted of late."""
        return bool(self._last)

    def resumed(self, now: float, latest: int) -> None:
        """An outage is over: that nothing was taken meanwhile says nothing, nor does that nothing was refused."""
        taken = len(self._last) / LIMIT_SECONDS
        self._last.clear()
        if self.limit is not None:
            # It may have grown beyond what is aimed at, and not been refused, when the outage came.
            self.limit = max(self.limit, BELOW_REFUSED * taken)
            self._low, self._accepted, self._since = max(LOWEST_RATE, RATE_CUT * self.limit), 0, None
            self._cut_at, self._cut_after = now, latest

    def refused(self, now: float, sent: Departure, latest: int, reason: str) -> Decision | None:
        """A call was too many."""
        if sent.number <= self._cut_after:
            return None
        before = self.rate(now)
        self._low = max(LOWEST_RATE, self._cut(sent.began, before))
        self._cut_at, self._cut_after, self._accepted, self._since = now, latest, 0, None
        return Decision(before, self._low, reason, self.limit)

    def _cut(self, began: float, rate: float | None) -> float:
        """Learn the limit; returns what to cut to. ``began``: when the refused call began."""
        resumed = self._cut_at if self._since is None else self._since
        if rate is not None and began - resumed < LIMIT_SECONDS:
            if self._since is not None and self.limit is not None:
                self.limit = max(LOWEST_RATE, SOON_AGAIN_CUT * self.limit)
            return REFUSED_AGAIN_CUT * rate
        if self._since is None:
            # Nothing passed since the last refusal, which says nothing about the limit.
            self.limit = self.limit or UNKNOWN_RATE
            return (self._low or UNKNOWN_RATE) / 2
        before, met = self.limit, len(self._last) / LIMIT_SECONDS
        if before is not None:
            self._searching = False
            if self._since - self._cut_at > LONG_PAUSE_SECONDS:
                met = min(met, ABOVE_MEAN * self._accepted / (began - self._cut_at))
        self.limit = max(LOWEST_RATE, BELOW_REFUSED * met)
        if abs(self.limit - self._trusted) > MET_AGAIN * self._trusted:
            self._calm_seconds, self._trusted = CALM_SECONDS, self.limit
        elif began - self._since > self._calm_seconds and self.limit > (1.0 - MET_AGAIN) * self._proved:
            # It was looked beyond, and is where it was.
            self._calm_seconds = min(LONGEST_CALM_SECONDS, 2.0 * self._calm_seconds)
        return RATE_CUT * self.limit

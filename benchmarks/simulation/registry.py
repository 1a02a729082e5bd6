"""A model of a registry: what it admits, how long it takes to answer, when a version is done, when it is down."""

import heapq
import math
import random
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.simulation.durations import NATIVE, Durations
from bulkload.core.verdicts import Failure, FailureKind
from bulkload.sandbox.judge.conversion import ConversionQueue
from bulkload.sandbox.limits import Limit, RequestLimits

# On the way there and back.
WAY_SECONDS = 0.005
# A refusal, or a page of a gateway, costs nearly nothing.
REFUSAL_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Trouble:
    """From ``begin`` to ``end``, a share of the requests fails."""

    begin: float
    end: float
    # None: no connection is made.
    status: int | None
    share: float = 1.0
    # None: those of every kind.
    call: str | None = None


@dataclass(frozen=True, slots=True)
class Others:
    """Uploads of other people, evenly spaced, from ``begin`` to ``end``."""

    begin: float
    end: float
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a registry takes. None: as much as comes."""

    limits: tuple[Limit, ...] = ()
    # Uploads under way; one more is answered 503.
    uploads_at_a_time: int | None = None
    # Requests that are worked on at a time; more of them wait.
    workers: int | None = None
    # The mean time of work on one.
    answer_seconds: float = 0.05
    # Conversions at a time.
    converters: int | None = None
    troubles: tuple[Trouble, ...] = ()
    others: Others | None = None


class Registry:
    """Requests arrive in the order in which they were sent, so what comes of one is known as soon as it leaves."""

    def __init__(self, allowed: Allowed, durations: Durations, chance: random.Random) -> None:
        self.allowed = allowed
        # Requests by their kind, and those that brought nothing by their reason.
        self.requests, self.refused = Counter[str](), Counter[str]()
        # Uploads that arrived in each second, and those that were accepted; uploads of others that were.
        self.arrived, self.accepted, self.taken_by_others = Counter[int](), Counter[int](), 0
        # Of each version: when it came, and when it is done.
        self.came, self.done, self.converting_seconds = array("d"), array("d"), 0.0
        self._durations, self._random = durations, chance.random
        self._limits = RequestLimits(allowed.limits)
        self._limited = {limit.call for limit in allowed.limits}
        self._free_at = None if allowed.workers is None else [0.0] * allowed.workers
        self._under_way: list[float] = []
        self._queue = None if allowed.converters is None else ConversionQueue(allowed.converters, ())
        self._troubles = deque(allowed.troubles)
        self._others_next = math.inf if allowed.others is None else allowed.others.begin
        self._arrival = 0.0

    def upload(self, now: float, kind: str) -> tuple[float, Failure | None, int]:
        """An upload leaves at ``now``: when its answer comes, why it fails, and the version that it makes."""
        arrival, end, failure = self._come("upload", now)
        self.arrived[int(arrival)] += 1
        if failure is not None:
            return end + WAY_SECONDS, failure, -1
        if self.allowed.uploads_at_a_time is not None:
            heapq.heappush(self._under_way, end)
        self.accepted[int(arrival)] += 1
        self.came.append(end)
        self.done.append(self._done(end, kind))
        return end + WAY_SECONDS, None, len(self.done) - 1

    def ask(self, now: float, call: str, version_id: int) -> tuple[float, Failure | None, bool]:
        """A request that changes nothing leaves at ``now``: when its answer comes, why it fails, whether it is done."""
        _, end, failure = self._come(call, now)
        return end + WAY_SECONDS, failure, failure is None and (version_id < 0 or self.done[version_id] <= end)

    def _come(self, call: str, now: float) -> tuple[float, float, Failure | None]:
        """When a request arrives, when it is done with, and why it is refused."""
        arrival = self._arrival = max(self._arrival, now + WAY_SECONDS * (0.5 + self._random()))
        self.requests[call] += 1
        failure = self._refusal(call, arrival)
        return arrival, self._worked_on(arrival) if failure is None else arrival + REFUSAL_SECONDS, failure

    def _worked_on(self, arrival: float) -> float:
        """When its work is done, after those that came before it."""
        seconds = self.allowed.answer_seconds * (0.5 + self._random())
        if self._free_at is None:
            return arrival + seconds
        end = max(arrival, self._free_at[0]) + seconds
        heapq.heapreplace(self._free_at, end)
        return end

    def _done(self, now: float, kind: str) -> float:
        if kind == NATIVE:
            return now
        seconds = self._durations.seconds(kind)
        self.converting_seconds += seconds
        return (now if self._queue is None else self._queue.enter(now, seconds)) + seconds

    def _refusal(self, call: str, arrival: float) -> Failure | None:
        while self._troubles and self._troubles[0].end <= arrival:
            self._troubles.popleft()
        for trouble in self._troubles:
            if (
                trouble.begin <= arrival < trouble.end
                and trouble.call in (None, call)
                and (trouble.share == 1.0 or self._random() < trouble.share)
            ):
                return self._failure(call, trouble.status)
        if self._others_next <= arrival:
            self._let_others_in(arrival)
        if call in self._limited:
            wait_seconds = self._limits.admit(call, arrival)
            if wait_seconds is not None:
                return self._failure(call, 429, float(max(1, math.ceil(wait_seconds))))
        if call == "upload" and self.allowed.uploads_at_a_time is not None:
            while self._under_way and self._under_way[0] <= arrival:
                heapq.heappop(self._under_way)
            if len(self._under_way) >= self.allowed.uploads_at_a_time:
                return self._failure(call, 503)
        return None

    def _let_others_in(self, until: float) -> None:
        others = self.allowed.others
        while others is not None and self._others_next <= until:
            self.taken_by_others += self._limits.admit("upload", self._others_next) is None
            self._others_next += 1.0 / others.rate
            if self._others_next >= others.end:
                self._others_next = math.inf

    def _failure(self, call: str, status: int | None, retry_after: float | None = None) -> Failure:
        self.refused["no connection" if status is None else str(status)] += 1
        kind = FailureKind.NO_CONNECTION if status is None else FailureKind.STATUS
        return Failure(call=call, kind=kind, message="", status=status, retry_after=retry_after)


def rate_of(limits: Sequence[Limit], call: str) -> float | None:
    """Requests of a kind that may pass in a second."""
    return min((limit.count / limit.seconds for limit in limits if limit.call in (call, "any")), default=None)

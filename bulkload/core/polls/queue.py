"""Versions under watch, each in its turn: no task a version, and no timer.

Times are monotonic seconds.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field

from bulkload.core.polls.schedule import PollSchedule

NEVER = float("inf")


@dataclass(slots=True, eq=False)
class Watch:
    """One version under watch."""

    version_id: int
    # The ledger's entry behind it.
    entry_id: int
    # What its conversion takes about as long as (``conversion_kind``).
    kind: str
    # When it was uploaded, or when this run found it.
    since: float
    # Has a place on the registry's conversion queue.
    converting: bool
    # Uploaded by this run, so that ``since`` is when its conversion could begin.
    fresh: bool
    # Asked about early, to find out how quick this registry is.
    explores: bool = False
    polls: int = 0
    # Seconds since ``since`` at the last poll that found it converting; 0: none.
    asked: float = 0.0
    not_found: int = 0
    # The listing does not have it either.
    gone: bool = False
    status: str | None = None
    # Digest of the last answer that showed our version, still converting.
    converting_answer: int | None = None


@dataclass(slots=True)
class _Heap:
    """Watches by when they are due; those that are due together in the order in which they came."""

    _items: list[tuple[float, int, Watch]] = field(default_factory=list)
    _number: int = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def due(self) -> float:
        return self._items[0][0] if self._items else NEVER

    def push(self, due: float, watch: Watch) -> None:
        self._number += 1
        heapq.heappush(self._items, (due, self._number, watch))

    def pop(self) -> Watch:
        return heapq.heappop(self._items)[2]


class FirstPolls:
    """Versions that were not asked about yet."""

    def __init__(self, schedule: PollSchedule) -> None:
        self._schedule = schedule
        self._early = _Heap()
        # All of a kind are due as long after their upload, however much is learnt about it meanwhile.
        self._by_kind: dict[str, deque[Watch]] = {}

    def __len__(self) -> int:
        return len(self._early) + sum(map(len, self._by_kind.values()))

    @property
    def due(self) -> float:
        """When the next one is due."""
        return min(self._early.due, self._first_of_kinds()[0])

    def add(self, watch: Watch, *, at_once: bool) -> None:
        """Watch a version. ``at_once``: it may be done already."""
        if at_once:
            self._early.push(watch.since, watch)
        elif self._schedule.explores(watch.kind):
            watch.explores = True
            self._early.push(watch.since + self._schedule.interval.first, watch)
        else:
            self._by_kind.setdefault(watch.kind, deque()).append(watch)

    def pop(self) -> Watch:
        """The one that is due first."""
        due, kind = self._first_of_kinds()
        return self._early.pop() if self._early.due <= due else self._by_kind[kind].popleft()

    def _first_of_kinds(self) -> tuple[float, str]:
        first = (NEVER, "")
        for kind, watches in self._by_kind.items():
            if watches:
                first = min(first, (watches[0].since + self._schedule.first_poll(kind), kind))
        return first


class FurtherPolls:
    """Versions that were not done when they were asked about."""

    def __init__(self, schedule: PollSchedule) -> None:
        self._schedule = schedule
        self._heap = _Heap()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def due(self) -> float:
        """When the next one is due."""
        return self._heap.due

    def add(self, watch: Watch, now: float, latest: float, chance: float, *, few_left: bool) -> None:
        """Ask again about a version that was not done just now, at ``latest`` for the last time."""
        watch.polls += 1
        watch.asked = now - watch.since
        due = watch.since + self._schedule.next_poll(
            watch.kind, watch.asked, chance, explores=watch.explores, few_left=few_left
        )
        self._heap.push(min(due, latest), watch)

    def pop(self) -> Watch:
        """The one that is due first."""
        return self._heap.pop()

"""Virtual time: a heap of what happens when. Nothing sleeps."""

import heapq
from collections.abc import Callable
from typing import Any

# A million entries make millions of events: each is a tuple and no more.
Action = Callable[[Any], None]


class Clock:
    """Time passes from event to event; those of one moment happen in the order in which they were set."""

    __slots__ = ("_events", "_number", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Action, Any]] = []
        self._number = 0

    def at(self, when: float, action: Action, subject: Any = None) -> None:
        """Do ``action(subject)`` at ``when``."""
        self._number += 1
        heapq.heappush(self._events, (when, self._number, action, subject))

    def work(self) -> None:
        """Let time pass until nothing is left to happen."""
        events = self._events
        while events:
            self.now, _, action, subject = heapq.heappop(events)
            action(subject)

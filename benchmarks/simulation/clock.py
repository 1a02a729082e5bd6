"""Virtual time: coroutines that sleep, by the moment at which they go on. Nothing waits for real."""

import heapq
import types
from collections.abc import Coroutine, Generator
from typing import Any

NEVER = float("inf")
Task = Coroutine[Any, Any, None]


class Nap:
    """A sleep that may be ended before its moment."""

    __slots__ = ("task", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        # Who sleeps; None: nobody any more.
        self.task: Task | None = None


@types.coroutine
def until(when: float | Nap) -> Generator[float | Nap, None, None]:
    """``await until(moment)``."""
    yield when


class Clock:
    """Time passes from event to event; those of one moment happen in the order in which they were set."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Task | Nap]] = []
        self._number = 0

    def start(self, task: Task | Nap, when: float = 0.0) -> None:
        """Let a task begin, now or later."""
        self._number += 1
        heapq.heappush(self._events, (max(when, self.now), self._number, task))

    def wake(self, nap: Nap) -> None:
        """End a nap now."""
        nap.until = self.now
        if nap.task is not None:
            self.start(nap)

    def work(self) -> None:
        """Let time pass until nothing is left to happen."""
        while self._events:
            self.now, _, due = heapq.heappop(self._events)
            task = due
            if isinstance(due, Nap):
                # It was woken before, or its moment was put forward.
                if due.task is None:
                    continue
                task, due.task = due.task, None
            try:
                when = task.send(None)  # type: ignore[union-attr]
            except StopIteration:
                continue
            if isinstance(when, Nap):
                when.task = task  # type: ignore[assignment]
                if when.until != NEVER:
                    self.start(when, when.until)
            else:
                self.start(task, when)

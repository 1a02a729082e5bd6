"""From a run to those who listen to it: each event at once, in order, on the run's own loop."""

import asyncio
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bulkload.core.model.events import Advanced, Event, Noticed, OnEvent, PhaseBegan

__all__ = ["ADVANCE_SECONDS", "Events", "OnEvent", "advancing"]

# How soon, and how often, it is told how far a thread came.
ADVANCE_SECONDS = 0.1


class Events:
    """The consumers of a run. Given as one of another's consumers, it stands for those that it has then."""

    def __init__(self, *consumers: OnEvent | None) -> None:
        self.consumers: tuple[OnEvent, ...] = ()
        self._listening = _Listening(self.consumers)
        self._phase: str | None = None
        for consumer in consumers:
            if consumer is not None:
                self.add(consumer)

    def add(self, consumer: OnEvent) -> None:
        """Let one more hear what happens from now on."""
        self._take(self.consumers + (consumer.consumers if isinstance(consumer, Events) else (consumer,)))

    def hears(self, kind: type[Event]) -> bool:
        """Whether anybody listens to this kind: what nobody hears need not be made."""
        return bool(self._listening[kind])

    def __call__(self, event: Event) -> None:
        """Something has happened. A consumer that raises hears nothing more, which ends no run."""
        for consumer in self._listening[type(event)]:
            try:
                consumer(event)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is not the run's
                self._drop(consumer, error)

    def phase(self, phase: str) -> None:
        """What goes on now; told when it is another than before."""
        if phase != self._phase:
            self._phase = phase
            self(PhaseBegan(phase))

    def _take(self, consumers: tuple[OnEvent, ...]) -> None:
        self.consumers, self._listening = consumers, _Listening(consumers)

    def _drop(self, consumer: OnEvent, error: Exception) -> None:
        if all(other is not consumer for other in self.consumers):
            return  # it was dropped by what it was told meanwhile
        self._take(tuple(other for other in self.consumers if other is not consumer))
        name = getattr(consumer, "__qualname__", type(consumer).__qualname__)
        words = f"{name} raised {type(error).__name__}: {error}; it hears no more of what happens"
        if self.hears(Noticed):
            self(Noticed(words))
        else:
            # Where a program makes errors of its warnings, the run goes on all the same.
            with suppress(RuntimeWarning):
                warnings.warn(words, RuntimeWarning, stacklevel=3)


class _Listening(dict[type[Event], tuple[OnEvent, ...]]):
    """Kind of event -> who listens to it, found when it is first asked for."""

    def __init__(self, consumers: tuple[OnEvent, ...]) -> None:
        super().__init__()
        self._consumers = consumers

    def __missing__(self, kind: type[Event]) -> tuple[OnEvent, ...]:
        found = []
        for consumer in self._consumers:
            kinds = getattr(consumer, "kinds", None)
            if kinds is None or kind in kinds:
                found.append(consumer)
        self[kind] = tuple(found)
        return self[kind]


@contextmanager
def advancing(events: Events) -> Iterator[Callable[[int], None]]:
    """Within the block, a thread may say how far it came: that is told now and then, on the loop, and not afterwards.

    Work that is left behind in its thread is not heard any more.
    """
    teller = _Teller(events)
    try:
        yield teller.note
    finally:
        teller.close()


class _Teller:
    """Tells the last number of many, so soon after it was noted."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._is_heard = events.hears(Advanced)
        self._done = 0
        self._is_due = False
        self._timer: asyncio.TimerHandle | None = None

    def note(self, done: int) -> None:
        """In the thread: so many by now."""
        self._done = done
        if self._is_heard and not self._is_due:
            self._is_due = True
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._set_timer)

    def close(self) -> None:
        """Nothing is told any more."""
        self._is_heard = False
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        if self._is_heard:
            self._timer = self._loop.call_later(ADVANCE_SECONDS, self._tell)

    def _tell(self) -> None:
        # In this order: what is noted from here on sets the timer anew.
        self._is_due = False
        self._events(Advanced(self._done))

"""From a run to those who listen to it: each event at once, in order, on the run's own loop."""

import asyncio
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bulkload.core.model.events import Advanced, Event, Noticed, PhaseBegan

# An attribute ``kinds`` (types of events) says what a consumer listens to; one without it hears all.
OnEvent = Callable[[Event], None]

# How soon, and how often, it is told how far a thread came.
ADVANCE_SECONDS = 0.1


class Events:
    """The consumers of a run. It is a consumer itself, so that several can be given where one is taken."""

    def __init__(self, *consumers: OnEvent | None) -> None:
        self._consumers: tuple[OnEvent, ...] = ()
        self._listening: dict[type[Event], tuple[OnEvent, ...]] = {}
        self._phase: str | None = None
        for consumer in consumers:
            if consumer is not None:
                self.add(consumer)

    @property
    def kinds(self) -> frozenset[type[Event]] | None:
        """What somebody listens to; None: everything."""
        kinds: set[type[Event]] = set()
        for consumer in self._consumers:
            wanted = _kinds_of(consumer)
            if wanted is None:
                return None
            kinds |= wanted
        return frozenset(kinds)

    def add(self, consumer: OnEvent) -> None:
        """Let one more hear what happens from now on."""
        self._consumers += (consumer,)
        self._listening.clear()

    def hears(self, kind: type[Event]) -> bool:
        """Whether anybody listens to this kind: what nobody hears need not be made."""
        return bool(self._those_who_hear(kind))

    def __call__(self, event: Event) -> None:
        """Something has happened. A consumer that raises hears nothing more, which ends no run."""
        for consumer in self._those_who_hear(type(event)):
            try:
                consumer(event)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is not the run's
                self._drop(consumer, error)

    def phase(self, phase: str) -> None:
        """What goes on now; told when it is another than before."""
        if phase != self._phase:
            self._phase = phase
            self(PhaseBegan(phase))

    def _those_who_hear(self, kind: type[Event]) -> tuple[OnEvent, ...]:
        found = self._listening.get(kind)
        if found is None:
            found = tuple(c for c in self._consumers if (kinds := _kinds_of(c)) is None or kind in kinds)
            self._listening[kind] = found
        return found

    def _drop(self, consumer: OnEvent, error: Exception) -> None:
        if consumer not in self._consumers:
            return  # it was dropped by what it was told meanwhile
        self._consumers = tuple(other for other in self._consumers if other is not consumer)
        self._listening.clear()
        name = getattr(consumer, "__qualname__", type(consumer).__qualname__)
        words = f"{name} raised {type(error).__name__}: {error}; it hears no more of what happens"
        if self.hears(Noticed):
            self(Noticed(words))
        else:
            # Where a program makes errors of its warnings, the run goes on all the same.
            with suppress(RuntimeWarning):
                warnings.warn(words, RuntimeWarning, stacklevel=3)


def _kinds_of(consumer: OnEvent) -> frozenset[type[Event]] | None:
    return getattr(consumer, "kinds", None)


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

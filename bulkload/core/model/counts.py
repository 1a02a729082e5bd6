"""What a run counts for its summary and its display: a fold over its events."""

from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

from bulkload.core.model.events import BytesSent, DuplicateFound, EntryMoved, Event, Retried, StatesCounted


@dataclass(slots=True)
class Counts:
    """A consumer of events."""

    # What it listens to.
    kinds: ClassVar[frozenset[type[Event]]] = frozenset({StatesCounted, EntryMoved, BytesSent, Retried, DuplicateFound})

    # Entries of the manifest in each state; empty before they were counted.
    states: Counter[str] = field(default_factory=Counter)
    # Repeats included.
    bytes_sent: int = 0
    retries: int = 0
    # Versions that were found after a lost answer.
    adopted: int = 0
    # Versions beyond one for an entry that was sent again.
    duplicates: int = 0

    def __call__(self, event: Event) -> None:
        """One more event."""
        if isinstance(event, BytesSent):
            self.bytes_sent += event.count
        elif isinstance(event, EntryMoved):
            self._moved(event)
        elif isinstance(event, Retried):
            self.retries += 1
        elif isinstance(event, DuplicateFound):
            self.duplicates += len(event.versions)
        elif isinstance(event, StatesCounted):
            self.states.clear()
            self.states.update(event.states)

    def _moved(self, event: EntryMoved) -> None:
        self.adopted += event.adopted
        if event.in_manifest:
            self.states[event.before] -= 1
            self.states[event.after] += 1

"""What outlives a run: the entries that are still to be sent, and the versions that are not known to be ready."""

from collections import Counter, deque
from dataclasses import dataclass

from benchmarks.simulation.durations import NATIVE, Durations
from benchmarks.simulation.registry import Registry
from bulkload.core.model.states import State


@dataclass(slots=True, eq=False)
class Entry:
    """One entry under way; its model has no other."""

    kind: str
    state: State = State.PLANNED
    # By this run and earlier ones.
    times_sent: int = 0


class Ledger:
    """Entries are made when their turn comes: a million of them are never held."""

    def __init__(self, entries: int, durations: Durations, registry: Registry) -> None:
        self.entries = entries
        # Version id -> kind, of those that are not known to be ready.
        self.uploaded: dict[int, str] = {}
        self.ready = 0
        # Entries that were sent for the first time in each second.
        self.first_tries: Counter[int] = Counter()
        # Entries that were sent more than once, and not looked at since.
        self.to_audit = 0
        # Of the versions that were converted: how much later than they were done it was known, as a share of the time
        # from upload to done.
        self.converted, self.delays = 0, 0.0
        # Durations as earlier runs have learnt them.
        self.learnt: dict[str, list[float]] = {}
        self._durations, self._registry, self._made = durations, registry, 0
        # Entries that wait for the next run.
        self.left: list[Entry] = []
        self._open: deque[Entry] = deque()

    def begin_run(self) -> None:
        """What earlier runs left comes first, above all what is in doubt."""
        self._open = deque(sorted((*self._open, *self.left), key=lambda entry: entry.state is not State.IN_DOUBT))
        self.left.clear()

    def next_entry(self) -> Entry | None:
        """The next one to send or to reconcile."""
        if self._open:
            return self._open.popleft()
        if self._made == self.entries:
            return None
        self._made += 1
        return Entry(self._durations.kind())

    def sent(self, entry: Entry, now: float) -> None:
        """An entry leaves."""
        entry.times_sent += 1
        self.first_tries[int(now)] += entry.times_sent == 1
        self.to_audit += entry.times_sent == 2

    def now_ready(self, version_id: int, now: float) -> None:
        """A version is known to be ready."""
        self.ready += 1
        if self.uploaded.pop(version_id) != NATIVE:
            came, done = self._registry.came[version_id], self._registry.done[version_id]
            self.converted += 1
            self.delays += (now - done) / (done - came)

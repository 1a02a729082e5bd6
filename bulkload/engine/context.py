"""What one run carries around: its settings, the two outside things, its budgets, its counts and why it ends."""

import sys

from bulkload.core.limits.run_limits import FailureWatch, room_within
from bulkload.core.model.counts import Counts
from bulkload.core.model.errors import TooManyFailures
from bulkload.core.model.events import EntryLaidAside, EntryMoved, EntryUnread, Noticed, RouteChanged
from bulkload.core.model.settings import Route, Settings
from bulkload.core.model.states import State
from bulkload.core.polls.schedule import PollSchedule
from bulkload.core.verdicts import Failure
from bulkload.engine.backoff import Backoff
from bulkload.engine.doors import Doors
from bulkload.engine.events import Events
from bulkload.engine.limits import Limits
from bulkload.engine.stop import Stop
from bulkload.ledger.interface import Moved
from bulkload.ledger.records import LedgerEntry, Outcome
from bulkload.system.process_limits import descriptors_left

NO_OUTCOME = Outcome()


class Run:
    """One run of the engine."""

    def __init__(
        self,
        settings: Settings,
        run_id: str,
        doors: Doors,
        limits: Limits,
        *,
        default_arch: str | None,
        events: Events,
        stop: Stop,
    ) -> None:
        self.settings = settings
        self.run_id = run_id
        self.registry = doors.registry
        self.ledger = doors.ledger
        self.sources = doors.sources
        self.clock = doors.clock
        self.random = doors.random
        self.limits = limits
        self.default_arch = default_arch
        # Polls of each kind under way at a time, within the files that this process may have open.
        self.most_polls = room_within(descriptors_left(), settings.concurrency, sys.maxsize).polls
        self.events = events
        # For the summary.
        self.counts = Counts()
        events.add(self.counts)
        self.stop = stop
        # Rows of an earlier process settle from here on.
        self.started = self.clock.now()
        self.backoff = Backoff(doors.clock, doors.random, settings.pauses, limits.limiter.budget)
        self.poll_schedule = PollSchedule(settings.poll_interval)
        # Once models/upload turned out not to exist, all goes by upload_and_convert.
        self.route = settings.route
        # Workspaces that cannot be listed whole: their models are asked for one by one.
        self.unlisted: set[int] = set()
        self._failures = FailureWatch(settings.max_failures)
        # Entries that were left for the next run, as they would not have ended in time.
        self.postponed = 0
        # Entries that were refused again and again while others were not, and why the last of them was.
        self.laid_aside = 0
        self.last_refusal: Failure | None = None
        # Entries whose files could not be read, for causes that pass, and the last of these.
        self.unread = 0
        self.last_local_trouble: Failure | None = None

    def moved(self, entry: LedgerEntry, moved: Moved, outcome: Outcome | None = None) -> None:
        """The ledger has moved an entry: say so, and see whether it was one failure too many."""
        outcome = outcome or NO_OUTCOME
        if self.events.hears(EntryMoved):
            self.events(_entry_moved(entry, moved, outcome))
        for reason in self._failures.moved(moved.after, outcome.cause, outcome.message, in_manifest=entry.in_manifest):
            self.stop.ask(TooManyFailures(reason))

    def lay_aside(self, failure: Failure) -> None:
        """An entry is left for the next run: this one has tried it often enough."""
        self.laid_aside += 1
        self.last_refusal = failure
        self.events(EntryLaidAside(str(failure)))

    def leave_unread(self, failure: Failure) -> None:
        """An entry is left for the next run, as this machine cannot read its file for now."""
        self.unread += 1
        self.last_local_trouble = failure
        self.events(EntryUnread(str(failure)))

    def use_convert_route(self, failure: Failure) -> None:
        """``models/upload`` does not exist here."""
        self.route = Route.CONVERT
        self.events(RouteChanged(str(failure)))
        self.events(
            Noticed(
                f"this registry has no models/upload ({failure.status}): onnx and tensorflow go by upload_and_convert,"
                " too, as with --route convert"
            )
        )


def _entry_moved(entry: LedgerEntry, moved: Moved, outcome: Outcome) -> EntryMoved:
    return EntryMoved(
        entry_id=entry.id,
        name=entry.entry.name,
        before=moved.before,
        after=moved.after,
        in_manifest=entry.in_manifest,
        size=None if entry.look is None else entry.look.size,
        version_id=entry.version_id if outcome.version_id is None else outcome.version_id,
        cause=outcome.cause,
        message=outcome.message,
        seconds=outcome.upload_seconds if moved.after is State.UPLOADED else outcome.convert_seconds,
        adopted=bool(outcome.adopted),
    )

"""What one run carries around: its settings, the two outside things, its budgets, its counts and why it ends."""

import sys

from bulkload.core.limits.run_limits import FailureStreak, room_within
from bulkload.core.model.counts import Counts
from bulkload.core.model.errors import TooManyFailures
from bulkload.core.model.events import EntryLaidAside, EntryMoved, EntryUnread, Noticed, RouteChanged
from bulkload.core.model.settings import Route, Settings
from bulkload.core.model.states import TERMINAL, State
from bulkload.core.polls.schedule import PollSchedule
from bulkload.core.verdicts import Failure
from bulkload.engine.backoff import Backoff
from bulkload.engine.doors import Doors
from bulkload.engine.events import Events
from bulkload.engine.limits.conversions import Conversions
from bulkload.engine.limits.gates import Gates
from bulkload.engine.stop import Stop
from bulkload.ledger.records import LedgerEntry, Outcome
from bulkload.system.process_limits import descriptors_left


class Run:
    """One run of the engine."""

    def __init__(
        self,
        settings: Settings,
        run_id: str,
        doors: Doors,
        gates: Gates,
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
        self.gates = gates
        self.default_arch = default_arch
        # Polls of each kind under way at a time, within the files that this process may have open.
        self.most_polls = room_within(descriptors_left(), settings.concurrency, sys.maxsize).polls
        self.events = events
        # For the summary.
        self.counts = Counts()
        events.add(self.counts)
        self.stop = stop
        # Rows of an earlier process settle from here on.
        self.started = self.clock()
        self.backoff = Backoff(doors.clock, doors.random, settings.pauses)
        self.budget = self.backoff.budget
        self.poll_schedule = PollSchedule(settings.poll_interval)
        self.conversions = Conversions(settings.max_converting, events)
        # Once models/upload turned out not to exist, all goes by upload_and_convert.
        self.route = settings.route
        # Workspaces that cannot be listed whole: their models are asked for one by one.
        self.unlisted: set[int] = set()
        # Entries that this run saw through, and those of them that failed.
        self._finished = 0
        self._failed = 0
        # An upload that is refused and a conversion that fails have nothing to do with each other.
        self._refusals = FailureStreak()
        self._conversion_errors = FailureStreak()
        self.window = stop.window
        # Entries that were left for the next run, as they would not have ended in time.
        self.postponed = 0
        # Entries that were refused again and again while others were not, and why the last of them was.
        self.laid_aside = 0
        self.last_refusal: Failure | None = None
        # Entries whose files could not be read, for causes that pass, and the last of these.
        self.unread = 0
        self.last_local_trouble: Failure | None = None

    async def move(self, item: LedgerEntry, after: State, outcome: Outcome, *, before: State | None = None) -> None:
        """Move an entry in the ledger and in the counts. ``before``: where it stands, if it moved since it was read."""
        await self.ledger.call(lambda store: store.move(item.id, after, outcome))
        self.moved(item, before or item.state, after, outcome)

    def moved(self, item: LedgerEntry, before: State, after: State, outcome: Outcome | None = None) -> None:
        """The ledger moved an entry: say so, and see whether it was one failure too many."""
        outcome = outcome or Outcome()
        if self.events.hears(EntryMoved):
            self.events(_entry_moved(item, before, after, outcome))
        if item.in_manifest and after in TERMINAL:
            self._finished += 1
            self._failed += after in (State.FAILED, State.ERROR)
            self._stop_at_too_many_failures()
        if after is State.FAILED:
            self._watch(self._refusals, outcome)
        elif after is State.ERROR:
            self._watch(self._conversion_errors, outcome)
        elif after is State.READY:
            self._conversion_errors.succeeded()
        elif after is State.UPLOADED:
            self._refusals.succeeded()

    def _watch(self, streak: FailureStreak, outcome: Outcome) -> None:
        # Why a conversion failed stands in its message; of other failures the message names the file.
        reason = outcome.message if outcome.cause == "conversion_error" else outcome.cause
        if streak.failed(reason or ""):
            what = f"the last {streak.length} failed for one reason ({outcome.cause}: {outcome.message})"
            self.stop.ask(TooManyFailures(f"{what}; mend it and run again"))

    def _stop_at_too_many_failures(self) -> None:
        limit = self.settings.max_failures
        if limit is not None and limit.exceeded(self._failed, self._finished):
            what = f"{self._failed:,} of {self._finished:,} entries failed, --max-failures is {limit}"
            self.stop.ask(TooManyFailures(f"{what}; mend the cause and run again"))

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


def _entry_moved(item: LedgerEntry, before: State, after: State, outcome: Outcome) -> EntryMoved:
    return EntryMoved(
        entry_id=item.id,
        name=item.entry.name,
        before=before,
        after=after,
        in_manifest=item.in_manifest,
        size=None if item.look is None else item.look.size,
        version_id=item.version_id if outcome.version_id is None else outcome.version_id,
        cause=outcome.cause,
        message=outcome.message,
        seconds=outcome.upload_seconds if after is State.UPLOADED else outcome.convert_seconds,
        adopted=bool(outcome.adopted),
    )

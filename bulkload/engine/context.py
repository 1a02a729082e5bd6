"""What one run carries around: its settings, the two outside things, its budgets, its counts and why it ends."""

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bulkload.core.limits.retry import RetryBudget
from bulkload.core.limits.run_limits import FailureStreak, room_within
from bulkload.core.model.errors import TooManyFailures
from bulkload.core.model.records import Problem
from bulkload.core.model.settings import Route, Settings
from bulkload.core.model.states import TERMINAL, State
from bulkload.core.polls.schedule import PollSchedule
from bulkload.core.verdicts import Failure
from bulkload.engine.events import log
from bulkload.engine.limits.conversions import Conversions
from bulkload.engine.limits.gates import Gates
from bulkload.engine.stop import Stop
from bulkload.ledger import Ledger
from bulkload.ledger.records import LedgerEntry, Outcome
from bulkload.registry import Registry
from bulkload.system.process_limits import descriptors_left


def utc_now() -> str:
    """The wall clock, for people and records only: no decision looks at it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Progress:
    """What a display may look at while a run works."""

    # "checking", "planning", "listing", "publishing", ...
    phase: str = "starting"
    # Counted in the current phase, where it has no states to show.
    done: int = 0
    # Entries of the manifest in each state; empty before planning.
    states: Counter[str] = field(default_factory=Counter)
    bytes_sent: int = 0
    # How many uploads at a time and how fast, as far as that is limited; None before the first.
    gates: Gates | None = None
    # What people are told beside their entries, and who tells them at once.
    notices: list[str] = field(default_factory=list)
    on_notice: Callable[[str], None] | None = None
    # What the check found that stops nothing, and who tells it.
    doubts: Sequence[Problem] = ()
    on_doubts: Callable[[Sequence[Problem]], None] | None = None

    def tell_doubts(self) -> None:
        """The check has ended: say what it found."""
        if self.doubts and self.on_doubts is not None:
            self.on_doubts(self.doubts)

    def notice(self, words: str) -> None:
        """Something that stops nothing, but that somebody should know."""
        self.notices.append(words)
        if self.on_notice is not None:
            self.on_notice(words)


class Run:
    """One run of the engine."""

    def __init__(
        self,
        settings: Settings,
        run_id: str,
        registry: Registry,
        ledger: Ledger,
        gates: Gates,
        *,
        default_arch: str | None,
        progress: Progress,
        stop: Stop,
    ) -> None:
        self.settings = settings
        self.run_id = run_id
        self.registry = registry
        self.ledger = ledger
        self.gates = gates
        self.default_arch = default_arch
        # Nothing outside it is read; its links are resolved.
        self.root = None if settings.root is None else os.path.realpath(settings.root)
        # Polls of each kind under way at a time, within the files that this process may have open.
        self.most_polls = room_within(descriptors_left(), settings.concurrency, sys.maxsize).polls
        self.progress = progress
        self.stop = stop
        self.random = random.Random()  # noqa: S311 - jitter, no secret
        # The monotonic clock, in seconds. anyio asks each time which event loop this is.
        self.clock = asyncio.get_running_loop().time
        # Rows of an earlier process settle from here on.
        self.started = self.clock()
        self.budget = RetryBudget()
        self.poll_schedule = PollSchedule(settings.poll_interval)
        self.conversions = Conversions(settings.max_converting)
        # Once models/upload turned out not to exist, all goes by upload_and_convert.
        self.route = settings.route
        # Workspaces that cannot be listed whole: their models are asked for one by one.
        self.unlisted: set[int] = set()
        self.retries = 0
        self.adopted = 0
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
        # Versions beyond one, found by the audit.
        self.duplicates = 0

    async def move(self, item: LedgerEntry, after: State, outcome: Outcome, *, before: State | None = None) -> None:
        """Move an entry in the ledger and in the counts. ``before``: where it stands, if it moved since it was read."""
        await self.ledger.call(lambda store: store.move(item.id, after, outcome))
        self.moved(item, before or item.state, after, outcome)

    def moved(self, item: LedgerEntry, before: State, after: State, outcome: Outcome) -> None:
        """The ledger moved an entry: keep the counts, and see whether it was one failure too many."""
        self.count(item, before, after)
        if after is State.FAILED:
            self._watch(self._refusals, outcome)
        elif after is State.ERROR:
            self._watch(self._conversion_errors, outcome)
        elif after is State.READY:
            self._conversion_errors.succeeded()

    def count(self, item: LedgerEntry, before: State, after: State) -> None:
        """Keep the display's counts in step with the ledger."""
        if item.in_manifest:
            self.progress.states[before] -= 1
            self.progress.states[after] += 1
            if after in TERMINAL:
                self._finished += 1
                self._failed += after in (State.FAILED, State.ERROR)
                self._stop_at_too_many_failures()
        if after is State.UPLOADED:
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

    def leave_unread(self, failure: Failure) -> None:
        """An entry is left for the next run, as this machine cannot read its file for now."""
        self.unread += 1
        self.last_local_trouble = failure
        log.warning("not_read", reason=str(failure))

    def use_convert_route(self, failure: Failure) -> None:
        """``models/upload`` does not exist here."""
        self.route = Route.CONVERT
        log.warning("route_changed", route="convert", reason=str(failure))
        self.progress.notice(
            f"this registry has no models/upload ({failure.status}): onnx and tensorflow go by upload_and_convert, too,"
            " as with --route convert"
        )

"""One run on virtual time: the scheduler and the entries of ``bulkload.engine.upload``, by ``bulkload.core``."""

import random
from collections.abc import Callable

from benchmarks.simulation.calls import Read
from benchmarks.simulation.clock import Clock
from benchmarks.simulation.durations import NATIVE
from benchmarks.simulation.gates import Gates
from benchmarks.simulation.ledger import Entry, Ledger
from benchmarks.simulation.polls import Polls
from benchmarks.simulation.registry import Registry
from bulkload.core.limits.outage import Prospect
from bulkload.core.limits.pauses import Pauses
from bulkload.core.limits.retry import RetryBudget, may_retry
from bulkload.core.model.errors import ExitCode, RegistryUnavailable
from bulkload.core.model.settings import Settings
from bulkload.core.model.states import State
from bulkload.core.polls.schedule import PollSchedule
from bulkload.core.verdicts import Failure, Verdict, upload_verdict
from bulkload.engine.calls import pause_seconds
from bulkload.engine.upload.scheduler import WAITING_WORKERS

# A commit of the ledger to disk, on the mean.
COMMIT_SECONDS = 0.004


class Run:
    """From the first look at the registry until nothing is left to do, or the run gives up."""

    def __init__(
        self,
        clock: Clock,
        registry: Registry,
        ledger: Ledger,
        settings: Settings,
        chance: random.Random,
        ended: Callable[["Run"], None],
    ) -> None:
        self.clock = clock
        self.registry = registry
        self.ledger = ledger
        self.settings = settings
        self.random = chance.random
        self.began = clock.now
        self.stopped = False
        self.exit_code = ExitCode.OK
        self.budget = RetryBudget()
        self.schedule = PollSchedule(settings.poll_interval)
        self.gates = Gates(clock, chance, settings)
        self.polls = Polls(self)
        self._ended = ended
        self._places = settings.concurrency + WAITING_WORKERS
        # A set that keeps its order.
        self._lanes: dict[Entry, None] = {}
        self._laid_aside = 0
        self._auditing = False
        self._over = False

    def start(self) -> None:
        """Config and workspaces, the listing, then the uploads."""
        checks = [("other", None), ("other", None), ("list", self.gates.lists)]

        def check(_: object = None) -> None:
            if checks:
                call, gate = checks.pop(0)
                Read(self, call, check, gate=gate).start()
            else:
                self._publish()

        check()

    def stop(self, _: str) -> None:
        """The registry is not available: take nothing new, see what is under way to its end."""
        if not self.stopped:
            self.stopped, self.exit_code = True, ExitCode.UNAVAILABLE
            for entry in [entry for entry in self._lanes if entry.state is not State.UPLOADING]:
                self._leave(entry)
            self.finish()

    def finish(self) -> None:
        """End the run, if nothing is left to do."""
        if self._over or self._lanes or not (self.stopped or self.polls.done):
            return
        if not self.stopped and self.ledger.to_audit:
            self._audit()
            return
        self._over = True
        if self.exit_code is ExitCode.OK and self._laid_aside:
            self.exit_code = ExitCode.UNAVAILABLE
        elif self.exit_code is ExitCode.OK and self.ledger.uploaded:
            self.exit_code = ExitCode.STILL_OPEN
        self.stopped = True
        self.ledger.learnt = self.schedule.learnt
        self._ended(self)

    def commit_seconds(self) -> float:
        """How long the ledger takes to have something on disk."""
        return COMMIT_SECONDS * (0.5 + self.random())

    def _audit(self) -> None:
        """Entries that were sent again are looked at once more, one after the other."""
        if not self._auditing:
            self._auditing = True

            def look(_: object = None) -> None:
                if self.ledger.to_audit:
                    self.ledger.to_audit -= 1
                    Read(self, "list", look, gate=self.gates.lists).start()
                else:
                    self.finish()

            look()

    def _publish(self) -> None:
        self.schedule.learn(self.ledger.learnt)
        for version_id, kind in self.ledger.uploaded.items():
            if kind != NATIVE:
                self.gates.places.hold()
            self.polls.add(version_id, kind, fresh=False)
        self.ledger.begin_run()
        self._fill()

    def _fill(self) -> None:
        """Start lanes as long as there are places and entries."""
        while len(self._lanes) < self._places and not self.stopped:
            entry = self.ledger.next_entry(self.clock.now)
            if entry is None:
                if not self._lanes:
                    self.polls.close()
                return
            self._lanes[entry] = None
            if entry.state is State.IN_DOUBT:
                entry.lost_at = self.began
                self._settle(entry)
            else:
                self._attempt(entry)

    def _end_lane(self, entry: Entry) -> None:
        self._lanes.pop(entry, None)
        if self.stopped:
            self.finish()
        else:
            self._fill()

    def _leave(self, entry: Entry) -> None:
        """An entry waits for the next run."""
        self._release_place(entry)
        self.ledger.leave(entry)
        self._end_lane(entry)

    # One attempt.

    def _attempt(self, entry: Entry) -> None:
        if self.stopped:
            return
        if entry.kind == NATIVE:
            self._take_slot(entry)
        else:
            self.gates.places.take(self._placed, entry)

    def _placed(self, entry: Entry) -> None:
        entry.holds_place = True
        self._take_slot(entry)

    def _take_slot(self, entry: Entry) -> None:
        self.gates.slots.acquire(self._enter, entry)

    def _enter(self, entry: Entry) -> None:
        if not self.stopped:
            self.gates.uploads.enter(self._intend, entry)

    def _intend(self, entry: Entry) -> None:
        if self.stopped:
            return
        entry.state = State.UPLOADING
        self.clock.at(self.clock.now + self.commit_seconds(), self._depart, entry)

    def _depart(self, entry: Entry) -> None:
        self.gates.uploads.depart(self._send, entry)

    def _send(self, entry: Entry) -> None:
        now = entry.began = self.clock.now
        entry.attempts += 1
        self.ledger.sent(entry, now)
        answered, entry.failure, version_id = self.registry.upload(now, entry.kind)
        self.clock.at(answered, self._answered, (entry, version_id))

    def _answered(self, sent: tuple[Entry, int]) -> None:
        entry, version_id = sent
        gates, failure = self.gates, entry.failure
        if failure is None:
            self.budget.earn()
        gates.uploads.answered(entry.began, failure)
        gates.slots.answered(entry.began, self.clock.now - entry.began, failure, waiting=gates.uploads.crowded)
        # The slot is given on when it is written down what came of it.
        written = self.clock.now + self.commit_seconds()
        if failure is None:
            self.clock.at(written, self._uploaded, (entry, version_id))
        else:
            self.clock.at(written, self._judge, (entry, failure))

    def _uploaded(self, sent: tuple[Entry, int]) -> None:
        entry, version_id = sent
        entry.state = State.UPLOADED
        self.gates.slots.release()
        self.ledger.uploaded[version_id] = entry.kind
        if not self.stopped:
            self.polls.add(version_id, entry.kind, fresh=True)
        self._end_lane(entry)

    # What a failure means.

    def _judge(self, failed: tuple[Entry, Failure]) -> None:
        entry, failure = failed
        self._weigh(entry, failure)
        self.gates.slots.release()

    def _weigh(self, entry: Entry, failure: Failure) -> None:
        in_doubt = upload_verdict(failure, sealed=True) is Verdict.IN_DOUBT
        entry.state = State.IN_DOUBT if in_doubt else State.PLANNED
        if self.stopped:
            self._leave(entry)
            return
        try:
            seconds = pause_seconds(failure, entry.attempts, self.random(), Pauses())
        except RegistryUnavailable:
            self.stop("upload")
            return
        if failure.retry_after:
            self.gates.hold(failure.retry_after)
        if in_doubt:
            self._release_place(entry)
            entry.lost_at = self.clock.now
            self._settle(entry)
        elif self._may_send_again(entry):
            self.clock.at(self.clock.now + seconds, self._again, entry)

    def _again(self, entry: Entry) -> None:
        # A run that was stopped has left it to the next one already.
        if not self.stopped:
            self._release_place(entry)
            self._attempt(entry)

    def _settle(self, entry: Entry) -> None:
        """Wait until a lost upload has landed or never will, then ask."""
        until = max(self.clock.now, entry.lost_at + self.settings.settle)
        self.clock.at(until, Read(self, "list", self._reconciled, entry, gate=self.gates.lists).start)

    def _reconciled(self, read: Read) -> None:
        """It never landed: what fails here stores nothing."""
        entry: Entry = read.subject
        entry.state = State.PLANNED
        if entry.failure is None or self._may_send_again(entry):
            self._attempt(entry)

    def _may_send_again(self, entry: Entry) -> bool:
        prospect = self.gates.uploads.prospect(self.settings.patience)
        if prospect is Prospect.GIVE_UP:
            self.stop("upload")
            return False
        if may_retry(entry.attempts, self.budget) or prospect is Prospect.GO_ON:
            return True
        self._laid_aside += 1
        self._leave(entry)
        return False

    def _release_place(self, entry: Entry) -> None:
        if entry.holds_place:
            entry.holds_place = False
            self.gates.places.release()

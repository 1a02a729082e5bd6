"""One run on virtual time: limiter, polls and transitions are the program's own (``bulkload.core``)."""

import random
from collections.abc import Coroutine
from typing import Any

from benchmarks.simulation.clock import Clock, Nap, until
from benchmarks.simulation.durations import NATIVE
from benchmarks.simulation.ledger import Entry, Ledger
from benchmarks.simulation.registry import Registry
from bulkload.core.identity.reconcile import ReconcileDecision, Reconciliation
from bulkload.core.limits.limiter import Limiter
from bulkload.core.limits.pauses import Pauses
from bulkload.core.limits.permits import Call, Permit, Stop, Wait
from bulkload.core.limits.retry import Retry, RetryBudget, may_retry, pause_seconds
from bulkload.core.model.attempts import Attempt, Doubtful, NotAccepted, Sent
from bulkload.core.model.errors import ExitCode, RegistryUnavailable
from bulkload.core.model.settings import Settings
from bulkload.core.model.states import State
from bulkload.core.polls.queue import NEVER, FirstPolls, FurtherPolls, Watch
from bulkload.core.polls.schedule import FEW_LEFT, PollSchedule
from bulkload.core.transitions import Then, after_attempt, after_reconciliation
from bulkload.core.verdicts import Failure, Verdict, upload_verdict
from bulkload.engine.poll.poller import POLLS_IN_FLIGHT
from bulkload.engine.upload.scheduler import WAITING_WORKERS

# A commit of the ledger to disk, on the mean; and how late timers are at the most.
COMMIT_SECONDS = 0.004
LATE_SECONDS = 0.001
# Nothing that fails here stores anything.
ABSENT = after_reconciliation(ReconcileDecision(outcome=Reconciliation.ABSENT), is_unproved=False, resend=False)


Queue = FirstPolls | FurtherPolls


class Stopped(Exception):
    """The run takes nothing new."""


class TriedEnough(Exception):
    """A call failed again and again, while others did not."""


class Run:
    """``clock.start(run.work())``: from the first look at the registry until nothing is left to do, or it gives up."""

    def __init__(
        self, clock: Clock, registry: Registry, ledger: Ledger, settings: Settings, chance: random.Random
    ) -> None:
        self.exit_code, self.began = ExitCode.OK, clock.now
        self._clock, self._registry, self._ledger, self._settings = clock, registry, ledger, settings
        self._random = chance.random
        self._limiter, self._schedule = Limiter(settings), PollSchedule(settings.poll_interval)
        self._stopped, self._laid_aside = False, 0
        # Uploaders at work, polls under way, and what a stop wakes.
        self._uploaders = self._in_flight = 0
        self._naps: dict[Nap, None] = {}
        self._first, self._further = FirstPolls(self._schedule), FurtherPolls(self._schedule)
        # Of each queue: how many more of its polls may be under way, since when only last polls were taken.
        firsts = max(POLLS_IN_FLIGHT, settings.concurrency)
        self._free: dict[Queue, int] = {self._first: firsts, self._further: POLLS_IN_FLIGHT}
        self._late_since: dict[Queue, float | None] = dict.fromkeys(self._free)
        self._poller = Nap(NEVER)

    async def work(self) -> None:
        """Config and workspaces, the listing, then uploads and polls beside each other, then the audit."""
        ledger = self._ledger
        try:
            await self._ask_first()
            await self._read(Call.LIST)
            self._schedule.learn(ledger.learnt)
            for version_id, kind in ledger.uploaded.items():
                self._limiter.converting() if kind != NATIVE else None
                self._watch(version_id, kind, fresh=False)
            ledger.begin_run()
            self._uploaders = self._settings.concurrency + WAITING_WORKERS
            for _ in range(self._uploaders):
                self._clock.start(self._upload_all())
            await self._poll_all()
            while ledger.to_audit and not self._stopped:
                ledger.to_audit -= 1
                await self._read(Call.LIST)
        except (Stopped, TriedEnough):
            self._stop()
        if self.exit_code is ExitCode.OK and (self._laid_aside or ledger.uploaded):
            self.exit_code = ExitCode.UNAVAILABLE if self._laid_aside else ExitCode.STILL_OPEN
        ledger.learnt = self._schedule.learnt

    def _stop(self) -> None:
        """The registry is not available: take nothing new, see what is under way to its end."""
        if self._stopped:
            return
        self._stopped, self.exit_code = True, ExitCode.UNAVAILABLE
        self._limiter.close()
        self._tell()
        for nap in (*self._naps, self._poller):
            self._clock.wake(nap)

    # The shell of the limiter.

    async def _granted(self, answer: Permit | Wait | Stop) -> Permit:
        while isinstance(answer, Wait):
            nap = answer.permit.waiter = Nap(answer.until + LATE_SECONDS * self._random())
            await until(nap)
            answer = self._limiter.resume(self._clock.now, answer.permit)
            self._tell()
        if isinstance(answer, Stop):
            raise Stopped
        return answer

    def _tell(self) -> None:
        for change in self._limiter.take_changes():
            if isinstance(change, Permit) and isinstance(change.waiter, Nap):
                self._clock.wake(change.waiter)

    def _settle(self, permit: Permit, failure: Failure | None, seconds: float | None = None) -> None:
        self._limiter.changes = [*self._limiter.settle(self._clock.now, permit, failure, seconds)]
        self._tell()

    async def _sleep(self, seconds: float) -> None:
        """Raises ``Stopped`` as soon as the run stops."""
        nap = Nap(self._clock.now + seconds)
        self._naps[nap] = None
        await until(nap)
        del self._naps[nap]
        if self._stopped:
            raise Stopped

    def _commit(self) -> Coroutine[Any, Any, None]:
        return until(self._clock.now + COMMIT_SECONDS * (0.5 + self._random()))

    # Calls that change nothing.

    async def _ask_first(self) -> None:
        """What is asked before there is a run waits for no end of an outage."""
        budget, attempts, questions = RetryBudget(), 0, 2
        while questions:
            answered, failure, _ = self._registry.ask(self._clock.now, "other", -1)
            await until(answered)
            if failure is None:
                questions, attempts = questions - 1, 0
                continue
            attempts += 1
            if not may_retry(attempts, budget):
                raise TriedEnough
            await self._sleep(self._pause(failure, attempts))

    async def _read(self, call: Call, version_id: int = -1) -> bool:
        """One call, and again while its failure passes; whether the version is done."""
        limiter, attempts = self._limiter, 0
        while True:
            permit = await self._granted(limiter.reserve(self._clock.now, call))
            kind = "list" if call is Call.LIST else "poll"
            answered, failure, done = self._registry.ask(self._clock.now, kind, version_id)
            await until(answered)
            self._settle(permit, failure)
            if failure is None:
                return done
            attempts += 1
            seconds = self._pause(failure, attempts)
            retry = limiter.retry(self._clock.now, call, attempts)
            if retry is not Retry.AGAIN:
                raise Stopped if retry is Retry.GIVE_UP else TriedEnough
            await self._sleep(seconds)

    def _pause(self, failure: Failure, attempts: int) -> float:
        try:
            seconds = pause_seconds(failure, attempts, self._random(), Pauses())
        except RegistryUnavailable:
            raise Stopped from None
        if failure.retry_after:
            self._limiter.hold(self._clock.now, failure.retry_after)
        return seconds

    # Uploads.

    async def _upload_all(self) -> None:
        while not self._stopped and (entry := self._ledger.next_entry()) is not None:
            try:
                await self._publish(entry)
            except (Stopped, TriedEnough):
                self._ledger.left.append(entry)
                self._stop()
        self._uploaders -= 1
        self._clock.wake(self._poller)

    async def _publish(self, entry: Entry) -> None:
        """Send, settle and send again, until the registry has it or it is left for the next run."""
        settings, attempts, lost_at, failure = self._settings, 0, self.began, None
        while entry.state is not State.UPLOADED:
            if entry.state is State.IN_DOUBT:
                await self._sleep(max(0.0, lost_at + settings.settle - self._clock.now))
                await self._read(Call.LIST)
                entry.state = ABSENT.after
                if failure is not None and not self._may_send_again(attempts):
                    return self._ledger.left.append(entry)
            attempts += 1
            attempt = await self._attempt(entry)
            if isinstance(attempt, Sent):
                return self._watch(attempt.version_id, entry.kind, fresh=True)
            failure, then = attempt.failure, after_attempt(attempt, attempts=attempts, source="").then
            if self._stopped or failure is None:
                raise Stopped
            seconds, lost_at = self._pause(failure, attempts), self._clock.now
            if then is Then.RETRY and not self._may_send_again(attempts):
                return self._ledger.left.append(entry)
            if then is Then.RETRY:
                await self._sleep(seconds)
        return None

    async def _attempt(self, entry: Entry) -> Sent | NotAccepted | Doubtful:
        clock, limiter = self._clock, self._limiter
        call = Call.UPLOAD if entry.kind == NATIVE else Call.CONVERTED_UPLOAD
        permit = await self._granted(limiter.reserve(clock.now, call))
        try:
            await self._commit()
            await self._granted(limiter.depart(clock.now, permit))
            self._ledger.sent(entry, clock.now)
            answered, failure, version_id = self._registry.upload(clock.now, entry.kind)
            await until(answered)
            self._settle(permit, failure, clock.now - permit.began)
            attempt: Attempt = Sent(version_id, 0.0)
            if failure is not None:
                in_doubt = upload_verdict(failure, sealed=True) is Verdict.IN_DOUBT
                attempt = Doubtful("", failure) if in_doubt else NotAccepted(failure)
            await self._commit()
            entry.state = after_attempt(attempt, attempts=1, source="").after
        finally:
            limiter.give_back(clock.now, permit)
            self._tell()
        if isinstance(attempt, Sent):
            self._ledger.uploaded[version_id] = entry.kind
        return attempt  # type: ignore[return-value]

    def _may_send_again(self, attempts: int) -> bool:
        retry = self._limiter.retry(self._clock.now, Call.UPLOAD, attempts)
        if retry is Retry.GIVE_UP:
            raise Stopped
        self._laid_aside += retry is Retry.ENOUGH
        return retry is Retry.AGAIN

    # Polls.

    def _watch(self, version_id: int, kind: str, *, fresh: bool) -> None:
        """The simulated entry is found by its version."""
        watch = Watch(version_id, version_id, kind, self._clock.now, kind != NATIVE, fresh)
        self._first.add(watch, at_once=not (watch.converting and fresh))
        if self._free[self._first] and self._first.due < self._poller.until:
            self._clock.wake(self._poller)

    async def _poll_all(self) -> None:
        """Hand out what is due, until all are done."""
        while self._uploaders or self._in_flight or ((self._first or self._further) and not self._stopped):
            for queue in self._free:
                while self._free[queue] and not self._stopped and (watch := self._next_due(queue)) is not None:
                    self._in_flight += 1
                    self._free[queue] -= 1
                    self._clock.start(self._poll(watch, queue))
            dues = [queue.due for queue, free in self._free.items() if free and not self._stopped]
            self._poller = Nap(min(dues, default=NEVER))
            await until(self._poller)

    def _next_due(self, queue: Queue) -> Watch | None:
        settings, now = self._settings, self._clock.now
        while queue.due <= now:
            watch = queue.pop()
            late = watch.polls > 0 and now - watch.since >= settings.wait_timeout
            since = self._late_since[queue] = (self._late_since[queue] or now) if late else None
            if since is None or now - since <= settings.poll_interval.longest:
                return watch
            self._end_wait(watch)
        self._late_since[queue] = None
        return None

    async def _poll(self, watch: Watch, queue: Queue) -> None:
        done = False
        try:
            done = await self._read(Call.FURTHER_POLL if watch.polls else Call.FIRST_POLL, watch.version_id)
            # What it found is written down before another poll takes its place.
            await self._commit()
        except (Stopped, TriedEnough) as ended:
            self._stop() if isinstance(ended, Stopped) else None
        if not self._stopped:
            self._judge(watch, done=done)
        self._in_flight -= 1
        self._free[queue] += 1
        self._clock.wake(self._poller)

    def _judge(self, watch: Watch, *, done: bool) -> None:
        now, latest = self._clock.now, watch.since + self._settings.wait_timeout
        if done:
            if watch.fresh and watch.converting:
                self._schedule.note(watch.kind, watch.asked, round(now - watch.since, 3))
            self._ledger.now_ready(watch.version_id, now)
        if done or now >= latest:
            return self._end_wait(watch)
        few_left = not self._uploaders and len(self._first) + len(self._further) + self._in_flight <= FEW_LEFT
        self._further.add(watch, now, latest, self._random(), few_left=few_left)
        return None

    def _end_wait(self, watch: Watch) -> None:
        if watch.converting:
            self._limiter.converted(self._clock.now)
            self._tell()

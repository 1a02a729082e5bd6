"""``bulkload.engine.poll.poller`` on virtual time: one queue of first polls, one of further ones."""

from typing import TYPE_CHECKING

from benchmarks.simulation.calls import Read
from benchmarks.simulation.durations import NATIVE
from bulkload.core.polls.queue import NEVER, FirstPolls, FurtherPolls, Watch
from bulkload.core.polls.schedule import FEW_LEFT
from bulkload.engine.poll.poller import POLLS_IN_FLIGHT

if TYPE_CHECKING:
    from benchmarks.simulation.run import Run


class _Served:
    """One of the two queues, and how many of its polls may still be under way."""

    __slots__ = ("_late_since", "_polls", "_run", "_wakes_at", "free", "watches")

    def __init__(self, run: "Run", polls: "Polls", watches: FirstPolls | FurtherPolls, at_a_time: int) -> None:
        self.watches = watches
        self.free = at_a_time
        self._run = run
        self._polls = polls
        self._wakes_at = NEVER
        self._late_since: float | None = None

    def serve(self) -> None:
        """Take what is due, as far as there are places."""
        run = self._run
        while self.free and not run.stopped:
            now, due = run.clock.now, self.watches.due
            if due > now:
                self._late_since = None
                if due < self._wakes_at:
                    self._wakes_at = due
                    run.clock.at(due, self._wake)
                return
            watch = self.watches.pop()
            late = watch.polls > 0 and now - watch.since >= run.settings.wait_timeout
            self._late_since = (self._late_since or now) if late else None
            if self._late_since is not None and now - self._late_since > run.settings.poll_interval.longest:
                self._polls.end_wait(watch)
                continue
            self._polls.in_flight += 1
            self.free -= 1
            self._polls.poll(watch, self)

    def _wake(self, _: object) -> None:
        # Else an earlier moment was set meanwhile, which has passed.
        if self._run.clock.now >= self._wakes_at:
            self._wakes_at = NEVER
            self.serve()


class Polls:
    """Polls versions until they are done, or were waited for long enough."""

    def __init__(self, run: "Run") -> None:
        self.in_flight = 0
        self._run = run
        self._closed = False
        self._first = FirstPolls(run.schedule)
        self._further = FurtherPolls(run.schedule)
        firsts = max(POLLS_IN_FLIGHT, run.settings.concurrency)
        self._served = (_Served(run, self, self._first, firsts), _Served(run, self, self._further, POLLS_IN_FLIGHT))

    def add(self, version_id: int, kind: str, *, fresh: bool) -> None:
        """Watch a version. ``fresh``: made by this run just now."""
        converting = kind != NATIVE
        # The simulated entry is found by its version.
        watch = Watch(version_id, version_id, kind, self._run.clock.now, converting, fresh)
        self._first.add(watch, at_once=not (converting and fresh))
        self._served[0].serve()

    def close(self) -> None:
        """No more versions will come."""
        self._closed = True
        self._tell()

    @property
    def done(self) -> bool:
        return self._closed and not (self.in_flight or self._first or self._further)

    def poll(self, watch: Watch, served: _Served) -> None:
        """Ask once."""
        read = Read(
            self._run,
            "poll",
            self._answered,
            (watch, served),
            gate=self._run.gates.polls,
            version_id=watch.version_id,
            tried_enough=self._answered,
        )
        if watch.polls:
            self._run.gates.further_polls.wait(read.start, None)
        else:
            read.start()

    def end_wait(self, watch: Watch) -> None:
        """It stays uploaded, and the next run goes on."""
        if watch.converting:
            self._run.gates.places.release()
        if self.done:
            self._run.finish()

    def _tell(self) -> None:
        for served in self._served:
            served.serve()
        if self.done:
            self._run.finish()

    def _answered(self, read: Read) -> None:
        # What it found is read from and written to the ledger before another poll takes its place.
        self._run.clock.at(self._run.clock.now + self._run.commit_seconds(), self._judge, read)

    def _judge(self, read: Read) -> None:
        run, now = self._run, self._run.clock.now
        if run.stopped:
            return
        watch, served = read.subject
        if read.done:
            if watch.fresh and watch.converting:
                run.schedule.note(watch.kind, watch.asked, round(now - watch.since, 3))
            run.ledger.now_ready(watch.version_id, now)
            if watch.converting:
                run.gates.places.release()
        else:
            latest = watch.since + run.settings.wait_timeout
            if now >= latest:
                self.end_wait(watch)
            else:
                self._further.add(watch, now, latest, run.random(), few_left=self._few_left)
        self.in_flight -= 1
        served.free += 1
        self._tell()

    @property
    def _few_left(self) -> bool:
        return self._closed and len(self._first) + len(self._further) + self.in_flight <= FEW_LEFT

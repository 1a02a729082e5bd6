"""Asks the registry about versions until it has judged them: one queue by due time, no task a version."""

import asyncio
from collections import deque

import anyio

from bulkload.core.contract.routes import converts
from bulkload.core.limits.pacing import timer_seconds
from bulkload.core.model.errors import BulkloadError
from bulkload.core.model.events import WaitEnded
from bulkload.core.model.states import State
from bulkload.core.polls.queue import NEVER, FirstPolls, FurtherPolls, Watch
from bulkload.core.polls.schedule import FEW_LEFT, conversion_kind
from bulkload.engine.calls import TriedEnough
from bulkload.engine.context import Run
from bulkload.engine.limits import Stopped
from bulkload.engine.poll.version_look import VersionLook
from bulkload.ledger.interface import InState
from bulkload.ledger.records import LedgerEntry

# Further polls under way at a time, and first ones at the least: they are short, and their rate is bounded elsewhere.
POLLS_IN_FLIGHT = 16
ENTRIES_A_PAGE = 512

_Queue = FirstPolls | FurtherPolls
# Who waits for the next version of a queue that is due.
_Idle = deque["asyncio.Future[Watch | None]"]


class Poller:
    """Polls versions of the ledger until they are terminal, or have been waited for long enough."""

    def __init__(self, run: Run) -> None:
        self._run = run
        # A version's first poll keeps pace with the uploads; all further ones share a budget of their own.
        self._first = FirstPolls(run.poll_schedule)
        self._further = FurtherPolls(run.poll_schedule)
        self._idle: dict[_Queue, _Idle] = {self._first: deque(), self._further: deque()}
        # Since when nothing was taken but last polls, at the end of a version's wait.
        self._late_since: dict[_Queue, float | None] = {self._first: None, self._further: None}
        # What is due at this moment is handed out then, and nothing before.
        self._hands_out_at = NEVER
        self._news = anyio.Event()
        self._in_flight = 0
        self._closed = False
        self._look = VersionLook(run)

    @property
    def lost(self) -> int:
        """Versions that turned out to be another's: their entries are in doubt."""
        return self._look.lost

    def add(self, entry: LedgerEntry, version_id: int, *, converting: bool, fresh: bool) -> None:
        """Watch a version. ``converting``: it is not ready at once; ``fresh``: it was made just now."""
        self._watch(entry, version_id, since=self._run.clock.now(), converting=converting, fresh=fresh)

    async def add_from_ledger(self) -> None:
        """Watch what an earlier run uploaded."""
        after = 0
        while page := await self._run.ledger.execute(InState(State.UPLOADED, after, ENTRIES_A_PAGE)):
            if self._run.stop.asked:
                return
            for entry in page:
                if entry.version_id is not None:
                    converting = converts(None)
                    if converting:
                        self._run.limits.converting()
                    # Waited for since this run began, also where this is not its first look at it.
                    since = self._run.started
                    self._watch(entry, entry.version_id, since=since, converting=converting, fresh=False)
            after = page[-1].id

    def close(self) -> None:
        """No more versions will come: ``work`` returns when the last one is done."""
        self._closed = True
        self._news.set()

    async def work(self) -> None:
        """Poll until all versions are done, or the run stops."""
        async with anyio.create_task_group() as waker:
            waker.start_soon(self._wake_when_stopped)
            async with anyio.create_task_group() as polls:
                # First polls keep pace with the uploads.
                furthers = min(POLLS_IN_FLIGHT, self._run.most_polls)
                firsts = max(furthers, self._run.settings.concurrency)
                for queue, at_a_time in ((self._first, firsts), (self._further, furthers)):
                    for _ in range(at_a_time):
                        polls.start_soon(self._serve, queue)
                await self._keep_time()
            waker.cancel_scope.cancel()

    def _watch(self, entry: LedgerEntry, version_id: int, *, since: float, converting: bool, fresh: bool) -> None:
        watch = Watch(version_id, entry.id, conversion_kind(entry.entry.conversion), since, converting, fresh)
        at_once = not (converting and fresh)
        if at_once and self._idle[self._first]:
            # Nothing is due before it, or nobody would be idle.
            self._hand_out(self._first, watch)
            return
        self._first.add(watch, at_once=at_once)
        self._look_at_clock(self._first)

    @property
    def _done(self) -> bool:
        return self._closed and not (self._in_flight or self._first or self._further)

    @property
    def _few_left(self) -> bool:
        return self._closed and len(self._first) + len(self._further) + self._in_flight <= FEW_LEFT

    async def _serve(self, queue: _Queue) -> None:
        """One poll after the other, of what is due."""
        while (watch := self._next_due(queue) or await self._handed_out(queue)) is not None:
            await self._poll(watch)

    async def _handed_out(self, queue: _Queue) -> Watch | None:
        """Wait for the next version that is due; None at the end."""
        if self._is_over:
            return None
        handed_out: asyncio.Future[Watch | None] = asyncio.get_running_loop().create_future()
        self._idle[queue].append(handed_out)
        self._look_at_clock(queue)
        return await handed_out

    def _hand_out(self, queue: _Queue, watch: Watch) -> None:
        self._in_flight += 1
        _give(self._idle[queue], watch)

    def _look_at_clock(self, queue: _Queue) -> None:
        if queue.due < self._hands_out_at and self._idle[queue]:
            self._news.set()

    async def _keep_time(self) -> None:
        """Hand out what becomes due while somebody is idle."""
        try:
            while not self._is_over:
                self._news = anyio.Event()
                self._hands_out_at = NEVER
                for queue, idle in self._idle.items():
                    while idle and (watch := self._next_due(queue)) is not None:
                        _give(idle, watch)
                    if idle:
                        self._hands_out_at = min(self._hands_out_at, queue.due)
                now, due = self._run.clock.now(), self._hands_out_at
                with self._run.clock.within(None if due == NEVER else timer_seconds(max(0.0, due - now))):
                    await self._news.wait()
        finally:
            for idle in self._idle.values():
                while idle:
                    _give(idle, None)

    @property
    def _is_over(self) -> bool:
        return self._done or self._run.stop.asked

    def _next_due(self, queue: _Queue) -> Watch | None:
        """Take the next version, where one is due now."""
        while not self._run.stop.asked:
            now = self._run.clock.now()
            if queue.due > now:
                self._late_since[queue] = None
                return None
            watch = queue.pop()
            if not self._has_no_turn(queue, watch, now):
                self._in_flight += 1
                return watch
            self._end_wait(watch)
            self._end_if_done()
        return None

    def _has_no_turn(self, queue: _Queue, watch: Watch, now: float) -> bool:
        """Whether too many wait for their last turn: nothing else was taken for longer than they may be waited for."""
        if watch.polls == 0 or now - watch.since < self._run.settings.wait_timeout:
            self._late_since[queue] = None
            return False
        since = self._late_since[queue]
        if since is None:
            self._late_since[queue] = since = now
        return now - since > self._run.settings.poll_interval.longest

    async def _wake_when_stopped(self) -> None:
        await self._run.stop.wait()
        self._news.set()

    async def _poll(self, watch: Watch) -> None:
        try:
            if await self._look.is_done(watch):
                self._free_place(watch)
                # What was learnt from it may make others due earlier.
                self._look_at_clock(self._first)
            elif not self._again_later(watch):
                self._end_wait(watch)
        except Stopped:
            pass
        except TriedEnough:
            # Others get their answers.
            if not self._again_later(watch):
                self._end_wait(watch)
        except BulkloadError as error:
            self._run.stop.ask(error)
        finally:
            self._in_flight -= 1
            self._end_if_done()

    def _end_if_done(self) -> None:
        if self._done:
            self._news.set()

    def _end_wait(self, watch: Watch) -> None:
        """It was waited for long enough: it stays uploaded, and the next run goes on."""
        self._run.events(WaitEnded(watch.version_id, watch.status))
        self._free_place(watch)

    def _free_place(self, watch: Watch) -> None:
        if watch.converting:
            self._run.limits.converted()

    def _again_later(self, watch: Watch) -> bool:
        """Ask again in a while; False when the version was waited for long enough."""
        now, latest = self._run.clock.now(), watch.since + self._run.settings.wait_timeout
        if now >= latest:
            return False
        self._further.add(watch, now, latest, self._run.random.random(), few_left=self._few_left)
        self._look_at_clock(self._further)
        return True


def _give(idle: _Idle, watch: Watch | None) -> None:
    """To whoever has waited longest."""
    waiting = idle.popleft()
    # Cancelled: the run is cut off, and nobody polls any more.
    if not waiting.done():
        waiting.set_result(watch)

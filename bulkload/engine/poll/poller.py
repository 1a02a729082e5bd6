"""Asks the registry about versions until it has judged them: one queue by due time, no task a version."""

import anyio

from bulkload.core.contract.file_names import sent_file_name
from bulkload.core.contract.routes import converts
from bulkload.core.identity.arrival import Arrival, judge_arrival
from bulkload.core.limits.pacing import timer_seconds
from bulkload.core.model.errors import BulkloadError
from bulkload.core.model.events import ErrorNotExplained, WaitEnded
from bulkload.core.model.records import RegistryVersion
from bulkload.core.model.states import REGISTRY_TERMINAL, State
from bulkload.core.polls.queue import NEVER, FirstPolls, FurtherPolls, Watch
from bulkload.core.polls.schedule import FEW_LEFT, conversion_kind
from bulkload.core.verdicts import CallFailed, another_call_may_do, may_lack_call, may_mean_no_such_version
from bulkload.engine.calls import TriedEnough, read
from bulkload.engine.context import Run
from bulkload.engine.limits.gates import Stopped
from bulkload.engine.listing import versions_now
from bulkload.ledger.records import LedgerEntry, Outcome
from bulkload.ledger.sqlite.writes import Store

# Further polls under way at a time, and first ones at the least: they are short, and their rate is bounded elsewhere.
POLLS_IN_FLIGHT = 16
# A version that was just made may not be found yet; after so many times in a row the listing is asked.
TIMES_NOT_FOUND = 5
LOG_LINES_KEPT = 200
ENTRIES_A_PAGE = 512

_Queue = FirstPolls | FurtherPolls


class Poller:
    """Polls versions of the ledger until they are terminal, or have been waited for long enough."""

    def __init__(self, run: Run) -> None:
        self._run = run
        # A version's first poll keeps pace with the uploads; all further ones share a budget of their own.
        self._first = FirstPolls(run.poll_schedule)
        self._further = FurtherPolls(run.poll_schedule)
        # What who waits for the next version that is due is woken up by; None: nobody waits.
        self._news: anyio.Event | None = None
        # Since when nothing was taken but last polls, at the end of a version's wait.
        self._late_since: dict[_Queue, float | None] = {self._first: None, self._further: None}
        self._in_flight = 0
        self._closed = False
        # Versions that turned out to be another's.
        self.lost = 0

    def add(self, item: LedgerEntry, version_id: int, *, converting: bool, fresh: bool) -> None:
        """Watch a version. ``converting``: it is not ready at once; ``fresh``: it was made just now."""
        self._watch(item, version_id, since=self._run.clock(), converting=converting, fresh=fresh)

    async def add_from_ledger(self) -> None:
        """Watch what an earlier run uploaded."""
        after = 0
        while page := await self._run.ledger.call(
            lambda store: store.in_state(State.UPLOADED, after, ENTRIES_A_PAGE)  # noqa: B023 - awaited at once
        ):
            for item in page:
                if item.version_id is not None:
                    converting = converts(None)
                    if converting:
                        self._run.conversions.hold()
                    # Waited for since this run began, also where this is not its first look at it.
                    since = self._run.started
                    self._watch(item, item.version_id, since=since, converting=converting, fresh=False)
            after = page[-1].id

    def close(self) -> None:
        """No more versions will come: ``work`` returns when the last one is done."""
        self._closed = True
        self._tell()

    async def work(self) -> None:
        """Poll until all versions are done, or the run stops."""
        async with anyio.create_task_group() as waker:
            waker.start_soon(self._wake_when_stopped)
            async with anyio.create_task_group() as polls:
                # First polls keep pace with the uploads.
                furthers = min(POLLS_IN_FLIGHT, self._run.most_polls)
                firsts = max(furthers, self._run.settings.concurrency)
                for queue, at_a_time in ((self._first, firsts), (self._further, furthers)):
                    taking = anyio.Lock(fast_acquire=True)
                    for _ in range(at_a_time):
                        polls.start_soon(self._serve, queue, taking)
            waker.cancel_scope.cancel()

    def _watch(self, item: LedgerEntry, version_id: int, *, since: float, converting: bool, fresh: bool) -> None:
        kind = conversion_kind(item.entry.conversion)
        watch = Watch(version_id, item.id, kind, since, converting, fresh)
        self._first.add(watch, at_once=not (converting and fresh))
        self._tell()

    @property
    def _done(self) -> bool:
        return self._closed and not (self._in_flight or self._first or self._further)

    @property
    def _few_left(self) -> bool:
        return self._closed and len(self._first) + len(self._further) + self._in_flight <= FEW_LEFT

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None

    async def _serve(self, queue: _Queue, taking: anyio.Lock) -> None:
        """One poll after the other, of what is due."""
        while True:
            async with taking:
                watch = await self._next_due(queue)
            if watch is None:
                return
            await self._poll(watch)

    async def _next_due(self, queue: _Queue) -> Watch | None:
        """Wait for the next version that is due and take it; None at the end."""
        while not self._done and not self._run.stop.asked:
            now, due = self._run.clock(), queue.due
            if due > now:
                self._late_since[queue] = None
                await self._wait_for_news(None if due == NEVER else timer_seconds(due - now))
                continue
            watch = queue.pop()
            if self._has_no_turn(queue, watch, now):
                self._end_wait(watch)
                continue
            self._in_flight += 1
            return watch
        self._tell()
        return None

    async def _wait_for_news(self, seconds: float | None) -> None:
        if self._news is None:
            self._news = anyio.Event()
        news = self._news
        with self._run.clock.within(seconds):
            await news.wait()

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
        self._tell()

    async def _poll(self, watch: Watch) -> None:
        try:
            if watch.polls:
                await self._run.gates.further_polls.wait()
            if await self._is_done(watch):
                self._free_place(watch)
                # What was learnt from it may make others due earlier.
                self._tell()
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
            if self._done:
                self._tell()

    def _end_wait(self, watch: Watch) -> None:
        """It was waited for long enough: it stays uploaded, and the next run goes on."""
        self._run.events(WaitEnded(watch.version_id, watch.status))
        self._free_place(watch)

    def _free_place(self, watch: Watch) -> None:
        if watch.converting:
            self._run.conversions.release()

    def _again_later(self, watch: Watch) -> bool:
        """Ask again in a while; False when the version was waited for long enough."""
        now, latest = self._run.clock(), watch.since + self._run.settings.wait_timeout
        if now >= latest:
            return False
        before = self._further.due
        self._further.add(watch, now, latest, self._run.random.random(), few_left=self._few_left)
        if self._further.due < before:
            self._tell()
        return True

    async def _is_done(self, watch: Watch) -> bool:
        """Ask once; True when there is nothing more to ask."""
        version = await self._version(watch)
        if version is None:
            return await self._is_gone(watch)
        watch.not_found = 0
        if _digest(version) == watch.converting_answer:
            return False  # a long wait consists of these: they cost the ledger nothing
        return await self._judge(watch, version)

    async def _judge(self, watch: Watch, version: RegistryVersion) -> bool:
        """Whether it is ours, and whether it has ended."""
        verdict = REGISTRY_TERMINAL.get(version.status or "")
        seconds = round(self._run.clock() - watch.since, 3)
        outcome = _ready_outcome(version, seconds, self._run.clock.utc_now())

        def look_and_settle(store: Store) -> tuple[LedgerEntry, Arrival]:
            item = store.entry(watch.entry_id)
            arrival = _arrival(item, version)
            if arrival is Arrival.OURS and verdict is State.READY:
                store.move(item.id, State.READY, outcome)
            elif arrival is Arrival.OURS and verdict is None and version.status != watch.status:
                store.note_status(item.id, version.status)
            return item, arrival

        item, arrival = await self._run.ledger.call(look_and_settle)
        if arrival is Arrival.OURS and verdict is None:
            watch.status, watch.converting_answer = version.status, _digest(version)
            return False
        given_up = None if arrival is Arrival.OURS else await self._given_up(watch, item, version, arrival)
        if given_up is not None:
            return given_up
        if verdict is None:
            await self._note_status(watch, version)
            return False
        if watch.fresh and watch.converting:
            self._run.poll_schedule.note(watch.kind, watch.asked, seconds)
        if verdict is State.ERROR:
            outcome = await self._error_outcome(version, seconds)
        if arrival is Arrival.OURS and verdict is State.READY:
            self._run.moved(item, item.state, State.READY, outcome)
        else:
            await self._run.move(item, verdict, outcome)
        return True

    async def _given_up(
        self, watch: Watch, item: LedgerEntry, version: RegistryVersion, arrival: Arrival
    ) -> bool | None:
        """Whether an id that leads to something else is done with (False: not yet); None: ours, as far as one sees."""
        if arrival is Arrival.NOT_OURS:
            await self._lose(item, f"version {version.version_id} is not the one that was sent")
            return True
        if self._run.clock() < watch.since + self._run.settings.settle:
            return False  # listings may not show ours yet
        sent_as = sent_file_name(item.entry.source) if arrival is Arrival.OTHER_FILE else None
        if await self._ours_is_there_too(item, version, sent_as):
            await self._lose(item, f"version {version.version_id} is another upload's")
            return True
        if arrival is Arrival.OTHER_FILE:
            return None
        await self._fail_for_other_bytes(item, version)
        return True

    async def _ours_is_there_too(self, item: LedgerEntry, version: RegistryVersion, file_name: str | None) -> bool:
        """Whether the model has another version that ours may be. ``file_name``: where given, ours has that one."""
        return any(
            other.version_id != version.version_id
            and other.version_id not in item.fence
            and other.sha256 == item.sha256
            and file_name in (None, other.file_name)
            for other in await versions_now(self._run, item, item.sha256)
        )

    async def _note_status(self, watch: Watch, version: RegistryVersion) -> None:
        if version.status != watch.status:
            watch.status = version.status
            await self._run.ledger.call(lambda store: store.note_status(watch.entry_id, version.status))

    async def _error_outcome(self, version: RegistryVersion, seconds: float) -> Outcome:
        if version.error_summary is None:
            await self._run.clock.sleep(self._run.settings.pauses.error_summary)
            try:
                version = await read(
                    self._run,
                    self._run.gates.polls,
                    lambda: self._run.registry.version(version.version_id),
                    few_tries=may_mean_no_such_version,
                )
            except (CallFailed, TriedEnough):
                self._run.events(ErrorNotExplained(version.version_id))
        try:
            lines = await read(
                self._run,
                self._run.gates.polls,
                lambda: self._run.registry.upload_logs(version.version_id, LOG_LINES_KEPT),
                # Older registries do not have them.
                few_tries=another_call_may_do,
                give_way=may_lack_call,
            )
        except (CallFailed, TriedEnough) as failed:
            lines = [f"(the logs could not be fetched: {failed})"]
        return Outcome(
            status=version.status,
            version_uuid=version.uuid,
            finished_at=self._run.clock.utc_now(),
            convert_seconds=seconds,
            cause="conversion_error",
            message=version.error_summary or "the registry gives no reason; the logs may",
            logs="\n".join(lines) or None,
        )

    async def _version(self, watch: Watch) -> RegistryVersion | None:
        """The version as the registry shows it; None where it does not have it, or not yet."""
        try:
            return await read(
                self._run,
                self._run.gates.polls,
                lambda: self._run.registry.version(watch.version_id),
                few_tries=may_mean_no_such_version,
            )
        except CallFailed as failed:
            if not may_mean_no_such_version(failed.failure):
                raise
            watch.not_found += 1
            # One that was just made may not be found yet.
            return None if watch.not_found < TIMES_NOT_FOUND else await self._listed(watch)
        except TriedEnough as error:
            failed_for = error.__cause__
            if not isinstance(failed_for, CallFailed) or not may_mean_no_such_version(failed_for.failure):
                raise
            return await self._listed(watch)

    async def _listed(self, watch: Watch) -> RegistryVersion | None:
        """The version as the listing has it, which tells a version that is gone from trouble on the way."""
        item = await self._run.ledger.call(lambda store: store.entry(watch.entry_id))
        for version in await versions_now(self._run, item):
            if version.version_id == watch.version_id:
                return version
        # What the poll said was an answer after all, and no outage.
        self._run.gates.polls.answered(self._run.clock())
        # Before that, listings may not show it yet.
        watch.gone = self._run.clock() >= watch.since + self._run.settings.settle
        return None

    async def _is_gone(self, watch: Watch) -> bool:
        """Whether a version that was not found is so for good: then its entry is failed."""
        if not watch.gone:
            return False
        item = await self._run.ledger.call(lambda store: store.entry(watch.entry_id))
        message = f"the registry no longer has version {watch.version_id}; publish it anew with --retry-failed"
        await self._run.move(
            item, State.FAILED, Outcome(cause="version_gone", message=message, finished_at=self._run.clock.utc_now())
        )
        return True

    async def _fail_for_other_bytes(self, item: LedgerEntry, version: RegistryVersion) -> None:
        """What was sent is damaged there."""
        message = f"the registry holds sha256 {version.sha256}, {item.sha256} was sent"
        outcome = Outcome(
            status=version.status,
            version_uuid=version.uuid,
            cause="wrong_digest",
            message=f"{message}; --retry-failed publishes a new version",
            finished_at=self._run.clock.utc_now(),
        )
        await self._run.move(item, State.FAILED, outcome)

    async def _lose(self, item: LedgerEntry, reason: str) -> None:
        """The answer's id was another's: a lost answer, to be reconciled."""
        self.lost += 1
        await self._run.ledger.call(lambda store: store.disown(item.id, reason))
        self._run.moved(item, item.state, State.IN_DOUBT, Outcome(message=reason))


def _arrival(item: LedgerEntry, version: RegistryVersion) -> Arrival:
    """What a version is to the entry that holds its id."""
    file_name, fence = (sent_file_name(item.entry.source), item.fence) if item.owned else (None, frozenset[int]())
    return judge_arrival(*item.model, item.sha256, file_name, fence, version)


def _digest(version: RegistryVersion) -> int:
    """Of all that the judgement of a version depends on."""
    return hash((version.workspace_id, version.name, version.sha256, version.file_name, version.status))


def _ready_outcome(version: RegistryVersion, seconds: float, now: str) -> Outcome:
    return Outcome(
        status=version.status,
        version_uuid=version.uuid,
        finished_at=now,
        convert_seconds=seconds,
        message=None if version.sha256 is not None else "unverified: the registry shows no digest",
    )

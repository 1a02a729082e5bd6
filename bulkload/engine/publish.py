"""One run, from the manifest to the summary."""

import io
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from random import Random

import anyio
import msgspec

from bulkload.core.limits.retry import ATTEMPTS_PER_ENTRY, may_retry
from bulkload.core.limits.run_limits import OTHER_DESCRIPTORS, room_within
from bulkload.core.model.errors import BulkloadError, ExitCode, LedgerError, LocalTrouble, RegistryUnavailable
from bulkload.core.model.events import Advanced, ChangeUnread, Noticed, OnEvent, RunBegan, RunEnded, StatesCounted
from bulkload.core.model.records import Look
from bulkload.core.model.settings import Settings
from bulkload.core.model.states import State
from bulkload.core.model.summary import CauseCount, RequestCounts, RunSummary, exit_code_of, run_error
from bulkload.core.verdicts import Failure, FailureKind, local_failure
from bulkload.engine.calls import FOREIGN_WORDS, note_retry
from bulkload.engine.clock import Clock, LoopClock
from bulkload.engine.context import Run
from bulkload.engine.doors import Doors, GivenDoors
from bulkload.engine.events import Events
from bulkload.engine.limits import Limits
from bulkload.engine.listing import list_models
from bulkload.engine.poll.poller import Poller
from bulkload.engine.preflight.checks import Instance, StagedManifest, check_offline, check_online
from bulkload.engine.preflight.planning import plan_entries
from bulkload.engine.stop import GRACE_SECONDS, Stop, lone_errors, window_ended, within_window
from bulkload.engine.upload.audit import audit
from bulkload.engine.upload.scheduler import Scheduler
from bulkload.ledger.interface import (
    BeginRun,
    CountOpen,
    Counts,
    EndRun,
    Failures,
    FinishPlan,
    Ledger,
    Renew,
    RetryFailed,
    SameBytes,
    Suspects,
    WorkspacesToList,
)
from bulkload.registry.interface import Registry
from bulkload.source import Sources
from bulkload.system.file_names import recorded_path
from bulkload.system.process_limits import descriptors_left

SUSPECTS_A_PAGE = 256


async def publish(
    settings: Settings,
    *,
    registry: Registry | None = None,
    ledger: Ledger | None = None,
    sources: Sources | None = None,
    clock: Clock | None = None,
    random: Random | None = None,
    on_event: OnEvent | None = None,
    stop: Stop | None = None,
) -> RunSummary:
    """Publish a manifest, or go on with it. Returns the summary also when the run ended early.

    What a run has to do with outside may be given: a registry and a ledger, which it opens and closes, the places of
    models, a clock, and chance. None: the settings' registry over HTTP and ledger file, this machine's files and clock.

    ``on_event`` hears of everything that happens (``core.model.events``), at once and on this loop; it must not wait.
    Nothing is printed and nothing logged.

    Raises what ends it before the ledger knows of the run: ``ManifestError`` (with every problem), ``UsageError``,
    ``NotAuthorised``, ``RegistryUnavailable``, ``LedgerInUse``, ``LedgerError``; ``WindowEnded`` and ``Interrupted``
    where it is stopped so early. What ends it later is in the summary's exit code and in ``stop.error``.
    """
    events, stop, clock = Events(on_event), stop or Stop(), clock or LoopClock()
    stop.tell(events)
    given = GivenDoors(registry, ledger, sources, clock, random)
    async with within_window(settings, stop, clock):
        staged = await stop.or_end(check_offline(settings, events, stop))
        with closing(staged):
            settings = within_open_files(settings, events)
            doors, limits = given.completed(settings), Limits(settings, stop, clock, events)
            async with open_registry(doors, limits):
                instance = await stop.or_end(check_online(settings, doors, staged, events, create=True))
                async with opened_run(settings, doors, limits, instance, events, stop) as run:
                    await begin(run, instance, staged)
                    return await _to_its_end(run, lambda: _publish(run))


async def wait(
    settings: Settings,
    *,
    registry: Registry | None = None,
    ledger: Ledger | None = None,
    clock: Clock | None = None,
    random: Random | None = None,
    on_event: OnEvent | None = None,
    stop: Stop | None = None,
) -> RunSummary:
    """Only poll what a ledger's runs uploaded. Takes and raises what ``publish`` does."""
    events, stop, clock = Events(on_event), stop or Stop(), clock or LoopClock()
    stop.tell(events)
    given = GivenDoors(registry, ledger, None, clock, random)
    async with within_window(settings, stop, clock):
        doors, limits = given.completed(settings), Limits(settings, stop, clock, events)
        async with open_registry(doors, limits):
            nothing = StagedManifest(manifest=recorded_path(settings.manifest), file=io.BytesIO())
            instance = await stop.or_end(check_online(settings, doors, nothing, events, create=False))
            async with opened_run(settings, doors, limits, instance, events, stop) as run:
                await begin(run, instance)
                return await _to_its_end(run, lambda: _wait(run))


def within_open_files(settings: Settings, events: Events) -> Settings:
    """The settings, with no more uploads at a time than this process may have files and connections open for."""
    left = descriptors_left()
    if left is not None and left < OTHER_DESCRIPTORS + 4:
        raise LocalTrouble(f"this process may open only {left} more files; raise the limit (`ulimit -n`) and run again")
    uploads = room_within(left, settings.concurrency, 1).uploads
    if uploads == settings.concurrency:
        return settings
    plural = "upload" if uploads == 1 else "uploads"
    events(
        Noticed(
            f"{uploads} {plural} at a time, not {settings.concurrency}: this process may open {left} more files; raise"
            " the limit (`ulimit -n`) for more"
        )
    )
    return replace(settings, concurrency=uploads)


def open_registry(doors: Doors, limits: Limits) -> Registry:
    """The registry of a run, whose requests for tokens pass their limiter; entering it opens it."""
    doors.registry.pace_logins(limits.before_login)
    return doors.registry


@asynccontextmanager
async def opened_run(
    settings: Settings, doors: Doors, limits: Limits, instance: Instance, events: Events, stop: Stop
) -> AsyncGenerator[Run]:
    """A run on its open ledger."""
    moment = doors.clock.utc_now()[:19].replace(":", "").replace("-", "")
    run_id = f"{moment}Z-{doors.random.getrandbits(24):06x}"
    events.phase("opening the ledger")
    async with doors.ledger:
        yield Run(settings, run_id, doors, limits, default_arch=instance.default_arch, events=events, stop=stop)


async def begin(run: Run, instance: Instance, staged: StagedManifest | None = None) -> None:
    """Bind the ledger to this registry, open the run, sort out what an earlier process left, follow the manifest.

    All or nothing: a beginning that fails, or is stopped, leaves the ledger as it was.
    """
    settings = run.settings
    run.events.phase("planning")
    run.stop.raise_if_asked()
    await run.ledger.execute(
        BeginRun(
            run_id=run.run_id,
            started_at=run.clock.utc_now(),
            registry=instance.identity,
            endpoint=run.registry.endpoint,
            manifest=recorded_path(settings.manifest),
            default_arch=instance.default_arch,
            on_existing=settings.on_existing,
            wait_timeout=settings.wait_timeout,
        )
    )
    if staged is not None:
        await plan_entries(run, instance, staged)
    run.stop.raise_if_asked()
    seconds = await run.ledger.execute(FinishPlan(follows_manifest=staged is not None))
    run.poll_schedule.learn(seconds)


async def follow_files(run: Run) -> None:
    """Bring the ledger up to the files behind its entries. Raises the reason when the run is to stop."""
    await run.stop.or_end(_look_at_changed_files(run))
    await run.ledger.execute(RetryFailed(with_versions=run.settings.retry_failed))
    states = await run.ledger.execute(Counts())
    run.events(StatesCounted(states))


async def _look_at_changed_files(run: Run) -> None:
    """A file that looks different is read: only other bytes are a new version."""
    after, done = 0, 0
    while page := await run.ledger.execute(Suspects(after, SUSPECTS_A_PAGE)):
        for entry in page:
            run.events.phase("reading changed files")
            done += 1
            run.events(Advanced(done))
            found = await _digest_or_none(run, entry.entry.source)
            if found is None:
                continue  # what was published stays published; the next run looks again
            look, sha256 = found
            same = sha256 == entry.sha256
            await run.ledger.execute(SameBytes(entry.id, look) if same else Renew(entry.id, look))
        after = page[-1].id


async def _digest_or_none(run: Run, path: str) -> tuple[Look, str] | None:
    """Look and digest; None where the file cannot be read now, and the run says so in the end where that passes."""
    attempt = 0
    while True:
        attempt += 1
        try:
            return await run.sources.digest(path)
        except Exception as error:  # noqa: BLE001 - one entry's trouble is that entry's
            failure = local_failure(path, error)
            if failure is None:
                run.events(ChangeUnread(path, str(error) or type(error).__name__))
                return None
            if not may_retry(attempt, run.backoff.budget):
                run.leave_unread(failure)
                return None
            note_retry(run.events, failure)
        await run.clock.sleep(run.backoff.seconds(attempt))


async def _to_its_end(run: Run, work: Callable[[], Awaitable[None]]) -> RunSummary:
    """Do the work of a run that has begun. Whatever ends it, the registry or the ledger's disk, there is a summary."""
    run.events(
        RunBegan(
            run_id=run.run_id,
            endpoint=run.registry.endpoint,
            ledger=recorded_path(str(run.settings.ledger)),
            concurrency=run.limits.limiter.concurrency.limit,
            most_concurrency=run.settings.concurrency,
            upload_rate=run.settings.upload_rate,
            max_converting=run.settings.max_converting,
            answer_timeout=run.settings.answer_timeout,
        )
    )
    try:
        with lone_errors():
            await work()
    except BulkloadError as error:
        run.stop.ask(error)
    return await _summarise(run)


async def _publish(run: Run) -> None:
    """Send what is planned, reconcile what is in doubt, poll what is uploaded, look for duplicates."""
    await follow_files(run)
    if await run.ledger.execute(CountOpen()):
        await _with_grace(run, lambda: _send_and_poll(run))
        # A run that was stopped leaves the audit to the next one.
        await run.stop.or_end(audit(run))
    if run.postponed:
        run.stop.ask(window_ended(run.settings))
    if run.last_refusal is not None:
        run.stop.ask(_laid_aside(run, run.last_refusal))
    if run.last_local_trouble is not None:
        run.stop.ask(_unread(run, run.last_local_trouble))


async def _wait(run: Run) -> None:
    states = await run.ledger.execute(Counts())
    run.events(StatesCounted(states))
    run.events.phase("waiting")
    poller = Poller(run)
    await poller.add_from_ledger()
    poller.close()
    await _with_grace(run, poller.work)


async def _send_and_poll(run: Run) -> None:
    """Uploads and polls beside each other; once more when a poll found that an upload is in doubt after all."""
    # An earlier process lost its connections before this one began.
    lost_at = run.started
    for _ in range(ATTEMPTS_PER_ENTRY):
        # What fence and skip compare with; for a second pass it must be as fresh as for the first.
        if await run.ledger.execute(WorkspacesToList()):
            await run.stop.or_end(list_models(run))
        run.events.phase("publishing")
        poller = Poller(run)
        async with anyio.create_task_group() as group:
            if run.settings.wait:
                await poller.add_from_ledger()
                group.start_soon(poller.work)
            await Scheduler(run, poller, lost_at).work()
            poller.close()
        if run.stop.asked or not poller.lost:
            return
        lost_at = run.clock.now()


async def _with_grace(run: Run, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work; once the run is to stop, give what is under way a grace time and then cut it."""
    async with anyio.create_task_group() as group:
        group.start_soon(_cut_after_grace, run.stop, run.clock, group.cancel_scope)
        await work()
        group.cancel_scope.cancel()


def _laid_aside(run: Run, failure: Failure) -> RegistryUnavailable:
    entries = "1 entry was" if run.laid_aside == 1 else f"{run.laid_aside:,} entries were"
    said = f"{entries} refused again and again while others were not ({failure})"
    if failure.kind is FailureKind.FOREIGN:
        said = f"{said}; {FOREIGN_WORDS}; have it mended there"
    return RegistryUnavailable(f"{said}; run again")


def _unread(run: Run, failure: Failure) -> LocalTrouble:
    entries = "1 entry" if run.unread == 1 else f"{run.unread:,} entries"
    return LocalTrouble(f"the files of {entries} could not be read for now ({failure}); run again")


async def _cut_after_grace(stop: Stop, clock: Clock, scope: anyio.CancelScope) -> None:
    await stop.wait()
    with clock.within(GRACE_SECONDS):
        await stop.wait_for_cut()
    scope.cancel()


async def _summarise(run: Run) -> RunSummary:
    run.events.phase("reporting")
    counts = run.counts
    states = {state.value: counts.states[state] for state in State}
    failures: tuple[CauseCount, ...] = ()
    try:
        states = await run.ledger.execute(Counts())
        failures = await run.ledger.execute(Failures())
    except LedgerError as error:
        # A disk that fails is no reason to keep from people what they can still be told.
        run.stop.ask(error)
    summary = RunSummary(
        run_id=run.run_id,
        endpoint=run.registry.endpoint,
        manifest=recorded_path(run.settings.manifest),
        ledger=recorded_path(str(run.settings.ledger)),
        exit_code=_exit_code(run, states),
        entries=sum(states.values()),
        states=states,
        bytes_sent=counts.bytes_sent,
        requests=RequestCounts(**run.registry.requests),
        retries=counts.retries,
        adopted=counts.adopted,
        duplicates=counts.duplicates,
        elapsed_seconds=round(run.clock.now() - run.started, 3),
        failures=failures,
        error=run_error(states, counts.duplicates, run.stop.error),
    )
    try:
        await _end(run, summary)
    except LedgerError as error:
        run.stop.ask(error)
        summary = msgspec.structs.replace(
            summary,
            exit_code=_exit_code(run, states),
            error=run_error(states, counts.duplicates, run.stop.error),
        )
    run.events(RunEnded(run.run_id, int(summary.exit_code)))
    return summary


async def _end(run: Run, summary: RunSummary) -> None:
    await run.ledger.execute(
        EndRun(
            finished_at=run.clock.utc_now(),
            exit_code=summary.exit_code,
            summary=msgspec.json.encode(summary).decode(),
            conversion_seconds=run.poll_schedule.learnt,
        )
    )


def _exit_code(run: Run, states: dict[str, int]) -> ExitCode:
    """By the one reason that the run was stopped for; else by what became of the entries."""
    return exit_code_of(states, run.counts.duplicates) if run.stop.error is None else run.stop.error.exit_code

"""What a run would do: the same checks and the same plan, on a copy of the ledger, and no upload."""

import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from bulkload.core.model.events import Advanced, OnEvent
from bulkload.core.model.settings import OnExisting, Settings
from bulkload.core.model.states import State
from bulkload.core.model.summary import CauseCount
from bulkload.engine.clock import Clock, LoopClock
from bulkload.engine.context import Run
from bulkload.engine.doors import Doors, GivenDoors
from bulkload.engine.events import Events
from bulkload.engine.limits import Limits
from bulkload.engine.listing import digest_to_compare, find_equal, have_listed, list_models
from bulkload.engine.preflight.checks import Instance, StagedManifest, check_offline, check_online
from bulkload.engine.publish import begin, follow_files, open_registry, opened_run
from bulkload.engine.stop import Stop, within_window
from bulkload.ledger import Ledger, LedgerReader
from bulkload.ledger.interface import Failures, InManifest
from bulkload.ledger.records import LedgerEntry
from bulkload.manifest import Outside
from bulkload.registry.interface import Registry
from bulkload.source import SourceChanged, Sources
from bulkload.system.file_names import recorded_path

ENTRIES_A_PAGE = 256


class Action(StrEnum):
    """What a run would do with an entry."""

    UPLOAD = "upload"
    # An equal version is there already.
    SKIP = "skip"
    # Its answer was lost: ask the registry first.
    RECONCILE = "reconcile"
    # Sent; the registry has not judged it yet.
    POLL = "poll"
    # Published, skipped or failed for good: nothing to do.
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Step:
    """One entry and what a run would do with it."""

    entry: LedgerEntry
    action: Action
    # Why, in words that all entries have for which it is so.
    why: str
    # What more there is to say of this entry.
    note: str = ""


@dataclass(slots=True)
class Plan:
    """The totals."""

    manifest: str
    endpoint: str | None
    entries: int = 0
    actions: Counter[Action] = field(default_factory=Counter)
    # Where entries stand with which there is nothing to do.
    settled: Counter[State] = field(default_factory=Counter)
    bytes_to_send: int = 0
    workspaces_to_create: tuple[str, ...] = ()
    # Entries that cannot go: failed or in error, and no run by these settings takes them again.
    failures: tuple[CauseCount, ...] = ()
    # What stops nothing, but that somebody should know.
    warnings: int = 0
    # Files outside the manifest's own folder, and the first of them.
    outside: Outside = field(default_factory=Outside)


async def foresee(
    settings: Settings,
    *,
    offline: bool = False,
    registry: Registry | None = None,
    sources: Sources | None = None,
    clock: Clock | None = None,
    on_event: OnEvent | None = None,
    stop: Stop | None = None,
    tell: Callable[[Step], None] = lambda _: None,
) -> Plan:
    """Both checks (``offline``: the first alone) and what ``publish`` would do; ``tell`` hears of every entry.

    Sends no model, makes no workspace, and neither makes nor changes a ledger. Raises as ``publish`` does.
    """
    events, stop, clock = Events(on_event), stop or Stop(), clock or LoopClock()
    stop.tell(events)
    async with within_window(settings, stop, clock):
        staged = await stop.or_end(check_offline(settings, events, stop))
        with closing(staged):
            if offline:
                return _described(
                    Plan(manifest=recorded_path(settings.manifest), endpoint=None, entries=staged.count), staged
                )
            doors = GivenDoors(registry=registry, sources=sources, clock=clock).completed(settings)
            limits = Limits(settings, stop, clock, events)
            async with open_registry(doors, limits):
                instance = await stop.or_end(check_online(settings, doors, staged, events, create=False))
                async with _on_a_copy(settings, doors, limits, instance, events, stop) as run:
                    await begin(run, instance, staged)
                    await follow_files(run)
                    await stop.or_end(list_models(run))
                    return _described(await stop.or_end(_walk(run, instance, tell)), staged)


def _described(plan: Plan, staged: StagedManifest) -> Plan:
    """With what the check of the manifest found."""
    return replace(plan, warnings=len(staged.notices), outside=staged.outside)


@asynccontextmanager
async def _on_a_copy(
    settings: Settings, doors: Doors, limits: Limits, instance: Instance, events: Events, stop: Stop
) -> AsyncGenerator[Run]:
    with tempfile.TemporaryDirectory(prefix="bulkload-") as folder:
        copy = Path(folder) / "ledger.db"
        if settings.ledger.exists():
            with LedgerReader(settings.ledger) as reader:
                reader.copy_to(copy)
        doors = replace(doors, ledger=Ledger(copy, doors.clock.utc_now()))
        async with opened_run(replace(settings, ledger=copy), doors, limits, instance, events, stop) as run:
            yield run


async def _walk(run: Run, instance: Instance, tell: Callable[[Step], None]) -> Plan:
    plan = Plan(
        manifest=recorded_path(run.settings.manifest),
        endpoint=run.registry.endpoint,
        workspaces_to_create=instance.missing,
    )
    line = 0
    while page := await run.ledger.execute(InManifest(line, ENTRIES_A_PAGE)):
        # Where the ledger alone is asked, nothing here can be cancelled.
        run.stop.raise_if_asked()
        run.events.phase("comparing")
        run.events(Advanced(plan.entries))
        for entry in page:
            step = await _step(run, entry)
            plan.entries += 1
            plan.actions[step.action] += 1
            if step.action is Action.NOTHING:
                plan.settled[entry.state] += 1
            if step.action is Action.UPLOAD and entry.look is not None:
                plan.bytes_to_send += entry.look.size
            tell(step)
        line = page[-1].entry.line
    return replace(plan, failures=await run.ledger.execute(Failures()))


async def _step(run: Run, entry: LedgerEntry) -> Step:
    if entry.state is State.PLANNED:
        return await _planned_step(run, entry)
    if entry.state is State.IN_DOUBT:
        return Step(entry, Action.RECONCILE, "its answer was lost")
    if entry.state is State.UPLOADED:
        return Step(entry, Action.POLL, "converting on the registry")
    return Step(entry, Action.NOTHING, entry.state.value)


async def _planned_step(run: Run, entry: LedgerEntry) -> Step:
    if run.settings.on_existing is OnExisting.UPLOAD:
        return Step(entry, Action.UPLOAD, "--on-existing upload")
    await have_listed(run, entry)
    try:
        look = entry.look or run.sources.look(entry.entry.source)
        sha256 = await digest_to_compare(run, entry, look)
    except (OSError, SourceChanged) as error:
        return Step(entry, Action.UPLOAD, "its file cannot be read now", str(error))
    found = None if sha256 is None else await find_equal(run, entry, sha256)
    if found is None:
        again = "asked for by --retry-failed" if entry.retry_requested else "not in the registry"
        return Step(entry, Action.UPLOAD, again)
    version = found.version
    return Step(
        entry, Action.SKIP, f"an equal version is there ({version.status})", f"equal to version {version.version_id}"
    )

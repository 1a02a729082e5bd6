"""What a planted bug is found by. Each proof returns what is wrong, and nothing where nothing is."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel

from bulkload.core.model.events import EntryMoved, Event
from bulkload.core.model.records import Conversion, Entry, Look
from bulkload.core.model.settings import Credentials, OnExisting
from bulkload.core.model.states import State
from bulkload.core.verdicts import CallFailed
from bulkload.ledger import Ledger as SqliteLedger
from bulkload.ledger.groups import OnCommit
from bulkload.ledger.interface import (
    BeginRun,
    CountOpen,
    FinishPlan,
    GetEntry,
    InState,
    Intend,
    Ledger,
    PlanEntries,
    Take,
)
from bulkload.ledger.memory import MemoryLedger, MemoryStore
from bulkload.ledger.records import LedgerEntry, PlannedEntry
from bulkload.ledger.sqlite.execution import Execution
from bulkload.ledger.sqlite.writes import Store
from bulkload.ledger.writer import LoopWriter, ThreadWriter
from bulkload.registry import Registry
from bulkload.registry.form import upload_form
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.guarantees.registry_model import Fate, RegistryModel
from tests.guarantees.scenarios import Found, Scenario, entry, scenario, single_crashes
from tests.guarantees.world import LedgerKind, World

# A mutation that does not even run has shown nothing.
LOOK = Look(1, "1:1:1")
NO_BUG = (NameError, AttributeError, TypeError, ImportError, SyntaxError)


def crashes_in(folders: Iterator[Path], name: str, kind: str) -> list[str]:
    """A crash at any point of that scenario, and none at all, with each fate."""
    try:
        single_crashes(scenario(name).on(LedgerKind(kind)), folders, Found(first_only=True))
    except NO_BUG:
        raise
    except Exception as error:  # noqa: BLE001 - a run that breaks down, or never ends, is a bug that was found
        return [f"{type(error).__name__}: {error}"]
    return []


def undecided_is_said(folders: Iterator[Path]) -> list[str]:
    """Stopped while an upload is in doubt, without a signal: exit 0 would be a false word."""
    two_may_be_ours = {"rewrites": True, "during_upload": _an_equal_one}
    world = Scenario("undecided", (entry(),), registry=two_may_be_ours).world(next(folders), (Fate.LOST,))
    life = world.live()
    assert life.summary is not None
    return [] if life.summary.exit_code == 12 else [f"exit {life.summary.exit_code} with {life.summary.states}"]


def _an_equal_one(registry: RegistryModel) -> None:
    scenario("an equal version was there before").before(registry)


def bounded_while_half_of_it_is_refused(folders: Iterator[Path]) -> list[str]:
    """A registry that refuses every other upload hears of each entry about once, and a hundred times more at most.

    (In front of one that refuses all, everybody pauses, whatever the budget.)
    """
    rows = [entry(f"m-{number}", b"small") for number in range(300)]
    fates = (Fate.THROTTLED, Fate.ANSWERED) * 1_000
    world = World(next(folders), rows, RegistryModel(clock=lambda: 0.0, fates=fates))
    world.live()
    # Each upload that is accepted earns a tenth of a retry, and so does each poll.
    most = 1.2 * len(rows) + 100
    return [f"{len(world.registry.began)} uploads"] if len(world.registry.began) > most else []


def one_upload(folders: Iterator[Path], fault: str) -> list[str]:
    """One upload to a real sandbox that meets a fault: one request, and no version id."""
    return anyio.run(_upload_once, next(folders), fault)


async def _upload_once(folder: Path, fault: str) -> list[str]:
    violations = []
    async with Sandbox(SandboxSettings(data=folder, time_scale=0.0, faults=(fault,))) as sandbox:
        async with Registry(sandbox.endpoint, Credentials(token=sandbox.token)) as registry:
            metadata = b'{"name":"m","visibility":"private","workspace_id":1,"conversion":{"framework":"onnx"}}'
            form = upload_form(metadata, "m.onnx")
            content = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11"
            try:
                id_ = await registry.send_small("models/upload", form, content)
                violations.append(f"believed version {id_}")
            except CallFailed:
                pass
            except NO_BUG:
                raise
            except Exception as error:  # noqa: BLE001 - anything but a typed failure is a bug that was found
                violations.append(repr(error))
        sent = sum(record.path.startswith("/") and record.method == "POST" for record in sandbox.requests())
        if sent != 1:
            violations.append(f"{sent} requests for one upload")
    return violations


def a_cancelled_caller_knows(folders: Iterator[Path]) -> list[str]:
    """Whoever is cancelled while a commit is under way learns what became of it."""

    async def ask() -> list[str]:
        folder = next(folders)
        folder.mkdir()
        writer = ThreadWriter(lambda: Execution(Store(folder / "ledger.db")))
        await writer.start()
        heard: list[int] = []
        async with anyio.create_task_group() as group:

            async def call() -> None:
                heard.append(await writer.call(CountOpen()))

            group.start_soon(call)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await writer.stop()
        return [] if heard == [0] else ["the caller never heard of its commit"]

    return anyio.run(ask)


# The ledger's messages.


async def _begun(ledger: Ledger, models: int) -> list[LedgerEntry]:
    """A run that has begun on a ledger, with so many planned entries."""
    words = dict.fromkeys(("run_id", "started_at", "registry", "endpoint", "manifest", "default_arch"), "x")
    await ledger.execute(BeginRun(**words, on_existing=OnExisting.SKIP, wait_timeout=1.0))
    conversion = Conversion(framework="onnx")
    for n in range(models):
        row = Entry(name=f"m-{n}", path="m", source=f"/m-{n}", line=n + 1, workspace="7", conversion=conversion)
        await ledger.execute(PlanEntries((PlannedEntry(entry_key=str(n), workspace_id=7, entry=row, look=LOOK),)))
    await ledger.execute(FinishPlan(follows_manifest=True))
    return await ledger.execute(Take(models, 0))


class _Killed(BaseException):
    pass


def made(folders: Iterator[Path]) -> Path:
    """The next folder, made."""
    folder = next(folders)
    folder.mkdir()
    return folder


def a_group_is_whole(folders: Iterator[Path], kind: str) -> list[str]:
    """A ledger dies with the group that it had not committed, whole, and with nothing else."""
    deaths = range(1, 6)
    return [wrong for at in deaths if (wrong := anyio.run(_killed_in_a_group, _reopening(kind, folders), at))]


Reopen = Callable[[OnCommit | None], Ledger]


def _reopening(kind: str, folders: Iterator[Path]) -> Reopen:
    """Opens one ledger as often as one likes."""
    folder, store = made(folders), MemoryStore()

    def reopened(on_commit: OnCommit | None = None) -> Ledger:
        if kind == LedgerKind.MEMORY:
            return MemoryLedger(store, on_commit=on_commit)
        return SqliteLedger(folder / "ledger.db", "", writer=partial(LoopWriter, on_commit=on_commit))

    return reopened


async def _killed_in_a_group(reopened: Reopen, dies_at: int) -> str | None:
    commits: list[int] = []
    counts = False

    def on_commit(_: int) -> None:
        if counts:
            commits.append(0)
            if len(commits) == dies_at:
                raise _Killed

    with suppress(_Killed, BaseExceptionGroup):
        async with reopened(on_commit) as ledger:
            entries = await _begun(ledger, 4)
            counts = True
            async with anyio.create_task_group() as group:
                for each in entries:
                    group.start_soon(ledger.execute, Intend(entry=each, look=LOOK, fence=frozenset(), sha256="0"))
    async with reopened(None) as ledger:
        under_way = await ledger.execute(InState(State.UPLOADING, 0, 9))
    there = len(under_way)
    return f"half a group: {there} of 4" if 0 < there < 4 else None


def each_message_gets_its_own_answer(folders: Iterator[Path], kind: str) -> list[str]:
    """Whoever asks for an entry gets that one, whoever asks beside him."""

    async def ask(reopened: Reopen) -> list[str]:
        found: dict[int, int] = {}
        async with reopened(None) as ledger:
            entries = await _begun(ledger, 3)

            async def get(entry_id: int) -> None:
                found[entry_id] = (await ledger.execute(GetEntry(entry_id))).id

            async with anyio.create_task_group() as group:
                for each in entries:
                    group.start_soon(get, each.id)
        return [f"asked for {asked}, got {got}" for asked, got in found.items() if asked != got]

    return anyio.run(ask, _reopening(kind, folders))


def events_follow_their_commits(folders: Iterator[Path], kind: str) -> list[str]:
    """Whoever is told of a move finds it on the disk."""
    wrong: list[str] = []
    rows = (entry("a"), entry("b", b"small"), entry("c"))
    registry = RegistryModel(clock=lambda: 0.0, fates=(Fate.ANSWERED, Fate.LOST, Fate.NEVER))
    world = World(next(folders), rows, registry, kind=LedgerKind(kind))

    def look(event: Event) -> None:
        if isinstance(event, EntryMoved):
            state = world.state_of(event.entry_id)
            if state != event.after:
                wrong.append(f"{event.name} is told to be {event.after}, and is {state}")

    world.on_event = look
    world.live_to_the_end()
    return wrong

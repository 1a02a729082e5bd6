"""The door: what the engine holds in its hands, of either kind."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.core.model.states import IllegalMove, State
from bulkload.ledger import Ledger as SqliteLedger
from bulkload.ledger.groups import OnCommit
from bulkload.ledger.interface import Counts, FinishPlan, Ledger, Move, Moved, PlanEntries, Take
from bulkload.ledger.memory import MemoryLedger, MemoryStore
from bulkload.ledger.records import Outcome, PlannedEntry
from bulkload.ledger.writer import LoopWriter
from tests.ledger.bench import BEGIN_RUN

MakePlanned = Callable[..., PlannedEntry]
# Opens what was there before, as the next process does.
Open = Callable[..., AbstractAsyncContextManager[Ledger]]

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def in_a_thread(path: Path) -> Open:
    return lambda on_commit=None: SqliteLedger(path, "now")


def in_the_loop(path: Path) -> Open:
    def opened(on_commit: OnCommit | None = None) -> SqliteLedger:
        return SqliteLedger(path, "now", writer=partial(LoopWriter, on_commit=on_commit))

    return opened


def in_memory(path: Path) -> Open:
    store = MemoryStore()
    return lambda on_commit=None: MemoryLedger(store, on_commit=on_commit)


@pytest.fixture(params=[in_a_thread, in_the_loop, in_memory])
def opened(request: pytest.FixtureRequest, path: Path) -> Open:
    found: Open = request.param(path)
    return found


@pytest.fixture(params=[in_the_loop, in_memory])
def watched(request: pytest.FixtureRequest, path: Path) -> Open:
    """Those whose commits can be watched."""
    found: Open = request.param(path)
    return found


async def begin(ledger: Ledger, *entries: PlannedEntry) -> None:
    await ledger.execute(BEGIN_RUN)
    await ledger.execute(PlanEntries(entries))
    await ledger.execute(FinishPlan(follows_manifest=True))


async def counted(opened: Open) -> dict[str, int]:
    async with opened() as ledger:
        return {state: count for state, count in (await ledger.execute(Counts())).items() if count}


async def test_what_was_executed_is_there_for_the_next_process(opened: Open, make_planned: MakePlanned) -> None:
    async with opened() as ledger:
        await begin(ledger, make_planned(1), make_planned(2, "other"))
        moves = [Move(item.id, State.SKIPPED, Outcome()) for item in await ledger.execute(Take(9, 0))]
        assert await asyncio.gather(*map(ledger.execute, moves)) == [Moved(State.PLANNED, State.SKIPPED)] * 2
    assert await counted(opened) == {"skipped": 2}


async def test_what_is_refused_is_raised(opened: Open, make_planned: MakePlanned) -> None:
    async with opened() as ledger:
        await begin(ledger, make_planned(1))
        with pytest.raises(IllegalMove, match="no move from planned to ready"):
            await ledger.execute(Move(1, State.READY, Outcome()))


async def test_a_ledger_that_is_closed_in_a_beginning_is_as_before(opened: Open, make_planned: MakePlanned) -> None:
    async with opened() as ledger:
        await ledger.execute(BEGIN_RUN)
        await ledger.execute(PlanEntries((make_planned(1),)))
    assert await counted(opened) == {}
    async with opened() as ledger:
        await begin(ledger, make_planned(1))
    assert await counted(opened) == {"planned": 1}


async def test_a_ledger_that_is_not_open_takes_nothing(opened: Open) -> None:
    ledger = opened()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="not open"):
            await ledger.execute(Counts())  # type: ignore[attr-defined]
        async with ledger:
            pass


async def test_what_was_sent_is_committed_before_it_closes(opened: Open, make_planned: MakePlanned) -> None:
    async with opened() as ledger:
        await begin(ledger, make_planned(1))
        sent = asyncio.ensure_future(ledger.execute(Move(1, State.SKIPPED, Outcome())))
        await asyncio.sleep(0)
    assert await sent == Moved(State.PLANNED, State.SKIPPED)
    assert await counted(opened) == {"skipped": 1}


async def test_whoever_is_cancelled_knows_what_became_of_his_message(opened: Open, make_planned: MakePlanned) -> None:
    heard: list[Any] = []
    async with opened() as ledger:
        await begin(ledger, make_planned(1))

        async def skip() -> None:
            heard.append(await ledger.execute(Move(1, State.SKIPPED, Outcome())))

        async with anyio.create_task_group() as group:
            group.start_soon(skip)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert heard == [Moved(State.PLANNED, State.SKIPPED)]


class Killed(BaseException):
    """The process is no more."""


@pytest.mark.parametrize("dies_at", [1, 2], ids=["before the commit", "after it"])
async def test_a_process_that_dies_at_a_commit(dies_at: int, watched: Open, make_planned: MakePlanned) -> None:
    """Whoever waits is told nothing but that; nothing more is executed; and the next process finds what was there."""
    told: list[int] = []
    begun = False

    def on_commit(changes: int) -> None:
        if begun:
            told.append(changes)
            if len(told) == dies_at:
                raise Killed

    async with watched(on_commit) as ledger:
        await begin(ledger, *(make_planned(line, f"m-{line}") for line in (1, 2, 3)))
        begun = True
        moves = [Move(id_, State.SKIPPED, Outcome()) for id_ in (1, 2)]
        replies = await asyncio.gather(*map(ledger.execute, moves), return_exceptions=True)
        assert [type(reply) for reply in replies] == [Killed, Killed]
        with pytest.raises(Killed):
            await ledger.execute(Move(3, State.SKIPPED, Outcome()))
    assert len(told) == dies_at
    assert await counted(watched) == ({"planned": 3} if dies_at == 1 else {"planned": 1, "skipped": 2})

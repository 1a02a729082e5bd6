"""One thread writes, in groups: durable when a call returns, and nobody pays for another's fault."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from bulkload.core.model.errors import LedgerError
from bulkload.core.model.records import Look
from bulkload.core.model.states import IllegalMove, State
from bulkload.ledger.interface import Message
from bulkload.ledger.records import Outcome, PlannedEntry
from bulkload.ledger.sqlite.execution import Execution
from bulkload.ledger.sqlite.writes import Store
from bulkload.ledger.writer import LARGEST_GROUP, LoopWriter, ThreadWriter, Writer
from tests.ledger.bench import intend, plan_into

LOOK = Look(10, "1:2:3")
# Far longer than anything here takes: a bound for what hangs, never waited for.
BOUND_SECONDS = 20


@pytest.fixture
def anyio_backend() -> str:
    """The ledger's thread answers to an asyncio loop."""
    return "asyncio"


@asynccontextmanager
async def writing(open_store: Callable[[], Store]) -> AsyncIterator[Writer]:
    """A writer at work."""
    writer = ThreadWriter(lambda: Doing(open_store()))
    try:
        await writer.start()
        yield writer
    finally:
        await writer.stop()


class Do(Message[Any], frozen=True):
    """A message that is a function of the store."""

    function: Callable[[Store], Any]


class Doing(Execution):
    """A storage that carries out ``Do``."""

    _BY_TYPE: ClassVar = {**Execution._BY_TYPE, Do: lambda self, message: message.function(self.store)}


async def call(writer: Writer, function: Callable[[Store], Any]) -> Any:
    return await writer.call(Do(function))


def remember(number: int) -> Callable[[Store], int]:
    """An operation that leaves something behind."""

    def operation(store: Store) -> int:
        store.remember_digest(f"/{number}", LOOK, "digest")
        return number

    return operation


def remembered(path: Path) -> set[int]:
    """What another connection sees on the disk."""
    with closing(sqlite3.connect(path)) as connection:
        return {int(row[0][1:]) for row in connection.execute("SELECT path FROM digests")}


class Gate:
    """Holds the writer's thread, so that calls heap up behind it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, store: Store) -> None:
        self.reached.set()
        assert self.opened.wait(BOUND_SECONDS)


async def heap_up(writer: Writer, operations: list[Callable[[Store], object]]) -> list[object]:
    """Call all at once while the thread is held; each one's result or error."""
    gate = Gate()
    outcomes: list[object] = [None] * len(operations)

    async def call_one(index: int) -> None:
        try:
            outcomes[index] = await call(writer, operations[index])
        except Exception as error:  # noqa: BLE001 - it is the outcome
            outcomes[index] = error

    async with anyio.create_task_group() as calls:
        calls.start_soon(call, writer, gate)
        await anyio.to_thread.run_sync(gate.reached.wait, BOUND_SECONDS)
        for index in range(len(operations)):
            calls.start_soon(call_one, index)
        await anyio.wait_all_tasks_blocked()
        gate.opened.set()
    return outcomes


@pytest.mark.anyio
async def test_what_was_called_is_on_the_disk_when_the_call_returns(path: Path) -> None:
    """Intents and seals depend on it: read through another connection, while the writer is still open."""
    async with writing(lambda: Store(path)) as writer:
        for number in range(3):
            assert await call(writer, remember(number)) == number
            assert remembered(path) == set(range(number + 1))


@pytest.mark.anyio
async def test_a_commit_is_flushed(path: Path) -> None:
    """WAL with synchronous=FULL: a commit survives a power cut."""
    async with writing(lambda: Store(path)) as writer:
        pragmas = ("journal_mode", "synchronous")
        found = await call(
            writer, lambda store: [store.connection.execute(f"PRAGMA {p}").fetchone()[0] for p in pragmas]
        )
    assert found == ["wal", 2]


@pytest.mark.anyio
async def test_calls_that_wait_together_are_one_commit(path: Path) -> None:
    commits: list[str] = []
    async with writing(lambda: Store(path)) as writer:
        await call(
            writer,
            lambda store: store.connection.set_trace_callback(lambda s: commits.append(s) if s == "COMMIT" else None),
        )
        commits.clear()
        outcomes = await heap_up(writer, [remember(number) for number in range(300)])
        assert outcomes == list(range(300))
        # The held one, and all that waited behind it.
        assert len(commits) == 2
    assert remembered(path) == set(range(300))


@pytest.mark.anyio
async def test_a_group_has_a_bound(path: Path) -> None:
    """No caller waits for a heap of a million others."""
    sizes: list[int] = []

    class Counting(Store):
        def begin(self) -> None:
            sizes.append(0)
            super().begin()

    def counted(number: int) -> Callable[[Store], object]:
        def operation(store: Store) -> object:
            sizes[-1] += 1
            return remember(number)(store)

        return operation

    async with writing(lambda: Counting(path)) as writer:
        await heap_up(writer, [counted(number) for number in range(LARGEST_GROUP + 1)])
    # The first group is what holds the thread.
    assert sizes == [0, LARGEST_GROUP, 1]


@pytest.mark.anyio
async def test_operations_run_in_the_order_of_the_calls(path: Path) -> None:
    seen: list[int] = []
    async with writing(lambda: Store(path)) as writer:
        await heap_up(writer, [lambda _, n=number: seen.append(n) for number in range(50)])  # type: ignore[misc]
    assert seen == list(range(50))


@pytest.mark.anyio
async def test_a_failing_operation_spares_the_others(path: Path, make_planned: Callable[..., PlannedEntry]) -> None:
    def fails(store: Store) -> None:
        store.remember_digest("/99", LOOK, "digest")
        raise IllegalMove(State.READY, State.FAILED)

    async with writing(lambda: Store(path)) as writer:
        outcomes = await heap_up(writer, [remember(1), fails, remember(2)])
    assert [outcomes[0], outcomes[2]] == [1, 2]
    assert isinstance(outcomes[1], IllegalMove)
    assert remembered(path) == {1, 2}


@pytest.mark.anyio
async def test_a_lone_operation_that_fails_is_run_once(path: Path) -> None:
    """Planning a million entries is one: it is not done again to find out that it fails."""
    runs: list[int] = []

    def fails(store: Store) -> None:
        runs.append(1)
        raise IllegalMove(State.READY, State.FAILED)

    async with writing(lambda: Store(path)) as writer:
        with pytest.raises(IllegalMove):
            await call(writer, fails)
        assert len(runs) == 1
        assert await call(writer, remember(1)) == 1


@pytest.mark.anyio
async def test_words_of_sqlite_become_a_ledger_error_with_a_next_step(path: Path) -> None:
    async with writing(lambda: Store(path)) as writer:
        with pytest.raises(LedgerError, match=r"no such table: absent; free space or mend the disk, then run again"):
            await call(writer, lambda store: store.connection.execute("SELECT * FROM absent"))
        assert await call(writer, remember(1)) == 1


@pytest.mark.anyio
async def test_a_commit_that_fails_fails_for_all_and_the_next_may_succeed(path: Path) -> None:
    """Nobody believes that a write landed which did not."""

    class DiskFails(Store):
        fails = False

        def commit(self) -> None:
            if self.fails:
                self.fails = False
                raise sqlite3.OperationalError("disk I/O error")
            super().commit()

    opened: list[DiskFails] = []

    def open_store() -> Store:
        opened.append(DiskFails(path))
        return opened[0]

    def break_disk(store: Store) -> None:
        opened[0].fails = True

    async with writing(open_store) as writer:
        outcomes = await heap_up(writer, [remember(1), break_disk, remember(2)])
        assert [type(outcome) for outcome in outcomes] == [LedgerError] * 3
        assert "disk I/O error" in str(outcomes[0])
        assert remembered(path) == set()
        assert await call(writer, remember(3)) == 3
    assert remembered(path) == {3}


@pytest.mark.anyio
async def test_a_group_that_sqlite_gives_up_fails_for_all(path: Path) -> None:
    """A full disk may roll the whole transaction back: what went before in it is gone."""

    def given_up(store: Store) -> None:
        store.connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    async with writing(lambda: Store(path)) as writer:
        outcomes = await heap_up(writer, [remember(1), given_up, remember(2)])
        assert [type(outcome) for outcome in outcomes] == [LedgerError] * 3
        assert remembered(path) == set()
        assert await call(writer, remember(3)) == 3
    assert remembered(path) == {3}


@pytest.mark.anyio
async def test_a_full_disk_is_a_ledger_error_and_loses_nothing(path: Path) -> None:
    def fill_up(store: Store) -> None:
        store.connection.execute("INSERT INTO meta VALUES ('filler', ?)", ("x" * 10_000_000,))

    async with writing(lambda: Store(path)) as writer:
        await call(writer, remember(1))
        await call(writer, lambda store: store.connection.execute("PRAGMA max_page_count = 64").fetchall())
        with pytest.raises(LedgerError, match="full"):
            await call(writer, fill_up)
        assert await call(writer, remember(2)) == 2
    assert remembered(path) == {1, 2}


# Cancelled, stopped, torn down


@pytest.mark.anyio
async def test_a_cancelled_callers_write_lands_before_it_goes(path: Path) -> None:
    """Or it would not know whether its intent is on the disk."""
    gate, scope = Gate(), anyio.CancelScope()
    found_when_it_went: list[set[int]] = []

    async def caller(writer: Writer) -> None:
        with scope:
            try:
                await call(writer, remember(1))
            finally:
                found_when_it_went.append(remembered(path))

    async with writing(lambda: Store(path)) as writer, anyio.create_task_group() as calls:
        calls.start_soon(call, writer, gate)
        await anyio.to_thread.run_sync(gate.reached.wait, BOUND_SECONDS)
        calls.start_soon(caller, writer)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert found_when_it_went == []
        gate.opened.set()
    assert found_when_it_went == [{1}]


@pytest.mark.anyio
async def test_a_caller_cancelled_from_outside_anyio_does_not_stop_the_writer(path: Path) -> None:
    """asyncio's own cancellation cannot be shielded from: the caller goes, its write lands, the next call works."""
    gate = Gate()
    async with writing(lambda: Store(path)) as writer:
        held = asyncio.ensure_future(call(writer, gate))
        gone = asyncio.ensure_future(call(writer, remember(1)))
        await anyio.to_thread.run_sync(gate.reached.wait, BOUND_SECONDS)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        gate.opened.set()
        await held
        assert await call(writer, remember(2)) == 2
    assert remembered(path) == {1, 2}


@pytest.mark.anyio
async def test_stopping_finishes_what_was_handed_in(path: Path) -> None:
    gate = Gate()
    writer = ThreadWriter(lambda: Doing(Store(path)))
    await writer.start()
    async with anyio.create_task_group() as calls:
        calls.start_soon(call, writer, gate)
        await anyio.to_thread.run_sync(gate.reached.wait, BOUND_SECONDS)
        for number in range(5):
            calls.start_soon(call, writer, remember(number))
        await anyio.wait_all_tasks_blocked()
        calls.start_soon(writer.stop)
        await anyio.wait_all_tasks_blocked()
        gate.opened.set()
    assert remembered(path) == set(range(5))
    with pytest.raises(RuntimeError, match="closed"):
        await call(writer, remember(9))
    await writer.stop()


def test_what_was_handed_in_lands_although_the_loop_is_gone(path: Path) -> None:
    """A run that is torn down without stopping its writer: the thread commits, finds nobody to tell, and is no bar."""
    gate = Gate()
    writers: list[ThreadWriter] = []

    async def torn_down() -> None:
        writer = ThreadWriter(lambda: Doing(Store(path)))
        writers.append(writer)
        await writer.start()
        calls = [asyncio.ensure_future(call(writer, operation)) for operation in (gate, remember(1))]
        await anyio.wait_all_tasks_blocked()
        assert not any(call.done() for call in calls)

    asyncio.run(torn_down())
    gate.opened.set()
    assert writers[0]._thread.daemon
    writers[0]._groups.put([])
    writers[0]._thread.join(BOUND_SECONDS)
    assert not writers[0]._thread.is_alive()
    assert remembered(path) == {1}


@pytest.mark.anyio
async def test_what_opening_raises_comes_out() -> None:
    def open_store() -> Store:
        raise LedgerError("no ledger")

    writer = ThreadWriter(lambda: Doing(open_store()))
    with pytest.raises(LedgerError, match="no ledger"):
        await writer.start()
    await writer.stop()


@pytest.mark.anyio
async def test_every_move_of_many_callers_is_kept(path: Path, make_planned: Callable[..., PlannedEntry]) -> None:
    """32 uploads at a time, intent and answer each: what the engine does all day."""
    count = 200
    async with writing(lambda: Store(path)) as writer:
        await call(writer, lambda store: plan_into(store, (make_planned(n, f"m-{n}") for n in range(1, count + 1))))
        ids = iter(range(1, count + 1))

        async def work() -> None:
            for id_ in ids:
                await call(writer, lambda store, id_=id_: intend(store, id_, LOOK, (), "digest"))  # type: ignore[misc]
                outcome = Outcome(version_id=id_, owned=True)
                await call(writer, lambda store, id_=id_: store.move(id_, State.UPLOADED, outcome))  # type: ignore[misc]  # noqa: B023

        async with anyio.create_task_group() as callers:
            for _ in range(32):
                callers.start_soon(work)
        counts = await call(writer, lambda store: store.counts())
    assert counts["uploaded"] == count


@pytest.mark.parametrize(
    "error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text"), ValueError("x"), KeyError("x")]
)
@pytest.mark.anyio
async def test_an_error_of_others_is_no_damage(tmp_path: Path, error: Exception) -> None:
    """What an operation decodes besides may be garbled: only what SQLite says is about the ledger."""

    def decode(_: Store) -> None:
        raise error

    async with writing(lambda: Store(tmp_path / "ledger.db")) as writer:
        with pytest.raises(type(error)) as raised:
            await call(writer, decode)
        assert raised.value is error
        assert await call(writer, remember(1)) == 1
    assert remembered(tmp_path / "ledger.db") == {1}


@pytest.mark.anyio
async def test_whoever_is_cancelled_as_the_answer_comes_hears_it(path: Path) -> None:
    """Its wait is over by its cancellation, and the answer is given before it goes on."""
    scope, heard = anyio.CancelScope(), []

    async def caller(writer: LoopWriter) -> None:
        with scope:
            heard.append(await call(writer, remember(1)))

    writer = LoopWriter(lambda: Doing(Store(path)))
    await writer.start()
    async with anyio.create_task_group() as calls:
        calls.start_soon(caller, writer)
        await anyio.lowlevel.checkpoint()
        scope.cancel()
        await writer.stop()
    assert heard == [1]


@pytest.mark.anyio
async def test_what_a_group_lets_go_on_is_the_next_group(path: Path) -> None:
    """However many wait for it: they go on together, and are committed together again."""
    groups: list[int] = []

    class Counting(Doing):
        def execute(self, messages: Sequence[Message[Any]]) -> list[Any]:
            groups.append(len(messages))
            return super().execute(messages)

    writer = ThreadWriter(lambda: Counting(Store(path)))
    await writer.start()

    async def work(first: int) -> None:
        for number in range(first, first + 3):
            await call(writer, remember(number))

    async with anyio.create_task_group() as callers:
        for first in range(0, 60, 3):
            callers.start_soon(work, first)
    await writer.stop()
    assert groups == [20] * 3
    assert remembered(path) == set(range(60))

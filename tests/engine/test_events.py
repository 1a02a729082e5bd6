"""What a run promises to those who listen: each event at once, in order, after its commit; and they cannot harm it."""

import sqlite3
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bulkload.core.limits.permits import Call
from bulkload.core.model.counts import Counts
from bulkload.core.model.errors import ExitCode, Interrupted
from bulkload.core.model.events import (
    Advanced,
    BodySent,
    BytesSent,
    ConversionPlaces,
    EntryMoved,
    Event,
    Noticed,
    Paced,
    PhaseBegan,
    RequestSent,
    RunBegan,
    RunEnded,
    StatesCounted,
    Stopping,
)
from bulkload.core.model.settings import Settings
from bulkload.core.model.states import MOVES, State
from bulkload.core.model.summary import RunSummary
from bulkload.core.verdicts import Failure, FailureKind
from bulkload.engine.clock import LoopClock
from bulkload.engine.events import ADVANCE_SECONDS, Events, OnEvent, advancing
from bulkload.engine.limits import Limits
from bulkload.engine.publish import publish
from bulkload.engine.stop import Stop
from bulkload.sandbox import Sandbox, SandboxSettings

pytestmark = pytest.mark.anyio

# The smallest ONNX model, up to the value of its model_version: one more byte completes it.
ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28"
SCHEMA = {"x": "float32"}
CONVERTED = {"framework": "xgboost", "input_schema": SCHEMA, "output_schema": SCHEMA}

# A run in which much happens: small and large models, some that convert, a refusal, a lost answer.
FAULTS = ("upload:503@2", "upload:lost-answer@5", "upload:422@7")
LARGE = ONNX + b"\x12\xff\xff\xb7\x01" + bytes(3_014_655)


def rows() -> list[dict[str, Any]]:
    small = [{"name": f"m{number}", "content": ONNX + bytes([number])} for number in range(6)]
    trees = [{"name": f"t{number}", "content": b"N." + bytes([number])} | CONVERTED for number in range(4)]
    return [*small, *trees, {"name": "large", "content": LARGE}]


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """A registry whose conversions take no time, with faults."""
    return Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0, faults=FAULTS))


@pytest.fixture
def settings_of(write_manifest, settings_for) -> Callable[[Sandbox], Settings]:
    def settings(sandbox: Sandbox) -> Settings:
        found: Settings = settings_for(write_manifest(rows()), sandbox, settle=0.05, patience=30.0)
        return found

    return settings


async def run(settings: Settings, on_event: OnEvent | None, **others: Any) -> RunSummary:
    with anyio.fail_after(60):
        return await publish(settings, on_event=on_event, **others)


# In order


async def test_a_run_is_told_from_its_first_phase_to_its_end(sandbox, settings_of):
    """The moves of each entry follow from each other; folded, they are what the summary says."""
    said: list[Event] = []
    async with sandbox:
        summary = await run(settings_of(sandbox), said.append)
    assert said[0] == PhaseBegan("checking the manifest")
    assert said[-1] == RunEnded(summary.run_id, int(summary.exit_code))
    kinds = [type(event) for event in said]
    assert kinds.index(RunBegan) < kinds.index(StatesCounted) < kinds.index(EntryMoved)
    assert kinds.count(RunBegan) == kinds.count(RunEnded) == 1
    phases = [event.phase for event in said if isinstance(event, PhaseBegan)]
    expected = ["checking the manifest", "asking the registry", "opening the ledger", "planning", "listing"]
    assert phases == [*expected, "publishing", "looking for duplicates", "reporting"]

    stands: dict[int, State] = {}
    counts = Counts()
    for event in said:
        counts(event)
        if isinstance(event, EntryMoved):
            assert event.before is stands.get(event.entry_id, State.PLANNED)
            assert event.after in MOVES[event.before]
            stands[event.entry_id] = event.after
    assert {state: counts.states[state] for state in summary.states} == summary.states
    assert Counter(stands.values()) == Counter({State.READY: 10, State.FAILED: 1})
    counted = (counts.bytes_sent, counts.retries, counts.adopted, counts.duplicates)
    assert counted == (summary.bytes_sent, summary.retries, summary.adopted, summary.duplicates)
    assert summary.adopted == 1


async def test_each_upload_tells_of_its_way(sandbox, settings_of):
    """Intent, bytes, the last of them, and what came of it, in that order; a large one tells of each piece."""
    said: list[Event] = []
    async with sandbox:
        await run(settings_of(sandbox), said.append)
    names = {event.entry_id: event.name for event in said if isinstance(event, EntryMoved)}
    for entry_id in names:
        way = [
            event.after if isinstance(event, EntryMoved) else "sent"
            for event in said
            if isinstance(event, EntryMoved | BodySent) and event.entry_id == entry_id
        ]
        assert way[:2] == [State.UPLOADING, "sent"]
        assert all(way[number - 1] is State.UPLOADING for number, step in enumerate(way) if step == "sent")
    assert len({event.count for event in said if isinstance(event, BytesSent)}) > 1
    large = next(event for event in said if isinstance(event, EntryMoved) and event.name == "large")
    assert (large.size, large.in_manifest) == (len(LARGE), True)
    requests = Counter(event.kind for event in said if isinstance(event, RequestSent))
    bodies = sum(isinstance(event, BodySent) for event in said)
    assert requests["upload"] == bodies
    assert requests["poll"] >= 10


async def test_an_event_tells_of_what_is_committed(sandbox, settings_of, tmp_path):
    """Whoever opens the ledger at that moment finds it there: no event comes before its commit."""
    looked = Counter[type]()
    ledger_path = tmp_path / "ledger.db"

    def look(event: Event) -> None:
        if not isinstance(event, EntryMoved | RunBegan | RunEnded | StatesCounted):
            return
        looked[type(event)] += 1
        with closing(sqlite3.connect(ledger_path)) as ledger:
            if isinstance(event, EntryMoved):
                query = "SELECT state, version_id FROM entries WHERE id = ?"
                state, version_id = ledger.execute(query, (event.entry_id,)).fetchone()
                assert (state, version_id) == (event.after, event.version_id), event
            elif isinstance(event, StatesCounted):
                found = dict(ledger.execute("SELECT state, COUNT(*) FROM entries GROUP BY state"))
                assert found == {state: count for state, count in event.states.items() if count}
            else:
                query = "SELECT exit_code FROM runs WHERE run_id = ?"
                (exit_code,) = ledger.execute(query, (event.run_id,)).fetchone()
                assert exit_code == (event.exit_code if isinstance(event, RunEnded) else None)

    async with sandbox:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            summary = await run(settings_of(sandbox), look)
    # A consumer that raises is dropped: its assertions are heard of here.
    assert [str(warning.message) for warning in caught] == []
    assert summary.states["ready"] == 10
    assert looked[EntryMoved] >= 30
    assert looked[RunBegan] == looked[RunEnded] == looked[StatesCounted] == 1


async def test_a_stop_that_was_asked_for_before_is_told(sandbox, settings_of):
    """Also what came before anybody could listen."""
    said: list[Event] = []
    stop = Stop()
    stop.ask(Interrupted(2))
    async with sandbox:
        with pytest.raises(Interrupted):
            await run(settings_of(sandbox), said.append, stop=stop)
    assert Stopping(ExitCode.INTERRUPTED, "interrupted", 10.0) in said


# They cannot harm it


async def test_one_that_raises_is_dropped_with_a_warning_and_the_run_goes_on(sandbox, settings_of):
    """It is said once, and nothing more is told to it."""
    told: list[Event] = []

    def broken(event: Event) -> None:
        told.append(event)
        if isinstance(event, StatesCounted):
            raise ZeroDivisionError("by my own fault")

    async with sandbox:
        with pytest.warns(RuntimeWarning, match="broken raised ZeroDivisionError: by my own fault") as caught:
            summary = await run(settings_of(sandbox), broken)
    assert len(caught) == 1
    assert isinstance(told[-1], StatesCounted)
    assert (summary.states["ready"], summary.adopted) == (10, 1)


async def test_others_are_told_of_one_that_raises():
    """In place of Python's warning; they go on hearing everything, in their order."""
    first: list[Event] = []
    last: list[Event] = []

    def broken(_: Event) -> None:
        raise ValueError("no")

    events = Events(first.append, broken, last.append)
    events(BytesSent(1))
    events(BytesSent(2))
    (notice,) = [event for event in first if isinstance(event, Noticed)]
    assert "broken raised ValueError: no" in notice.words
    assert [event for event in first if event != notice] == [BytesSent(1), BytesSent(2)]
    assert Counter(map(type, last)) == Counter({BytesSent: 2, Noticed: 1})


def test_all_that_raise_are_dropped_however_they_hear_of_each_other():
    """Also one that raises at the notice of another."""

    def broken(_: Event) -> None:
        raise ValueError("no")

    def broken_too(_: Event) -> None:
        raise KeyError("neither")

    events = Events(broken, broken_too)
    with pytest.warns(RuntimeWarning, match="broken_too raised KeyError"):
        events(BytesSent(1))
    assert not events.hears(BytesSent)


def test_where_warnings_are_errors_the_run_goes_on():
    """The program's own choice for its warnings is none for its runs."""

    def broken(_: Event) -> None:
        raise ValueError("no")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Events(broken)(BytesSent(1))


# Nothing for nobody


class OnlyTheEnd:
    """Listens to one kind of event."""

    kinds = frozenset[type[Event]]({RunEnded})

    def __init__(self) -> None:
        self.said: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.said.append(event)


async def test_who_listens_to_one_kind_hears_no_other(sandbox, settings_of):
    """A consumer says so with its attribute ``kinds``."""
    consumer = OnlyTheEnd()
    async with sandbox:
        await run(settings_of(sandbox), consumer)
    assert [type(event) for event in consumer.said] == [RunEnded]


def test_consumers_within_consumers_hear_what_they_listen_to():
    """Several can be given where one is taken, and ask for no more than they hear."""
    counts, end = Counts(), OnlyTheEnd()
    events = Events(Events(counts, end))
    assert [events.hears(kind) for kind in (EntryMoved, RunEnded, BodySent)] == [True, True, False]
    events(BytesSent(7))
    events(RunEnded("r", 0))
    assert (counts.bytes_sent, end.said) == (7, [RunEnded("r", 0)])
    assert Events(Events(counts, end, lambda _: None)).hears(BodySent)
    assert not Events(None).hears(RunEnded)


class Nobody(Events):
    """Nobody listens: what is made for them all the same is one too many."""

    def __call__(self, event: Event) -> None:
        raise AssertionError(f"{event} was made for nobody")


async def test_nothing_is_made_of_what_nobody_hears():
    """Where it happens with each request: at the limits, and at places for conversions."""
    settings = Settings(
        manifest="m", endpoint="http://registry.invalid", ledger=Path("l"), concurrency=4, max_converting=4
    )
    events, stop = Nobody(), Stop()
    limits = Limits(settings, stop, LoopClock(), events)
    failure = Failure(call="models/upload", kind=FailureKind.CUT, message="connection lost")
    for _ in range(3):
        permit = await limits.reserve(Call.CONVERTED_UPLOAD)
        assert permit is not None
        await limits.depart(permit, lambda: None)
        await limits.before_login()
        limits.settle(permit)
        limits.converted()
    limits.settle(await limits.begin(Call.LIST), failure)
    assert not any(events.hears(kind) for kind in (RequestSent, Paced, ConversionPlaces))


# From threads


async def test_a_thread_tells_now_and_then_how_far_it_came():
    """On the loop, in order, and not once an entry."""
    said: list[Event] = []
    here = threading.get_ident()

    def hear(event: Event) -> None:
        assert threading.get_ident() == here
        said.append(event)

    def work(advanced: Callable[[int], None]) -> None:
        end = time.monotonic() + 0.35
        done = 0
        while time.monotonic() < end:
            done += 1
            advanced(done)

    with advancing(Events(hear)) as advanced:
        await anyio.to_thread.run_sync(work, advanced)
        await anyio.lowlevel.checkpoint()
    counts = [event.done for event in said if isinstance(event, Advanced)]
    assert 1 <= len(counts) <= 6
    assert counts == sorted(counts)


async def test_what_a_thread_came_to_is_told_also_when_it_goes_no_further():
    """One that waits for its next entry, from a pipe for example, has its last one shown."""
    said: list[Event] = []
    told, is_enough = anyio.Event(), threading.Event()

    def hear(event: Event) -> None:
        said.append(event)
        told.set()

    def work(advanced: Callable[[int], None]) -> None:
        advanced(1)
        advanced(2)
        is_enough.wait(10)

    with advancing(Events(hear)) as advanced:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, work, advanced)
            with anyio.fail_after(60):
                await told.wait()
            is_enough.set()
    assert said == [Advanced(2)]


async def test_work_that_is_left_behind_is_not_heard_any_more():
    """A thread that nobody can cancel tells nothing once its run went on without it."""
    said: list[Event] = []
    go_on, is_done = threading.Event(), threading.Event()

    def work(advanced: Callable[[int], None]) -> None:
        go_on.wait(10)
        advanced(1)
        is_done.set()

    with advancing(Events(said.append)) as advanced:
        thread = threading.Thread(target=work, args=(advanced,))
        thread.start()
    go_on.set()
    await anyio.to_thread.run_sync(is_done.wait, 10)
    await anyio.sleep(2 * ADVANCE_SECONDS)
    thread.join()
    assert said == []

"""The wall clock may jump by days in mid-run: no decision looks at it. The registry has another clock, and keeps it."""

import ast
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

import bulkload
from bulkload.core.model.counts import Counts
from bulkload.core.model.errors import ExitCode, Interrupted
from bulkload.core.model.settings import Credentials, Route, Settings
from bulkload.core.model.summary import RunSummary
from bulkload.core.polls.schedule import PollInterval
from bulkload.engine.clock import LoopClock
from bulkload.engine.publish import publish
from bulkload.engine.stop import Stop
from bulkload.ledger import LedgerReader
from bulkload.sandbox import LogRecord, read_request_log, stored_versions
from bulkload.source import LocalSource
from tests.busy import times_slower

pytestmark = pytest.mark.anyio

# The smallest ONNX model.
MODEL = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"
DAY_SECONDS = 86_400.0
# What a jump of the wall clock, which is of hours, may make late at most, on a quiet machine.
TOLERANCE_SECONDS = 1.0


class JumpingClock(LoopClock):
    """The loop's time, and a wall clock that is somewhere else each time it is looked at."""

    def __init__(self, jumps: tuple[float, ...]) -> None:
        super().__init__()
        self.jumps = jumps
        self.looks = 0

    def time(self) -> float:
        """Seconds since the epoch, wrong by the next jump."""
        self.looks += 1
        return time.time() + self.jumps[self.looks % len(self.jumps)]

    def utc_now(self) -> str:
        """The same in words."""
        return datetime.fromtimestamp(self.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


JUMPS = {
    "a day ahead and back": (0.0, DAY_SECONDS),
    "a day behind and back": (0.0, -DAY_SECONDS),
    "backwards with every look": tuple(-DAY_SECONDS * number for number in range(50)),
}


@pytest.fixture(params=JUMPS)
async def clock(request: pytest.FixtureRequest) -> AsyncIterator[JumpingClock]:
    """What runs go by, and what their files are looked at by."""
    jumping = JumpingClock(JUMPS[request.param])
    yield jumping
    # A clock that nobody looked at has proved nothing.
    assert jumping.looks > 2


class Publication:
    """One manifest of one model, and a registry in another process, whose clock goes right."""

    def __init__(
        self, folder: Path, start_sandbox: Callable[..., Any], write_manifest: Callable[..., Path], clock: JumpingClock
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._start = start_sandbox
        self._manifest = write_manifest([{"name": "m", "content": MODEL}])

    def registry(self, *faults: str, words: tuple[str, ...] = ("--time-scale", "0")) -> Any:
        """A sandbox in another process."""
        return self._start(*words, *(word for fault in faults for word in ("--fault", fault)))

    def settings(self, registry: Any, **changes: Any) -> Settings:
        """A run's settings."""
        values: dict[str, Any] = {
            "manifest": str(self._manifest),
            "endpoint": registry.endpoint,
            "ledger": self._folder / "ledger.db",
            "credentials": Credentials(token=registry.token),
            "default_workspace": True,
            "settle": 0.1,
            "poll_interval": PollInterval(0.05, 0.1),
            "patience": 0.0,
        }
        return Settings(**(values | changes))

    async def run(self, registry: Any, *, attendants: dict[str, Any] | None = None, **changes: Any) -> RunSummary:
        """Publish."""
        files = LocalSource(wall_clock=self._clock.time)
        with anyio.fail_after(60):
            settings = self.settings(registry, **changes)
            return await publish(settings, clock=self._clock, sources=files, **(attendants or {}))

    def requests(self, registry: Any, call: str) -> list[LogRecord]:
        """The registry's own records."""
        log = read_request_log(registry.data / "requests.jsonl")
        return [record for record in log if f"/models/{call}" in record.path]


@pytest.fixture
def publication(tmp_path: Path, start_sandbox: Any, write_manifest: Any, clock: JumpingClock) -> Publication:
    """What the tests publish."""
    return Publication(tmp_path, start_sandbox, write_manifest, clock)


def about(seconds: float, expected: float) -> bool:
    """Not early, and late by no more than is allowed."""
    return expected <= seconds < expected + TOLERANCE_SECONDS * times_slower()


async def test_the_settle_time_is_waited_out(clock: JumpingClock, publication: Publication) -> None:
    """Neither shorter nor longer, whatever the wall clock says meanwhile."""
    registry = publication.registry("upload:lost-answer@1")
    summary = await publication.run(registry, settle=0.8)
    assert (summary.exit_code, summary.adopted) == (ExitCode.OK, 1)
    (sent,) = publication.requests(registry, "upload")
    (asked,) = publication.requests(registry, "list_versions_for_model")
    assert about(asked.t - sent.t, 0.8)


async def test_an_upload_of_an_earlier_run_settles_from_the_start_of_this_one(
    clock: JumpingClock, publication: Publication
) -> None:
    """Nobody asks how long ago the earlier one was."""
    registry = publication.registry("upload:503@1")
    stop, counts = Stop(), Counts()

    async def stop_in_doubt() -> None:
        while not counts.states["in_doubt"]:  # noqa: ASYNC110 - a fold is asked
            await anyio.sleep(0.005)
        stop.ask(Interrupted(15))

    async with anyio.create_task_group() as group:
        group.start_soon(stop_in_doubt)
        await publication.run(registry, attendants={"on_event": counts, "stop": stop}, settle=20.0)
    listed = len(publication.requests(registry, "list"))
    summary = await publication.run(registry, settle=0.8)
    assert (summary.exit_code, summary.states["ready"]) == (ExitCode.OK, 1)
    at_the_start, asked = publication.requests(registry, "list")[listed : listed + 2]
    assert about(asked.t - at_the_start.t, 0.8 - 0.3)
    assert len(publication.requests(registry, "upload")) == 2


@pytest.mark.parametrize(("pause", "seconds"), [("1", 1.0), ("date+2", 1.0)])
async def test_a_pause_that_the_registry_asks_for(
    clock: JumpingClock, publication: Publication, pause: str, seconds: float
) -> None:
    """In seconds, or until a moment of the registry's own clock (which counts whole seconds)."""
    registry = publication.registry(f"upload:429={pause}@1")
    summary = await publication.run(registry)
    assert summary.exit_code == ExitCode.OK
    first, second = publication.requests(registry, "upload")
    late = 1.2 if pause.startswith("date") else 0.1
    assert seconds <= second.t - first.t < seconds + late + TOLERANCE_SECONDS


class Unlucky(Random):
    """Always waits as long as it may take."""

    def random(self) -> float:
        """Nearly one."""
        return 0.999


async def test_a_back_off_is_neither_skipped_nor_stretched(clock: JumpingClock, publication: Publication) -> None:
    """Twice half a second at the most."""
    registry = publication.registry("upload:429*2")
    assert (await publication.run(registry, attendants={"random": Unlucky()})).exit_code == ExitCode.OK
    first, second, third = publication.requests(registry, "upload")
    assert about(second.t - first.t, 0.49)
    assert about(third.t - second.t, 0.99)


async def test_waits_for_a_version_and_for_an_answer(
    clock: JumpingClock, publication: Publication, tmp_path: Path
) -> None:
    """--answer-timeout, --wait-timeout and --poll-interval are times that pass."""
    registry = publication.registry("upload:stall@1", "poll:stuck")
    began = time.monotonic()
    summary = await publication.run(
        registry, answer_timeout=0.5, wait_timeout=0.7, poll_interval=PollInterval(0.2, 0.2)
    )
    assert (summary.exit_code, summary.states["uploaded"]) == (ExitCode.STILL_OPEN, 1)
    assert about(time.monotonic() - began, 0.5 + 0.1 + 0.7)
    assert about(summary.elapsed_seconds, 0.5 + 0.1 + 0.7)
    polls = publication.requests(registry, "get_version_by_id")
    assert 3 <= len(polls) <= 6


async def test_how_long_a_version_has_been_converting_is_the_registrys_to_say(
    clock: JumpingClock, publication: Publication, tmp_path: Path
) -> None:
    """A native one of a moment ago is not stuck because our clock is a day ahead: it is waited for."""
    registry = publication.registry(words=("--stuck-native-via-convert",))
    uploaded = await publication.run(registry, route=Route.CONVERT, wait=False)
    assert uploaded.states["uploaded"] == 1
    clock.jumps = (DAY_SECONDS,)
    summary = await publication.run(
        registry, route=Route.CONVERT, ledger=tmp_path / "another.db", wait=False, wait_timeout=3600.0
    )
    assert (summary.states["uploaded"], summary.requests.upload) == (1, 0)
    assert len(stored_versions(registry.data)) == 1


async def test_the_last_run_is_the_one_that_began_last(clock: JumpingClock, publication: Publication) -> None:
    """Though its clock says that it began first."""
    registry = publication.registry()
    settings = publication.settings(registry)
    for _ in range(3):
        summary = await publication.run(registry)
        with LedgerReader(settings.ledger) as reader:
            last = reader.last_run()
        assert last is not None
        assert last["run_id"] == summary.run_id


# What is written for people, the age that a table shows where the registry tells no time, and doctor's own question.
LOOK_AT_THE_WALL_CLOCK = {
    "engine/clock.py: utc_now",
    "engine/inspect/catalog.py: now",
    "engine/inspect/doctor.py: _look_at_clock",
    # When a run gives up, as a time of day; and how old the word of another process is.
    "report/display.py: _clock",
    "report/heartbeat.py: keep_heartbeat",
    "report/heartbeat.py: live_facts",
}


@pytest.mark.parametrize("room", ["core", "engine", "ledger", "manifest", "report"])
def test_nobody_else_looks_at_the_wall_clock(room: str) -> None:
    """Each function that does is known by name, and decides nothing."""
    package = Path(bulkload.__file__).parent
    found = {
        f"{path.relative_to(package)}: {function}"
        for path in sorted((package / room).rglob("*.py"))
        for function in _looking_at_the_wall_clock(ast.parse(path.read_text()))
    }
    assert found <= LOOK_AT_THE_WALL_CLOCK


def _looking_at_the_wall_clock(module: ast.Module) -> Iterator[str]:
    clocks = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {ast.unparse(node) for node in ast.walk(function) if isinstance(node, ast.Attribute)}
            if names & clocks:
                yield function.name

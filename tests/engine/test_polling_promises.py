"""What polling promises about versions that do not end, end late, or come ten thousand at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import msgspec
import pytest
from aiohttp import web

from bulkload.core.limits.pauses import Pauses
from bulkload.core.model.errors import ExitCode, Interrupted
from bulkload.core.model.events import Event, Retried
from bulkload.core.model.records import Conversion, Entry, Look
from bulkload.core.model.settings import Credentials, Settings
from bulkload.core.model.states import State
from bulkload.core.model.summary import RunSummary
from bulkload.core.polls.schedule import AUTO_POLL_RATE, PollInterval
from bulkload.engine.poll import poller
from bulkload.engine.publish import publish, wait
from bulkload.engine.stop import GRACE_SECONDS, Stop
from bulkload.ledger import LedgerReader
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.ledger.records import Outcome, PlannedEntry
from bulkload.ledger.sqlite.planning import Planning
from bulkload.ledger.sqlite.writes import Store
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.busy import times_slower
from tests.ledger.bench import intend

# The smallest ONNX model.
MODEL = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"
INTERVAL = PollInterval(0.02, 0.05)
# A busy machine may be late by so much.
SLACK_SECONDS = 2.0
# So many requests of one second may a busy machine deliver in the next: what was sent in time arrives with others.
LATE_ARRIVALS = 3

pytestmark = pytest.mark.anyio


@pytest.fixture
def sandbox_with(tmp_path: Path) -> Callable[..., Sandbox]:
    """A sandbox whose conversions take no time, with some faults."""

    def make(*faults: str, **changes: Any) -> Sandbox:
        return Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0, faults=faults, **changes))

    return make


def rows_of(settings: Settings) -> list[dict[str, Any]]:
    with LedgerReader(settings.ledger) as reader:
        return [dict(zip(RESULT_COLUMNS, row, strict=True)) for row in reader.results()]


def requests(sandbox: Sandbox, call: str) -> list[float]:
    """When each request of a call arrived, in seconds."""
    return [record.t for record in sandbox.requests() if call in record.path]


async def run(settings: Settings) -> RunSummary:
    with anyio.fail_after(60):
        return await publish(settings)


NEVER_ENDING = {"stuck": "pending_load_container", "unknown-status": "quarantined", "no-status": None}


@pytest.mark.parametrize("fault", NEVER_ENDING)
async def test_a_version_that_never_ends_stays_uploaded(fault, sandbox_with, write_manifest, settings_for):
    """At the deadline: exit 12, the registry's own word in the results, nothing sent again; the next run goes on."""
    rows = [{"name": name, "content": MODEL + name.encode()} for name in "ab"]
    async with sandbox_with(f"upload:{fault}@1") as sandbox:
        settings = settings_for(write_manifest(rows), sandbox, wait_timeout=0.5, poll_interval=INTERVAL, concurrency=1)
        for _ in range(2):
            before = len(requests(sandbox, "get_version_by_id"))
            summary = await run(settings)
            assert summary.exit_code == ExitCode.STILL_OPEN
            assert (summary.states["uploaded"], summary.states["ready"]) == (1, 1)
            assert 0.5 <= summary.elapsed_seconds < 0.5 + SLACK_SECONDS * times_slower()
            assert len(requests(sandbox, "get_version_by_id")) - before > 5 / times_slower()
        (open_,) = [row for row in rows_of(settings) if row["state"] == "uploaded"]
        assert open_["status"] == NEVER_ENDING[fault]
        assert open_["finished_at"] is None
        assert len(sandbox.versions()) == len(requests(sandbox, "/models/upload")) == 2


@pytest.mark.parametrize("fault", NEVER_ENDING)
async def test_a_status_that_passes_is_not_the_end(fault, sandbox_with, write_manifest, settings_for):
    """Three odd answers, then the verdict."""
    async with sandbox_with(f"poll:{fault}*3") as sandbox:
        manifest = write_manifest([{"name": "a", "content": MODEL}])
        settings = settings_for(manifest, sandbox, poll_interval=INTERVAL)
        assert (await run(settings)).states["ready"] == 1
        assert len(requests(sandbox, "get_version_by_id")) == 4
        assert rows_of(settings)[0]["status"] == "ready"


async def test_no_wait_leaves_all_uploaded(sandbox_with, write_manifest, settings_for):
    """Exit 12, not one poll; the next run polls and sends nothing."""
    async with sandbox_with() as sandbox:
        settings = settings_for(write_manifest([{"name": "a", "content": MODEL}]), sandbox, wait=False)
        summary = await run(settings)
        assert (summary.exit_code, summary.states["uploaded"]) == (ExitCode.STILL_OPEN, 1)
        assert requests(sandbox, "get_version_by_id") == []
        later = await run(settings_for(Path(settings.manifest), sandbox))
        assert (later.exit_code, later.states["ready"], later.requests.upload) == (ExitCode.OK, 1, 0)


@pytest.mark.parametrize(
    ("faults", "polls"),
    [
        (("poll:404*4",), 5),
        # Only so many in a row are too many.
        (("poll:404*4", "poll:stuck@5", "poll:404@6", "poll:404@7", "poll:404@8", "poll:404@9"), 10),
    ],
)
async def test_a_version_that_is_not_found_at_first_is_found_later(
    faults, polls, sandbox_with, write_manifest, settings_for
):
    """It was just made: not found is no verdict."""
    async with sandbox_with(*faults) as sandbox:
        manifest = write_manifest([{"name": "a", "content": MODEL}])
        settings = settings_for(manifest, sandbox, poll_interval=INTERVAL)
        assert (await run(settings)).states["ready"] == 1
        assert len(requests(sandbox, "get_version_by_id")) == polls
        assert len(requests(sandbox, "/models/upload")) == 1


async def test_a_version_that_is_gone_is_failed_and_not_sent_again_unasked(sandbox_with, write_manifest, settings_for):
    """The message says how to publish it anew, and that finds the version if it is there after all."""
    # No listing shows it, and no poll finds it.
    async with sandbox_with("poll:404*5", "upload:lag=0.4") as sandbox:
        manifest = write_manifest([{"name": "a", "content": MODEL}])
        settings = settings_for(manifest, sandbox, poll_interval=INTERVAL, settle=0.0)
        summary = await run(settings)
        assert (summary.exit_code, summary.states["failed"]) == (ExitCode.SOME_FAILED, 1)
        assert "--retry-failed" in rows_of(settings)[0]["message"]
        assert (await run(settings)).requests.upload == 0
        await anyio.sleep(0.4)
        again = await run(settings_for(manifest, sandbox, poll_interval=INTERVAL, retry_failed=True))
        assert (again.states["skipped"], again.requests.upload, len(sandbox.versions())) == (1, 0, 1)


@pytest.mark.parametrize("status", [404, 500])
async def test_a_deleted_version_holds_up_no_other(status, sandbox_with, write_manifest, settings_for):
    """Whatever the registry answers for an id that it does not have; an outage is told from it by the listing."""
    rows = [{"name": name, "content": MODEL + name.encode()} for name in "ab"]
    async with sandbox_with(unknown_version_status=status) as sandbox:
        manifest = write_manifest(rows)
        await run(settings_for(manifest, sandbox, wait=False))
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {sandbox.token}"}) as session:
            doomed = {"model_versions": [sandbox.versions(name="a")[0].uuid], "confirm_delete": True}
            await session.post(f"{sandbox.endpoint}/v1/api/models/delete_model_versions", json=doomed)
        settings = settings_for(manifest, sandbox, poll_interval=INTERVAL, pauses=Pauses(backoff_unit=0.001))
        summary = await run(settings)
        assert (summary.exit_code, summary.requests.upload) == (ExitCode.SOME_FAILED, 0)
        assert [(row["state"], row["cause"]) for row in rows_of(settings)] == [
            ("failed", "version_gone"),
            ("ready", None),
        ]


SCHEMA = {"x": "float32"}
BROKEN = {"name": "a", "content": b"no pickle", "framework": "sklearn", "input_schema": SCHEMA, "output_schema": SCHEMA}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("poll:late-summary*1", "pickle"),
        # The word null is no reason, early or late.
        ("poll:null-summary*1", "pickle"),
        ("upload:null-summary", "the registry gives no reason; the logs may"),
        ("upload:late-summary=3600", "the registry gives no reason; the logs may"),
    ],
)
async def test_the_reason_of_an_error_may_come_late_or_never(
    fault, message, sandbox_with, write_manifest, settings_for
):
    """It is asked for once more; what never comes is said as it is."""
    async with sandbox_with(fault) as sandbox:
        pauses = Pauses(error_summary=0.05)
        settings = settings_for(write_manifest([BROKEN]), sandbox, poll_interval=INTERVAL, pauses=pauses)
        summary = await run(settings)
        assert (summary.exit_code, summary.states["error"]) == (ExitCode.SOME_FAILED, 1)
        assert message in rows_of(settings)[0]["message"]
        assert len(requests(sandbox, "get_version_by_id")) == 2


# Many at once.


@dataclass
class ManyVersions:
    """A registry of versions that all have one status: who asks how often, and how many at a time."""

    status: str
    endpoint: str = ""
    # Moments of all polls, in seconds, and of the first ones.
    polls: list[float] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)
    in_flight: int = 0
    most_in_flight: int = 0
    most_tasks: int = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Serve one request."""
        body: Any = {"models": []}
        if request.path.endswith("/config"):
            body = {"default_arch": "x86"}
        elif request.path.endswith("/workspaces/list"):
            body = {"workspaces": [{"id": 7, "name": "w", "archived": False}]}
        elif request.path.endswith("/get_version_by_id"):
            body = await self.poll(msgspec.json.decode(await request.read())["model_version_id"])
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    async def poll(self, version_id: int) -> Any:
        """One answer, a moment later."""
        self.in_flight += 1
        self.polls.append(anyio.current_time())
        self.asked.add(version_id)
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.most_tasks = max(self.most_tasks, len(asyncio.all_tasks()))
        await asyncio.sleep(0.005)
        self.in_flight -= 1
        version = {"id": version_id, "name": f"m{version_id}", "workspace_id": 7, "status": self.status}
        return {"model_version": {"model_version": version, "config": {}}}


@asynccontextmanager
async def many_versions(status: str) -> AsyncIterator[ManyVersions]:
    """Serve on a free port."""
    registry = ManyVersions(status)
    runner = web.ServerRunner(web.Server(registry.answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        registry.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield registry
    finally:
        await runner.cleanup()


def uploaded_settings(folder: Path, endpoint: str, count: int, **changes: Any) -> Settings:
    """Settings of a ledger from which ``count`` versions were uploaded, and the run then ended."""
    conversion = Conversion(framework="onnx")
    with (folder / "models.jsonl").open("w") as manifest:
        manifest.write("")
    entries = (
        PlannedEntry(
            entry_key=f"key {number}",
            workspace_id=7,
            entry=Entry(line=number, name=f"m{number}", path="m.onnx", source="/m.onnx", conversion=conversion),
            look=Look(1, "1:1:1"),
        )
        for number in range(1, count + 1)
    )
    store = Store(folder / "ledger.db")
    try:
        store.begin()
        store.claim_for(endpoint, endpoint=endpoint, manifest="models.jsonl")
        store.begin_run("earlier", "2026-01-01T00:00:00Z")
        with closing(Planning(store)) as planning:
            for planned in entries:
                planning.add(planned)
        for number in range(1, count + 1):
            intend(store, number, Look(1, "1:1:1"), (), "ab" * 32)
            store.move(number, State.UPLOADED, Outcome(version_id=number, owned=True))
        store.commit()
    finally:
        store.close()
    values: dict[str, Any] = {"manifest": "models.jsonl", "endpoint": endpoint, "ledger": folder / "ledger.db"}
    values["patience"] = 0.0
    return Settings(**values, credentials=Credentials(token="t"), **changes)


@pytest.mark.long
async def test_ten_thousand_versions_at_once(tmp_path):
    """Each is asked for once, so many at a time and no more, without a task for each."""
    async with many_versions("ready") as registry:
        settings = uploaded_settings(tmp_path, registry.endpoint, 10_000)
        with anyio.fail_after(60):
            summary = await wait(settings)
        assert (summary.exit_code, summary.states["ready"]) == (ExitCode.OK, 10_000)
        assert len(registry.polls) == len(registry.asked) == summary.requests.poll == 10_000
        assert registry.most_in_flight == poller.POLLS_IN_FLIGHT
        # Each poll under way has a task here and one at the registry, whose connections have one, too.
        assert registry.most_tasks < 10 * poller.POLLS_IN_FLIGHT


async def test_a_thousand_versions_that_never_end_end_with_the_wait(tmp_path):
    """However many wait for a last poll: the run ends one interval after the deadline at the latest, exit 12."""
    async with many_versions("pending_load_native") as registry:
        settings = uploaded_settings(
            tmp_path, registry.endpoint, 1_000, wait_timeout=1.5, poll_interval=PollInterval(0.1, 0.5)
        )
        with anyio.fail_after(60):
            summary = await wait(settings)
        assert (summary.exit_code, summary.states["uploaded"]) == (ExitCode.STILL_OPEN, 1_000)
        assert len(registry.asked) == 1_000
        assert summary.elapsed_seconds < 1.5 + 0.5 + SLACK_SECONDS * times_slower()


async def test_a_process_that_slept_asks_once_more(tmp_path):
    """Suspended past all deadlines: what has become ready meanwhile is found, not given up unasked."""
    async with many_versions("pending_load_native") as registry:
        settings = uploaded_settings(
            tmp_path, registry.endpoint, 10, wait_timeout=0.6, poll_interval=PollInterval(0.1, 0.5)
        )

        async def sleep_soon() -> None:
            await anyio.sleep(0.3)
            registry.status = "ready"
            time.sleep(1.5)  # noqa: ASYNC251 - nothing in this process goes on

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(sleep_soon)
                summary = await wait(settings)
        assert (summary.exit_code, summary.states["ready"]) == (ExitCode.OK, 10)


async def test_polls_again_share_a_rate(tmp_path):
    """All but a version's first, together; in no second more than the rate and one."""
    async with many_versions("pending_load_native") as registry:
        settings = uploaded_settings(
            tmp_path, registry.endpoint, 100, wait_timeout=2.0, poll_interval=PollInterval(0.1, 0.2)
        )
        with anyio.fail_after(60):
            await wait(settings)
        again = registry.polls[100:]
        assert len(again) > AUTO_POLL_RATE
        for began in again:
            assert (
                sum(began <= moment < began + 1.0 for moment in again)
                <= AUTO_POLL_RATE + 1 + LATE_ARRIVALS * times_slower()
            )


async def test_a_rate_for_polls_holds_for_the_first_ones_too(tmp_path):
    """--poll-rate is for all of them."""
    async with many_versions("ready") as registry:
        settings = uploaded_settings(tmp_path, registry.endpoint, 30, poll_rate=20.0)
        with anyio.fail_after(60):
            summary = await wait(settings)
        assert summary.states["ready"] == 30
        for began in registry.polls:
            assert (
                sum(began <= moment < began + 1.0 for moment in registry.polls) <= 21 + LATE_ARRIVALS * times_slower()
            )


async def test_a_stop_does_not_wait_for_a_slow_rate(tmp_path):
    """The next poll is a minute away: the run ends now, and what was not asked for stays uploaded."""
    async with many_versions("ready") as registry:
        settings = uploaded_settings(tmp_path, registry.endpoint, 3, poll_rate=1 / 60)
        stop = Stop()

        async def stop_after_the_first() -> None:
            while not registry.polls:  # noqa: ASYNC110 - nothing tells when a server was asked
                await anyio.sleep(0.005)
            await anyio.sleep(0.1)
            stop.ask(Interrupted(15))

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(stop_after_the_first)
                summary = await wait(settings, stop=stop)
        assert summary.exit_code == ExitCode.TERMINATED
        assert (summary.states["ready"], summary.states["uploaded"]) == (1, 2)
        assert summary.elapsed_seconds < SLACK_SECONDS * times_slower()


async def test_a_stop_does_not_wait_for_a_pause_before_a_repeat(sandbox_with, write_manifest, settings_for):
    """The registry asked to come back in five minutes: the run ends now, and no grace time is waited for."""
    async with sandbox_with("poll:503=300") as sandbox:
        settings, stop = (
            settings_for(write_manifest([{"name": "m", "content": MODEL}]), sandbox, patience=600.0),
            Stop(),
        )

        def stop_at_the_pause(event: Event) -> None:
            if isinstance(event, Retried):
                stop.ask(Interrupted(15))

        began = time.monotonic()
        with anyio.fail_after(60):
            summary = await publish(settings, on_event=stop_at_the_pause, stop=stop)
        assert summary.exit_code == ExitCode.TERMINATED
        assert summary.states["uploaded"] == 1
        assert time.monotonic() - began < GRACE_SECONDS

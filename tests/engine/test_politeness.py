"""Over real connections: never above the rates, by the registry's own log; and no less than what it allows."""

import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from aiohttp import web

from bulkload.core.model.errors import ExitCode
from bulkload.core.model.events import Event, Held, LimitChanged, Paced
from bulkload.core.model.settings import Credentials, OnExisting, Settings
from bulkload.core.model.states import State
from bulkload.core.model.summary import RunSummary
from bulkload.core.polls.schedule import PollInterval
from bulkload.engine.events import OnEvent
from bulkload.engine.publish import publish
from bulkload.ledger.sqlite.writes import Store
from bulkload.sandbox import LogRecord, Sandbox, SandboxSettings, read_request_log
from bulkload.sandbox.store.queries import all_versions, connect
from tests.busy import times_slower
from tests.conftest import SandboxProcess, StartSandbox
from tests.variants import every

# The smallest ONNX model, up to the value of its model_version: one more byte completes it.
ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28"
SCHEMA = {"x": "float32"}
INTERVAL = PollInterval(0.05, 2.0)
# What each kind of call is called in the log.
PATHS = {
    "upload": "/models/upload",
    "poll": "/get_version_by_id",
    "list": "/models/list",
    "token": "/protocol/openid-connect/token",
}

pytestmark = pytest.mark.anyio


def small(count: int) -> list[dict[str, Any]]:
    """Models that are ready at once."""
    return [{"name": f"m{number}", "content": ONNX + bytes([1 + number % 100])} for number in range(count)]


def converted(count: int) -> list[dict[str, Any]]:
    """Models that are converted: whole pickles; what follows is not looked at."""
    schemas = {"framework": "xgboost", "input_schema": SCHEMA, "output_schema": SCHEMA}
    return [{"name": f"c{number}", "content": b"N.%d" % number, **schemas} for number in range(count)]


def moments(records: Sequence[LogRecord], kind: str) -> list[float]:
    """When the calls of a kind arrived, in their order."""
    return sorted(record.t for record in records if PATHS[kind] in record.path)


def most_within(times: Sequence[float], seconds: float) -> int:
    """The most within any window of so many seconds."""
    most, first = 0, 0
    for number, moment in enumerate(times):
        while times[first] <= moment - seconds:
            first += 1
        most = max(most, number - first + 1)
    return most


@asynccontextmanager
async def heartbeat() -> AsyncIterator[list[float]]:
    """How late this process was at the worst, in its one item: it may deliver no sooner what was sent in time."""
    late = [0.0]

    async def beat() -> None:
        while True:
            began = anyio.current_time()
            await anyio.sleep(0.005)
            late[0] = max(late[0], anyio.current_time() - began - 0.005)

    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        yield late
        group.cancel_scope.cancel()


async def run(settings: Settings, seconds: float = 60.0, on_event: OnEvent | None = None) -> RunSummary:
    with anyio.fail_after(seconds):
        return await publish(settings, on_event=on_event)


# Rates.


async def windows(
    seed: int, seconds: float, folder: Path, write_manifest: Any, settings_for: Any
) -> tuple[dict[str, tuple[int, float, int]], float]:
    """One run of about so many seconds with chosen rates: kind -> (most in a second, rate, calls); how late it was."""
    chance = random.Random(seed)
    rates = {kind: float(chance.randint(5, 10)) for kind in ("upload", "poll", "list")} | {"token": 0.5}
    count = int(seconds * min(rates["upload"], rates["list"]) / 2)
    faults = (f"upload:slow={chance.choice([0.05, 0.3])}%30", f"token:slow={chance.choice([0.01, 0.2])}%50")
    sandbox_settings = SandboxSettings(
        data=folder, time_scale=0.05, converters=32, faults=faults, seed=seed, token_seconds=2.5
    )
    async with Sandbox(sandbox_settings) as sandbox, heartbeat() as late:
        settings = settings_for(
            write_manifest(small(count) + converted(count)),
            sandbox,
            credentials=Credentials(
                username=sandbox.username,
                password=sandbox.password,
                client_id="api-client",
                client_secret=sandbox.account.client_secret,
            ),
            concurrency=32,
            upload_rate=rates["upload"],
            poll_rate=rates["poll"],
            list_rate=rates["list"],
            token_rate=rates["token"],
            poll_interval=INTERVAL,
            # Each model is listed right before it is sent.
            on_existing=OnExisting.UPLOAD,
        )
        summary = await run(settings, 110.0)
        assert (summary.exit_code, summary.states[State.READY]) == (ExitCode.OK, 2 * count)
        calls = {kind: moments(sandbox.requests(), kind) for kind in rates}
    found = {kind: (most_within(calls[kind], 1.0 - late[0]), rates[kind], len(calls[kind])) for kind in rates}
    return found, late[0]


@pytest.mark.parametrize("seed", every(3, range(3)))
async def test_no_second_holds_more_than_a_rate_and_one(seed, tmp_path, write_manifest, settings_for):
    """Every kind of call, 32 uploads at a time, versions that convert, short lives of tokens, slow answers."""
    found, late = await windows(seed, 2.5, tmp_path / "registry", write_manifest, settings_for)
    for kind, (most, rate, calls) in found.items():
        assert most <= rate + 1, (seed, kind, late)
        assert calls >= rate, (seed, kind)


@pytest.mark.load
@pytest.mark.parametrize("seed", range(50))
async def test_no_second_holds_more_than_a_rate_and_one_over_fifty_seeds(seed, tmp_path, write_manifest, settings_for):
    """The same for longer."""
    found, late = await windows(seed, 6.0, tmp_path / "registry", write_manifest, settings_for)
    for kind, (most, rate, calls) in found.items():
        assert most <= rate + 1, (seed, kind, late)
        assert calls > 2 * rate, (seed, kind)


# Bandwidth.


@dataclass
class Drain:
    """A registry that only counts the bytes that arrive."""

    endpoint: str = ""
    arrived: list[tuple[float, int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Serve one request."""
        body: Any = {"models": []}
        if request.path.endswith("/config"):
            body = {"default_arch": "x86"}
        elif request.path.endswith("/workspaces/list"):
            body = {"workspaces": [{"id": 7, "name": "w", "archived": False}]}
        elif "/models/upload" in request.path:
            body = await self.receive(request)
        elif request.path.endswith("/get_version_by_id"):
            version_id = msgspec.json.decode(await request.read())["model_version_id"]
            version = {"id": version_id, "name": self.names[version_id - 1], "workspace_id": 7, "status": "ready"}
            body = {"model_version": {"model_version": version, "config": {}}}
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    async def receive(self, request: web.BaseRequest) -> Any:
        """An upload, counted while it arrives."""
        head = b""
        async for piece in request.content.iter_any():
            self.arrived.append((anyio.current_time(), len(piece)))
            head = head if len(head) > 1_000 else head + piece
        self.names.append(msgspec.json.decode(head.split(b"\r\n\r\n", 1)[1].split(b"\r\n--", 1)[0])["name"])
        return {"insert_models": {"returning": [{"models": [{"id": len(self.names)}]}]}}


@asynccontextmanager
async def drain() -> AsyncIterator[Drain]:
    """Serve on a free port."""
    registry = Drain()
    runner = web.ServerRunner(web.Server(registry.answer, access_log=None, read_bufsize=1 << 16), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        registry.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield registry
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("size", [100_000, 2_000_000])
async def test_a_bandwidth_is_kept_smooth_to_a_second(size, tmp_path, write_manifest):
    """All bodies together, small ones and large ones: no second above it, and none much below."""
    bandwidth = 2_000_000.0
    count = int(3.0 * bandwidth / size)
    rows = [{"name": f"m{number}", "content": ONNX + bytes([number]) * size} for number in range(count)]
    async with drain() as registry, heartbeat() as late:
        manifest = write_manifest(rows)
        settings = Settings(
            manifest=str(manifest),
            endpoint=registry.endpoint,
            ledger=tmp_path / "ledger.db",
            credentials=Credentials(token="t"),
            workspace="7",
            bandwidth=bandwidth,
            concurrency=8,
            on_existing=OnExisting.SKIP,
        )
        summary = await run(settings)
        assert summary.states[State.READY] == count
    begin, end = registry.arrived[0][0], registry.arrived[-1][0]
    for tenth in range(int((end - begin - 1.0) * 10)):
        first = begin + tenth / 10
        within = sum(size for moment, size in registry.arrived if first <= moment < first + 1.0)
        # A slice is a tenth of a second's bytes; forms come on top.
        slack = 0.12 + late[0]
        assert (1.0 - slack) * bandwidth <= within <= (1.0 + slack) * bandwidth


# What the registry asks for.


async def test_a_retry_after_told_to_one_upload_holds_everybody(tmp_path, write_manifest, settings_for):
    """Uploads, polls and listings: nothing leaves for as long as one was told to wait."""
    async with Sandbox(SandboxSettings(data=tmp_path / "r", time_scale=0.05, faults=("upload:429=1@9",))) as sandbox:
        settings = settings_for(
            write_manifest(small(30) + converted(10)), sandbox, concurrency=16, poll_interval=INTERVAL
        )
        assert (await run(settings)).states[State.READY] == 40
        records = sandbox.requests()
    (told,) = [record.t for record in records if record.status == 429]
    # What had left before the answer came.
    assert not [record for record in records if told + 0.15 < record.t < told + 1.0]
    assert len([record for record in records if record.t >= told + 1.0]) > 30


async def test_each_decision_is_said_with_its_reason(tmp_path, write_manifest, settings_for):
    """Before, after, and why: of rates, of uploads at a time, and of pauses."""
    async with Sandbox(
        SandboxSettings(data=tmp_path / "r", time_scale=0.0, limits=("upload=20/s",), faults=("upload:503=1@30",))
    ) as sandbox:
        settings = settings_for(write_manifest(small(60)), sandbox, concurrency=64)
        said: list[Event] = []
        assert (await run(settings, on_event=said.append)).exit_code == ExitCode.OK
    changes = [event for event in said if isinstance(event, LimitChanged)]
    assert {(change.limit, change.kind) for change in changes} == {("rate", "upload"), ("concurrency", None)}
    assert next(change.before for change in changes if change.limit == "concurrency") == 4
    for change in changes:
        assert change.before != change.after
        assert any(words in change.reason for words in ("429", "503", "answers")), change
        assert (change.found is not None) == (change.limit == "rate")
    # The registry's Retry-After is a second.
    assert {event.seconds for event in said if isinstance(event, Held)} == {1.0}
    # What a display shows follows the cuts.
    assert any(isinstance(event, Paced) and event.kind == "upload" and event.rate is not None for event in said)


async def test_what_was_learnt_of_conversions_serves_the_next_run(tmp_path, write_manifest, settings_for):
    """It is kept in the ledger; what is damaged there is no hint, and no reason to fail either."""
    async with Sandbox(SandboxSettings(data=tmp_path / "r", time_scale=0.02, converters=8)) as sandbox:
        settings = settings_for(write_manifest(converted(4)), sandbox, poll_interval=INTERVAL)
        assert (await run(settings)).states[State.READY] == 4
        with closing(Store(settings.ledger)) as store:
            learnt = store.conversion_seconds()
            assert len(learnt["xgboost"]) == 4
            assert all(0.1 < seconds < 2.0 * times_slower() for seconds in learnt["xgboost"])
        settings = settings_for(write_manifest(converted(12)), sandbox, poll_interval=INTERVAL)
        summary = await run(settings)
        assert summary.states[State.READY] == 12
        # Nobody explores, and the first poll of each comes when it is likely done.
        assert summary.requests.poll <= 8 * 5
        with closing(Store(settings.ledger)) as store:
            assert len(store.conversion_seconds()["xgboost"]) == 12
            for damage in ("", "null", "[1]", '{"xgboost": "long"}', "{"):
                store.connection.execute("UPDATE meta SET value = ? WHERE key = 'conversion_seconds'", (damage,))
                assert store.conversion_seconds() == {}
        settings = settings_for(write_manifest(converted(13)), sandbox, poll_interval=INTERVAL)
        assert (await run(settings)).states[State.READY] == 13


# What the registry allows.


def settings_of(sandbox: SandboxProcess, manifest: Path, folder: Path, **changes: Any) -> Settings:
    """Settings that publish to a sandbox in another process."""
    return Settings(
        manifest=str(manifest),
        endpoint=sandbox.endpoint,
        ledger=folder / "ledger.db",
        credentials=Credentials(token=sandbox.token),
        default_workspace=True,
        settle=0.5,
        **changes,
    )


async def filled(
    count: int, start_sandbox: StartSandbox, tmp_path: Path, write_manifest: Any
) -> tuple[float, float, list[LogRecord]]:
    """Uploads taken a second from the first to the last one, the share that was refused, and all of them."""
    sandbox = start_sandbox("--limit", "upload=20/s", "--time-scale", "0")
    summary = await run(settings_of(sandbox, write_manifest(small(count)), tmp_path, concurrency=256), 300.0)
    assert (summary.exit_code, summary.states[State.READY]) == (ExitCode.OK, count)
    records = [record for record in read_request_log(sandbox.data / "requests.jsonl") if PATHS["upload"] in record.path]
    taken = [record.t for record in records if record.status != 429]
    assert len(taken) == count
    refused = len(records) - count
    return (count - 1) / (taken[-1] - taken[0]), refused / len(records), records


async def test_a_limit_is_met_and_kept_to(start_sandbox, tmp_path, write_manifest):
    """A hundred models against twenty a second: what the first burst teaches is used at once."""
    rate, _, records = await filled(100, start_sandbox, tmp_path, write_manifest)
    assert rate > 0.5 * 20
    assert len(records) <= 100 + 20


@pytest.mark.load
@pytest.mark.timeout(300)
async def test_a_limit_that_nobody_told_is_filled(start_sandbox, tmp_path, write_manifest, record_property):
    """Two thousand models, 256 at a time, no rate given: 90 % of what is allowed, and 2 % refused at the most."""
    rate, refused, _ = await filled(2_000, start_sandbox, tmp_path, write_manifest)
    record_property("uploads a second of 20", round(rate, 2))
    record_property("refused", round(refused, 4))
    assert rate >= 0.9 * 20
    assert refused <= 0.02


async def converting(
    count: int, scale: str, start_sandbox: StartSandbox, tmp_path: Path, write_manifest: Any
) -> tuple[int, int, float]:
    """How many versions were on the registry's queue at the most and, while there were more, at the least; how long."""
    sandbox = start_sandbox("--converters", "4", "--time-scale", scale)
    settings = settings_of(sandbox, write_manifest(converted(count)), tmp_path, max_converting=8)
    summary = await run(settings, 300.0)
    assert (summary.exit_code, summary.states[State.READY]) == (ExitCode.OK, count)
    with contextlib.closing(connect(sandbox.data)) as connection:
        spans = [(version.created_at, version.timeline.finished_at or 0.0) for version in all_versions(connection)]
    assert len(spans) == count
    changes = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    last = max(begin for begin, _ in spans)
    most, least, now = 0, 8, 0
    for moment, change in changes:
        now += change
        most = max(most, now)
        if most >= 8 and moment < last:
            least = min(least, now)
    return most, least, max(end for _, end in spans) - min(begin for begin, _ in spans)


async def test_a_conversion_queue_is_kept_full_and_no_fuller(start_sandbox, tmp_path, write_manifest):
    """Four converters, eight versions there at the most: by the registry's own times."""
    most, _, seconds = await converting(24, "0.05", start_sandbox, tmp_path, write_manifest)
    assert most == 8
    # Six rounds of half a second; the first of them is what teaches how long one takes.
    assert seconds < 6.0


@pytest.mark.load
@pytest.mark.timeout(300)
async def test_a_conversion_queue_never_runs_dry(start_sandbox, tmp_path, write_manifest, record_property):
    """Conversions of two seconds: once eight were there, never fewer than the four that are converted, to the last."""
    most, least, seconds = await converting(120, "0.2", start_sandbox, tmp_path, write_manifest)
    record_property("on the queue", (least, most))
    record_property("seconds", round(seconds, 1))
    assert most == 8
    assert least >= 4

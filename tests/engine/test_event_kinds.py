"""Every kind of event is told by a real run in which it happens."""

import gzip
import resource
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from aiohttp import web

from bulkload.core.model import events
from bulkload.core.model.errors import Interrupted
from bulkload.core.model.events import Event
from bulkload.core.model.settings import Settings
from bulkload.core.model.summary import RunSummary
from bulkload.core.polls.schedule import PollInterval
from bulkload.engine.events import Events
from bulkload.engine.publish import publish
from bulkload.engine.stop import Stop
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.consumers import at_first
from tests.gateway import gateway_before

pytestmark = pytest.mark.anyio

ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28"
SCHEMA = {"x": "float32"}
CONVERTED: dict[str, Any] = {"framework": "xgboost", "input_schema": SCHEMA, "output_schema": SCHEMA}
POLLS = PollInterval(0.01, 0.05)


def models(count: int) -> list[dict[str, Any]]:
    return [{"name": f"m{number}", "content": ONNX + bytes([number])} for number in range(count)]


def trees(count: int, content: bytes = b"N.") -> list[dict[str, Any]]:
    return [{"name": f"t{number}", "content": content + bytes([number]), **CONVERTED} for number in range(count)]


class NoJitter(Random):
    """What is tried again is tried again at once."""

    def random(self) -> float:
        return 0.0


@dataclass
class Stage:
    """A folder with a manifest and a registry, and what a run there tells."""

    folder: Path
    write: Callable[[list[dict[str, Any]]], Path]
    settings_for: Callable[..., Settings]
    said: list[Event] = field(default_factory=list)

    def registry(self, *faults: str) -> Sandbox:
        """One whose conversions take no time."""
        return Sandbox(SandboxSettings(data=self.folder / "registry", time_scale=0.0, faults=faults))

    async def run(
        self,
        registry: Sandbox,
        rows: list[dict[str, Any]],
        at: Callable[[Event], None] | None = None,
        stop: Stop | None = None,
        **changes: Any,
    ) -> RunSummary:
        """Publish, and keep what is told. ``at`` hears it, too."""
        settings = self.settings_for(self.write(rows), registry, **{"poll_interval": POLLS, "patience": 60.0} | changes)
        with anyio.fail_after(90):
            return await publish(settings, random=NoJitter(), on_event=Events(self.said.append, at), stop=stop)


@pytest.fixture
def stage(tmp_path: Path, write_manifest, settings_for) -> Stage:
    return Stage(tmp_path, write_manifest, settings_for)


def all_of(kind: type[Event], stage: Stage) -> list[Any]:
    return [event for event in stage.said if isinstance(event, kind)]


async def all_goes_well(stage: Stage) -> None:
    async with stage.registry() as registry:
        await stage.run(registry, models(2) + trees(3), max_converting=1, upload_rate=100.0)
    (begun,) = all_of(events.RunBegan, stage)
    assert (begun.endpoint, begun.concurrency, begun.most_concurrency) == (registry.endpoint, 4, 16)
    assert (begun.upload_rate, begun.max_converting) == (100.0, 1)
    places = all_of(events.ConversionPlaces, stage)
    assert {event.taken for event in places} == {0, 1}
    assert max(event.waiting for event in places) > 0
    assert (places[-1].taken, places[-1].waiting) == (0, 0)


async def the_registry_asks_for_a_pause(stage: Stage) -> None:
    async with stage.registry("upload:429=1@2") as registry:
        await stage.run(registry, models(6))
    (held,) = all_of(events.Held, stage)
    assert held.seconds == 1.0
    (retried,) = all_of(events.Retried, stage)
    assert (retried.call, retried.status, retried.retry_after) == ("models/upload", 429, 1.0)
    # The first ones: where answers are quick, more at a time come soon.
    changes = {(event.limit, event.kind): event for event in reversed(all_of(events.LimitChanged, stage))}
    rate = changes["rate", "upload"]
    assert rate.before is None
    assert 0 < rate.after <= rate.found
    assert changes["concurrency", None].before == 4
    assert [event.kind for event in all_of(events.Paced, stage)][:1] == ["upload"]


async def an_answer_is_lost(stage: Stage) -> None:
    async with stage.registry("upload:lost-answer@1") as registry:
        await stage.run(registry, models(1))
    (found,) = all_of(events.ReconcileEnded, stage)
    assert (found.name, found.outcome) == ("m0", "adopt")
    assert [event.adopted for event in all_of(events.EntryMoved, stage)] == [False, False, True, False]


async def an_upload_lands_late(stage: Stage) -> None:
    async with stage.registry("upload:late=0.6@1") as registry:
        await stage.run(registry, models(1), settle=0.05, upload_rate=1.0)
        ids = {version.id for version in registry.versions()}
    (found,) = all_of(events.DuplicateFound, stage)
    assert found.name == "m0"
    assert len(found.versions) == 1
    assert set(found.versions) < ids


async def the_registry_is_away_for_a_while(stage: Stage) -> None:
    # One after the other, so that each failure is a round of its own.
    async with stage.registry("upload:503*6") as registry:
        summary = await stage.run(registry, models(8), patience=120.0, concurrency=1)
    assert summary.states["ready"] == 8
    outages = all_of(events.Outage, stage)
    assert outages
    for outage in outages:
        assert (outage.kind, outage.call) == ("upload", "models/upload")
        assert outage.since < outage.next_try < outage.gives_up_at == outage.since + 120.0
    assert all_of(events.OutageEnded, stage) == [events.OutageEnded("upload")]
    last = max(number for number, event in enumerate(stage.said) if isinstance(event, events.Outage))
    assert last < stage.said.index(events.OutageEnded("upload"))


async def a_version_never_ends(stage: Stage) -> None:
    async with stage.registry("upload:stuck") as registry:
        await stage.run(registry, trees(1), wait_timeout=0.2)
    (ended,) = all_of(events.WaitEnded, stage)
    assert ended.status is not None


async def one_is_refused_again_and_again(stage: Stage) -> None:
    # The first upload and its retries; the second is taken.
    async with stage.registry(
        "upload:507@1", "upload:507@3", "upload:507@4", "upload:507@5", "upload:507@6"
    ) as registry:
        await stage.run(registry, models(2), concurrency=1)
    (left,) = all_of(events.EntryLaidAside, stage)
    assert "507" in left.reason


async def a_file_cannot_be_read_for_now(stage: Stage) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def let_no_file_be_opened() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))

    at_the_start = at_first(lambda event: event == events.PhaseBegan("publishing"), let_no_file_be_opened)
    async with stage.registry() as registry:
        try:
            await stage.run(registry, models(1), at_the_start)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    (unread,) = all_of(events.EntryUnread, stage)
    assert "ulimit -n" in unread.reason
    assert len(all_of(events.Retried, stage)) == 4


async def a_changed_file_cannot_be_read(stage: Stage) -> None:
    def replace() -> None:
        (stage.folder / "m0-0.onnx").unlink()
        (stage.folder / "m0-0.onnx").mkdir()

    async with stage.registry() as registry:
        await stage.run(registry, models(1))
        await stage.run(registry, models(1), at_first(lambda event: event == events.PhaseBegan("planning"), replace))
    (unread,) = all_of(events.ChangeUnread, stage)
    assert unread.path == str(stage.folder / "m0-0.onnx")


async def there_is_no_native_route(stage: Stage) -> None:
    async def decide(call: str) -> web.Response | None:
        if call == "models/upload":
            return web.json_response({"msg": "Not found: nothing", "code": 404}, status=404)
        return None

    async with stage.registry() as registry, gateway_before(registry.endpoint, decide) as gateway:
        await stage.run(registry, models(1), endpoint=gateway.endpoint)
    assert len(all_of(events.RouteChanged, stage)) == 1
    (notice,) = all_of(events.Noticed, stage)
    assert "upload_and_convert" in notice.words


async def a_registry_lists_little(stage: Stage) -> None:
    async def decide(call: str) -> web.Response | None:
        if call in ("models/list", "models/list_versions_for_model"):
            return web.json_response({"msg": "Not found: nothing", "code": 404}, status=404)
        if call == "models/list_versions":
            return web.json_response([{"id": 7, "model_id": "t0", "sha": "0" * 64, "file_name": "other.pkl"}])
        if call == "models/get_version_by_id" and not registry.versions():
            return web.json_response({"msg": "not yours", "code": 403}, status=403)
        return None

    async with stage.registry() as registry, gateway_before(registry.endpoint, decide) as gateway:
        await stage.run(registry, trees(1), endpoint=gateway.endpoint)
    assert len(all_of(events.NotListed, stage)) == 1
    assert {event.version_id for event in all_of(events.VersionNotShown, stage)} == {7}


async def an_error_has_no_reason(stage: Stage) -> None:
    async with stage.registry("upload:late-summary=60", "poll:404@2") as registry:
        await stage.run(registry, trees(1, b"no pickle"))
    (entry,) = [event for event in all_of(events.EntryMoved, stage) if event.after == "error"]
    assert all_of(events.ErrorNotExplained, stage) == [events.ErrorNotExplained(entry.version_id)]


async def the_check_has_doubts(stage: Stage) -> None:
    async with stage.registry() as registry:
        await stage.run(registry, [{"name": "t", "content": gzip.compress(b"N."), **CONVERTED}])
    (doubted,) = all_of(events.ManifestDoubted, stage)
    assert "is compressed (gzip)" in str(doubted.problems[0])


async def it_is_stopped(stage: Stage) -> None:
    stop = Stop()
    async with stage.registry() as registry:
        first_move = at_first(lambda event: isinstance(event, events.EntryMoved), lambda: stop.ask(Interrupted(15)))
        summary = await stage.run(registry, models(20), first_move, stop)
    (stopping,) = all_of(events.Stopping, stage)
    assert (stopping.exit_code, stopping.grace) == (summary.exit_code, 10.0)


SCENARIOS: dict[Callable[[Stage], Awaitable[None]], set[type[Event]]] = {
    all_goes_well: {
        events.PhaseBegan, events.Advanced, events.RunBegan, events.StatesCounted, events.EntryMoved, events.RunEnded,
        events.RequestSent, events.BytesSent, events.BodySent, events.ListingRead, events.ConversionPlaces,
    },
    the_registry_asks_for_a_pause: {events.Retried, events.LimitChanged, events.Held, events.Paced},
    an_answer_is_lost: {events.ReconcileEnded},
    an_upload_lands_late: {events.DuplicateFound},
    the_registry_is_away_for_a_while: {events.Outage, events.OutageEnded},
    a_version_never_ends: {events.WaitEnded},
    one_is_refused_again_and_again: {events.EntryLaidAside},
    a_file_cannot_be_read_for_now: {events.EntryUnread},
    a_changed_file_cannot_be_read: {events.ChangeUnread},
    there_is_no_native_route: {events.RouteChanged, events.Noticed},
    a_registry_lists_little: {events.NotListed, events.VersionNotShown},
    an_error_has_no_reason: {events.ErrorNotExplained},
    the_check_has_doubts: {events.ManifestDoubted},
    it_is_stopped: {events.Stopping},
}  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_it_is_told(scenario: Callable[[Stage], Awaitable[None]], stage: Stage) -> None:
    """What happened, and with what a display needs to say of it."""
    await scenario(stage)
    assert {type(event) for event in stage.said} >= SCENARIOS[scenario]


def test_every_kind_of_event_has_its_scenario() -> None:
    """A new kind is told by a run here, or it is not there."""
    assert set[type[Event]]().union(*SCENARIOS.values()) == set(Event.__subclasses__())

"""What a run has to do with outside may be given to it: it opens that, uses nothing else, and closes it."""

from pathlib import Path
from random import Random
from typing import Any, Self

import anyio
import pytest

from bulkload.engine.clock import LoopClock
from bulkload.engine.publish import publish
from bulkload.ledger.memory import MemoryLedger, MemoryStore
from bulkload.registry import Registry
from bulkload.sandbox import Sandbox, SandboxSettings
from bulkload.source import LocalSource, SmallFile

pytestmark = pytest.mark.anyio

# The smallest ONNX model.
MODEL = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """A registry whose conversions take no time."""
    return Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0))


async def test_a_run_on_a_ledger_in_memory_writes_no_file(
    sandbox: Sandbox, write_manifest: Any, settings_for: Any
) -> None:
    """And the next run on the same store has nothing to do."""
    manifest, store = write_manifest([{"name": "m", "content": MODEL}]), MemoryStore()
    async with sandbox:
        settings = settings_for(manifest, sandbox)
        for uploads in (1, 0):
            with anyio.fail_after(60):
                summary = await publish(settings, ledger=MemoryLedger(store))
            assert (summary.exit_code, summary.states["ready"], summary.requests.upload) == (0, 1, uploads)
    assert [path.name for path in settings.ledger.parent.glob("ledger*")] == []


async def test_a_registry_that_is_given_is_opened_once_and_closed(
    sandbox: Sandbox, write_manifest: Any, settings_for: Any
) -> None:
    """Its own requests for tokens pass the run's limits."""
    happened: list[str] = []

    class Watched(Registry):
        async def __aenter__(self) -> Self:
            happened.append("opened")
            return await super().__aenter__()

        async def __aexit__(self, *_: object) -> None:
            happened.append("closed")
            await super().__aexit__()

        def pace_logins(self, wait: Any) -> None:
            happened.append("paced")
            super().pace_logins(wait)

    async with sandbox:
        settings = settings_for(write_manifest([{"name": "m", "content": MODEL}]), sandbox)
        with anyio.fail_after(60):
            await publish(settings, registry=Watched(sandbox.endpoint, settings.credentials))
    assert happened == ["paced", "opened", "closed"]


async def test_files_are_read_where_the_run_is_told(sandbox: Sandbox, write_manifest: Any, settings_for: Any) -> None:
    """Once, as one body."""
    read: list[str] = []

    class Watched(LocalSource):
        async def read_small(self, place: str) -> SmallFile:
            read.append(Path(place).name)
            return await super().read_small(place)

    async with sandbox:
        settings = settings_for(write_manifest([{"name": "m", "content": MODEL}]), sandbox)
        with anyio.fail_after(60):
            await publish(settings, sources=Watched())
    assert read == ["m-0.onnx"]


async def test_a_seed_and_a_clock_make_a_run_repeatable(
    sandbox: Sandbox, write_manifest: Any, settings_for: Any
) -> None:
    """Down to its id."""

    class AtNoon(LoopClock):
        def utc_now(self) -> str:
            return "2026-01-06T12:00:00.000Z"

    manifest = write_manifest([{"name": "m", "content": MODEL}])
    async with sandbox:
        settings = settings_for(manifest, sandbox)
        summaries = [
            await publish(settings, ledger=MemoryLedger(MemoryStore()), clock=AtNoon(), random=Random(7))
            for _ in range(2)
        ]
    first, second = (summary.run_id for summary in summaries)
    assert first == second
    assert first.startswith("20260106T120000Z-")

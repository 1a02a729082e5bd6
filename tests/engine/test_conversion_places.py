"""Which versions convert is answered once: `--max-converting` counts those of earlier runs, whatever sent them."""

from typing import Any

import anyio
import pytest

import bulkload
from bulkload.core.model.settings import Route
from bulkload.sandbox import Sandbox, SandboxSettings

pytestmark = pytest.mark.anyio

# The smallest ONNX model, up to the value of its model_version.
ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28"
SCHEMA = {"x": "float32"}
CONVERTED = {"framework": "xgboost", "input_schema": SCHEMA, "output_schema": SCHEMA}


def onnx(count: int) -> list[dict[str, Any]]:
    return [{"name": f"onnx-{number}", "content": ONNX + bytes([number])} for number in range(count)]


def converted(count: int) -> list[dict[str, Any]]:
    return [{"name": f"tree-{number}", "content": b"N." + bytes([number])} | CONVERTED for number in range(count)]


async def publish(settings: bulkload.Settings) -> bulkload.RunSummary:
    with anyio.fail_after(60):
        return await bulkload.publish(settings)


@pytest.mark.parametrize("earlier", [onnx(4), converted(4), onnx(2) + converted(2)], ids=["onnx", "trees", "both"])
async def test_what_an_earlier_run_left_converting_keeps_its_places(earlier, tmp_path, write_manifest, settings_for):
    """Four are converting for ever; one may: no fifth is sent."""
    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0, faults=("poll:stuck",))) as sandbox:
        first = settings_for(write_manifest(earlier), sandbox, route=Route.CONVERT, wait=False)
        assert (await publish(first)).states["uploaded"] == 4
        manifest = write_manifest([*earlier, {"name": "last", "content": ONNX + b"\x63"}])
        second = settings_for(manifest, sandbox, route=Route.CONVERT, max_converting=1, max_duration=1.0)
        summary = await publish(second)
        assert summary.exit_code == bulkload.ExitCode.WINDOW_ENDED
        assert summary.states["planned"] == 1
        assert len(sandbox.versions()) == 4


async def test_what_was_ready_at_once_gives_its_places_back_at_its_first_poll(tmp_path, write_manifest, settings_for):
    """Nobody knows any more by what route it went; the registry is asked."""
    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0)) as sandbox:
        await publish(settings_for(write_manifest(onnx(4)), sandbox, wait=False))
        settings = settings_for(write_manifest(onnx(4) + converted(3)), sandbox, max_converting=1)
        summary = await publish(settings)
        assert summary.states["ready"] == len(sandbox.versions()) == 7


async def test_all_who_wait_for_a_place_get_one(tmp_path, write_manifest, settings_for):
    """One after the other, and a stop leaves none of them waiting."""
    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0)) as sandbox:
        settings = settings_for(write_manifest(converted(12)), sandbox, max_converting=2)
        assert (await publish(settings)).states["ready"] == 12

"""A listing in which somebody wrote what nobody expects: the run publishes what it has to publish."""

from pathlib import Path
from typing import Any

import anyio
import msgspec
import pyarrow as pa
import pytest
from aiohttp import web

from bulkload.core.bounds import LARGEST_ITEM_BYTES
from bulkload.core.model.errors import ExitCode
from bulkload.engine.publish import publish
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.conftest import SettingsFor, WriteManifest
from tests.core.contract.test_schemas import garbled
from tests.gateway import gateway_before

pytestmark = pytest.mark.anyio

CONTENT = b"N."
SCHEMA = {"x": "float32"}
GARBLED = garbled(pa.schema([("zzzz", pa.float32())]), b"zzzz")


def listing(**changes: Any) -> dict[str, Any]:
    """A workspace with a version of our model, of somebody else; ``changes`` are to that version or its config."""
    config = {"input_schema": changes.pop("input_schema", None), "output_schema": None}
    version = {
        "id": 7,
        "name": "m",
        "workspace_id": 108,
        "visibility": "private",
        "conversion": {"framework": "xgboost", "requirements": [], "python_version": "3.8"},
        "status": "ready",
        "file_info": {
            "sha": "5f36b2ea290645ee34d943220a14b54ee5ea5be5a4ed5d4e8f23b35dd4ed4d8b",
            "size": len(CONTENT),
            "file_name": "m-0.onnx",
            "version": "b935b572-04d5-4071-a174-985be94c724d",
        },
        **changes,
    }
    return {"models": [{"model_versions": [{"model_version": version, "config": config}]}]}


LISTINGS = {
    "a schema whose column is no text": msgspec.json.encode(listing(input_schema=GARBLED)),
    "a schema that is none": msgspec.json.encode(listing(input_schema="/////zA")),
    "numbers where texts belong": msgspec.json.encode(listing(status=5, error_summary=[], created_at={}, file_info=7)),
    "a framework's settings of many levels": msgspec.json.encode(
        listing(conversion={"framework": "custom", "framework_config": {"config": [[[[[[[[[{"a": [[[]]]}]]]]]]]]]}})
    ),
    "requirements of many levels": msgspec.json.encode(listing(conversion={"framework": "x", "requirements": [[[1]]]})),
    "20,000 levels": b"[" * 20_000,
    "20,000 levels in a version": b'{"models":[{"model_versions":[{"model_version":' + b'{"a":[' * 10_000,
    "a text without end": b'{"models":[{"model_versions":[{"model_version":{"id":1,"name":"' + b"x" * (40 << 20),
    "a version of 2 MiB": msgspec.json.encode(listing(error_summary="x" * 2 * LARGEST_ITEM_BYTES)),
    "no UTF-8": msgspec.json.encode(listing(name="zzzz")).replace(b"zzzz", b"\xff\xff\xff\xff"),
    "half a pair": msgspec.json.encode(listing(name="zzzz")).replace(b"zzzz", b"\\ud800"),
    "settings with numbers beyond all": msgspec.json.encode(
        listing(conversion={"framework": "custom", "framework_config": {"config": {"a": 1234567890}}})
    ).replace(b"1234567890", b"9" * 40),
    "numbers beyond all": msgspec.json.encode(listing(id=8)).replace(b'"id":8', b'"id":' + b"9" * 5_000),
}


@pytest.mark.parametrize("what", LISTINGS)
async def test_the_run_goes_on(
    write_manifest: WriteManifest, settings_for: SettingsFor, tmp_path: Path, what: str
) -> None:
    """A version that cannot be ours is another one; a listing that is none is left, and each model asked for."""
    rows = [{"name": "m", "framework": "xgboost", "input_schema": SCHEMA, "output_schema": SCHEMA, "content": CONTENT}]
    manifest = write_manifest(rows)

    async def decide(call: str) -> web.Response | None:
        return web.json_response(body=LISTINGS[what]) if call == "models/list" else None

    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0)) as sandbox:
        async with gateway_before(sandbox.endpoint, decide) as gateway:
            settings = settings_for(manifest, sandbox, endpoint=gateway.endpoint, patience=30.0)
            with anyio.fail_after(60):
                summary = await publish(settings)
        assert summary.exit_code == ExitCode.OK
        assert [version.name for version in sandbox.versions()] == ["m"]

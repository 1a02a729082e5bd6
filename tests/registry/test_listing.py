"""models/list: one document of any size, read while it comes."""

import asyncio
import gzip
import tracemalloc
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bulkload.core.verdicts import CallFailed, FailureKind
from tests.variants import every

pytestmark = pytest.mark.anyio
SAMPLE = Path(__file__).parents[2].parent / "shared" / "data" / "models-list-sample.json"


def model(number: int, versions: int = 1) -> dict[str, Any]:
    """One item of the list."""
    nodes = [
        {
            "model_version": {
                "name": f"m{number}",
                "id": number * 100 + index,
                "workspace_id": 1,
                "file_info": {"sha": "ab" * 32, "size": 5},
            },
            "config": {"input_schema": "A" * 600},
        }
        for index in range(versions)
    ]
    return {"model": {"id": number, "name": f"m{number}", "owner_id": '""'}, "model_versions": nodes}


async def ids(registry: Any) -> list[int]:
    """The ids of all versions listed."""
    return [version.version_id async for some in registry.list_workspace(1) for version in some]


async def test_the_first_models_come_before_the_end(bench: Any) -> None:
    """While the registry still writes the others."""
    first, second = asyncio.Event(), asyncio.Event()

    async def play(connection: Any) -> None:
        await connection.request()
        parts = [msgspec.json.encode(model(number)) for number in (1, 2)]
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        await connection.send(head + b'{"models":[' + parts[0] + b",")
        await first.wait()
        await connection.send(parts[1] + b"]}")
        second.set()

    async with bench.before(play) as (wire, registry), aclosing(registry.list_workspace(1)) as listing:
        assert [version.version_id for version in await anext(listing)] == [100]
        assert not second.is_set()
        first.set()
        assert [version.version_id for version in await anext(listing)] == [200]
        assert [some async for some in listing] == []
    assert wire.requests[0].json == {"workspace_id": 1, "workspace_name": None}


async def test_a_listing_can_be_left(bench: Any) -> None:
    """The connection goes with it; the next call is served."""

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + b'{"models":[' + msgspec.json.encode(model(1)))
        await connection.reader.read()

    async with bench.before(play) as (wire, registry):
        for _ in range(2):
            async with aclosing(registry.list_workspace(1)) as listing:
                await anext(listing)
        assert wire.connections == 2


@pytest.mark.parametrize("cut", [1, 11, 40, -2, -1])
@pytest.mark.parametrize("framed", [True, False])
async def test_a_listing_that_breaks_off_raises(bench: Any, cut: int, framed: bool) -> None:
    """Half of the versions must not pass for all of them."""
    whole = msgspec.json.encode({"models": [model(1), model(2)]})

    async def play(connection: Any) -> None:
        await connection.request()
        length = b"Content-Length: %d\r\n" % len(whole) if framed else b""
        await connection.send(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + whole[:cut])

    async with bench.before(play) as (_, registry):
        with pytest.raises(CallFailed) as raised:
            await ids(registry)
        assert raised.value.failure.kind is (FailureKind.CUT if framed else FailureKind.FOREIGN)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"models":null}',
        b'{"models":{}}',
        b'{"msg":"no","code":500}',
        b'{"x":{"models":[]}}',
        b"<html></html>",
        b'{"models":[]} and more',
        b'{"models":[{"model_versions":[{"a":"\xff"}]}]}',
        b'{"models":[{"model_versions":[{"a":99999999999999999999999}]}]}',
    ],
)
async def test_what_is_no_list_of_models_raises(bench: Any, body: bytes) -> None:
    """An error told with status 200 must not look like an empty workspace: everything would be published again."""
    async with bench.replying(bench.answer(200, body)) as (_, registry):
        with pytest.raises(CallFailed) as raised:
            await ids(registry)
        assert raised.value.failure.kind in (FailureKind.UNREADABLE, FailureKind.FOREIGN)


@pytest.mark.parametrize(
    "models",
    [
        [],
        [{"id": 5, "name": "m", "owner_id": "", "created_at": "2023-01-01T00:00:00Z", "updated_at": None}],
        [{"model": {}, "model_versions": []}, {"model_versions": None}, None, 7, {"model_versions": [None, {}, 3]}],
    ],
)
async def test_a_list_without_versions_is_one(bench: Any, models: Any) -> None:
    """An empty workspace, the flat form of 2023, and whatever else a model may look like."""
    async with bench.replying(bench.answer(body={"total": 3, "models": models, "next": None})) as (_, registry):
        assert await ids(registry) == []


async def test_a_compressed_listing_is_read(bench: Any) -> None:
    """It shrinks to a twentieth, which matters on a slow line."""
    packed = gzip.compress(msgspec.json.encode({"models": [model(number) for number in range(1, 50)]}))
    async with bench.replying(bench.answer(200, packed, content_encoding="gzip")) as (wire, registry):
        assert await ids(registry) == [number * 100 for number in range(1, 50)]
    assert wire.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("models", every(2, [1, 80]))
async def test_memory_is_bounded(bench: Any, models: int) -> None:
    """6 MB of versions, in many models or in one, pass through less than 2 MB."""
    versions = 8_000 // models

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n", b'{"models":[')
        node = msgspec.json.encode(model(1)["model_versions"][0])
        for number in range(models):
            await connection.send(b"," if number else b"", b'{"model_versions":[')
            for index in range(0, versions, 100):
                await connection.send(b"," if index else b"", b",".join([node] * 100))
            await connection.send(b"]}")
        await connection.send(b"]}")

    async with bench.before(play) as (_, registry):
        tracemalloc.start()
        try:
            count = 0
            async for some in registry.list_workspace(1):
                count += len(some)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert count == 8_000
    assert peak < 2_000_000


@pytest.mark.skipif(not SAMPLE.exists(), reason="the real answer is not beside this repository")
async def test_a_real_answer_is_read_field_by_field(bench: Any) -> None:
    """Seven models, thirteen versions, as a registry of 2026 gave them."""
    body = SAMPLE.read_bytes()
    async with bench.replying(bench.answer(200, body)) as (_, registry):
        found = {version.version_id: version async for some in registry.list_workspace(108) for version in some}
    nodes = [node for item in msgspec.json.decode(body)["models"] for node in item["model_versions"]]
    assert len(nodes) == len(found) == 13
    for node in nodes:
        shown, config = node["model_version"], node["config"]
        version = found[shown["id"]]
        assert version.conversion is not None
        assert {
            "name": version.name,
            "workspace_id": version.workspace_id,
            "visibility": version.visibility,
            "status": version.status,
            "created_at": version.created_at,
            "file_info": {
                "version": version.uuid,
                "sha": version.sha256,
                "file_name": version.file_name,
                "size": version.size,
            },
        } == {key: shown[key] for key in ("name", "workspace_id", "visibility", "status", "created_at", "file_info")}
        assert version.error_summary == (None if shown["error_summary"] == "null" else shown["error_summary"])
        assert (version.input_schema, version.output_schema) == (config["input_schema"], config["output_schema"])
        conversion = msgspec.structs.asdict(version.conversion)
        conversion["requirements"] = list(conversion["requirements"])
        assert conversion == {"arch": None, "accel": None, **shown["conversion"]}

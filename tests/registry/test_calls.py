"""Each call of the client against a real registry over HTTP."""

from typing import Any

import pytest

from bulkload.core.model.records import Workspace
from bulkload.core.verdicts import CallFailed, FailureKind

pytestmark = pytest.mark.anyio
NATIVE = "models/upload"


async def test_config_needs_no_token(bench: Any) -> None:
    """It is asked before anybody has logged in."""
    async with bench.replying(bench.answer(body={"default_arch": "x86"})) as (wire, registry):
        assert await registry.config() == {"default_arch": "x86"}
    assert (wire.requests[0].method, wire.requests[0].path) == ("GET", "/v1/api/config")
    assert "authorization" not in wire.requests[0].headers


async def test_the_instance(start: Any) -> None:
    """Config, workspaces, a new workspace."""
    async with start() as (sandbox, registry):
        assert (await registry.config())["default_arch"] == "x86"
        assert [workspace.workspace_id for workspace in await registry.workspaces()] == [sandbox.workspace_id]
        created = await registry.create_workspace("new")
        assert Workspace(workspace_id=created, name="new") in await registry.workspaces()
        with pytest.raises(CallFailed) as raised:
            await registry.create_workspace("new")
        assert raised.value.failure.status == 500


@pytest.mark.parametrize("call", [NATIVE, "models/upload_and_convert"])
async def test_both_upload_routes(start: Any, bench: Any, call: str) -> None:
    """200 or 202, the id is the version's."""
    async with start() as (sandbox, registry):
        version_id = await bench.upload(registry, b"content", call, workspace_id=sandbox.workspace_id)
        stored = sandbox.versions()[0]
        assert stored.id == version_id
        assert stored.path.read_bytes() == b"content"
        version = await registry.version(version_id)
        assert (version.version_id, version.name, version.workspace_id) == (version_id, "m", sandbox.workspace_id)
        assert (version.sha256, version.size, version.file_name) == (stored.sha256, 7, "model.onnx")
        assert (version.uuid, version.status) == (stored.uuid, stored.status)
        assert sandbox.requests()[0].path == f"/v1/api/{call}"


async def test_the_listings_agree(start: Any, bench: Any) -> None:
    """models/list, list_versions_for_model, list_versions."""
    async with start() as (sandbox, registry):
        other = await registry.create_workspace("other")
        ids = [await bench.upload(registry, b"%d" % n, workspace_id=sandbox.workspace_id) for n in range(2)]
        elsewhere = await bench.upload(registry, workspace_id=other)
        await bench.upload(registry, workspace_id=other, name="n")
        listed = [version async for some in registry.list_workspace(sandbox.workspace_id) for version in some]
        assert sorted(version.version_id for version in listed) == ids
        assert sorted(await registry.list_versions_for_model("m", sandbox.workspace_id), key=str) == sorted(
            listed, key=str
        )
        rows = await registry.list_versions("m")
        assert sorted(row.version_id for row in rows) == [*ids, elsewhere]
        assert {(row.version_id, row.sha256) for row in rows} >= {(v.version_id, v.sha256) for v in listed}
        assert await registry.list_versions_for_model("unknown", other) == []
        assert await registry.list_versions("unknown") == []


async def test_list_versions_asks_by_name_alone(bench: Any) -> None:
    """The registry matches name OR model id: another id drags in another model."""
    async with bench.replying(bench.answer(body=[])) as (wire, registry):
        await registry.list_versions("m")
    assert wire.requests[0].json == {"model_id": "m"}


async def test_config_and_logs_of_a_version(start: Any, bench: Any) -> None:
    """What an unknown version has is nothing, not a failure; logs count from the newest."""
    async with start() as (sandbox, registry):
        schema = {"input_schema": "/////zAAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAAAAAA="}
        schema["output_schema"] = schema["input_schema"]
        with pytest.raises(CallFailed) as raised:
            await bench.upload(registry, framework="custom", workspace_id=sandbox.workspace_id, **schema)
        assert (raised.value.failure.status, raised.value.failure.message) == (
            400,
            "Bad request: Not a valid ZIP file.",
        )
        version_id = await bench.upload(registry, workspace_id=sandbox.workspace_id)
        config = await registry.version_config(version_id)
        assert config is not None
        assert config["runtime"] == "onnx"
        assert await registry.version_config(999_999) is None
        assert await registry.upload_logs(version_id) == []


async def test_log_lines_are_asked_for_by_number(bench: Any) -> None:
    """And what is no line is left out."""
    async with bench.replying(bench.answer(body={"logs": ["a", None, "b"]})) as (wire, registry):
        assert await registry.upload_logs(1215, lines=2) == ["a", "b"]
    assert wire.requests[0].json == {"model_version_id": 1215, "lines": 2}


async def test_an_unknown_version_is_a_refusal(start: Any) -> None:
    """404 or 500, as the registry is built."""
    async with start(unknown_version_status=500) as (_, registry):
        with pytest.raises(CallFailed) as raised:
            await registry.version(7)
        assert raised.value.failure.kind is FailureKind.STATUS
        assert raised.value.failure.status == 500


async def test_every_request_is_counted_by_kind(start: Any, bench: Any) -> None:
    """The same number that the registry's own log holds."""
    async with start() as (sandbox, registry):
        version_id = await bench.upload(registry, workspace_id=sandbox.workspace_id)
        await registry.config()
        await registry.version(version_id)
        await registry.version(version_id)
        await registry.list_versions("m")
        assert registry.requests == {"upload": 1, "other": 1, "poll": 2, "list": 1}
        assert len(sandbox.requests()) == registry.requests.total()


async def test_the_registrys_clock_is_known(bench: Any) -> None:
    """From its last answer; errors count too."""
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    async with bench.replying(bench.answer(500, date=date), bench.answer(body={})) as (_, registry):
        at_first = registry.answered_at
        with pytest.raises(CallFailed):
            await registry.config()
        await registry.config()
        assert (at_first, str(registry.answered_at)) == (None, "2015-10-21 07:28:00+00:00")


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("config", ()),
        ("workspaces", ()),
        ("create_workspace", ("w",)),
        ("version", (1,)),
        ("version_config", (1,)),
        ("upload_logs", (1,)),
        ("list_versions", ("m",)),
        ("list_versions_for_model", ("m", 1)),
    ],
)
@pytest.mark.parametrize("body", [b"", b"{}x", b"null", b"7", b'"text"', b"\xff", b"[" * 100_000, b'{"a":"\\ud800"}'])
async def test_a_success_that_says_nothing_usable_is_unreadable(
    bench: Any, call: str, arguments: tuple[Any, ...], body: bytes
) -> None:
    """Never another exception, never a wrong result."""
    async with bench.replying(bench.answer(200, body)) as (_, registry):
        with pytest.raises(CallFailed) as raised:
            await getattr(registry, call)(*arguments)
        assert raised.value.failure.kind in (FailureKind.UNREADABLE, FailureKind.FOREIGN)


async def test_an_answer_about_another_version_is_none(bench: Any) -> None:
    """Something on the way keeps answers, or mixes them up."""
    body = {"model_version": {"model_version": {"id": 2, "name": "m", "workspace_id": 1, "status": "ready"}}}
    async with bench.replying(bench.answer(200, body), bench.answer(200, body)) as (_, registry):
        with pytest.raises(CallFailed) as raised:
            await registry.version(1)
        assert raised.value.failure.kind is FailureKind.UNREADABLE
        assert (await registry.version(2)).version_id == 2


async def test_a_closed_registry_cannot_be_asked(bench: Any) -> None:
    """It is a mistake in the program, not in the world."""
    registry = bench.registry("http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="not open"):
        await registry.config()

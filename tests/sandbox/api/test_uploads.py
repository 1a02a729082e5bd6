"""Publishing: what an upload leaves behind, and what it must not leave behind."""

import asyncio
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from io import FileIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from bulkload.sandbox.door import incoming

pytestmark = pytest.mark.anyio


async def test_upload_and_convert_answers_202_with_the_version_id_and_keeps_the_bytes(start: Any) -> None:
    """The stored file, its digest, size and name are those that were sent."""
    content = os.urandom(100_000)
    async with start() as caller:
        status, answer = await caller.send(content, name="first", file_name="ccfraud.onnx")
        assert status == 202
        (stored,) = caller.sandbox.versions()
        assert answer == {"insert_models": {"returning": [{"models": [{"id": stored.id}]}]}}
        assert stored.path.read_bytes() == content
        assert stored.sha256 == hashlib.sha256(content).hexdigest()
        assert (stored.name, stored.file_name, stored.size) == ("first", "ccfraud.onnx", 100_000)
        assert stored.workspace_id == caller.sandbox.workspace_id


async def test_upload_answers_200_and_is_ready_at_once_without_a_task(start: Any) -> None:
    """models/upload converts nothing, however slow conversions are."""
    async with start(time_scale=1000.0) as caller:
        assert (await caller.send(route="models/upload"))[0] == 200
        (stored,) = caller.sandbox.versions()
        version = await caller.poll(stored.id)
        assert (version["status"], version["task_id"], version["image_path"]) == ("ready", None, None)


async def test_upload_stream_takes_a_raw_body(start: Any) -> None:
    """The legacy route: all but the bytes is in the query."""
    async with start() as caller:
        url = f"{caller.sandbox.endpoint}/v1/api/models/upload_stream"
        query = {"name": "raw", "filename": "a.onnx", "visibility": "private", "workspace_id": "108"}
        async with caller.session.post(url, params=query, data=b"raw bytes") as response:
            assert response.status == 200
        async with caller.session.post(url, params={"name": "raw"}, data=b"raw bytes") as response:
            assert response.status == 400
        (stored,) = caller.sandbox.versions()
        assert (stored.name, stored.path.read_bytes()) == ("raw", b"raw bytes")


@pytest.mark.parametrize("file_first", [False, True])
async def test_the_parts_come_in_either_order(start: Any, file_first: bool) -> None:
    """The guide sends metadata first, the generated client the file."""
    async with start() as caller:
        await caller.publish(b"either", file_first=file_first)
        (stored,) = caller.sandbox.versions()
        assert stored.path.read_bytes() == b"either"


async def test_the_same_bytes_again_make_another_version_of_the_same_model(start: Any) -> None:
    """There is no idempotency: new id, new UUID, same digest, same model."""
    async with start() as caller:
        first, second = await caller.publish(), await caller.publish()
        one, two = caller.sandbox.versions()
        assert (one.id, two.id) == (first, second)
        assert one.uuid != two.uuid
        assert (one.sha256, one.models_pk_id) == (two.sha256, two.models_pk_id)


async def test_the_three_kinds_of_ids_are_apart_and_overlap(start: Any) -> None:
    """A version id taken for a model pk finds another model, as on the real registry."""
    async with start() as caller:
        for number in range(14):
            await caller.publish(name=f"m{number}", content=b"x")
        stored = caller.sandbox.versions()
        assert all(version.id != version.models_pk_id for version in stored)
        assert {version.id for version in stored} & {version.models_pk_id for version in stored}
        configs = [(await caller.ask("models/get_config_by_id", {"model_id": version.id}))[1] for version in stored]
        assert not {config["model_config"]["id"] for config in configs} & {version.id for version in stored}


async def test_the_file_name_is_stored_as_sent_with_its_directories(start: Any) -> None:
    """Which is why a client must send a basename."""
    async with start() as caller:
        await caller.publish(file_name="/home/me/x.onnx")
        assert caller.sandbox.versions()[0].file_name == "/home/me/x.onnx"


async def test_metadata_comes_back_as_the_real_registry_shows_it(start: Any, archive: Callable[..., bytes]) -> None:
    """arch and accel only when sent; custom's framework_config filled in, its model_path rewritten."""
    async with start() as caller:
        plain = await caller.poll(await caller.publish())
        assert plain["conversion"] == {
            "python_version": "3.8",
            "requirements": [],
            "framework": "onnx",
            "framework_config": None,
        }
        chosen = await caller.poll(await caller.publish(conversion={"arch": "arm", "accel": "jetson"}))
        assert (chosen["conversion"]["arch"], chosen["conversion"]["accel"]) == ("arm", "jetson")
        custom = await caller.publish(archive(), framework="custom", file_name="my.zip")
        config = {"framework": "custom", "config": {"model_path": "my.zip/model"}}
        assert (await caller.poll(custom))["conversion"]["framework_config"] == config


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"parts": ("file",)}, "missing part 'metadata'"),
        ({"parts": ("metadata",)}, "missing part 'file'"),
        ({"metadata": "{not json"}, "malformed metadata"),
        ({"metadata": "[]"}, "malformed metadata"),
        ({"metadata": json.dumps({"name": "m"})}, "malformed metadata: Object missing required field"),
        ({"workspace_id": "108"}, "workspace_id"),
        ({"workspace_id": 999}, "workspace 999 does not exist"),
        ({"name": "Bad_Name"}, "invalid model name"),
        ({"name": "a" * 64}, "invalid model name"),
        ({"name": "a\n"}, "invalid model name"),
        ({"visibility": "secret"}, "unknown visibility"),
        ({"framework": "onyx"}, "unknown framework"),
        ({"conversion": {"requirements": "numpy"}}, "requirements"),
        ({"conversion": {"python_version": "3.11"}}, "unknown python_version"),
        ({"conversion": {"arch": "sparc"}}, "unknown arch"),
        ({"conversion": {"accel": "tpu"}}, "unknown accel"),
        ({"conversion": {"accel": {"qaic": {}, "cuda": {}}}}, "exactly one key"),
        ({"conversion": {"framework_config": {"framework": "vllm", "config": {}}}}, "framework_config"),
        ({"framework": "pytorch", "input_schema": None}, "input_schema is required"),
        ({"framework": "pytorch", "output_schema": "?"}, "output_schema cannot be decoded"),
        ({"framework": "pytorch", "output_schema": "AAAA"}, "output_schema cannot be decoded"),
        ({"framework": "custom", "content": b"bytes"}, "Not a valid ZIP file."),
        ({"framework": "hugging-face-translation", "content": b"bytes"}, "Not a valid ZIP file."),
    ],
)
async def test_a_wrong_upload_is_refused_with_its_reason_and_leaves_nothing(
    start: Any, fields: dict[str, Any], reason: str
) -> None:
    """400 with `Bad request: ...` in the registry's error body; no row, no file."""
    async with start() as caller:
        status, answer = await caller.send(**fields)
        assert (status, answer["code"]) == (400, 400)
        assert answer["msg"].startswith("Bad request: ")
        assert reason in answer["msg"]
        assert nothing_left(caller)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that arriving bytes were written to."""
    paths: list[Path] = []

    class Recorder(FileIO):
        def __init__(self, path: Path, mode: str) -> None:
            paths.append(path)
            super().__init__(path, mode)

    monkeypatch.setattr(incoming, "FileIO", Recorder)
    return paths


@pytest.mark.parametrize(
    "fields",
    [{"name": "Not-A-Name"}, {"workspace_id": 1}, {"visibility": "secret"}, {"file_name": "a" * 5000}],
    ids=str,
)
async def test_the_bytes_of_a_refused_upload_never_touch_the_disk(
    start: Any, opened: list[Path], fields: dict[str, Any]
) -> None:
    """Names and numbers are checked when the metadata has come; behind the file that is too late, but not undone."""
    async with start() as caller:
        status, _ = await caller.send(os.urandom(5_000_000), **fields)
        assert (status, opened) == (400, [])
        status, _ = await caller.send(os.urandom(5_000_000), file_first=True, **fields)
        assert (status, len(opened)) == (400, 1)
        await caller.publish()
        assert len(opened) == 2
        assert len(caller.sandbox.versions()) == 1


@pytest.mark.parametrize(
    "query",
    [{"name": "Not-A-Name"}, {"workspace_id": "1"}, {"visibility": "secret"}, {"filename": "a" * 5000}],
    ids=str,
)
async def test_the_bytes_of_a_refused_stream_never_touch_the_disk(
    start: Any, opened: list[Path], query: dict[str, str]
) -> None:
    """All of it stands in the query."""
    async with start() as caller:
        whole = {"name": "m", "filename": "m.onnx", "workspace_id": str(caller.sandbox.workspace_id)} | query
        url = f"{caller.sandbox.endpoint}/v1/api/models/upload_stream"
        async with caller.session.post(url, params=whole, data=os.urandom(100_000)) as response:
            assert (response.status, opened) == (400, [])


async def test_a_body_larger_than_the_room_that_is_left_is_refused_at_once(
    start: Any, opened: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """507, by its Content-Length alone."""
    async with start() as caller:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100_000, total=0))
        status, answer = await caller.send(os.urandom(200_000))
        assert (status, answer["code"], opened) == (507, 507, [])
        await caller.publish(os.urandom(50_000))


async def test_a_body_that_is_no_multipart_is_refused(start: Any) -> None:
    """JSON, a cut body, nothing."""
    async with start() as caller:
        status, answer = await caller.ask("models/upload", {"name": "m"})
        assert (status, answer["code"]) == (400, 400)
        url = f"{caller.sandbox.endpoint}/v1/api/models/upload"
        cut = b'--x\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{}'
        async with caller.session.post(url, data=cut, headers={"Content-Type": "multipart/form-data; boundary=x"}) as r:
            assert (r.status, "closing boundary" in await r.text()) == (400, True)
        assert nothing_left(caller)


async def test_an_upload_that_breaks_off_leaves_nothing(start: Any) -> None:
    """The client vanishes in mid-body: logged as aborted, no version, no file."""
    async with start() as caller:

        async def breaking() -> AsyncIterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"a" * 300_000
            raise RuntimeError("the client dies")

        headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "1000000"}
        with pytest.raises((aiohttp.ClientError, RuntimeError)):
            await caller.session.post(
                f"{caller.sandbox.endpoint}/v1/api/models/upload", data=breaking(), headers=headers
            )
        await caller.until(lambda: bool(caller.sandbox.requests()))
        (record,) = caller.sandbox.requests()
        assert (record.fate, record.status) == ("aborted", None)
        await caller.until(lambda: nothing_left(caller))


async def test_a_large_file_streams_through(start: Any) -> None:
    """Many pieces, batches and threads: the same bytes in the end."""
    pieces = [os.urandom(1 << 20) for _ in range(9)]
    async with start() as caller:

        async def body() -> AsyncIterator[bytes]:
            yield (
                b'--x\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n'
                + json.dumps(caller.metadata()).encode()
                + b'\r\n--x\r\nContent-Disposition: form-data; name="file"; filename="big.onnx"\r\n\r\n'
            )
            for piece in pieces:
                yield piece
            yield b"\r\n--x--\r\n"

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        url = f"{caller.sandbox.endpoint}/v1/api/models/upload"
        async with caller.session.post(url, data=body(), headers=headers) as response:
            assert response.status == 200
        (stored,) = caller.sandbox.versions()
        assert stored.path.read_bytes() == b"".join(pieces)
        assert stored.sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()


async def test_parallel_uploads_make_one_version_each(start: Any) -> None:
    """Over several connections at once: every content once, ids without gaps in the order of creation."""
    contents = [f"content {number}".encode() for number in range(60)]
    async with start() as caller:
        async with asyncio.TaskGroup() as group:
            for number, content in enumerate(contents):
                group.create_task(caller.publish(content, name=f"m{number % 7}"))
        stored = caller.sandbox.versions()
        assert sorted(version.path.read_bytes() for version in stored) == sorted(contents)
        assert [version.id for version in stored] == list(range(stored[0].id, stored[0].id + 60))
        assert len({version.models_pk_id for version in stored}) == 7


async def test_two_racing_uploads_of_one_model_both_get_the_newest_id(start: Any) -> None:
    """The trap of the real insert: the answer names the newest version, here another client's."""
    async with start(faults=("upload:slow=3600@1",)) as caller, asyncio.TaskGroup() as group:
        slow = group.create_task(caller.send(b"slow"))
        await caller.until(lambda: len(caller.sandbox.versions()) == 1)
        newest = await caller.publish(b"fast")
        caller.sandbox.end_waits()
        _, answer = await slow
        assert answer["insert_models"]["returning"][0]["models"][0]["id"] == newest
        first, second = caller.sandbox.versions()
        assert (first.path.read_bytes(), second.id) == (b"slow", newest)
        assert {record.version_id for record in caller.sandbox.requests()} == {first.id, second.id}


def nothing_left(caller: Any) -> bool:
    files = [
        path for path in caller.sandbox.data.rglob("*") if path.is_file() and re.search("files|incoming", str(path))
    ]
    return caller.sandbox.versions() == [] and files == []

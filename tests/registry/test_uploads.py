"""The way of a file's bytes to a real registry, small and in pieces: exact, in order, broken off for good."""

from typing import Any

import anyio
import pytest

from bulkload.core.verdicts import CallFailed

pytestmark = pytest.mark.anyio
MEBIBYTE = 1 << 20
CONVERT = "models/upload_and_convert"


class Broken(Exception):
    """What whoever reads the file raises."""


async def in_pieces(registry: Any, form: Any, content: bytes, *, size: int | None = None) -> Any:
    """Upload a file that is said to have ``size`` bytes."""
    async with registry.uploading(CONVERT, form, len(content) if size is None else size) as upload:
        for start in range(0, len(content), 300_000):
            await upload.write(content[start : start + 300_000])
        return await upload.finish()


@pytest.mark.parametrize("size", [0, 1, 65_536, MEBIBYTE, 3 * MEBIBYTE + 5])
async def test_both_ways_store_the_same_bytes(start: Any, bench: Any, size: int) -> None:
    """Whatever the size."""
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    async with start() as (sandbox, registry):
        form = bench.form(workspace_id=sandbox.workspace_id)
        first = await registry.send_small(CONVERT, form, content)
        second = await in_pieces(registry, form, content)
        one, other = sandbox.versions()
        assert (one.id, other.id) == (first, second)
        assert one.path.read_bytes() == other.path.read_bytes() == content


async def test_the_request_is_exact(bench: Any) -> None:
    """Length announced, not chunked, not compressed, with token; alike but for the leave that a large body asks for."""
    async with bench.replying(bench.answer(202, bench.inserted())) as (wire, registry):
        form = bench.form()
        await registry.send_small(CONVERT, form, b"bytes")
        await in_pieces(registry, form, b"bytes")
    first, second = wire.requests
    assert second.headers.pop("expect") == "100-continue"
    assert first == second
    assert (first.method, first.path) == ("POST", "/v1/api/models/upload_and_convert")
    assert first.headers["content-length"] == str(len(first.body)) == str(form.content_length(5))
    assert first.headers["content-type"] == f"multipart/form-data; boundary={form.boundary}"
    assert first.headers["authorization"] == f"Bearer {bench.token}"
    assert not {"transfer-encoding", "content-encoding", "expect", "cookie"} & first.headers.keys()
    assert first.body == form.head + b"bytes" + form.tail


@pytest.mark.parametrize("error", [Broken("mine"), OSError(5, "disk"), TimeoutError("mine"), ValueError("mine")])
@pytest.mark.parametrize("number", [0, 1, 2])
async def test_what_breaks_before_the_end_stores_nothing(start: Any, bench: Any, error: Exception, number: int) -> None:
    """Its own exception comes out, and the next upload is served."""

    async def break_off(upload: Any) -> None:
        async with upload:
            for _ in range(number):
                await upload.write(b"x" * MEBIBYTE)
            raise error

    async with start() as (sandbox, registry):
        form = bench.form(workspace_id=sandbox.workspace_id)
        with pytest.raises(type(error)) as raised:
            await break_off(registry.uploading(CONVERT, form, 2 * MEBIBYTE))
        assert raised.value is error
        await bench.upload(registry, b"next", workspace_id=sandbox.workspace_id)
        assert [version.size for version in sandbox.versions()] == [4]


@pytest.mark.parametrize(("by", "words"), [(-1, "ends 1 bytes before"), (1, "is 1 bytes longer")])
async def test_a_file_of_another_length_never_becomes_a_version(start: Any, bench: Any, by: int, words: str) -> None:
    """What is too much is not cut off, and what is missing not waited for."""
    async with start() as (sandbox, registry):
        form = bench.form(workspace_id=sandbox.workspace_id)
        with pytest.raises(ValueError, match=words):
            await in_pieces(registry, form, b"x" * (1000 + by), size=1000)
        assert sandbox.versions() == []


async def test_a_slow_body_is_not_cut(bench: Any) -> None:
    """One piece may take many times as long as the time without progress, when it moves."""
    taken, size = 0, 12 * MEBIBYTE

    async def play(connection: Any) -> None:
        nonlocal taken
        length = int((await connection.head()).headers["content-length"])
        while taken < length:
            taken += len(await connection.reader.readexactly(min(400_000, length - taken)))
            await anyio.sleep(0.05)
        await connection.send(bench.answer(202, bench.inserted(5)))

    async with bench.before(play, progress_timeout=0.4) as (_, registry):
        began = anyio.current_time()
        async with registry.uploading(CONVERT, bench.form(), size) as upload:
            await upload.write(b"x" * size)
            assert await upload.finish() == 5
        assert anyio.current_time() - began > 0.8


@pytest.mark.parametrize("status", [401, 413, 503])
@pytest.mark.parametrize("ends", ["stays open", "closes", "resets after reading"])
async def test_an_early_refusal_is_told_as_such(bench: Any, status: int, ends: str) -> None:
    """Sent while the body is still being written, with the connection closed behind it: the status counts."""

    async def play(connection: Any) -> None:
        await connection.head()
        await connection.reader.read(100_000)
        await connection.send(bench.answer(status, {"msg": "too early", "code": status}, Connection="close"))
        if ends == "stays open":
            await anyio.sleep_forever()
        elif ends == "resets after reading":
            await connection.reader.read(100_000)

    for _ in range(10):
        async with bench.before(play) as (_, registry):
            with anyio.fail_after(60), pytest.raises(CallFailed, match="too early") as raised:
                await bench.push(registry, 64 * MEBIBYTE)
            assert raised.value.failure.status == status

"""The way of a file's bytes: exact, in order, broken off for good."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import anyio
import pytest

from bulkload.core.verdicts import CallFailed, FailureKind

pytestmark = pytest.mark.anyio
MEBIBYTE = 1 << 20
CONVERT = "models/upload_and_convert"


class Broken(Exception):
    """What an iterator raises."""


class Pieces:
    """A body in pieces that can be watched; ``at`` is called before the piece of that number."""

    def __init__(self, *pieces: bytes, at: dict[int, Callable[[], Any]] | None = None) -> None:
        self.asked = 0
        self.closed = False
        self._pieces = pieces
        self._at = at or {}

    async def __call__(self) -> AsyncGenerator[bytes]:
        try:
            for number, piece in enumerate(self._pieces):
                self.asked = number + 1
                if number in self._at:
                    waiting = self._at[number]()
                    if waiting is not None:
                        await waiting
                yield piece
        finally:
            self.closed = True


def raising(error: BaseException) -> Callable[[], None]:
    """Raises it when called."""

    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("size", [0, 1, 65_536, MEBIBYTE, 3 * MEBIBYTE + 5])
async def test_one_body_and_pieces_store_the_same_bytes(start: Any, bench: Any, size: int) -> None:
    """Whatever the size."""
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    async with start() as (sandbox, registry):
        form = bench.form(workspace_id=sandbox.workspace_id)
        cut = [content[i : i + 300_000] for i in range(0, size, 300_000)]
        first = await registry.upload(CONVERT, form, size, form.head + content + form.tail)
        second = await registry.upload(CONVERT, form, size, Pieces(form.head, *cut, form.tail)())
        one, other = sandbox.versions()
        assert (one.id, other.id) == (first, second)
        assert one.path.read_bytes() == other.path.read_bytes() == content


async def test_the_request_is_exact(bench: Any) -> None:
    """Length announced, not chunked, not compressed, with token; alike but for the leave that a large body asks for."""
    async with bench.replying(bench.answer(202, bench.inserted())) as (wire, registry):
        form = bench.form()
        await registry.upload(CONVERT, form, 5, form.head + b"bytes" + form.tail)
        await registry.upload(CONVERT, form, 5, Pieces(form.head, b"by", b"tes", form.tail)())
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
@pytest.mark.parametrize("number", [0, 1, 3])
async def test_a_broken_iterator_breaks_the_upload_off(start: Any, bench: Any, error: Exception, number: int) -> None:
    """Its own exception comes out, nothing is stored, and the next upload is served."""
    async with start() as (sandbox, registry):
        form = bench.form(workspace_id=sandbox.workspace_id)
        content = b"x" * MEBIBYTE
        pieces = Pieces(form.head, content, content, form.tail, at={number: raising(error)})
        with pytest.raises(type(error)) as raised:
            await registry.upload(CONVERT, form, 2 * MEBIBYTE, pieces())
        assert raised.value is error
        assert pieces.closed
        await bench.upload(registry, b"next", workspace_id=sandbox.workspace_id)
        assert [version.size for version in sandbox.versions()] == [4]


async def test_the_last_piece_waits_until_the_others_have_left(bench: Any) -> None:
    """While it is withheld the registry has all the rest: the seal can still stop the upload."""
    content = b"x" * (3 * MEBIBYTE)
    arrived = 0

    async def play(connection: Any) -> None:
        nonlocal arrived
        length = int((await connection.head()).headers["content-length"])
        while arrived < length:
            arrived += len(await connection.reader.read(MEBIBYTE))
        await connection.send(bench.answer(202, bench.inserted(5)))

    async with bench.before(play) as (_, registry):
        form = bench.form()
        before_tail = len(form.head) + len(content)
        pieces = Pieces(form.head, content, form.tail, at={2: lambda: bench.until(lambda: arrived == before_tail)})
        assert await registry.upload(CONVERT, form, len(content), pieces()) == 5
        assert pieces.closed


@pytest.mark.parametrize(("by", "words"), [(-1, "ends 1 bytes before"), (1, "is 1 bytes longer")])
@pytest.mark.parametrize("in_pieces", [True, False])
async def test_a_body_of_another_length_never_becomes_a_version(
    start: Any, bench: Any, by: int, words: str, in_pieces: bool
) -> None:
    """The library would cut off what is too much, and wait for ever for what is missing."""
    async with start() as (sandbox, registry):
        form = bench.form(workspace_id=sandbox.workspace_id)
        content = b"x" * (1000 + by)
        whole = form.head + content + form.tail
        body = Pieces(form.head, content, form.tail)() if in_pieces else whole
        with pytest.raises(ValueError, match=words):
            await registry.upload(CONVERT, form, 1000, body)
        assert sandbox.versions() == []


async def test_an_answer_before_the_whole_file_is_no_success(bench: Any) -> None:
    """Whatever it names is not that file; the rest never leaves."""

    async def play(connection: Any) -> None:
        await connection.head()
        await connection.reader.read(1)
        await connection.send(bench.answer(202, bench.inserted()))
        await connection.reader.read()

    async with bench.before(play) as (_, registry):
        form = bench.form()
        pieces = Pieces(form.head, b"x", form.tail, at={1: anyio.sleep_forever})
        with pytest.raises(CallFailed) as raised:
            await registry.upload(CONVERT, form, 1, pieces())
        assert raised.value.failure.kind is FailureKind.UNREADABLE
        assert pieces.closed
        assert pieces.asked == 2


async def test_a_stopped_upload_leaves_nothing_behind(bench: Any) -> None:
    """Cancelled in mid-body: the iterator is closed, the connection reset, nothing that was held leaves later."""
    ended = asyncio.Event()
    received = bytearray()
    release = asyncio.Event()

    async def play(connection: Any) -> None:
        await connection.head()
        await release.wait()
        try:
            while piece := await connection.reader.read(MEBIBYTE):
                received.extend(piece)
        except ConnectionResetError:
            ended.set()

    async with bench.before(play) as (wire, registry):
        form = bench.form()
        size = 64 * MEBIBYTE
        pieces = Pieces(form.head, *[b"x" * MEBIBYTE] * 64, form.tail)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def stop_when_stuck() -> None:
                    asked = -1
                    while asked != pieces.asked or not wire.requests:
                        asked = pieces.asked
                        await anyio.sleep(0.05)
                    scope.cancel()

                tasks.start_soon(stop_when_stuck)
                await registry.upload(CONVERT, form, size, pieces())
        assert scope.cancelled_caught
        assert pieces.closed
        release.set()
        with anyio.fail_after(60):
            await ended.wait()
        assert len(received) < size
        assert form.tail not in received


async def test_cleaning_up_is_waited_for(bench: Any) -> None:
    """When the connection is lost while the iterator is busy, nothing of it runs on after the upload has ended."""
    order = []

    async def play(connection: Any) -> None:
        await connection.head()
        await connection.reader.read(1)
        connection.reset()

    async def pieces(form: Any) -> AsyncGenerator[bytes]:
        yield form.head
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.02)
            order.append("iterator")

    async with bench.before(play) as (_, registry):
        form = bench.form()
        with pytest.raises(CallFailed) as raised:
            await registry.upload(CONVERT, form, 1, pieces(form))
        order.append("upload")
    assert raised.value.failure.kind is FailureKind.CUT
    assert order == ["iterator", "upload"]


async def test_a_body_without_progress_is_cut(bench: Any) -> None:
    """Not before the time is over, not long after it."""

    async def play(connection: Any) -> None:
        await connection.head()
        await anyio.sleep_forever()

    async with bench.before(play, progress_timeout=0.2) as (_, registry):
        form = bench.form()
        pieces = Pieces(form.head, *[b"x" * MEBIBYTE] * 64, form.tail)
        with anyio.fail_after(60), pytest.raises(CallFailed, match=r"nothing moved for 0\.2 s") as raised:
            await registry.upload(CONVERT, form, 64 * MEBIBYTE, pieces())
        assert raised.value.failure.kind is FailureKind.CUT
        assert pieces.closed


async def test_a_slow_body_is_not_cut(bench: Any) -> None:
    """One piece may take many times as long as the time without progress, when it moves."""
    taken = 0

    async def play(connection: Any) -> None:
        nonlocal taken
        length = int((await connection.head()).headers["content-length"])
        while taken < length:
            taken += len(await connection.reader.readexactly(min(400_000, length - taken)))
            await anyio.sleep(0.05)
        await connection.send(bench.answer(202, bench.inserted(5)))

    async with bench.before(play, progress_timeout=0.4) as (_, registry):
        form = bench.form()
        content = b"x" * (12 * MEBIBYTE)
        began = anyio.current_time()
        assert await registry.upload(CONVERT, form, len(content), Pieces(form.head, content, form.tail)()) == 5
        assert anyio.current_time() - began > 0.8


async def test_own_pauses_do_not_count(bench: Any) -> None:
    """Reading, pacing and commits may take as long as they like."""
    async with bench.replying(bench.answer(202, bench.inserted(5)), progress_timeout=0.05, answer_timeout=5) as (
        _,
        registry,
    ):
        form = bench.form()
        pause = {1: lambda: anyio.sleep(0.2), 2: lambda: anyio.sleep(0.2)}
        assert await registry.upload(CONVERT, form, 1, Pieces(form.head, b"x", form.tail, at=pause)()) == 5


@pytest.mark.parametrize("in_pieces", [True, False])
async def test_the_answer_has_a_time_of_its_own(bench: Any, in_pieces: bool) -> None:
    """It begins with the last byte, and is not the time without progress."""

    async def play(connection: Any) -> None:
        await connection.request()
        await anyio.sleep_forever()

    async with bench.before(play, progress_timeout=0.05, answer_timeout=0.3) as (_, registry):
        form = bench.form()
        body = Pieces(form.head, b"x", form.tail)() if in_pieces else form.head + b"x" + form.tail
        began = anyio.current_time()
        with pytest.raises(CallFailed, match=r"no whole answer within 0\.3 s") as raised:
            await registry.upload(CONVERT, form, 1, body)
        assert raised.value.failure.kind is FailureKind.CUT
        assert 0.28 < anyio.current_time() - began < 5


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
            form = bench.form()
            pieces = Pieces(form.head, *[b"x" * MEBIBYTE] * 64, form.tail)
            with anyio.fail_after(60), pytest.raises(CallFailed, match="too early") as raised:
                await registry.upload(CONVERT, form, 64 * MEBIBYTE, pieces())
            assert raised.value.failure.status == status
            assert pieces.closed

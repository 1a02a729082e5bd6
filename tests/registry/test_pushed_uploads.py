"""An upload that is pushed: whoever sends it holds back its end, and hears at once when nobody wants it any more."""

import asyncio
from typing import Any

import anyio
import pytest

from bulkload.core.verdicts import CallFailed, FailureKind

pytestmark = pytest.mark.anyio
MEBIBYTE = 1 << 20
CONVERT = "models/upload_and_convert"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The command line runs on uvloop, whose transports are its own."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def bench(either_bench: Any) -> Any:
    """Without TLS, and with it."""
    return either_bench


async def push(registry: Any, form: Any, content: bytes, *, piece: int = 300_000) -> Any:
    """A whole upload."""
    async with registry.uploading(CONVERT, form, len(content)) as upload:
        assert not upload.departed
        for start in range(0, len(content), piece):
            await upload.write(content[start : start + piece])
            assert upload.departed
        return await upload.finish()


class Broken(Exception):
    """What the block raises."""


@pytest.mark.parametrize("size", [0, 1, 65_536, MEBIBYTE, 3 * MEBIBYTE + 5])
async def test_the_file_arrives_as_it_is(bench: Any, size: int) -> None:
    """Whatever its size; pushed or sent at once, it is one request, and the connection is used again."""
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    async with bench.replying(bench.answer(202, bench.inserted(5))) as (wire, registry):
        form = bench.form()
        assert await push(registry, form, content) == 5
        assert await registry.send_small(CONVERT, form, content) == 5
        assert await push(registry, form, content) == 5
        assert wire.connections == 1
        assert [request.body for request in wire.requests] == [form.head + content + form.tail] * 3
        assert registry.requests == {"upload": 3}


async def test_the_end_stays_here_until_it_is_finished(bench: Any) -> None:
    """While the block seals, the registry has all the rest, and can make nothing of it."""
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
        async with registry.uploading(CONVERT, form, len(content)) as upload:
            await upload.write(content)
            await bench.until(lambda: arrived == len(form.head) + len(content))
            await anyio.sleep(0.05)
            assert arrived == form.content_length(len(content)) - len(form.tail)
            assert await upload.finish() == 5


async def test_nothing_leaves_before_the_first_piece(bench: Any) -> None:
    """Whoever gives up before has sent nothing, and nothing has departed where there is no connection."""
    async with bench.replying(bench.answer(202, bench.inserted(5))) as (wire, registry):
        async with registry.uploading(CONVERT, bench.form(), 5) as upload:
            pass
        with pytest.raises(Broken):
            async with registry.uploading(CONVERT, bench.form(), 5):
                raise Broken
        assert (wire.connections, registry.requests.total(), upload.departed) == (0, 0, False)
    async with bench.registry(wire.endpoint) as registry:
        upload = registry.uploading(CONVERT, bench.form(), 5)
        with pytest.raises(CallFailed) as raised:
            await _write_in(upload, b"12345")
        assert raised.value.failure.kind is FailureKind.NO_CONNECTION
        assert not upload.departed
        with pytest.raises(CallFailed):
            await registry.send_small(CONVERT, bench.form(), b"12345", on_first_byte=lambda: pytest.fail("departed"))


async def _write_in(upload: Any, *pieces: bytes) -> None:
    async with upload:
        for piece in pieces:
            await upload.write(piece)


async def test_leave_that_is_refused_departs_nothing(bench: Any) -> None:
    """The head went ahead; of the body nothing did."""

    async def play(connection: Any) -> None:
        await connection.head(leave=False)
        await connection.send(bench.answer(401, {"msg": "Jwt is expired", "code": 401}))
        await connection.reader.read()

    async with bench.before(play) as (_, registry):
        upload = registry.uploading(CONVERT, bench.form(), MEBIBYTE)
        with anyio.fail_after(60), pytest.raises(CallFailed, match="Jwt is expired"):
            await _write_in(upload, b"x" * MEBIBYTE)
        assert not upload.departed


@pytest.mark.parametrize("status", [202, 413, 503])
@pytest.mark.parametrize("busy", ["waiting", "writing", "at the end"])
async def test_an_early_answer_ends_the_block(bench: Any, status: int, busy: str) -> None:
    """Also while it waits for something else; a success that came before the whole file is none."""
    answer = bench.answer(status, bench.inserted(5) if status == 202 else {"msg": "no", "code": status})
    reached = asyncio.Event()

    async def play(connection: Any) -> None:
        await connection.head()
        await connection.reader.readexactly(100)
        if busy == "at the end":
            await reached.wait()
        await connection.send(answer)
        await anyio.sleep_forever()

    async def send(registry: Any, size: int) -> None:
        async with registry.uploading(CONVERT, bench.form(), size) as upload:
            await upload.write(b"x" * MEBIBYTE)
            if busy == "waiting":
                await anyio.sleep_forever()
            reached.set()
            if busy == "at the end":
                await anyio.sleep(0.1)
            while True:
                await upload.write(b"x" * MEBIBYTE)

    async with bench.before(play) as (wire, registry):
        size = 64 * MEBIBYTE if busy == "writing" else 2 * MEBIBYTE
        with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
            await send(registry, size)
        failure = raised.value.failure
        if status == 202:
            assert failure.kind is FailureKind.UNREADABLE
        else:
            assert failure.status == status
        assert wire.connections == 1


@pytest.mark.parametrize("busy", ["waiting", "writing"])
async def test_an_early_success_without_an_end_is_not_waited_for(bench: Any, busy: str) -> None:
    """A gateway that begins an answer in mid-body, and never ends it, holds no upload."""

    async def play(connection: Any) -> None:
        await connection.head()
        await connection.reader.readexactly(100)
        await connection.send(bench.answer(202, b"{", length=100))
        await anyio.sleep_forever()

    async def send(registry: Any) -> None:
        async with registry.uploading(CONVERT, bench.form(), 64 * MEBIBYTE) as upload:
            await upload.write(b"x" * MEBIBYTE)
            if busy == "waiting":
                await anyio.sleep_forever()
            while True:
                await upload.write(b"x" * MEBIBYTE)

    async with bench.before(play, answer_timeout=0.2) as (_, registry):
        with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
            await send(registry)
        assert raised.value.failure.kind is FailureKind.CUT


@pytest.mark.parametrize("end", ["closed", "reset"])
async def test_a_lost_connection_ends_the_block(bench: Any, end: str) -> None:
    """While it waits for something else; it cleans up before the upload has ended."""
    order: list[str] = []

    async def play(connection: Any) -> None:
        await connection.head()
        await connection.reader.readexactly(100)
        if end == "reset":
            connection.reset()

    async def upload() -> None:
        async with registry.uploading(CONVERT, bench.form(), 2 * MEBIBYTE) as sending:
            try:
                await sending.write(b"x" * MEBIBYTE)
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.02)
                order.append("block")

    async with bench.before(play) as (_, registry):
        with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
            await upload()
        order.append("upload")
    assert raised.value.failure.kind is FailureKind.CUT
    assert order == ["block", "upload"]


@pytest.mark.parametrize("error", [Broken("mine"), OSError(5, "disk"), TimeoutError("mine"), ValueError("mine")])
async def test_what_the_block_raises_comes_out_and_breaks_off(bench: Any, error: Exception) -> None:
    """Nothing of it leaves afterwards, and its connection is not used again."""
    received = bytearray()

    async def play(connection: Any) -> None:
        await connection.head()
        try:
            while piece := await connection.reader.read(MEBIBYTE):
                received.extend(piece)
        finally:
            received.extend(b"end")

    async def break_off(registry: Any, form: Any) -> None:
        async with registry.uploading(CONVERT, form, 2 * MEBIBYTE) as upload:
            await upload.write(b"x" * MEBIBYTE)
            raise error

    async with bench.before(play) as (_, registry):
        form = bench.form()
        with pytest.raises(type(error)) as raised:
            await break_off(registry, form)
        assert raised.value is error
        await bench.until(lambda: received.endswith(b"end"))
        assert form.tail not in received


async def test_a_stopped_upload_leaves_nothing_behind(bench: Any) -> None:
    """Cancelled while it is stuck: the connection is reset, and what was held does not leave later."""
    ended, release = asyncio.Event(), asyncio.Event()
    received = bytearray()
    size = 64 * MEBIBYTE

    async def play(connection: Any) -> None:
        await connection.head()
        await release.wait()
        try:
            while piece := await connection.reader.read(MEBIBYTE):
                received.extend(piece)
        finally:
            ended.set()

    async with bench.before(play) as (_, registry):
        form = bench.form()
        with anyio.move_on_after(0.5) as scope:
            async with registry.uploading(CONVERT, form, size) as upload:
                for _ in range(64):
                    await upload.write(b"x" * MEBIBYTE)
        assert scope.cancelled_caught
        release.set()
        with anyio.fail_after(60):
            await ended.wait()
        assert len(received) < size
        assert form.tail not in received


@pytest.mark.parametrize(("size", "words"), [(99, "is 1 bytes longer"), (101, "ends 1 bytes before")])
async def test_a_file_of_another_length_is_not_finished(bench: Any, size: int, words: str) -> None:
    """The end of the form never leaves."""

    async def finish(sending: Any) -> None:
        async with sending as upload:
            await upload.write(b"x" * 100)
            await upload.finish()

    async with bench.replying(bench.answer(202, bench.inserted(5))) as (wire, registry):
        form = bench.form()
        with pytest.raises(ValueError, match=words):
            await finish(registry.uploading(CONVERT, form, size))
        assert form.tail not in b"".join(request.body for request in wire.requests)


async def test_own_pauses_do_not_count(bench: Any) -> None:
    """Reading, pacing and commits may take as long as they like, also behind the last byte of the file."""
    async with (
        bench.replying(bench.answer(202, bench.inserted(5)), progress_timeout=0.05, answer_timeout=5) as (
            _,
            registry,
        ),
        registry.uploading(CONVERT, bench.form(), 2) as upload,
    ):
        for _ in range(2):
            await upload.write(b"x")
            await anyio.sleep(0.2)
        assert await upload.finish() == 5


async def test_a_body_without_progress_is_cut(bench: Any) -> None:
    """Pushed or at once: not before the time is over, not long after it."""

    async def play(connection: Any) -> None:
        await connection.head()
        await anyio.sleep_forever()

    async with bench.before(play, progress_timeout=0.3) as (_, registry):
        content = b"x" * (48 * MEBIBYTE)
        for sending in (
            push(registry, bench.form(), content, piece=MEBIBYTE),
            registry.send_small(CONVERT, bench.form(), content),
        ):
            with anyio.fail_after(60), pytest.raises(CallFailed, match=r"nothing moved for 0\.3 s") as raised:
                await sending
            assert raised.value.failure.kind is FailureKind.CUT


async def test_the_answer_has_a_time_of_its_own(bench: Any) -> None:
    """It begins with the last byte, and is not the time without progress."""

    async def play(connection: Any) -> None:
        await connection.request()
        await anyio.sleep_forever()

    async with bench.before(play, progress_timeout=0.05, answer_timeout=0.3) as (_, registry):
        for sending in (push(registry, bench.form(), b"x"), registry.send_small(CONVERT, bench.form(), b"x")):
            began = anyio.current_time()
            with anyio.fail_after(60), pytest.raises(CallFailed, match=r"no whole answer within 0\.3 s") as raised:
                await sending
            assert raised.value.failure.kind is FailureKind.CUT
            assert anyio.current_time() - began > 0.28


async def test_nothing_is_pushed_behind_the_end(bench: Any) -> None:
    """An upload is finished once."""
    async with (
        bench.replying(bench.answer(202, bench.inserted(5))) as (_, registry),
        registry.uploading(CONVERT, bench.form(), 1) as upload,
    ):
        await upload.write(b"x")
        assert await upload.finish() == 5
        for again in (upload.write(b"y"), upload.finish()):
            with pytest.raises(ValueError, match="longer than announced"):
                await again
        # Its connection serves another one meanwhile: nothing of that concerns this block.
        await bench.upload(registry)
        await anyio.sleep(0.01)

"""The heads of answers: large ones are read, those beyond all measure refused in clear words."""

from typing import Any

import anyio
import pytest

from bulkload.core.bounds import LARGEST_HEAD_BYTES, MOST_HEAD_LINES, MOST_INTERIM_ANSWERS
from bulkload.core.verdicts import CallFailed, FailureKind

pytestmark = pytest.mark.anyio


@pytest.fixture
def bench(either_bench: Any) -> Any:
    """Without TLS, and with it."""
    return either_bench


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def head_of(size: int, lines: int) -> dict[str, str]:
    """Headers of that size, in so many lines."""
    return {f"x-{number:04}": "v" * (size // lines - 6) for number in range(lines)}


@pytest.mark.parametrize("lines", [1, 20, MOST_HEAD_LINES - 10])
@pytest.mark.parametrize("size", [9_000, LARGEST_HEAD_BYTES - 200])
async def test_a_large_head_is_read(bench: Any, size: int, lines: int) -> None:
    """Cookies and policies of gateways make such heads; uploads and reads alike."""
    async with bench.replying(bench.answer(202, bench.inserted(5), **head_of(size, lines))) as (wire, registry):
        assert await bench.upload(registry) == 5
        assert await registry.config() == bench.inserted(5)
        assert wire.connections == 1


@pytest.mark.parametrize(
    "headers",
    [head_of(70_000, 1), head_of(70_000, 10), head_of(10_000, 600), head_of(400_000, 30)],
    ids=["one line", "ten lines", "600 lines", "far too much"],
)
@pytest.mark.parametrize("call", ["config", "upload"])
async def test_a_head_beyond_all_measure_is_refused_in_clear_words(
    bench: Any, call: str, headers: dict[str, str]
) -> None:
    """What is wrong, and who can mend it."""
    async with bench.replying(bench.answer(202, bench.inserted(5), **headers)) as (_, registry):
        with anyio.fail_after(60), pytest.raises(CallFailed, match=r"head of more than 65,536 bytes") as raised:
            await (registry.config() if call == "config" else bench.upload(registry))
        assert raised.value.failure.kind is FailureKind.FOREIGN
        assert "ask the operator" in str(raised.value)


@pytest.mark.parametrize("piece", [b"x-more: 1\r\n", b"x" * 1000, CONTINUE], ids=["lines", "one line", "go on"])
async def test_a_head_without_end_is_not_read_to_its_end(bench: Any, piece: bytes) -> None:
    """As fast as it may come."""

    async def play(connection: Any) -> None:
        await connection.request()
        if piece is not CONTINUE:
            await connection.send(b"HTTP/1.1 200 OK\r\nx-many: ")
        while True:
            await connection.send(piece * 100)

    async with bench.before(play) as (_, registry):
        with anyio.fail_after(60), pytest.raises(CallFailed, match="more than") as raised:
            await registry.config()
        assert raised.value.failure.kind is FailureKind.FOREIGN


async def test_some_interim_answers_are_passed_over(bench: Any) -> None:
    """Early hints, and gateways that say twice to go on."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    good = CONTINUE * (MOST_INTERIM_ANSWERS - 1) + hints + bench.answer(202, bench.inserted(5))
    async with bench.replying(good) as (wire, registry):
        for _ in range(3):
            assert await bench.upload(registry) == 5
        assert wire.connections == 1

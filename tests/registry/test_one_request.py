"""One attempt is one request, whatever becomes of it: only the engine may send again."""

import re
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.core.verdicts import CallFailed, FailureKind
from bulkload.engine.publish import publish
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.variants import each_once, every

pytestmark = pytest.mark.anyio


@pytest.fixture
def bench(either_bench: Any) -> Any:
    """Without TLS, and with it."""
    return either_bench


async def all_of(listing: AsyncGenerator[Any]) -> list[Any]:
    """Everything that a listing yields."""
    return [item async for item in listing]


CALLS: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "config": lambda registry, bench: registry.config(),
    "version": lambda registry, bench: registry.version(1215),
    "workspaces": lambda registry, bench: registry.workspaces(),
    "create_workspace": lambda registry, bench: registry.create_workspace("w"),
    "list_workspace": lambda registry, bench: all_of(registry.list_workspace(1)),
    "list_versions": lambda registry, bench: registry.list_versions("m"),
    "upload": lambda registry, bench: bench.upload(registry),
    "upload in pieces": lambda registry, bench: bench.push(registry, 8 << 20),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("end", ["close", "reset", "half a head", "half a body"])
async def test_a_dropped_answer_is_not_asked_for_again(bench: Any, call: str, end: str) -> None:
    """On a fresh connection; reads and GET too, which the library repeats by itself."""

    async def play(connection: Any) -> None:
        await connection.request()
        if end == "reset":
            connection.reset()
        elif end == "half a head":
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        elif end == "half a body":
            await connection.send(bench.answer(200, b'{"models":[', length=500))

    async with bench.before(play) as (wire, registry):
        with pytest.raises(CallFailed) as raised:
            await CALLS[call](registry, bench)
        assert raised.value.failure.kind is FailureKind.CUT
        await anyio.wait_all_tasks_blocked()
        assert len(wire.requests) == wire.connections == registry.requests.total() == 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("end", ["close", "reset"])
async def test_nor_on_a_connection_that_served_before(bench: Any, call: str, end: str) -> None:
    """A kept connection may be gone when it is used again: still one attempt, one request."""

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(bench.answer(body={}))
        await connection.request()
        if end == "reset":
            connection.reset()

    async with bench.before(play) as (wire, registry):
        await registry.config()
        with pytest.raises(CallFailed) as raised:
            await CALLS[call](registry, bench)
        assert raised.value.failure.kind is FailureKind.CUT
        assert wire.connections == 1
        assert len(wire.requests) == registry.requests.total() == 2


@pytest.mark.parametrize("call", ["upload", "upload in pieces"])
async def test_a_body_cut_in_the_middle_is_not_sent_again(bench: Any, call: str) -> None:
    """Not the whole of it, and not the rest."""

    async def play(connection: Any) -> None:
        await connection.head()
        await connection.reader.read(100)
        connection.reset()

    async with bench.before(play) as (wire, registry):
        with pytest.raises(CallFailed) as raised:
            await CALLS[call](registry, bench)
        assert raised.value.failure.kind is FailureKind.CUT
        await anyio.wait_all_tasks_blocked()
        assert len(wire.requests) == wire.connections == registry.requests.total() == 1


@pytest.mark.parametrize("fault", ["refuse", "reset", "lost-answer", "half", "late=0"])
async def test_the_registrys_log_agrees(start: Any, bench: Any, fault: str) -> None:
    """Its number of requests is the client's, for uploads, polls and listings; and so is the number of versions."""
    faults = [f"{call}:{fault}%50" for call in ("upload", "poll", "list") if call == "upload" or "late" not in fault]
    async with start(faults=tuple(faults), seed=3) as (sandbox, registry):
        for _ in range(12):
            with suppress(CallFailed):
                await bench.upload(registry, workspace_id=sandbox.workspace_id)
            with suppress(CallFailed):
                await registry.version(1215)
            with suppress(CallFailed):
                await registry.list_versions("m")
        assert len(sandbox.requests()) == registry.requests.total() == 36
        assert {record.fate for record in sandbox.requests()} >= {"answered", fault.partition("=")[0]}


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize("call", ["version", "upload"])
async def test_a_connection_dropped_at_any_byte_of_the_request_is_not_made_again(
    bench: Any, call: str, reused: bool
) -> None:
    """In the head, between head and body, in the body, behind its last byte."""
    length = 0

    async def measure(connection: Any) -> None:
        nonlocal length
        head = await connection.reader.readuntil(b"\r\n\r\n")
        announced = re.search(rb"content-length: *([0-9]+)", head, re.IGNORECASE)
        length = len(head) + int(announced[1] if announced else 0)

    async def play(connection: Any, taken: int) -> None:
        if reused:
            await connection.request()
            await connection.send(bench.answer(body={}))
        await connection.reader.readexactly(taken)
        connection.reset()

    async with bench.before(measure) as (_, registry):
        with pytest.raises(CallFailed):
            await CALLS[call](registry, bench)
    # A connection that is gone before it is used is not used.
    for taken in (*range(1, length, 23), length - 1, length):
        async with bench.before(partial(play, taken=taken)) as (wire, registry):
            if reused:
                await registry.config()
            with anyio.fail_after(60), pytest.raises(CallFailed) as raised:
                await CALLS[call](registry, bench)
            assert raised.value.failure.kind is FailureKind.CUT
            await anyio.wait_all_tasks_blocked()
            assert wire.connections == 1
            assert registry.requests.total() == 1 + reused


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_nor_one_dropped_at_any_byte_of_the_answer(bench: Any, reused: bool) -> None:
    """Half of a good answer is no answer, and no reason to ask again."""
    whole = bench.answer(202, bench.inserted())

    async def play(connection: Any, given: int) -> None:
        if reused:
            await connection.request()
            await connection.send(bench.answer(body={}))
        await connection.request()
        await connection.send(whole[:given])

    # A handshake for each takes its time.
    for given in range(0, len(whole), 1 if bench.tls is None else 13):
        async with bench.before(partial(play, given=given)) as (wire, registry):
            if reused:
                await registry.config()
            with pytest.raises(CallFailed) as raised:
                await bench.upload(registry)
            assert raised.value.failure.kind is FailureKind.CUT
            await anyio.wait_all_tasks_blocked()
            assert wire.connections == 1
            assert len(wire.requests) == registry.requests.total() == 1 + reused


@pytest.mark.parametrize(("status", "call", "reused"), each_once([301, 302, 303, 307, 308], list(CALLS), [False, True]))
async def test_no_redirect_is_followed(bench: Any, status: int, call: str, reused: bool) -> None:
    """Token and file go nowhere else, and the message says what to do."""

    async def elsewhere(connection: Any) -> None:
        await connection.request()

    async with bench.playing(elsewhere) as other:
        moved = bench.answer(status, location=f"{other.endpoint}/v1/api/x")
        served = [bench.answer(body={})] if reused else []
        async with bench.replying(*served, moved) as (wire, registry):
            if reused:
                await registry.config()
            with pytest.raises(CallFailed, match=f"redirects to {other.endpoint}") as raised:
                await CALLS[call](registry, bench)
            assert raised.value.failure.status == status
            assert len(wire.requests) == 1 + reused
            assert wire.connections == 1
        assert other.connections == 0


def rows_of_attempts(ledger: Path) -> tuple[int, int]:
    """Of a whole ledger: the attempts, and the entries that are ready."""
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as connection:
        row = connection.execute("SELECT sum(attempts), sum(state = 'ready') FROM results").fetchone()
    connection.close()
    return int(row[0]), int(row[1])


FAULTS = ("lost-answer", "reset", "503", "refuse", "late=0.02", "garbage", "half", "429=0", "500=memory")


@pytest.mark.parametrize("seed", every(3, [1, 2, 3]))
async def test_the_registrys_count_of_uploads_is_the_ledgers_count_of_attempts(
    write_manifest: Any, settings_for: Any, tmp_path: Path, seed: int
) -> None:
    """Runs of small and large files through faults of every kind, to the end: each attempt one request, no more."""
    contents = [b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28", b"large" * 300_000]
    rows = [{"name": f"m{number}", "content": contents[number % 8 == 0] + bytes([number])} for number in range(48)]
    manifest = write_manifest(rows)
    faults = tuple(f"upload:{fault}%4" for fault in FAULTS)
    sent = 0
    async with Sandbox(
        SandboxSettings(data=tmp_path / "registry", time_scale=0.0, faults=faults, seed=seed)
    ) as sandbox:
        for _ in range(6):
            summary = await publish(settings_for(manifest, sandbox, settle=0.1))
            sent += summary.requests.upload
            if summary.exit_code == 0:
                break
        uploads = [record for record in sandbox.requests() if "/models/upload" in record.path]
        assert (len(uploads), 48) == rows_of_attempts(tmp_path / "ledger.db")
        assert len(uploads) == sent > 48
        assert len(sandbox.versions()) == 48, f"seed {seed}"

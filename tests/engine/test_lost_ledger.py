"""R7 to the end: a ledger without room, without its last commits, or gone; what the registry holds is the judge.

Without the ledger, G2 rests on the registry alone: an equal version is found there and not sent again, provided that
it has landed (``--settle``) and that equal versions are skipped (``--on-existing skip``).
"""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.core.model.counts import Counts
from bulkload.core.model.errors import ExitCode, Interrupted, LedgerError
from bulkload.core.model.settings import Settings
from bulkload.core.model.states import State
from bulkload.core.polls.schedule import PollInterval
from bulkload.engine.publish import publish
from bulkload.engine.stop import Stop
from bulkload.ledger import Ledger, LedgerReader
from bulkload.ledger.groups import Storage
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.ledger.sqlite.execution import Execution
from bulkload.ledger.writer import ThreadWriter
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.variants import each_once, every

# The smallest ONNX model, up to the value of its model_version: one more byte completes it.
ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28"
LARGE = bytes(range(256)) * 4096 * 2
MODELS = 12

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings_for(settings_for: Callable[..., Settings]) -> Callable[..., Settings]:
    """Versions are ready at once here: no pause between two polls."""
    return partial(settings_for, poll_interval=PollInterval(0.01, 0.02))


@pytest.fixture
def sandbox_with(tmp_path: Path) -> Callable[..., Sandbox]:
    """A sandbox whose conversions take no time, with some faults."""

    def make(*faults: str) -> Sandbox:
        return Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0, faults=faults))

    return make


def twelve_models(content: bytes = ONNX) -> list[dict[str, Any]]:
    return [{"name": f"m{number}", "content": content + bytes([number])} for number in range(MODELS)]


def rows_of(settings: Settings) -> list[dict[str, Any]]:
    with LedgerReader(settings.ledger) as reader:
        return [dict(zip(RESULT_COLUMNS, row, strict=True)) for row in reader.results()]


def uploads(sandbox: Sandbox) -> int:
    return sum("/models/upload" in record.path for record in sandbox.requests())


async def run(settings: Settings, **attendants: Any) -> Any:
    with anyio.fail_after(60):
        return await publish(settings, **attendants)


async def assert_all_there_once(settings: Settings, sandbox: Sandbox) -> None:
    """One run more, and the registry holds each entry's content once."""
    summary = await run(settings)
    assert summary.exit_code == ExitCode.OK
    assert summary.states["ready"] + summary.states["skipped"] == MODELS
    assert summary.duplicates == 0
    held = sorted((version.name, version.sha256) for version in sandbox.versions())
    assert held == sorted((row["name"], row["sha256"]) for row in rows_of(settings))


# No room


# What a message writes -> when a row's trigger sees it.
WRITES = {
    "begin": "BEFORE INSERT ON runs",
    "intend": "BEFORE UPDATE ON entries WHEN new.state = 'uploading' AND old.state <> 'uploading'",
    "seal": "BEFORE UPDATE ON entries WHEN new.sealed AND NOT old.sealed",
    "move": "BEFORE UPDATE ON entries WHEN new.state NOT IN ('uploading', old.state)",
    "end": "BEFORE UPDATE ON runs",
}
# More than a run with a dozen entries takes, and more than that.
DISK_PAGES = 500
NO_ROOM_BYTES = 4 << 20


def full_disk(settings: Settings, message: str, number: int) -> Ledger:
    """A ledger whose disk has no room left for the k-th of its messages, nor for any that comes after."""

    def opened(open_storage: Callable[[], Storage]) -> Storage:
        storage = open_storage()
        assert isinstance(storage, Execution)
        store = storage.store
        store.connection.execute(f"PRAGMA max_page_count = {DISK_PAGES}").fetchone()
        store.connection.execute("CREATE TEMP TABLE written (count)")
        store.connection.execute("INSERT INTO written VALUES (0)")
        store.connection.execute(
            f"CREATE TEMP TRIGGER fills {WRITES[message]} BEGIN"
            " UPDATE written SET count = count + 1;"
            f" INSERT INTO meta SELECT 'filler', zeroblob({NO_ROOM_BYTES}) FROM written WHERE count >= {number};"
            " END"
        )
        return storage

    return Ledger(settings.ledger, "", writer=lambda open_storage: ThreadWriter(lambda: opened(open_storage)))


@pytest.mark.parametrize(
    "case",
    # A small file's seal is its intent.
    every(
        2,
        [("small", "intend", 1), ("small", "move", 1), ("small", "move", 6), ("small", "intend", 5)]
        + [("large", message, number) for number in (1, 4) for message in ("intend", "seal", "move")],
    ),
    ids=str,
)
async def test_a_full_disk_stops_the_sending_at_once(case, sandbox_with, write_manifest, settings_for):
    """Exit 1 and the reason; nothing is sent without an intent on the disk; with room again, all is there once."""
    size, message, number = case
    manifest = write_manifest(twelve_models(LARGE if size == "large" else ONNX))
    async with sandbox_with() as sandbox:
        settings, stop = settings_for(manifest, sandbox, concurrency=2), Stop()
        summary = await run(settings, ledger=full_disk(settings, message, number), stop=stop)
        assert summary.exit_code == ExitCode.INTERNAL
        assert isinstance(stop.error, LedgerError)
        assert str(stop.error).startswith(str(settings.ledger))
        assert "database or disk is full; free space" in str(stop.error)
        # One that is broken off as it begins may never be seen by the registry.
        assert uploads(sandbox) <= summary.requests.upload
        # What the registry holds was intended and sealed: none of it can be forgotten.
        stored = {version.name for version in sandbox.versions()}
        assert len(stored) < MODELS
        for row in rows_of(settings):
            if row["name"] in stored:
                assert row["state"] in (State.UPLOADING, State.UPLOADED, State.READY)
        await assert_all_there_once(settings, sandbox)


async def test_a_disk_that_is_full_at_the_end_still_has_a_summary(sandbox_with, write_manifest, settings_for):
    """What was done is said, and that the ledger does not know that the run has ended."""
    async with sandbox_with() as sandbox:
        settings = settings_for(write_manifest(twelve_models()), sandbox)
        summary = await run(settings, ledger=full_disk(settings, "end", 1))
        assert summary.exit_code == ExitCode.INTERNAL
        assert summary.states["ready"] == summary.requests.upload == MODELS
        again = await run(settings)
        assert (again.exit_code, again.requests.upload) == (ExitCode.OK, 0)


async def test_a_disk_that_is_full_while_planning_leaves_the_ledger_as_it_was(
    sandbox_with, write_manifest, settings_for
):
    """Nothing is sent of a plan that is not on the disk."""
    async with sandbox_with() as sandbox:
        settings = settings_for(write_manifest(twelve_models()), sandbox)
        with pytest.raises(LedgerError, match="full; free space"):
            await run(settings, ledger=full_disk(settings, "begin", 1))
        assert uploads(sandbox) == 0
        await assert_all_there_once(settings, sandbox)


# Its last commits are gone, or all of it


async def cut_when(settings: Settings, done: Callable[[Counts], bool]) -> None:
    """Run, cut it as soon as so much was done, and keep its files as a kill leaves them there."""
    stop, counts = Stop(), Counts()
    log = settings.ledger.with_name(settings.ledger.name + "-wal")
    files: dict[Path, bytes] = {}

    async def cut() -> None:
        while not done(counts):  # noqa: ASYNC110 - a fold is asked
            await anyio.sleep(0.001)
        for path in (settings.ledger, log):
            files[path] = path.read_bytes()
        stop.ask(Interrupted(15))
        stop.cut()

    async with anyio.create_task_group() as group:
        group.start_soon(cut)
        await run(settings, on_event=counts, stop=stop)
    for path, content in files.items():
        path.write_bytes(content)


@pytest.mark.parametrize(("size", "seed"), each_once(["small", "large"], range(6)))
async def test_a_log_that_lost_its_end_makes_no_duplicate(seed, size, sandbox_with, write_manifest, settings_for):
    """Intents, seals and ids are lost with it; the registry still knows what it holds."""
    chance = random.Random(seed)
    manifest = write_manifest(twelve_models(LARGE if size == "large" else ONNX))
    async with sandbox_with("upload:slow=0.02", "upload:stall@9") as sandbox:
        settings, arrived = settings_for(manifest, sandbox, concurrency=3), chance.randrange(1, 8)
        await cut_when(settings, lambda p: p.states[State.UPLOADED] + p.states[State.READY] >= arrived)
        sandbox.end_waits()
        log = settings.ledger.with_name(settings.ledger.name + "-wal")
        kept = chance.randrange(log.stat().st_size)
        log.write_bytes(log.read_bytes()[:kept])
        before = len(sandbox.versions())
        assert before >= arrived, f"seed {seed}"
        # Whoever lost a ledger waits until what was under way has landed.
        await anyio.sleep(settings.settle)
        await assert_all_there_once(settings, sandbox)


@pytest.mark.parametrize(
    ("fault", "size"), each_once(["upload:late=0.3", "upload:lost-answer", "upload:stall"], ["small", "large"])
)
async def test_a_deleted_ledger_is_rebuilt_from_the_registry(fault, size, sandbox_with, write_manifest, settings_for):
    """Cut in mid-upload, ledger deleted, late landings waited for: 0 duplicates, and every entry has its version."""
    manifest = write_manifest(twelve_models(LARGE if size == "large" else ONNX))
    async with sandbox_with(f"{fault}@2", f"{fault}@5", "upload:slow=0.02") as sandbox:
        settings = settings_for(manifest, sandbox, concurrency=3, settle=0.5)
        await cut_when(settings, lambda p: p.states[State.UPLOADED] + p.states[State.READY] >= 3)
        sandbox.end_waits()
        for path in settings.ledger.parent.glob(settings.ledger.name + "*"):
            path.unlink()
        await anyio.sleep(settings.settle)
        await assert_all_there_once(settings, sandbox)
        assert all(row["version_id"] for row in rows_of(settings))


async def test_a_damaged_ledger_sends_nothing_and_says_how_to_go_on(sandbox_with, write_manifest, settings_for):
    """Moved away as the message says: rebuilt, 0 duplicates."""
    async with sandbox_with() as sandbox:
        settings = settings_for(write_manifest(twelve_models()), sandbox)
        await run(settings)
        content = bytearray(settings.ledger.read_bytes())
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
        settings.ledger.write_bytes(content)
        asked = len(sandbox.requests())
        with pytest.raises(LedgerError, match=r"the ledger is damaged .*; move it away, wait .*, and run again"):
            await run(settings)
        assert not any("/models/" in record.path for record in sandbox.requests()[asked:])
        assert settings.ledger.read_bytes() == bytes(content)
        settings.ledger.rename(settings.ledger.with_name("damaged.db"))
        await assert_all_there_once(settings, sandbox)
        assert uploads(sandbox) == MODELS

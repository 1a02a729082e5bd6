"""G3: whatever happens to a file, `ready` means that the registry holds the bytes that were sent, all of one state.

The registry's stored versions are the judge: each has the digest of one whole state of the file, never of a mixture.
"""

import errno
import hashlib
import os
from array import array
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.core.model.counts import Counts
from bulkload.core.model.errors import ExitCode, Interrupted
from bulkload.core.model.settings import Settings
from bulkload.core.model.states import State
from bulkload.core.model.summary import RunSummary
from bulkload.core.polls.schedule import PollInterval
from bulkload.engine.publish import publish
from bulkload.engine.stop import Stop
from bulkload.ledger import LedgerReader
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.sandbox import Sandbox, SandboxSettings
from bulkload.source import LocalSource, SmallFile, Sources
from bulkload.source.local import PIECE_SIZE_BYTES
from bulkload.source.reading import ReadAhead
from tests.variants import each_once

# The smallest ONNX model, up to the value of its model_version: one more byte completes it.
SMALL = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"
# Four pieces, no two of them equal.
LARGE = array("I", range(3 * PIECE_SIZE_BYTES // 4 + 100)).tobytes()
CONTENTS = {"small": SMALL, "large": LARGE}

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings_for(settings_for: Callable[..., Settings]) -> Callable[..., Settings]:
    """Versions are ready at once here: no pause between two polls."""
    return partial(settings_for, poll_interval=PollInterval(0.01, 0.02))


# What happens to files


def edit(path: Path) -> None:
    """Its last byte is another one: what was read before is of the old file, what comes of the new one."""
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x02")


def edit_the_beginning(path: Path) -> None:
    """What was read before is no longer there."""
    with path.open("r+b") as file:
        file.write(b"\x08\x07")


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 5)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(1000))


def grow_large(path: Path) -> None:
    """Beyond what is sent in one piece."""
    with path.open("ab") as file:
        file.write(bytes(2 * PIECE_SIZE_BYTES))


def replace(path: Path) -> None:
    """Another file takes its name, as tools do that save safely."""
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes()[::-1])
    other.replace(path)


def replace_by_its_like(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    other.replace(path)


CHANGES = [edit, edit_the_beginning, truncate, grow, grow_large, replace, replace_by_its_like]


def delete(path: Path) -> None:
    path.unlink()


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


LOSSES = [delete, become_a_folder]


class Once:
    """Changes a file the first time only, and keeps all contents that it had."""

    def __init__(self, change: Callable[[Path], object], path: Path) -> None:
        self._change = change
        self._path = path
        self.happened = False
        self.contents = {path.read_bytes()}

    def __call__(self) -> None:
        if not self.happened:
            self.happened = True
            self._change(self._path)
            if self._path.is_file():
                self.contents.add(self._path.read_bytes())


# The run and its judge


@pytest.fixture
def sandbox_with(tmp_path: Path) -> Callable[..., Sandbox]:
    """A sandbox whose conversions take no time, with some faults."""

    def make(*faults: str) -> Sandbox:
        return Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0, faults=faults))

    return make


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The one entry's file."""
    return tmp_path / "m.onnx"


async def run(settings: Settings, files: Sources | None = None) -> RunSummary:
    with anyio.fail_after(60):
        return await publish(settings, sources=files)


def row_of(settings: Settings) -> dict[str, Any]:
    with LedgerReader(settings.ledger) as reader:
        (row,) = (dict(zip(RESULT_COLUMNS, row, strict=True)) for row in reader.results())
    return row


def judge(sandbox: Sandbox, settings: Settings, contents: set[bytes]) -> dict[str, Any]:
    """Every version is one whole state of the file, once; what is `ready` is what the row says. The row."""
    digests = {hashlib.sha256(content).hexdigest() for content in contents}
    stored = {version.id: version.sha256 for version in sandbox.versions()}
    assert set(stored.values()) <= digests
    assert len(set(stored.values())) == len(stored), "published twice"
    row = row_of(settings)
    if row["state"] == State.READY:
        assert stored[row["version_id"]] == row["sha256"]
    return row


class WatchedFiles(LocalSource):
    """This machine's files, and somebody who does something to them at certain moments."""

    def __init__(self) -> None:
        super().__init__()
        # Just before the k-th piece of a file is asked for, whoever reads it; -1: after the last one.
        self.at_piece: tuple[int, Callable[[], None]] | None = None
        self.before_small: Callable[[], None] = lambda: None
        self.after_small: Callable[[], None] = lambda: None

    async def read_small(self, place: str) -> SmallFile:
        """Of one piece."""
        self.before_small()
        file = await super().read_small(place)
        self.after_small()
        return file

    def open(self, place: str, *, at_a_time: int = 1) -> ReadAhead:
        """Of several pieces."""
        file = super().open(place, at_a_time=at_a_time)
        return file if self.at_piece is None else _WatchedFile(file, *self.at_piece)  # type: ignore[return-value]


class _WatchedFile:
    def __init__(self, file: ReadAhead, number: int, act: Callable[[], None]) -> None:
        self._file = file
        self._number, self._act = number, act

    async def __aenter__(self) -> "_WatchedFile":
        await self._file.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._file.__aexit__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    async def pieces(self) -> AsyncGenerator[memoryview]:
        count = 0
        async with aclosing(self._file.pieces()) as pieces:
            while True:
                if count == self._number:
                    self._act()
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    break
                count += 1
                yield piece
            if self._number == -1:
                self._act()


@pytest.fixture
def files() -> WatchedFiles:
    """What is read, and what happens meanwhile."""
    return WatchedFiles()


# While it is sent


@pytest.mark.parametrize(("change", "piece"), each_once(CHANGES, [0, 1, 2, 3]))
async def test_a_large_file_that_changes_while_it_is_sent_is_sent_anew(
    change, piece, sandbox_with, write_manifest, settings_for, model, files
):
    """No version is made of the first attempt; the second one sends what lies there now."""
    manifest = write_manifest([{"name": "m", "path": model.name, "content": LARGE}])
    once = Once(change, model)
    files.at_piece = (piece, once)
    async with sandbox_with() as sandbox:
        settings = settings_for(manifest, sandbox)
        assert (await run(settings, files)).exit_code == ExitCode.OK
        assert once.happened
        row = judge(sandbox, settings, once.contents)
        assert row["state"] == State.READY
        assert row["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
        assert len(sandbox.versions()) == 1


async def test_a_large_file_that_changes_after_its_last_piece_is_what_it_was(
    sandbox_with, write_manifest, settings_for, model, files
):
    """Sealed is sealed. The next run publishes what has come since, as a new version."""
    manifest = write_manifest([{"name": "m", "path": model.name, "content": LARGE}])
    once = Once(edit, model)
    files.at_piece = (-1, once)
    async with sandbox_with() as sandbox:
        settings = settings_for(manifest, sandbox)
        await run(settings, files)
        assert judge(sandbox, settings, once.contents)["sha256"] == hashlib.sha256(LARGE).hexdigest()
        await run(settings, files)
        row = judge(sandbox, settings, once.contents)
        assert row["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
        assert len(sandbox.versions()) == 2


@pytest.mark.parametrize(("change", "moment"), each_once(CHANGES, ["before it is read", "after it was read"]))
async def test_a_small_file_is_sent_as_it_was_at_one_moment(
    change, moment, sandbox_with, write_manifest, settings_for, model, files
):
    """It is read in one go; a change that comes later is the next run's."""
    manifest = write_manifest([{"name": "m", "path": model.name, "content": SMALL}])
    once = Once(change, model)
    if moment == "before it is read":
        files.before_small = once
    else:
        files.after_small = once
    async with sandbox_with() as sandbox:
        settings = settings_for(manifest, sandbox)
        for _ in range(2):
            assert (await run(settings, files)).states["ready"] == 1
            row = judge(sandbox, settings, once.contents)
        assert row["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()


@pytest.mark.parametrize(("loss", "piece"), each_once(LOSSES, [0, 2, 3]))
async def test_a_large_file_that_is_lost_while_it_is_sent_makes_no_version(
    loss, piece, sandbox_with, write_manifest, settings_for, model, files
):
    """The entry says so, and the next run takes it again when the file is back."""
    rows = [{"name": "m", "path": model.name, "content": LARGE}]
    manifest = write_manifest(rows)
    files.at_piece = (piece, Once(loss, model))
    async with sandbox_with() as sandbox:
        settings = settings_for(manifest, sandbox)
        assert (await run(settings, files)).exit_code == ExitCode.SOME_FAILED
        row = judge(sandbox, settings, set())
        assert (row["state"], row["cause"]) == (State.FAILED, "unreadable")
        if model.is_dir():
            model.rmdir()
        write_manifest(rows)
        await run(settings, files)
        assert judge(sandbox, settings, {LARGE})["state"] == State.READY


@pytest.mark.parametrize(("size", "number"), [("small", errno.EIO), ("large", errno.ESTALE)])
async def test_a_file_that_cannot_be_read_for_now_stays_planned(
    size, number, sandbox_with, write_manifest, settings_for, model, files
):
    """Its disk fails, or its mount has gone, which passes: no fault of the file, and the next run takes it again."""
    manifest = write_manifest([{"name": "m", "path": model.name, "content": CONTENTS[size]}])

    def fail() -> None:
        raise OSError(number, os.strerror(number))

    files.before_small, files.at_piece = fail, (0, fail)
    async with sandbox_with() as sandbox:
        settings = settings_for(manifest, sandbox)
        assert (await run(settings, files)).exit_code == ExitCode.UNAVAILABLE
        row = judge(sandbox, settings, set())
        assert (row["state"], row["cause"]) == (State.PLANNED, None)
        assert os.strerror(number) in row["message"]
        await run(settings)
        assert judge(sandbox, settings, {CONTENTS[size]})["state"] == State.READY


async def test_a_file_that_never_holds_still_makes_no_version(sandbox_with, write_manifest, settings_for, model, files):
    """A log file, or a copy still being made: failed, with that reason, and not tried for ever."""
    manifest = write_manifest([{"name": "m", "path": model.name, "content": LARGE}])
    files.at_piece = (2, partial(grow, model))
    async with sandbox_with() as sandbox:
        settings = settings_for(manifest, sandbox)
        assert (await run(settings, files)).states["failed"] == 1
        row = judge(sandbox, settings, set())
        assert row["cause"] == "source_changed"
        assert "changes while it is read" in row["message"]


@pytest.mark.parametrize(("change", "piece"), each_once([edit, truncate, grow, replace], [1, 3]))
async def test_a_declared_digest_holds_however_the_file_changes(
    change, piece, sandbox_with, write_manifest, settings_for, model, files
):
    """The manifest says which bytes are meant; others never become a version, neither a mixture nor the new file."""
    declared = hashlib.sha256(LARGE).hexdigest()
    manifest = write_manifest([{"name": "m", "path": model.name, "content": LARGE, "sha256": declared}])
    files.at_piece = (piece, Once(change, model))
    async with sandbox_with() as sandbox:
        settings = settings_for(manifest, sandbox)
        await run(settings, files)
        row = judge(sandbox, settings, set())
        assert (row["state"], row["cause"]) == (State.FAILED, "wrong_digest")
        model.write_bytes(LARGE)
        await run(settings, files)
        assert judge(sandbox, settings, {LARGE})["state"] == State.READY


# While it is compared with what is there


@pytest.mark.parametrize(
    ("change", "piece"), each_once([edit, edit_the_beginning, truncate, grow, replace], [0, 1, 3, -1])
)
async def test_a_file_that_changes_while_it_is_compared_is_never_taken_for_another(
    change, piece, sandbox_with, write_manifest, settings_for, model, files
):
    """A version of the same size is there, so the file is hashed before it is sent.

    Skipped is only what was equal when it was read; the next run sees that the file is another one since.
    """
    manifest = write_manifest([{"name": "m", "path": model.name, "content": LARGE}])
    async with sandbox_with() as sandbox:
        await run(settings_for(manifest, sandbox, ledger=model.with_name("first.db")))
        once = Once(change, model)
        files.at_piece = (piece, once)
        settings = settings_for(manifest, sandbox)
        await run(settings, files)
        assert once.happened
        first = judge(sandbox, settings, once.contents)
        assert first["state"] == (State.SKIPPED if piece == -1 else State.READY)
        assert first["sha256"] == hashlib.sha256(LARGE if piece == -1 else model.read_bytes()).hexdigest()
        await run(settings, files)
        row = judge(sandbox, settings, once.contents)
        assert row["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
        assert len(sandbox.versions()) == 2


# Between crash and resume


async def cut_when(settings: Settings, sandbox: Sandbox, happened: Callable[[Counts], bool]) -> None:
    """Run until something happened, and cut it there; what it left under way is what a crash leaves."""
    stop, counts = Stop(), Counts()

    async def cut() -> None:
        while not happened(counts):  # noqa: ASYNC110 - a fold is asked
            await anyio.sleep(0.001)
        stop.ask(Interrupted(15))
        stop.cut()

    async with anyio.create_task_group() as group:
        group.start_soon(cut)
        with anyio.fail_after(60):
            await publish(settings, on_event=counts, stop=stop)
    assert row_of(settings)["state"] == State.UPLOADING
    sandbox.end_waits()


@pytest.mark.parametrize(("change", "size"), each_once(CHANGES, list(CONTENTS)))
async def test_a_file_that_changes_after_it_was_sealed_is_published_beside_what_landed(
    change, size, sandbox_with, write_manifest, settings_for, model
):
    """The version that landed is found by the digest that was sealed; the file as it is now is a new one."""
    content = CONTENTS[size]
    manifest = write_manifest([{"name": "m", "path": model.name, "content": content}])
    async with sandbox_with("upload:stall@1") as sandbox:
        settings = settings_for(manifest, sandbox)
        await cut_when(settings, sandbox, lambda _: bool(sandbox.versions()))
        once = Once(change, model)
        once()
        for _ in range(2):
            assert (await run(settings)).states["ready"] == 1
            row = judge(sandbox, settings, once.contents)
        assert row["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
        assert {version.sha256 for version in sandbox.versions()} == {
            hashlib.sha256(state).hexdigest() for state in once.contents
        }


@pytest.mark.parametrize("change", CHANGES)
async def test_a_file_that_changes_before_it_was_sealed_is_sent_as_it_is_now(
    change, sandbox_with, write_manifest, settings_for, model
):
    """What was sent of it was not accepted for sure: one version, of the new file."""
    manifest = write_manifest([{"name": "m", "path": model.name, "content": LARGE}])
    async with sandbox_with() as sandbox:
        slow = settings_for(manifest, sandbox, bandwidth=float(PIECE_SIZE_BYTES * 4))
        await cut_when(slow, sandbox, lambda counts: counts.bytes_sent > 0)
        once = Once(change, model)
        once()
        settings = settings_for(manifest, sandbox)
        assert (await run(settings)).states["ready"] == 1
        row = judge(sandbox, settings, {model.read_bytes()})
        assert row["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()


# On the server


@pytest.mark.parametrize("size", CONTENTS)
async def test_a_registry_that_holds_other_bytes_never_has_them_ready(
    size, sandbox_with, write_manifest, settings_for, model
):
    """A bit that flipped on its disk: failed, with both digests."""
    manifest = write_manifest([{"name": "m", "path": model.name, "content": CONTENTS[size]}])
    async with sandbox_with("upload:wrong-digest@1") as sandbox:
        settings = settings_for(manifest, sandbox)
        assert (await run(settings)).exit_code == ExitCode.SOME_FAILED
        row = row_of(settings)
        assert (row["state"], row["cause"]) == (State.FAILED, "wrong_digest")
        assert row["sha256"] == hashlib.sha256(CONTENTS[size]).hexdigest()
        assert row["sha256"] in row["message"]
        # Again, and nothing is sent: another version is made only by --retry-failed.
        assert (await run(settings)).requests.upload == 0
        assert len(sandbox.versions()) == 1


async def test_a_registry_that_contradicts_itself_never_has_an_entry_ready(
    sandbox_with, write_manifest, settings_for, model
):
    """Asked for the version it shows other bytes than in its list: that is said, and nothing is sent again."""
    manifest = write_manifest([{"name": "m", "path": model.name, "content": SMALL}])
    async with sandbox_with("poll:wrong-digest") as sandbox:
        settings = settings_for(manifest, sandbox)
        for _ in range(2):
            summary = await run(settings)
            assert summary.exit_code in (ExitCode.SOME_FAILED, ExitCode.STILL_OPEN)
            assert summary.states["ready"] == 0
            judge(sandbox, settings, {SMALL})
        assert len(sandbox.versions()) == 1

"""Whatever a file system says of a file, and whatever happens to its rights: the entry is published, once, as it is."""

import os
import socket
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from bulkload.core.model.errors import ExitCode
from bulkload.core.model.events import BytesSent, PhaseBegan
from bulkload.core.model.records import Look
from bulkload.core.model.settings import Settings
from bulkload.core.model.states import State
from bulkload.core.model.summary import RunSummary
from bulkload.core.polls.schedule import PollInterval
from bulkload.engine.events import OnEvent
from bulkload.engine.publish import publish
from bulkload.ledger import LedgerReader
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.ledger.sqlite.writes import Store
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.consumers import at_each, at_first

ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"
# More than two pieces; no two bytes of 4 KiB alike.
LARGE = ONNX + array("I", range(1_500_000)).tobytes()
CONTENTS = {"small": ONNX, "large": LARGE}
YEAR_2300 = 10_413_792_000 * 10**9

pytestmark = pytest.mark.anyio


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0))


async def run(settings: Settings, on_event: OnEvent | None = None) -> RunSummary:
    with anyio.fail_after(60):
        return await publish(settings, on_event=on_event)


# Odd numbers


@pytest.mark.parametrize("size", CONTENTS)
@pytest.mark.parametrize("time_ns", [YEAR_2300, 1 << 63, -(10**18), 0, 1])
async def test_any_time_is_kept_and_a_later_change_is_published(
    time_ns: int, size: str, sandbox: Sandbox, write_manifest, settings_for, tmp_path: Path
) -> None:
    """One odd file neither ends the run nor hides behind its time."""
    rows = [{"name": "m", "content": CONTENTS[size]}, {"name": "n", "content": ONNX + b"n"}]
    manifest, model = write_manifest(rows), tmp_path / "m-0.onnx"
    os.utime(model, ns=(time_ns, time_ns))
    if model.stat().st_mtime_ns != time_ns:
        pytest.skip("this file system has no such times")
    async with sandbox:
        settings = settings_for(manifest, sandbox, poll_interval=PollInterval(0.01, 0.02))
        for _ in range(2):
            summary = await run(settings)
            assert (summary.exit_code, summary.states["ready"]) == (ExitCode.OK, 2)
            assert len(sandbox.versions()) == 2
        model.write_bytes(CONTENTS[size][:-1] + b"\x02")
        os.utime(model, ns=(time_ns, time_ns))
        assert (await run(settings)).exit_code == ExitCode.OK
        assert len(sandbox.versions()) == 3


@pytest.mark.parametrize("inode", [0, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("time_ns", [0, -1, (1 << 63) - 1, 1 << 63, -(1 << 70)])
def test_any_look_is_stored_and_no_two_inodes_are_taken_for_one(inode: int, time_ns: int, tmp_path: Path) -> None:
    """Network file systems give unsigned inodes of 64 bits."""
    store = Store(tmp_path / "ledger.db")
    look, other = (Look(1, f"{number}:{time_ns}:{time_ns}") for number in (inode, inode ^ 1))
    store.begin()
    store.remember_digest("/m", look, "a" * 64)
    assert store.digest("/m", other) is None
    assert store.digest("/m", look) == "a" * 64
    store.commit()
    store.close()


# Changes that are none


@contextmanager
def rights_that_change(path: Path) -> Iterator[None]:
    """Without a pause, as often as the file system's clock shows it."""
    ended = threading.Event()

    def change() -> None:
        while not ended.wait(0.0005):
            path.chmod(0o640 if path.stat().st_mode & 0o1 else 0o641)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def uploads_of(sandbox: Sandbox, data: Path) -> int:
    return (data / "requests.jsonl").read_text().count('"/v1/api/models/upload')


@pytest.mark.parametrize("size", CONTENTS)
async def test_rights_that_change_all_the_time_cost_no_upload(
    size: str, sandbox: Sandbox, write_manifest, settings_for, tmp_path: Path
) -> None:
    """`chmod` each second during a large upload: sent once, and published once; again for the next run."""
    manifest, model = write_manifest([{"name": "m", "content": CONTENTS[size]}]), tmp_path / "m-0.onnx"
    async with sandbox:
        settings = settings_for(manifest, sandbox)
        with rights_that_change(model):
            for _ in range(2):
                assert (await run(settings)).states[State.READY] == 1
        assert uploads_of(sandbox, tmp_path / "registry") == 1
        assert [version.size for version in sandbox.versions()] == [len(CONTENTS[size])]


def link(path: Path) -> None:
    other = path.with_name(f"other-{os.urandom(4).hex()}")
    os.link(path, other)


def rename_and_back(path: Path) -> None:
    other = path.with_name("elsewhere")
    path.rename(other)
    other.rename(path)


def own_again(path: Path) -> None:
    os.chown(path, os.getuid(), os.getgid())


@pytest.mark.parametrize("change", [link, rename_and_back, own_again])
async def test_other_changes_of_no_byte_cost_no_upload_either(
    change: Callable[[Path], None], sandbox: Sandbox, write_manifest, settings_for, tmp_path: Path
) -> None:
    manifest, model = write_manifest([{"name": "m", "content": LARGE}]), tmp_path / "m-0.onnx"
    async with sandbox:
        settings = settings_for(manifest, sandbox)
        assert (await run(settings, at_each(BytesSent, lambda: change(model)))).exit_code == ExitCode.OK
        assert uploads_of(sandbox, tmp_path / "registry") == 1


@pytest.mark.parametrize("place", [0, 100, len(LARGE) - 1])
async def test_bytes_that_change_behind_a_time_that_is_set_back_are_noticed(
    place: int, sandbox: Sandbox, write_manifest, settings_for, tmp_path: Path
) -> None:
    """It looks as if only its rights had changed: the version is one whole state of the file all the same."""
    manifest, model = write_manifest([{"name": "m", "content": LARGE}]), tmp_path / "m-0.onnx"
    times = model.stat()
    states = {LARGE}

    def edit() -> None:
        if len(states) == 1:
            with model.open("r+b") as file:
                file.seek(place)
                file.write(b"\xee")
            os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))
            states.add(model.read_bytes())

    async with sandbox:
        settings = settings_for(manifest, sandbox)
        assert (await run(settings, at_each(BytesSent, edit))).exit_code == ExitCode.OK
        import hashlib

        digests = {hashlib.sha256(state).hexdigest() for state in states}
        (version,) = sandbox.versions()
        assert version.sha256 in digests


# Something else in a file's place, after the check


def lay_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))


REPLACEMENTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a socket": (lay_socket, "is no regular file"),
    "a pipe": (os.mkfifo, "is no regular file"),
    "a folder": (Path.mkdir, "is no regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is no regular file"),
    "nothing": (lambda _: None, "No such file"),
    "an empty file": (Path.touch, "is empty"),
}


@pytest.mark.parametrize("size", CONTENTS)
@pytest.mark.parametrize("replacement", REPLACEMENTS)
async def test_what_takes_a_models_place_after_the_check_is_never_sent(
    replacement: str, size: str, sandbox: Sandbox, write_manifest, settings_for, tmp_path: Path
) -> None:
    """That entry is failed at once, with words; the other one is published."""
    lay, words = REPLACEMENTS[replacement]
    manifest = write_manifest([{"name": "a", "content": CONTENTS[size]}, {"name": "b", "content": ONNX + b"b"}])
    model = tmp_path / "a-0.onnx"

    def replace() -> None:
        model.unlink()
        lay(model)

    async with sandbox:
        settings = settings_for(manifest, sandbox)
        summary = await run(settings, at_first(lambda event: event == PhaseBegan("listing"), replace))
        assert (summary.exit_code, summary.states["ready"], summary.states["failed"]) == (ExitCode.SOME_FAILED, 1, 1)
        assert [version.name for version in sandbox.versions()] == ["b"]
    with LedgerReader(settings.ledger) as reader:
        row = next(dict(zip(RESULT_COLUMNS, row, strict=True)) for row in reader.results() if "a" in row)
    assert row["cause"] == "unreadable"
    assert words in row["message"]

"""What was sent is not looked into again: a run that finds nothing to do opens no file. What changed is."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkload.core.model.errors import ExitCode, ManifestError
from bulkload.core.model.records import Look
from bulkload.engine.preflight.known_files import KnownFiles, known_files
from bulkload.engine.publish import publish
from bulkload.ledger.records import SentFile
from bulkload.sandbox import Sandbox, SandboxSettings
from bulkload.source import look_in

ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


def let_the_ledger_know(ledger: Path, file: Path) -> None:
    """As if it had been sent as it is now."""
    look = look_in(file.stat())
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("UPDATE entries SET size = ?, mark = ?", (look.size, look.mark))


@pytest.mark.anyio
async def test_only_what_was_not_sent_as_it_is_is_looked_into(tmp_path, write_manifest, settings_for):
    """A pointer where the model was is refused, unless the ledger knows it as what was sent."""
    manifest = write_manifest([{"name": "m", "content": ONNX}])
    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0)) as sandbox:
        settings = settings_for(manifest, sandbox)
        assert (await publish(settings)).exit_code is ExitCode.OK
        (tmp_path / "m-0.onnx").write_bytes(POINTER)
        with pytest.raises(ManifestError):
            await publish(settings)
        let_the_ledger_know(tmp_path / "ledger.db", tmp_path / "m-0.onnx")
        summary = await publish(settings)
        assert (summary.exit_code, summary.requests.upload) == (ExitCode.OK, 0)


def row(line: int, file: Path, **changes: object) -> SentFile:
    look = look_in(file.stat())
    values = {"line": line, "path": "m", "framework": "onnx", "size": look.size, "mark": look.mark} | changes
    return SentFile(**values)  # type: ignore[arg-type]


def test_lines_are_found_among_others(tmp_path):
    """Those that the ledger lacks, and those that the manifest lacks, are passed by."""
    file = tmp_path / "m"
    file.write_bytes(ONNX)
    known = KnownFiles(iter([row(1, file), row(3, file), row(4, file), row(9, file)]))
    assert [line for line in range(2, 9) if known(line, "m", "onnx", file.stat())] == [3, 4]


@pytest.mark.parametrize("changes", [{"path": "n"}, {"framework": "keras"}], ids=str)
def test_another_entry_is_not_known(tmp_path, changes):
    file = tmp_path / "m"
    file.write_bytes(ONNX)
    assert not KnownFiles(iter([row(1, file, **changes)]))(1, "m", "onnx", file.stat())


def test_a_file_that_looks_different_is_not_known(tmp_path):
    file = tmp_path / "m"
    file.write_bytes(ONNX)
    known = KnownFiles(iter([row(1, file)]))
    os.utime(file, ns=(0, 0))
    assert not known(1, "m", "onnx", file.stat())


def test_a_file_without_a_mark_is_not_known(tmp_path):
    """Unknown is equal to nothing."""
    file = tmp_path / "m"
    file.write_bytes(ONNX)
    look = Look(len(ONNX), None)
    assert not KnownFiles(iter([row(1, file, size=look.size, mark=look.mark)]))(1, "m", "onnx", file.stat())


@pytest.mark.parametrize("content", [None, b"", b"no ledger" * 1000], ids=["none", "empty", "other"])
def test_without_a_ledger_nothing_is_known(tmp_path, content):
    """And none is made; what is wrong with one is said by whoever opens it."""
    ledger = tmp_path / "ledger.db"
    if content is not None:
        ledger.write_bytes(content)
    before = sorted(tmp_path.iterdir())
    with known_files(ledger) as is_known:
        assert not is_known(1, "m", "onnx", tmp_path.stat())
    assert sorted(tmp_path.iterdir()) == before

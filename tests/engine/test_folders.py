"""A folder through a whole run: one version of its zip, skipped, resumed and watched for change as a file is."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.core.model.events import PhaseBegan
from bulkload.core.model.settings import OnExisting, Settings
from bulkload.core.model.states import State
from bulkload.core.model.summary import RunSummary
from bulkload.engine.publish import publish
from bulkload.ledger import LedgerReader
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.sandbox import Sandbox, SandboxSettings
from bulkload.source import LocalSource
from tests.consumers import at_first

# The smallest SavedModel that holds a graph.
SAVED_MODEL = b"\x08\x01\x12\x04\x12\x02\x0a\x00"
SIZES = pytest.mark.parametrize("size", [10, 3 << 20], ids=["small", "large"])


def model_in(place: Path, size: int) -> Path:
    (place / "variables").mkdir(parents=True)
    (place / "saved_model.pb").write_bytes(SAVED_MODEL)
    (place / "variables" / "variables.data").write_bytes(b"w" * size)
    return place


def manifest_of(*paths: str, folder: Path) -> Path:
    manifest = folder / "models.jsonl"
    rows = [{"name": f"m{n}", "path": path, "framework": "tensorflow"} for n, path in enumerate(paths)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


async def run(settings: Settings, act: Callable[[], object] = lambda: None) -> RunSummary:
    with anyio.fail_after(60):
        began = PhaseBegan("publishing")
        return await publish(settings, on_event=at_first(lambda event: event == began, act))


def row_of(settings: Settings) -> dict[str, Any]:
    with LedgerReader(settings.ledger) as reader:
        (row,) = (dict(zip(RESULT_COLUMNS, row, strict=True)) for row in reader.results())
    return row


def sandbox_in(folder: Path, *faults: str) -> Sandbox:
    return Sandbox(SandboxSettings(data=folder / "registry", time_scale=0.0, faults=faults))


@pytest.mark.anyio
@SIZES
async def test_it_is_one_version_and_stays_one(size: int, tmp_path: Path, settings_for) -> None:
    """Run again; run after it was touched, or copied over itself; with another ledger: nothing more is sent."""
    place = model_in(tmp_path / "model", size)
    sha256 = (await LocalSource().digest(f"{place}/"))[1]
    async with sandbox_in(tmp_path) as sandbox:
        settings: Settings = settings_for(manifest_of("model", folder=tmp_path), sandbox)
        assert (await run(settings)).exit_code == 0
        row = row_of(settings)
        assert (row["state"], row["sha256"], row["path"]) == (State.READY, sha256, "model/")
        (version,) = sandbox.versions()
        assert version.sha256 == sha256
        assert version.file_name == "model.zip"
        await run(settings)
        os.utime(place / "saved_model.pb", (1, 1))
        # However it is written, it is the same entry.
        await run(settings_for(manifest_of("./model/"[2:], folder=tmp_path), sandbox))
        shutil.move(place, tmp_path / "was")
        shutil.copytree(tmp_path / "was", place)
        await run(settings)
        await run(settings_for(settings.manifest, sandbox, ledger=tmp_path / "other.db"))
        assert row_of(settings_for(settings.manifest, sandbox, ledger=tmp_path / "other.db"))["state"] == State.SKIPPED
        assert [each.id for each in sandbox.versions()] == [version.id]


@pytest.mark.anyio
@SIZES
async def test_another_content_is_one_more_version(size: int, tmp_path: Path, settings_for) -> None:
    place = model_in(tmp_path / "model", size)
    async with sandbox_in(tmp_path) as sandbox:
        settings: Settings = settings_for(manifest_of("model/", folder=tmp_path), sandbox)
        await run(settings)
        (place / "variables" / "more").write_bytes(b"more")
        assert (await run(settings)).exit_code == 0
        await run(settings)
        assert len({version.sha256 for version in sandbox.versions()}) == len(sandbox.versions()) == 2


@pytest.mark.anyio
@SIZES
async def test_a_lost_answer_is_found_again(size: int, tmp_path: Path, settings_for) -> None:
    """By its digest and the zip's name."""
    model_in(tmp_path / "model", size)
    async with sandbox_in(tmp_path, "upload:lost-answer@1") as sandbox:
        settings: Settings = settings_for(manifest_of("model/", folder=tmp_path), sandbox)
        assert (await run(settings)).exit_code == 0
        assert row_of(settings)["state"] == State.READY
        assert len(sandbox.versions()) == 1


@pytest.mark.anyio
@SIZES
async def test_what_changes_after_the_check_is_sent_as_it_is_then(size: int, tmp_path: Path, settings_for) -> None:
    place = model_in(tmp_path / "model", size)
    async with sandbox_in(tmp_path) as sandbox:
        settings: Settings = settings_for(manifest_of("model/", folder=tmp_path), sandbox)
        assert (await run(settings, lambda: (place / "new").write_bytes(b"new"))).exit_code == 0
        (version,) = sandbox.versions()
        assert version.sha256 == (await LocalSource().digest(f"{place}/"))[1]


@pytest.mark.anyio
@SIZES
async def test_a_pipe_laid_after_the_check_fails_the_entry_and_nothing_is_sent(
    size: int, tmp_path: Path, settings_for
) -> None:
    place = model_in(tmp_path / "model", size)
    async with sandbox_in(tmp_path) as sandbox:
        settings: Settings = settings_for(
            manifest_of("model/", folder=tmp_path), sandbox, on_existing=OnExisting.UPLOAD
        )
        await run(settings, lambda: os.mkfifo(place / "pipe"))
        row = row_of(settings)
        assert (row["state"], row["cause"]) == (State.FAILED, "unreadable")
        assert "holds what is no regular file: pipe; remove it" in row["message"]
        assert not sandbox.versions()

"""``--root DIR``: nothing outside it is read for a manifest, however it is named and whatever changes meanwhile."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pyarrow as pa
import pytest

from bulkload.core.model.errors import ExitCode, UsageError
from bulkload.core.model.events import PhaseBegan
from bulkload.core.model.settings import Settings
from bulkload.core.model.states import State
from bulkload.engine.publish import publish
from bulkload.ledger import LedgerReader
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.sandbox import Sandbox, SandboxSettings
from bulkload.source import LocalSource, SourceChanged
from tests.consumers import at_first
from tests.variants import every

ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"
LARGE = ONNX + b"\x12\xff\xff\xb7\x01" + bytes(3_014_655)
SECRET = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x02secret"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of models, and beside it what is none of its business."""
    models = tmp_path / "models"
    (models / "deep").mkdir(parents=True)
    (models / "deep" / "good.onnx").write_bytes(ONNX)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "id_rsa").write_bytes(SECRET)
    (tmp_path / "models-too").mkdir()
    (tmp_path / "models-too" / "m.onnx").write_bytes(SECRET)
    (models / "link.onnx").symlink_to(tmp_path / "secret" / "id_rsa")
    (models / "relative.onnx").symlink_to("../secret/id_rsa")
    (models / "folder").symlink_to("../secret")
    (models / "twice.onnx").symlink_to("link.onnx")
    (models / "inside.onnx").symlink_to("deep/good.onnx")
    return models


def manifest_of(place: Path, *paths: str, **fields: object) -> Path:
    manifest = place / "models.jsonl"
    rows = [{"name": f"m{n}", "path": path, "framework": "onnx", **fields} for n, path in enumerate(paths)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


OUTSIDE = ["../secret/id_rsa", "link.onnx", "relative.onnx", "folder/id_rsa", "twice.onnx", "deep/../../secret/id_rsa",
           "../models-too/m.onnx", "/etc/passwd", "/proc/self/environ", "../nowhere"]  # fmt: skip


@pytest.mark.parametrize("command", ["plan", "run"])
def test_nothing_outside_the_root_is_a_model(command: str, place: Path, bulkload) -> None:
    """/etc/shadow, ../secret/id_rsa, links: a problem each, and nothing is said of what lies there."""
    words = ["--offline"] if command == "plan" else ["--endpoint", "http://127.0.0.1:9"]
    manifest = manifest_of(place, *OUTSIDE)
    done = bulkload(
        command, manifest, "--root", place, "--workspace", "1", "--all-problems", *words, env={"BULKLOAD_TOKEN": "x"}
    )
    assert done.returncode == ExitCode.MANIFEST, done.stderr
    assert done.stderr.count("lies outside --root") == len(OUTSIDE)
    assert "does not exist" not in done.stderr


@pytest.mark.parametrize("path", every(3, ["deep/good.onnx", "inside.onnx", "./deep/../deep/good.onnx"], first=1))
def test_what_lies_inside_is_published(path: str, place: Path, bulkload, tmp_path: Path) -> None:
    """Also by a link, and by a root that is itself reached by one."""
    (tmp_path / "root").symlink_to("models")
    done = bulkload("run", manifest_of(place, path), "--root", tmp_path / "root", "--sandbox")
    assert done.returncode == ExitCode.OK, done.stderr


def test_a_schema_outside_is_not_read_either(place: Path, bulkload, tmp_path: Path) -> None:
    schema = tmp_path / "secret" / "s.arrow"
    with pa.OSFile(str(schema), "wb") as file, pa.ipc.new_file(file, pa.schema([("secret", pa.int64())])):
        pass
    manifest = manifest_of(place, "deep/good.onnx", input_schema="../secret/s.arrow")
    assert bulkload("plan", manifest, "--workspace", "1", "--offline").returncode == ExitCode.OK
    done = bulkload("plan", manifest, "--workspace", "1", "--offline", "--root", place)
    assert done.returncode == ExitCode.MANIFEST
    assert "lies outside --root" in done.stderr


def test_a_root_that_is_no_folder_is_a_usage_error(place: Path, bulkload) -> None:
    for root in (place / "absent", place / "deep" / "good.onnx"):
        done = bulkload("plan", manifest_of(place, "deep/good.onnx"), "--workspace", "1", "--offline", "--root", root)
        assert done.returncode == ExitCode.USAGE


def test_plan_says_how_many_files_lie_outside_the_manifests_folder(place: Path, bulkload) -> None:
    """Without a root, too: what comes from elsewhere is seen before it is sent."""
    manifest = manifest_of(place, "deep/good.onnx", "inside.onnx", "../secret/id_rsa", "link.onnx", "folder/id_rsa")
    done = bulkload("plan", manifest, "--workspace", "1", "--offline")
    assert done.returncode == ExitCode.OK
    assert "3 files lie outside the manifest's folder, such as ../secret/id_rsa" in done.stdout
    assert json.loads(bulkload("plan", manifest, "--workspace", "1", "--offline", "--json").stdout)["outside"] == 3
    inside = bulkload("plan", manifest_of(place, "deep/good.onnx"), "--workspace", "1", "--offline")
    assert "outside" not in inside.stdout


def test_a_folder_of_models_has_no_link_out_of_the_root(place: Path, bulkload) -> None:
    """Without a root it is sent, and counted among what lies outside."""
    (place / "saved").mkdir()
    (place / "saved" / "key").symlink_to("../../secret/id_rsa")
    manifest = manifest_of(place, "saved/", framework="tensorflow")
    words = ("plan", manifest, "--workspace", "1", "--offline")
    done = bulkload(*words, "--root", place)
    assert done.returncode == ExitCode.MANIFEST
    assert "saved/ holds a link to outside --root" in done.stderr
    done = bulkload(*words)
    assert done.returncode == ExitCode.OK, done.stderr
    assert "1 file lies outside the manifest's folder: saved/" in done.stdout


# What changes after the check


def a_link_in_its_place(place: Path) -> None:
    (place / "deep" / "good.onnx").unlink()
    (place / "deep" / "good.onnx").symlink_to("../../secret/good.onnx")


def a_link_in_its_folders_place(place: Path) -> None:
    (place / "deep").rename(place / "was-deep")
    (place / "deep").symlink_to("../secret")


@pytest.mark.anyio
@pytest.mark.parametrize("content", [ONNX, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("change", [a_link_in_its_place, a_link_in_its_folders_place])
async def test_a_link_that_is_laid_after_the_check_is_not_followed(
    change: Callable[[Path], None], content: bytes, place: Path, tmp_path: Path, settings_for
) -> None:
    (place / "deep" / "good.onnx").write_bytes(content)
    (tmp_path / "secret" / "good.onnx").write_bytes(content + b"\x28\x02")
    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0)) as sandbox:
        settings: Settings = settings_for(manifest_of(place, "deep/good.onnx"), sandbox, root=place)
        with anyio.fail_after(60):
            summary = await publish(
                settings, on_event=at_first(lambda event: event == PhaseBegan("publishing"), lambda: change(place))
            )
        assert summary.exit_code == ExitCode.SOME_FAILED
        assert not sandbox.versions()
    with LedgerReader(settings.ledger) as reader:
        (row,) = (dict(zip(RESULT_COLUMNS, row, strict=True)) for row in reader.results())
    assert (row["state"], row["cause"]) == (State.FAILED, "unreadable")
    assert "lies outside --root" in row["message"]


@pytest.mark.anyio
async def test_links_that_are_swapped_all_the_time_give_nothing_away(place: Path, tmp_path: Path) -> None:
    """Whatever wins the race: what is read is a file below the root, or nothing."""
    import threading

    deep, elsewhere = place / "deep", place / "elsewhere"
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            deep.rename(elsewhere)
            deep.symlink_to("../secret")
            deep.unlink()
            elsewhere.rename(deep)

    (tmp_path / "secret" / "good.onnx").write_bytes(SECRET)
    swapper, source = threading.Thread(target=swap), LocalSource(str(place))
    swapper.start()
    try:
        for number in range(300):
            try:
                if number % 2:
                    assert (await source.read_small(str(deep / "good.onnx"))).data == ONNX
                else:
                    stat, _ = await source.digest(str(deep / "good.onnx"))
                    assert stat.size == len(ONNX)
            except (OSError, SourceChanged):
                continue
    finally:
        ended.set()
        swapper.join()


@pytest.mark.anyio
async def test_a_program_is_told_of_a_root_that_is_no_folder(place: Path, tmp_path: Path, settings_for) -> None:
    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0)) as sandbox:
        settings = settings_for(manifest_of(place, "deep/good.onnx"), sandbox, root=place / "absent")
        with pytest.raises(UsageError, match="--root"):
            await publish(settings)


def test_a_path_that_is_all_dots_stays_where_it_is(place: Path, bulkload) -> None:
    """A root of / is no root, and the root itself is no file."""
    for root, path in (("/", "deep/good.onnx"), (os.sep, str(place / "deep" / "good.onnx"))):
        done = bulkload("plan", manifest_of(place, path), "--workspace", "1", "--offline", "--root", root)
        assert done.returncode == ExitCode.OK, done.stderr
    done = bulkload("plan", manifest_of(place, "."), "--workspace", "1", "--offline", "--root", place)
    assert done.returncode == ExitCode.MANIFEST
    assert "is a folder" in done.stderr

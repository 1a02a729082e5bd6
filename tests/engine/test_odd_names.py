"""52 odd names, as file and as model: each is published under its own bytes, or refused with words; never obeyed."""

import json
from pathlib import Path

import pytest

from bulkload.core.model.errors import ExitCode
from bulkload.core.model.records import Entry, Problem
from bulkload.engine.publish import publish
from bulkload.manifest import check
from bulkload.sandbox import Sandbox, SandboxSettings, stored_versions

ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01"
NAMES = (
    " ", "  m", "m ", ".", "..", "...", ".m", "m.", "-", "-m", "--help", "-rf", "m-", "~", "~root", "$HOME",
    "${HOME}", "$(id)", "`id`", ";id", "|id", "&", "m&&id", "> m", "< m", "*", "?", "[a]", "{a,b}", "!m", "#m",
    "%2e%2e%2f", "%s%n", "\\", "\\..\\m", "c:m", "con", "nul", "m\tm", "m\nm", "m\rm", "m\x1b[2J", "m\x07",
    "m\u202em", "m\u200bm", "\ufeffm", "é", "e\u0301", "模型", "😀", "'m'", '"m"',
)  # fmt: skip


def named(folder: Path, name: str) -> str:
    """A model's file of this name with an extension, where a file system has such names."""
    (folder / f"{name}.onnx").write_bytes(ONNX + name.encode())
    return f"{name}.onnx"


def test_there_are_52_of_them():
    assert len(set(NAMES)) == 52


@pytest.mark.anyio
async def test_files_of_odd_names_are_published_or_refused_with_words(tmp_path, settings_for):
    """What is taken arrives under its name; nothing else appears anywhere."""
    folder = tmp_path / "models"
    folder.mkdir()
    taken = []
    for number, name in enumerate(NAMES):
        row = {"name": f"m{number}", "path": named(folder, name)}
        manifest = folder / "one.jsonl"
        manifest.write_text(json.dumps(row) + "\n")
        found = list(check(str(manifest), overrides={}, workspace=None, workspace_needed=False))
        if all(isinstance(one, Entry) for one in found):
            taken.append(row)
        for problem in found:
            assert not isinstance(problem, Problem) or (problem.what and problem.remedy), name
    assert len(taken) > 30
    manifest = folder / "all.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in taken))
    before = sorted(folder.iterdir())
    async with Sandbox(SandboxSettings(data=tmp_path / "registry", time_scale=0.0)) as sandbox:
        assert (await publish(settings_for(manifest, sandbox))).exit_code is ExitCode.OK
    stored = {version.name: version.file_name for version in stored_versions(tmp_path / "registry")}
    assert stored == {row["name"]: row["path"] for row in taken}
    assert sorted(folder.iterdir()) == before
    assert {path.name for path in tmp_path.iterdir()} == {"models", "registry", "ledger.db", "ledger.db.lock"}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_model_of_an_odd_name_is_refused_in_one_line(tmp_path, name):
    """With the rule, and nothing that a terminal would obey."""
    (tmp_path / "m.onnx").write_bytes(ONNX)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(json.dumps({"name": name, "path": "m.onnx"}) + "\n")
    found = list(check(str(manifest), overrides={}, workspace="w", workspace_needed=True))
    if name in ("con", "nul"):
        return
    (problem,) = found
    assert isinstance(problem, Problem)
    assert problem.field == "name"
    assert str(problem).isprintable()

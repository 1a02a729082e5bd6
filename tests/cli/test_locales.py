"""File names are bytes: a manifest in UTF-8 names the same files under every locale."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import clean_environment, homes

MODEL = (Path(__file__).parents[2] / "manifests/models/digits-mlp.onnx").read_bytes()
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def bulkload(tmp_path):
    """A process that starts anew: a locale is chosen at the start."""

    def run(*words, env=None, folder=None):
        return subprocess.run(
            [sys.executable, "-m", "bulkload", *words],
            cwd=folder or tmp_path,
            env=clean_environment() | homes(tmp_path) | (env or {}),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )

    return run


# All other tests run under UTF-8.
@pytest.fixture(params=["ascii", "latin-1", pytest.param("utf-8", marks=pytest.mark.long)])
def locale(request, tmp_path_factory):
    """Variables of a locale; Latin-1 is made for the test, where the system can."""
    if request.param == "ascii":
        return ASCII
    if request.param == "utf-8":
        return {"LC_ALL": "C.UTF-8"}
    folder = tmp_path_factory.mktemp("locales")
    program = shutil.which("localedef")
    if program is None or not Path("/usr/share/i18n/locales/en_US").is_file():
        pytest.skip("no locales can be made here")
    subprocess.run([program, "-i", "en_US", "-f", "ISO-8859-1", folder / "en_US.ISO-8859-1"], check=True)
    return {"LC_ALL": "en_US.ISO-8859-1", "LOCPATH": str(folder), "PYTHONUTF8": "0"}


@pytest.fixture
def manifest(tmp_path):
    """A manifest and models whose names are no ASCII."""
    paths = ["größe.onnx", "modèle/模型.onnx"]
    for path in paths:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(MODEL)
    rows = [{"name": f"m{number}", "path": path} for number, path in enumerate(paths)]
    (tmp_path / "übung.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return "übung.jsonl"


def test_a_run_finds_and_names_its_files(locale, manifest, bulkload, start_sandbox, tmp_path):
    sandbox = start_sandbox("--time-scale", "0", data=tmp_path / "registry")
    words = ("run", manifest, "--workspace", "108", "-q")
    result = bulkload(*words, env=locale | sandbox.environment)
    assert result.returncode == 0, result.stderr
    lines = bulkload("results", manifest, "--format", "jsonl", env={"LC_ALL": "C.UTF-8"}).stdout.splitlines()
    assert [json.loads(line)["path"] for line in lines] == ["größe.onnx", "modèle/模型.onnx"]
    status = bulkload("status", manifest, "--json", env=locale)
    assert status.returncode == 0, status.stderr


def test_what_would_be_right_is_said_under_every_locale(locale, manifest, bulkload, tmp_path):
    (tmp_path / manifest).write_text('{"name": "a", "path": "modèle/模形.onnx"}\n')
    result = bulkload("plan", manifest, "--offline", "--sandbox", env=locale)
    assert result.returncode == 4
    assert "did you mean" in result.stderr
    assert "internal error" not in result.stderr


def test_converting_moves_paths_under_every_locale(locale, manifest, bulkload, tmp_path):
    result = bulkload("manifest", "convert", manifest, "-o", "modèle/übung.csv", env=locale)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "modèle/übung.csv").read_text(encoding="utf-8").splitlines() == [
        "name,path", "m0,../größe.onnx", "m1,模型.onnx"
    ]  # fmt: skip


def test_a_folder_or_a_manifest_whose_name_is_no_text(bulkload, tmp_path):
    """Bytes are bytes, as long as no record has to hold them."""
    folder = tmp_path / os.fsdecode(b"lat\xe4in")
    folder.mkdir()
    (folder / "a.onnx").write_bytes(MODEL)
    manifest = folder / os.fsdecode(b"m\xe4.jsonl")
    manifest.write_text('{"name": "a", "path": "a.onnx"}\n')
    inside = bulkload("run", manifest.name, "--sandbox", "-q", folder=folder)
    assert inside.returncode == 0, inside.stderr
    outside = bulkload("plan", str(manifest), "--offline", "--sandbox")
    assert outside.returncode == 4
    assert "run from inside it" in outside.stderr

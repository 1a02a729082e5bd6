"""The quickstart's promises: small real files, and two manifests that say the same."""

import csv
import hashlib
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
MODELS = MANIFESTS / "models"
MAX_SAMPLE_BYTES = 64 * 1024
FRAMEWORK_OF_EXTENSION = {".onnx": "onnx", ".pt": "pytorch", ".pth": "pytorch", ".h5": "keras"}
NEEDS_NO_SCHEMA = {"onnx", "tensorflow"}
HOLDS_JSON = {"framework_config", "input_schema", "output_schema", "labels"}


def yaml_entries() -> list[dict[str, Any]]:
    document = yaml.safe_load((MANIFESTS / "quickstart.yaml").read_text(encoding="utf-8"))
    return [{**document["defaults"], **item} for item in document["models"]]


def csv_entries() -> list[dict[str, Any]]:
    with (MANIFESTS / "quickstart.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {field: json.loads(cell) if field in HOLDS_JSON else cell for field, cell in row.items() if cell}
        for row in rows
    ]


def framework_of(entry: dict[str, Any]) -> str | None:
    return entry.get("framework") or FRAMEWORK_OF_EXTENSION.get(Path(entry["path"]).suffix)


def in_order(value: Any) -> str:
    """As JSON, for the order of a schema's fields means something and ``==`` on dicts does not see it."""
    return json.dumps(value)


SAMPLES = sorted(MODELS.iterdir())
ENTRIES = yaml_entries()


def test_there_are_at_least_twelve_samples_over_six_frameworks() -> None:
    assert len(ENTRIES) >= 12
    assert len({framework_of(entry) for entry in ENTRIES}) >= 6


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.name)
def test_a_sample_is_small(file: Path) -> None:
    assert 0 < file.stat().st_size < MAX_SAMPLE_BYTES


@pytest.mark.parametrize("file", [file for file in SAMPLES if file.suffix == ".zip"], ids=lambda file: file.name)
def test_an_archive_opens_and_its_python_parses(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        modules = [name for name in archive.namelist() if name.endswith(".py")]
        assert modules
        for module in modules:
            compile(archive.read(module), module, "exec")


@pytest.mark.parametrize("folder", sorted((MANIFESTS / "sources").iterdir()), ids=lambda folder: folder.name)
def test_an_archive_holds_its_sources_as_they_are_now(folder: Path) -> None:
    sources = {file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    with zipfile.ZipFile(MODELS / f"{folder.name}.zip") as archive:
        top = f"{folder.name}/" if archive.namelist()[0].startswith(f"{folder.name}/") else ""
        for file in sources:
            assert archive.read(top + file.relative_to(folder).as_posix()) == file.read_bytes()


@pytest.mark.parametrize("file", [file for file in SAMPLES if file.suffix == ".pt"], ids=lambda file: file.name)
def test_torchscript_carries_no_paths_of_the_machine_that_wrote_it(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert not [name for name in archive.namelist() if name.endswith(".debug_pkl") or "traced_inputs" in name]


def test_every_sample_is_in_the_manifest_and_every_path_exists() -> None:
    assert sorted(entry["path"] for entry in ENTRIES) == [f"models/{file.name}" for file in SAMPLES]


def test_the_csv_twin_has_the_same_entries_in_the_same_order() -> None:
    assert [{field: in_order(value) for field, value in entry.items()} for entry in csv_entries()] == [
        {field: in_order(value) for field, value in entry.items()} for entry in ENTRIES
    ]


def test_declared_digests_are_right() -> None:
    declared = [entry for entry in ENTRIES if "sha256" in entry]
    assert declared
    for entry in declared:
        assert hashlib.sha256((MANIFESTS / entry["path"]).read_bytes()).hexdigest() == entry["sha256"], entry["name"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: Path(entry["path"]).name)
def test_an_entry_says_what_the_registry_needs(entry: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", entry["name"])
    framework = framework_of(entry)
    assert framework is not None
    if framework not in NEEDS_NO_SCHEMA:
        assert entry["input_schema"]
        assert entry["output_schema"]


def test_one_model_has_two_versions_with_labels_in_order() -> None:
    versions = [entry.get("version") for entry in ENTRIES if entry["name"] == "energy-forecast"]
    assert versions == ["1", "2"]
    assert len({entry["name"] for entry in ENTRIES}) == len(ENTRIES) - 1


def test_what_is_bound_to_fail_says_so() -> None:
    failing = [entry["name"] for entry in ENTRIES if entry.get("labels", {}).get("expect") == "error"]
    assert failing == [entry["name"] for entry in ENTRIES if entry["name"].startswith("broken-")]
    assert len(failing) == 1


def test_the_readme_lists_every_sample_with_its_size() -> None:
    readme = (MANIFESTS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| \w+ \|.*\| ([\d,]+) \|$", readme, re.MULTILINE)
    listed = {name: int(size.replace(",", "")) for name, size in rows}
    assert listed == {file.name: file.stat().st_size for file in SAMPLES}

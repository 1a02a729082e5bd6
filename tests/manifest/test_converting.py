"""Every format into every other, without loss."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bulkload.core.model.errors import UsageError
from bulkload.core.model.records import Entry
from bulkload.manifest import check
from bulkload.manifest.converting import convert
from tests.variants import each_once, every

FORMATS = ("csv", "jsonl", "json", "yaml", "toml", "parquet", "arrow")
QUICKSTART = Path(__file__).parents[2] / "manifests" / "quickstart.yaml"


def entries(manifest: Path) -> list[Entry]:
    """All that counts of a manifest: its entries, without the places they stand at."""
    found = []
    for entry in check(str(manifest), overrides={}, workspace=None, workspace_needed=False):
        assert isinstance(entry, Entry), entry
        found.append(msgspec.structs.replace(entry, line=0, path=Path(entry.path).name, source=""))
    return found


def converted(manifest: Path, target: Path) -> Path:
    with target.open("wb") as stream:
        convert(str(manifest), target.suffix, stream, target.parent)
    return target


@pytest.mark.parametrize(("source", "target"), each_once(FORMATS, FORMATS))
def test_no_format_loses_anything(source, target, tmp_path):
    """The samples (schemas, labels, configs, versions, defaults) through every pair of formats are the same entries."""
    first = converted(QUICKSTART, tmp_path / f"first.{source}")
    second = converted(first, tmp_path / f"second.{target}")
    assert entries(first) == entries(second) == entries(QUICKSTART)


def rows(count: int, **fields: Any) -> str:
    return "".join(json.dumps({"name": f"m{n}", "path": "model.onnx"} | fields) + "\n" for n in range(count))


@pytest.mark.parametrize("words", [40_000, pytest.param(100_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("target", FORMATS)
def test_long_values_are_read_back(target, words, tmp_path):
    """A cell of a megabyte or more, full of quotes."""
    (tmp_path / "model.onnx").write_bytes(b"model")
    config = {"note": 'a "quoted" word, ' * words}
    row = {"framework": "custom", "framework_config": config, "input_schema": {"x": "int64"}}
    source = tmp_path / "source.jsonl"
    source.write_text(rows(1, **row, output_schema={"x": "int64"}))
    assert entries(converted(source, tmp_path / f"target.{target}")) == entries(source)


# YAML is written slowly.
BUT_YAML = [pytest.param(name, marks=[pytest.mark.attack] if name == "yaml" else []) for name in FORMATS]


@pytest.mark.parametrize("target", BUT_YAML)
def test_what_could_not_be_read_is_not_written(target, tmp_path):
    """A document has 16 MiB, an entry of the others 4 MiB, also where defaults are written into each."""
    source = tmp_path / "source.json"
    long = {"note": "x" * 5_000_000}
    document = {"defaults": {"framework_config": long}, "models": [{"name": "a", "path": "model.onnx"}]}
    source.write_text(json.dumps(document))
    if target in ("json", "yaml", "toml"):
        source = tmp_path / "source.jsonl"
        source.write_text(rows(60, version="x" * 300_000))
    with pytest.raises(UsageError, match="MiB as"):
        converted(source, tmp_path / f"target.{target}")


@pytest.mark.parametrize("target", every(2, ["parquet", "arrow"]))
def test_many_rows_are_read_back(target, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"model")
    source = tmp_path / "source.jsonl"
    source.write_text(rows(17_000))
    assert len(entries(converted(source, tmp_path / f"target.{target}"))) == 17_000

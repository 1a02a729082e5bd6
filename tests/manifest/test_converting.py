"""Every format into every other, without loss."""

from pathlib import Path

import msgspec
import pytest

from bulkload.core.records import Entry
from bulkload.manifest import check
from bulkload.manifest.converting import convert

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


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_no_format_loses_anything(source, target, tmp_path):
    """The samples (schemas, labels, configs, versions, defaults) through every pair of formats are the same entries."""
    first = converted(QUICKSTART, tmp_path / f"first.{source}")
    second = converted(first, tmp_path / f"second.{target}")
    assert entries(first) == entries(second) == entries(QUICKSTART)

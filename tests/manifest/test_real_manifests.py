"""The manifests that come with the project, and the one of real models beside it."""

from pathlib import Path

import msgspec
import pytest

REPOSITORY = Path(__file__).parents[2]
MANIFESTS = REPOSITORY / "manifests"
SHARED = REPOSITORY.parent / "shared" / "models" / "manifest.jsonl"


@pytest.mark.skipif(not SHARED.is_file(), reason="there is no folder of shared models")
def test_the_30_shared_models_are_30_entries(checked):
    entries, problems = checked(SHARED)
    assert problems == []
    assert len(entries) == 30
    assert all(entry.sha256 for entry in entries)


def test_quickstart_is_17_entries_in_yaml_and_the_same_ones_in_csv(checked):
    in_yaml, problems = checked(MANIFESTS / "quickstart.yaml")
    assert problems == []
    in_csv, problems = checked(MANIFESTS / "quickstart.csv")
    assert problems == []
    assert len(in_yaml) == len(in_csv) == 17
    # Only the numbers differ: an item in one, a line in the other.
    assert [msgspec.structs.replace(entry, line=0) for entry in in_yaml] == [
        msgspec.structs.replace(entry, line=0) for entry in in_csv
    ]

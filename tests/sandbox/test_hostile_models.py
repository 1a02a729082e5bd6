"""Models that mean harm: nothing crashes, nothing is executed or unpickled, nothing is written, memory stays small."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, clean_environment
from tests.sandbox import hostile_models

MOST_MEBIBYTES = 200
# Of one file for one framework: ten times what the slowest takes.
MOST_SECONDS = 30
# Of one such process, also on a machine with other work.
SECONDS = 900


# What a judge walks to its bounds takes its time: that is for `make attack`.
QUICK_BYTES = 20_000


def place_with(folder: Path, contents: Iterable[bytes]) -> Path:
    """A folder whose neighbour ``crafted`` holds these files."""
    (folder / "crafted").mkdir()
    for number, content in enumerate(contents):
        (folder / "crafted" / f"{number:04}").write_bytes(content)
    return folder / "attacked"


def attacked(folder: Path, seed: int, count: int) -> None:
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.sandbox.hostile_models", str(folder), str(seed), str(count)],
        cwd=folder,
        env=clean_environment() | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["told"] == []
    assert found["mebibytes"] < MOST_MEBIBYTES
    assert found["longest"] < MOST_SECONDS
    assert {path.name for path in folder.iterdir()} <= {"model.bin", "manifest.jsonl"}


def test_small_crafted_models_and_a_few_mutations(tmp_path: Path) -> None:
    small = (content for content in hostile_models.crafted() if len(content) <= QUICK_BYTES)
    attacked(place_with(tmp_path, small), seed=1, count=25)


@pytest.mark.attack
@pytest.mark.timeout(SECONDS)
def test_crafted_models(tmp_path: Path) -> None:
    """Bombs, lies about lengths, and everything that is nested deeper than anyone nests."""
    attacked(place_with(tmp_path, itertools.chain(hostile_models.crafted(), hostile_models.crafted_bombs())), 0, 0)


@pytest.mark.attack
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("seed", range(2, 10))
def test_mutations_of_real_models(seed: int, tmp_path: Path) -> None:
    """Eight times three hundred."""
    attacked(tmp_path / "attacked", seed, 300)

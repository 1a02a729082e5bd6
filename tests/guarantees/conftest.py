"""Folders for worlds."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def folders() -> Iterator[Iterator[Path]]:
    """A new folder for each world, in memory where the system has such a place."""
    root = Path(tempfile.mkdtemp(prefix="bulkload-test-", dir=MEMORY if MEMORY.is_dir() else None))
    yield (root / str(number) for number in itertools.count())
    shutil.rmtree(root)

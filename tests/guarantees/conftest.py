"""Folders for worlds, and what was gone through in them, as a line at the end of the tests."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guarantees.scenarios import Found

MEMORY = Path("/dev/shm")


@pytest.fixture
def root() -> Iterator[Path]:
    """A new folder, in memory where the system has such a place."""
    root = Path(tempfile.mkdtemp(prefix="bulkload-test-", dir=MEMORY if MEMORY.is_dir() else None))
    yield root
    shutil.rmtree(root)


@pytest.fixture
def folders(root: Path) -> Iterator[Path]:
    """A new folder for each world."""
    return (root / str(number) for number in itertools.count())


@pytest.fixture
def found(record_property: Callable[[str, object], None]) -> Iterator[Found]:
    """What a test goes through."""
    found = Found()
    yield found
    record_property("histories", [found.histories, found.lives, len(found.violations)])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Sum up what the tests went through; under xdist their reports come from all processes."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    counts = [
        value
        for report in reports
        if getattr(report, "when", None) == "teardown"
        for name, value in report.user_properties
        if name == "histories"
    ]
    if counts:
        histories, lives, violations = map(sum, zip(*counts, strict=True))
        terminalreporter.section("crash points")
        terminalreporter.write_line(f"{histories:,} histories of {lives:,} processes, {violations:,} violations")

"""What people read while a run works."""

from collections import Counter
from pathlib import Path

import pytest

from bulkload.core.model.settings import Settings
from bulkload.core.model.states import State
from bulkload.engine.context import Progress
from bulkload.engine.limits.gates import Gates
from bulkload.engine.stop import Stop
from bulkload.report.progress import ProgressView


def progress_with(**states: int) -> Progress:
    return Progress(phase="publishing", states=Counter({State[name]: count for name, count in states.items()}))


def test_before_the_states_are_known_the_phase_counts():
    """Checking a large manifest shows how far it came."""
    view = ProgressView(Progress(phase="checking the manifest", done=12_000), 100.0)
    assert view.line(103.0) == "checking the manifest 12,000, 3.0s"


def test_what_is_done_comes_first_and_trouble_before_the_rest():
    """A narrow terminal cuts the end of the line, not its point."""
    progress = progress_with(FAILED=1, READY=41, PLANNED=10, UPLOADED=8)
    progress.bytes_sent = 12_300_000
    line = ProgressView(progress, 0.0).line(1.0)
    assert line == "42/60 done, 12.3 MB, 1.0s: 1 failed, 8 converting, 41 ready, 10 to do"


def test_speed_and_time_left_are_those_since_publishing_began():
    """What an earlier run did makes this one no faster."""
    progress = progress_with(READY=50, PLANNED=50)
    view = ProgressView(progress, 0.0)
    view.line(10.0)
    progress.states = progress_with(READY=60, PLANNED=40).states
    progress.bytes_sent = 5_000_000
    assert view.line(15.0) == "60/100 done, 5.0 MB, 1.0 MB/s, 20s left, 15s: 60 ready, 40 to do"


@pytest.mark.anyio
async def test_what_holds_the_uploads_back_is_said():
    """How many at a time, the rate that was asked for or learnt, and a pause that the registry asked for."""
    settings = Settings(manifest="m", endpoint="http://registry.invalid", ledger=Path("l"), upload_rate=12.5)
    progress = progress_with(READY=5, PLANNED=5)
    progress.gates = Gates(settings, Stop())
    view = ProgressView(progress, 0.0)
    assert "1.0s, 4 at a time, at most 12.5 uploads/s: 5 ready" in view.line(1.0)
    progress.gates.uploads.throttle.pacer.hold(1.0, 30.0)
    assert "at most 12.5 uploads/s, held for 29s: 5 ready" in view.line(2.0)
    progress.states = progress_with(READY=5, UPLOADED=5).states
    assert "at a time" not in view.line(3.0)


def test_no_estimate_is_made_from_too_little():
    """Two entries in one second say nothing."""
    progress = progress_with(PLANNED=50)
    view = ProgressView(progress, 0.0)
    view.line(0.0)
    progress.states = progress_with(READY=2, PLANNED=48).states
    assert "left" not in view.line(5.0)
    assert "/s" not in view.line(1.0)

"""What people read while a run works, built from its events alone."""

from bulkload.core.model.events import (
    Advanced,
    BytesSent,
    EntryMoved,
    Held,
    LimitChanged,
    Noticed,
    Paced,
    PhaseBegan,
    RunBegan,
    StatesCounted,
    Stopping,
)
from bulkload.core.model.states import State
from bulkload.report.progress import Progress, ProgressView


def counted(**states: int) -> StatesCounted:
    return StatesCounted({State[name].value: count for name, count in states.items()})


def begun(*, upload_rate: float | None = None) -> RunBegan:
    return RunBegan(
        run_id="r",
        endpoint="http://registry.invalid",
        ledger="l",
        concurrency=4,
        most_concurrency=16,
        upload_rate=upload_rate,
        max_converting=None,
        answer_timeout=60.0,
    )


def moved(before: State, after: State, *, in_manifest: bool = True) -> EntryMoved:
    return EntryMoved(entry_id=1, name="m", before=before, after=after, in_manifest=in_manifest)


def progress_after(*events: object) -> Progress:
    progress = Progress()
    for event in events:
        progress(event)  # type: ignore[arg-type]
    return progress


def test_before_the_states_are_known_the_phase_counts() -> None:
    """Checking a large manifest shows how far it came; the next phase begins anew."""
    progress = progress_after(PhaseBegan("checking the manifest"), Advanced(12_000))
    view = ProgressView(progress, 100.0)
    assert view.line(103.0) == "checking the manifest 12,000, 3.0s"
    progress(PhaseBegan("asking the registry"))
    assert view.line(103.0) == "asking the registry, 3.0s"


def test_what_is_done_comes_first_and_trouble_before_the_rest() -> None:
    """A narrow terminal cuts the end of the line, not its point."""
    states = counted(FAILED=1, READY=41, PLANNED=10, UPLOADED=8)
    progress = progress_after(PhaseBegan("publishing"), states, BytesSent(12_300_000))
    line = ProgressView(progress, 0.0).line(1.0)
    assert line == "42/60 done, 12.3 MB, 1.0s: 1 failed, 8 converting, 41 ready, 10 to do"


def test_moves_change_what_was_counted() -> None:
    """But for entries that the manifest no longer has; and who counts anew starts anew."""
    progress = progress_after(
        PhaseBegan("publishing"),
        counted(PLANNED=2),
        moved(State.PLANNED, State.UPLOADING),
        moved(State.UPLOADED, State.READY, in_manifest=False),
    )
    view = ProgressView(progress, 0.0)
    assert view.line(1.0) == "0/2 done, 0 B, 1.0s: 1 uploading, 1 to do"
    progress(counted(READY=3))
    assert view.line(1.0) == "3/3 done, 0 B, 1.0s: 3 ready"


def test_speed_and_time_left_are_those_since_publishing_began() -> None:
    """What an earlier run did makes this one no faster."""
    progress = progress_after(PhaseBegan("publishing"), counted(READY=50, PLANNED=50))
    view = ProgressView(progress, 0.0)
    view.line(10.0)
    progress(counted(READY=60, PLANNED=40))
    progress(BytesSent(5_000_000))
    assert view.line(15.0) == "60/100 done, 5.0 MB, 1.0 MB/s, 20s left, 15s: 60 ready, 40 to do"


def test_what_holds_the_uploads_back_is_said() -> None:
    """How many at a time, the rate that was asked for or learnt, and a pause that the registry asked for."""
    progress = progress_after(begun(upload_rate=12.5), PhaseBegan("publishing"), counted(READY=5, PLANNED=5))
    view = ProgressView(progress, 0.0)
    assert "1.0s, 4 at a time, at most 12.5 uploads/s: 5 ready" in view.line(1.0)
    progress(Held(30.0, 31.0))
    assert "at most 12.5 uploads/s, held for 29s: 5 ready" in view.line(2.0)
    progress(LimitChanged(limit="concurrency", before=4, after=8, reason="quick"))
    progress(LimitChanged(limit="rate", kind="upload", before=None, after=9.0, reason="429"))
    progress(Paced("upload", 9.0))
    progress(Paced("poll", 1.0))
    assert "8 at a time, at most 9 uploads/s: 5 ready" in view.line(40.0)
    progress(counted(READY=5, UPLOADED=5))
    assert "at a time" not in view.line(40.0)


def test_no_estimate_is_made_from_too_little() -> None:
    """Two entries in one second say nothing."""
    progress = progress_after(PhaseBegan("publishing"), counted(PLANNED=50))
    view = ProgressView(progress, 0.0)
    view.line(0.0)
    progress(counted(READY=2, PLANNED=48))
    assert "left" not in view.line(5.0)
    assert "/s" not in view.line(1.0)


def test_what_people_are_told_is_kept() -> None:
    """What it does not listen to changes nothing."""
    progress = progress_after(Noticed("4 uploads at a time, not 16"), Stopping(130, "interrupted", 10.0))
    assert progress.notices == ["4 uploads at a time, not 16"]
    assert Stopping not in progress.kinds


def test_who_only_waits_is_told_no_bytes() -> None:
    """None will ever be sent."""
    progress = progress_after(PhaseBegan("waiting"), counted(READY=7, UPLOADED=2))
    assert ProgressView(progress, 0.0).line(1.0) == "waiting: 7/9 done, 1.0s: 2 converting, 7 ready"

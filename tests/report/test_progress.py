"""What is known of a run while it works, built from its events alone."""

from bulkload.core.model.events import (
    Advanced,
    BodySent,
    BytesSent,
    ConversionPlaces,
    EntryMoved,
    Event,
    Held,
    LimitChanged,
    Noticed,
    Outage,
    OutageEnded,
    Paced,
    PhaseBegan,
    Retried,
    RunBegan,
    StatesCounted,
    Stopping,
)
from bulkload.core.model.states import State
from bulkload.report.progress import Progress, Watch


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


def moved(before: State, after: State, *, entry_id: int = 1, in_manifest: bool = True) -> EntryMoved:
    return EntryMoved(entry_id=entry_id, name="m", before=before, after=after, in_manifest=in_manifest)


def outage(kind: str, *, next_try: float, gives_up_at: float) -> Outage:
    return Outage(kind=kind, call=kind, reason="gone", since=10.0, next_try=next_try, gives_up_at=gives_up_at)


def watched(*events: Event) -> tuple[Progress, Watch]:
    progress = Progress()
    for event in events:
        progress(event)
    return progress, Watch(progress, 0.0)


def test_before_the_states_are_known_the_phase_counts() -> None:
    """Checking a large manifest shows how far it came; the next phase begins anew."""
    progress, watch = watched(PhaseBegan("checking the manifest"), Advanced(12_000))
    assert (watch.look(3.0).phase, watch.look(3.0).counted) == ("checking the manifest", 12_000)
    progress(PhaseBegan("asking the registry"))
    assert watch.look(3.0).counted == 0


def test_moves_change_what_was_counted() -> None:
    """But for entries that the manifest no longer has; and who counts anew starts anew."""
    progress, watch = watched(
        counted(PLANNED=2),
        moved(State.PLANNED, State.UPLOADING),
        moved(State.UPLOADED, State.READY, in_manifest=False),
    )
    assert {state: count for state, count in watch.look(1.0).states.items() if count} == {"uploading": 1, "planned": 1}
    progress(counted(READY=3))
    assert watch.look(1.0).states == {"ready": 3}
    assert watch.look(1.0).done == 3


def test_speeds_are_those_of_the_last_ten_seconds() -> None:
    """What was before tells nothing of now; and the time left goes by the last minute."""
    progress, watch = watched(counted(READY=50, PLANNED=50))
    watch.look(0.0)
    progress(counted(READY=60, PLANNED=40))
    progress(BytesSent(5_000_000))
    found = watch.look(5.0)
    assert (found.bytes_speed, found.models_speed, found.left) == (1e6, 2.0, 20.0)
    for second in range(6, 30):
        found = watch.look(float(second))
    assert (found.bytes_speed, found.models_speed) == (0.0, 0.0)
    assert found.left is None
    assert found.still == 24.0


def test_no_estimate_is_made_from_too_little() -> None:
    """Two entries say nothing."""
    progress, watch = watched(counted(PLANNED=50))
    watch.look(0.0)
    progress(counted(READY=2, PLANNED=48))
    assert watch.look(5.0).left is None


def test_limits_are_those_that_were_found() -> None:
    """Uploads at a time, the rate that was asked for, and the one that was learnt."""
    progress, watch = watched(begun(upload_rate=12.5), counted(READY=5, PLANNED=5))
    assert (watch.look(1.0).at_a_time, watch.look(1.0).most_uploads) == (4, 12.5)
    progress(LimitChanged(limit="concurrency", before=4, after=8, reason="quick"))
    progress(LimitChanged(limit="rate", kind="upload", before=None, after=8.5, found=9.0, reason="429"))
    progress(LimitChanged(limit="rate", kind="poll", before=None, after=1.0, reason="429"))
    assert (watch.look(2.0).at_a_time, watch.look(2.0).found_uploads) == (8, 9.0)
    progress(Paced("upload", None))
    assert watch.look(3.0).found_uploads is None


def test_a_pause_is_over_when_it_is() -> None:
    """It is the registry's word, in seconds from now."""
    _, watch = watched(begun(), counted(PLANNED=5), Held(30.0, 31.0))
    assert watch.look(2.0).pause == 29.0
    assert watch.look(31.0).pause is None


def test_an_outage_is_the_one_that_ends_the_run_first() -> None:
    """And the next try is whichever comes next; when all calls are answered again, there is none."""
    progress, watch = watched(counted(PLANNED=5), outage("upload", next_try=22.0, gives_up_at=90.0))
    progress(outage("poll", next_try=24.0, gives_up_at=80.0))
    silence = watch.look(20.0).silence
    assert silence is not None
    assert (silence.lasted, silence.next_try, silence.gives_up) == (10.0, 2.0, 60.0)
    progress(OutageEnded("poll"))
    progress(OutageEnded("upload"))
    assert watch.look(21.0).silence is None


def test_what_is_sent_and_not_answered_is_counted() -> None:
    """From the last answer on, or from when it was sent."""
    progress, watch = watched(counted(UPLOADING=2), BodySent(1), BodySent(2))
    watch.look(0.0)
    assert (watch.look(9.0).unanswered, watch.look(9.0).unanswered_for) == (2, 9.0)
    progress(moved(State.UPLOADING, State.UPLOADED, entry_id=1))
    assert (watch.look(10.0).unanswered, watch.look(10.0).unanswered_for) == (1, 0.0)


def test_retries_are_those_of_the_last_minute() -> None:
    """By the call that was tried most."""
    progress, watch = watched(counted(PLANNED=5))
    watch.look(0.0)
    for _ in range(3):
        progress(Retried(call="models/upload", reason="r", status=503))
    progress(Retried(call="models/get_version", reason="r"))
    found = watch.look(1.0)
    assert (found.retries, found.retried) == (4, "503 from models/upload")
    for second in range(2, 70):
        found = watch.look(float(second))
    assert found.retries == 0


def test_bytes_that_are_sent_again_are_no_move() -> None:
    """An upload that is refused again and again brings nothing forward."""
    progress, watch = watched(counted(UPLOADING=1))
    for second in range(1, 9):
        progress(BytesSent(100))
        progress(Retried(call="models/upload", reason="r", status=503))
        found = watch.look(float(second))
    assert found.still == 8.0


def test_a_stop_counts_down() -> None:
    """From its grace time."""
    progress, watch = watched(counted(UPLOADING=3), Stopping(130, "interrupted", 10.0))
    assert watch.look(1.0).stopping == 10.0
    progress(Stopping(143, "terminated", 10.0))
    assert watch.look(3.0).stopping == 8.0


def test_what_people_are_told_is_kept() -> None:
    """And who waits for a place."""
    progress, watch = watched(Noticed("4 uploads at a time, not 16"), ConversionPlaces(4, 12))
    assert progress.notices == ["4 uploads at a time, not 16"]
    assert watch.look(1.0).waiting_for_places == 12

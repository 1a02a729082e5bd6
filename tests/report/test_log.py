"""The log: a line an event, with the names and fields that it has had since 0.1.0."""

import re

import pytest

from bulkload.core.model.events import (
    BodySent,
    BytesSent,
    ChangeUnread,
    DuplicateFound,
    EntryLaidAside,
    EntryMoved,
    EntryUnread,
    ErrorNotExplained,
    Event,
    Held,
    LimitChanged,
    ListingRead,
    ManifestDoubted,
    Noticed,
    NotListed,
    Outage,
    OutageEnded,
    ReconcileEnded,
    Retried,
    RouteChanged,
    RunBegan,
    RunEnded,
    Stopping,
    VersionNotShown,
    WaitEnded,
)
from bulkload.core.model.records import Problem
from bulkload.core.model.states import State
from bulkload.report.log import KINDS, LogLines, log_line

BEGAN = RunBegan(
    run_id="r",
    endpoint="http://registry.invalid",
    ledger="l.db",
    concurrency=4,
    most_concurrency=16,
    upload_rate=None,
    max_converting=None,
    answer_timeout=60.0,
)


def moved(before: State, after: State, **others: object) -> EntryMoved:
    fields: dict[str, object] = {"entry_id": 1, "name": "m", "in_manifest": True, "version_id": 7}
    return EntryMoved(before=before, after=after, **(fields | others))  # type: ignore[arg-type]


LINES: list[tuple[Event, str]] = [
    (BEGAN, "info run_started run_id=r endpoint=http://registry.invalid ledger=l.db"),
    (RunEnded("r", 3), "info run_ended run_id=r exit_code=3"),
    (Stopping(130, "interrupted", 10.0), "info stopping exit_code=130 reason=interrupted"),
    (moved(State.UPLOADING, State.UPLOADED, seconds=0.5), "info uploaded entry=m version_id=7 seconds=0.5"),
    (moved(State.UPLOADED, State.READY, seconds=2.5), "info version_ready entry=m version_id=7 seconds=2.5"),
    (
        moved(State.UPLOADED, State.ERROR, seconds=2.5, cause="conversion_error", message="no"),
        "info version_error entry=m version_id=7 seconds=2.5 message=no",
    ),
    (
        moved(State.UPLOADED, State.FAILED, cause="wrong_digest", message="other bytes"),
        "warning wrong_digest entry=m version_id=7 message=other bytes",
    ),
    (
        moved(State.UPLOADING, State.FAILED, cause="wrong_digest", message="not the manifest's"),
        "warning failed entry=m cause=wrong_digest message=not the manifest's",
    ),
    (moved(State.UPLOADING, State.IN_DOUBT, message="cut"), "warning in_doubt entry=m reason=cut"),
    (ReconcileEnded(name="m", outcome="adopt", note=None), "info reconciled entry=m outcome=adopt note=None"),
    (DuplicateFound(name="m", versions=(8, 9)), "warning duplicate entry=m versions=[8, 9]"),
    (WaitEnded(7, "pending"), "warning wait_ended version_id=7 status=pending"),
    (EntryLaidAside("429"), "warning laid_aside reason=429"),
    (Noticed("look at this"), "warning notice words=look at this"),
    (
        ManifestDoubted((Problem(manifest="m.csv", place="line 3", field="path", what="is odd", remedy="look"),)),
        "warning manifest_doubted problems=['m.csv: line 3: path: is odd; look']",
    ),
    (
        Outage(kind="upload", call="models/upload", reason="503", since=1.0, next_try=2.0, gives_up_at=600.0),
        "warning outage kind=upload call=models/upload reason=503",
    ),
    (OutageEnded("upload"), "info outage_ended kind=upload"),
    (EntryUnread("disk"), "warning not_read reason=disk"),
    (ChangeUnread("/m", "gone"), "warning not_looked_at path=/m reason=gone"),
    (
        Retried(call="models/upload", reason="503", status=503, retry_after=1.0),
        "info retry call=models/upload reason=503 retry_after=1.0",
    ),
    (
        LimitChanged(limit="concurrency", before=4, after=8, reason="quick"),
        "info concurrency before=4 after=8 reason=quick",
    ),
    (
        LimitChanged(limit="rate", kind="upload", before=None, after=9.126, found=9.6, reason="429"),
        "info rate before=none after=9.13 reason=429 call=upload",
    ),
    (Held(1.00049, 77.0), "info held seconds=1.0 reason=Retry-After"),
    (RouteChanged("404"), "warning route_changed route=convert reason=404"),
    (ListingRead(5, 12), "info listed workspace_id=5 versions=12"),
    (NotListed(5, "404"), "warning not_listed workspace_id=5 reason=404"),
    (VersionNotShown(7, "403"), "info not_seen version_id=7 reason=403"),
    (ErrorNotExplained(7), "info no_error_summary version_id=7"),
]


@pytest.mark.parametrize(("event", "line"), LINES, ids=[line.split()[1] for _, line in LINES])
def test_an_event_is_a_line(event: Event, line: str) -> None:
    found = log_line(event)
    assert found is not None
    level, name, fields = found
    assert " ".join((level, name, *(f"{field}={value}" for field, value in fields.items()))) == line


@pytest.mark.parametrize(
    "event",
    [
        # What the next line says, or another line has said.
        moved(State.PLANNED, State.UPLOADING),
        moved(State.UPLOADING, State.PLANNED, message="503"),
        moved(State.IN_DOUBT, State.UPLOADED, adopted=True),
        moved(State.IN_DOUBT, State.IN_DOUBT, message="cannot be decided"),
        moved(State.PLANNED, State.SKIPPED),
        moved(State.PLANNED, State.UPLOADED, message="an equal version was there already"),
        BytesSent(5),
        BodySent(1),
    ],
)
def test_other_events_are_none(event: Event) -> None:
    assert log_line(event) is None


def test_every_kind_with_a_line_is_listened_to_and_shown_here() -> None:
    """And what has none is not made for the log."""
    assert {type(event) for event, _ in LINES} == KINDS


def test_what_the_command_line_says_in_words_is_no_line_as_well() -> None:
    """`-v` does not say a notice twice."""
    assert KINDS - LogLines().kinds == {Noticed, ManifestDoubted}


def test_lines_for_people_have_time_and_level_and_stay_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever stands in them."""
    lines = LogLines()
    lines(moved(State.UPLOADING, State.IN_DOUBT, message="cut\nin two\x1b[2J"))
    lines(BytesSent(5))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert re.match(r'timestamp=\S+Z level=warning event=in_doubt entry=m reason="cut\\nin two', said[0])
    assert "\x1b" not in said[0]

"""What a ledger is told about one entry: each message writes what it says, or raises and writes nothing."""

from collections.abc import Callable
from itertools import product
from typing import Any

import msgspec
import pytest

from bulkload.core.identity.arrival import Arrival
from bulkload.core.model.records import RegistryVersion
from bulkload.core.model.states import MOVES, TERMINAL, IllegalMove, State
from bulkload.ledger.deciding import OUT_OF_ORDER
from bulkload.ledger.interface import (
    Arrived,
    Audited,
    CountOpen,
    Disown,
    GetEntry,
    Judge,
    Judged,
    Move,
    Moved,
    NotePlanned,
    NoteStatus,
    Renew,
    RetryFailed,
    SameBytes,
    Seal,
    ToAudit,
    VersionTaken,
)
from bulkload.ledger.memory.store import Row
from bulkload.ledger.records import Outcome, PlannedEntry
from tests.ledger.bench import LOOK, OTHER_LOOK, PAST, SHA256, Bench

MakePlanned = Callable[..., PlannedEntry]


@pytest.fixture
def two(ledger: Bench, make_planned: MakePlanned) -> Bench:
    """A ledger with two planned versions of one model: ids 1 and 2."""
    ledger.begin(make_planned(1), make_planned(2))
    return ledger


def changed(row: Row, **columns: Any) -> Row:
    return msgspec.structs.replace(row, **columns)


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_a_move_is_the_tables_or_changes_nothing(before: State, after: State, two: Bench) -> None:
    """G4: all 64 pairs."""
    two.put(1, state=before, message="as it was")
    as_it_was = two.row()
    if after in MOVES[before]:
        assert two.move(1, after, message="moved") == Moved(before, after)
        assert two.row() == changed(as_it_was, state=after, message="moved", run_id="run-1")
    else:
        with pytest.raises(IllegalMove, match=f"from {before} to {after}"):
            two.move(1, after, message="moved")
        assert two.row() == as_it_was


def test_an_outcome_writes_each_column_it_names_and_leaves_the_others(two: Bench) -> None:
    two.put(1, state=State.UPLOADING, logs="kept")
    values: dict[str, Any] = {
        "sha256": SHA256, "version_id": 5, "owned": True, "version_uuid": "u", "status": "ready",
        "cause": "c", "message": "m", "adopted": True, "uploaded_at": "t1", "finished_at": "t2",
        "upload_seconds": 0.5, "convert_seconds": 1.5,
    }  # fmt: skip
    as_it_was = two.row()
    two.move(1, State.UPLOADED, **values)
    assert two.row() == changed(as_it_was, state=State.UPLOADED, run_id="run-1", **values)
    assert two.row().logs == "kept"


@pytest.mark.parametrize("message", [Move(99, State.UPLOADING, Outcome()), GetEntry(99), Disown(99, "")], ids=str)
def test_a_message_about_nobody_is_an_error(message: Any, two: Bench) -> None:
    with pytest.raises(KeyError):
        two(message)


# Intent and seal


def test_an_intent_keeps_file_fence_and_attempt(two: Bench) -> None:
    assert two.intend(1, None, look=OTHER_LOOK, fence=frozenset({9, 3})) == Moved(State.PLANNED, State.UPLOADING)
    item = two.item()
    assert (item.state, item.look, item.fence) == (State.UPLOADING, OTHER_LOOK, frozenset({3, 9}))
    assert (item.sealed, item.sha256, two.row().attempts) == (False, None, 1)


def test_a_small_files_intent_is_its_seal(two: Bench) -> None:
    two.intend(1)
    assert (two.item().sealed, two.item().sha256) == (True, SHA256)


def test_a_new_attempt_is_not_sealed_by_an_old_one(two: Bench) -> None:
    """G2: a seal left over would put an upload in doubt that was never complete; and the old reason is gone."""
    two.intend(1, fence=frozenset({1}))
    two.move(1, State.PLANNED, cause="c", message="429")
    two.intend(1, None, fence=frozenset({2}))
    item = two.item()
    assert (item.sealed, item.sha256, item.fence) == (False, None, frozenset({2}))
    assert (two.row().attempts, two.row().message, two.row().cause) == (2, None, None)


def test_a_seal_keeps_the_digest(two: Bench) -> None:
    two.intend(1, None)
    assert two(Seal(entry=two.item(), sha256=SHA256)) == Moved(State.UPLOADING, State.UPLOADING)
    assert (two.item().sealed, two.item().sha256) == (True, SHA256)


@pytest.mark.parametrize("state", [state for state in State if state is not State.UPLOADING])
def test_only_an_upload_under_way_is_sealed_or_answered(state: State, two: Bench) -> None:
    two.put(1, state=state)
    as_it_was = two.row()
    with pytest.raises(IllegalMove):
        two(Seal(entry=two.item(), sha256=SHA256))
    with pytest.raises(IllegalMove):
        two.arrive(1, 5)
    assert two.row() == as_it_was


@pytest.mark.parametrize("state", [state for state in State if state is not State.PLANNED])
def test_only_what_is_planned_is_sent(state: State, two: Bench) -> None:
    """G2: what is in flight, in doubt or there is not sent a second time."""
    two.put(1, state=state)
    as_it_was = two.row()
    with pytest.raises(IllegalMove):
        two.intend(1, None)
    assert two.row() == as_it_was


# Version ids


def test_an_answer_is_written_down(two: Bench) -> None:
    two.intend(1)
    as_it_was = two.row()
    assert two.arrive(1, 5) == Moved(State.UPLOADING, State.UPLOADED)
    arrived = {"state": State.UPLOADED, "version_id": 5, "owned": True, "uploaded_at": "t", "upload_seconds": 1.0}
    assert two.row() == changed(as_it_was, **arrived)


def test_an_answer_with_another_entrys_id_is_not_believed(two: Bench) -> None:
    two.upload(1, 5)
    two.intend(2)
    as_it_was = two.row(2)
    assert two.arrive(2, 5) == VersionTaken(5)
    assert two.row(2) == as_it_was
    with pytest.raises(IllegalMove, match="version 5 is another entry's"):
        two.move(2, State.UPLOADED, version_id=5, owned=True)
    assert two.row(2) == as_it_was


def test_an_answer_with_a_past_publications_id_is_not_believed(two: Bench) -> None:
    """Neither another entry's nor its own earlier one."""
    two.publish(1, version_id=5)
    two(Renew(1, LOOK))
    for id_ in (1, 2):
        two.intend(id_, None)
        assert two.arrive(id_, 5) == VersionTaken(5)


def test_a_version_that_was_found_may_be_found_by_several(two: Bench) -> None:
    """Two entries that an equal version spares: neither owns it."""
    for id_ in (1, 2):
        two.move(id_, State.SKIPPED, version_id=5)
    assert [two.item(id_).owned for id_ in (1, 2)] == [False, False]


def test_a_version_that_comes_after_a_later_one_says_so(ledger: Bench, make_planned: MakePlanned) -> None:
    """G2: the newest version of a model is not the last one of the manifest."""
    ledger.begin(make_planned(1), make_planned(2), make_planned(3, "other"))
    ledger.put(1, state=State.FAILED)
    ledger.upload(2, 5)
    ledger.upload(3, 6)
    ledger.put(1, state=State.PLANNED)
    ledger.intend(1, None)
    ledger.arrive(1, 7)
    assert [ledger.row(id_).message for id_ in (1, 2, 3)] == [OUT_OF_ORDER, None, None]


def test_a_disowned_version_leaves_no_trace(two: Bench) -> None:
    """Its id, UUID and times were another upload's; the intent is needed to reconcile."""
    two.intend(1, fence=frozenset({1, 2}))
    sent = two.row()
    two.put(1, state=State.UPLOADED, version_id=5, owned=True, version_uuid="u", status="s", uploaded_at="t",
            upload_seconds=1.0, adopted=True)  # fmt: skip
    assert two(Disown(1, "another's")) == Moved(State.UPLOADED, State.IN_DOUBT)
    assert two.row() == changed(sent, state=State.IN_DOUBT, message="another's")
    two.intend(2, None)
    assert two.arrive(2, 5) == Moved(State.UPLOADING, State.UPLOADED)


def test_only_an_uploaded_version_is_disowned(two: Bench) -> None:
    with pytest.raises(IllegalMove):
        two(Disown(1, "another's"))


# Judged


def shown(**fields: Any) -> RegistryVersion:
    """The version as the registry shows it."""
    values: dict[str, Any] = {
        "version_id": 5, "name": "model", "workspace_id": 7, "sha256": SHA256, "file_name": "model-1.onnx",
        "status": "ready",
    }  # fmt: skip
    return RegistryVersion(**values | fields)


READY = Outcome(status="ready", version_uuid="u", finished_at="t2", convert_seconds=2.0)


def judge(ledger: Bench, version: RegistryVersion, noted: str | None = None) -> Judged:
    return ledger(Judge(entry_id=1, version=version, noted=noted, ready=READY))


def test_a_version_that_is_ours_and_ready_ends_its_entry(two: Bench) -> None:
    two.upload(1, 5)
    before, item = two.row(), two.item()
    assert judge(two, shown()) == Judged(item, Arrival.OURS, Moved(State.UPLOADED, State.READY))
    ready = {"status": "ready", "version_uuid": "u", "finished_at": "t2", "convert_seconds": 2.0}
    assert two.row() == changed(before, state=State.READY, **ready)


def test_a_version_that_goes_on_has_its_status_noted_once(two: Bench) -> None:
    two.upload(1, 5)
    converting = shown(status="pending_load_native")
    assert judge(two, converting) == Judged(two.item(), Arrival.OURS, None)
    assert two.row().status == "pending_load_native"
    two.put(1, status="as it was")
    judge(two, converting, noted="pending_load_native")
    assert two.row().status == "as it was"


@pytest.mark.parametrize(
    ("version", "arrival"),
    [
        (shown(status="error"), Arrival.OURS),
        (shown(name="other"), Arrival.NOT_OURS),
        (shown(sha256="ef" * 32), Arrival.OTHER_BYTES),
        (shown(file_name="other.onnx"), Arrival.OTHER_FILE),
        (shown(version_id=3), Arrival.NOT_OURS),
        (shown(version_id=3, status="pending_load_native"), Arrival.NOT_OURS),
    ],
    ids=str,
)
def test_everything_else_is_for_the_sender_to_look_at(version: RegistryVersion, arrival: Arrival, two: Bench) -> None:
    two.intend(1, fence=frozenset({3}))
    two.arrive(1, 5)
    before, item = two.row(), two.item()
    assert judge(two, version) == Judged(item, arrival, None)
    assert two.row() == before


def test_a_version_that_was_found_is_judged_by_its_bytes_alone(two: Bench) -> None:
    """It was there before, and from whatever file."""
    two.move(1, State.UPLOADED, version_id=5, sha256=SHA256)
    assert judge(two, shown(file_name="other.onnx")).moved == Moved(State.UPLOADED, State.READY)


def test_what_has_been_judged_is_not_judged_again(two: Bench) -> None:
    two.publish(1, State.FAILED, version_id=5)
    before = two.row()
    with pytest.raises(IllegalMove):
        judge(two, shown())
    assert judge(two, shown(status="pending_load_native")).moved is None
    assert two.row() == before


# Notes


def test_the_registrys_word_is_noted_until_it_has_judged(two: Bench) -> None:
    two.upload(1, 5)
    two(NoteStatus(1, "pending_load_native"))
    assert two.row().status == "pending_load_native"
    two.move(1, State.READY, status="ready")
    two(NoteStatus(1, "pending_load_native"))
    assert two.row().status == "ready"


def test_the_reason_why_an_entry_waits_is_noted_as_long_as_it_does(two: Bench) -> None:
    two(NotePlanned(1, "no memory"))
    two.move(2, State.FAILED, message="refused")
    two(NotePlanned(2, "no memory"))
    assert [two.row(id_).message for id_ in (1, 2)] == ["no memory", "refused"]


# Sent again


def audits(ledger: Bench) -> list[int]:
    return [item.id for item in ledger(ToAudit(0, 9))]


def test_what_was_sent_again_and_became_a_version_is_audited(two: Bench) -> None:
    """The first sending may have landed after all: a duplicate, to be reported."""
    two.publish(1, version_id=5)
    two.intend(2, None)
    two.move(2, State.PLANNED)
    two.intend(2, None)
    two.arrive(2, 6)
    assert audits(two) == [2]
    two(Audited(2, None))
    assert audits(two) == []


def test_an_audit_that_is_due_is_open_work_and_one_without_a_version_is_none(two: Bench) -> None:
    """A run with nothing open asks the registry nothing, for ever."""
    for id_, after in ((1, State.READY), (2, State.FAILED)):
        two.intend(id_, None)
        two.move(id_, State.PLANNED)
        two.intend(id_, None)
        if after is State.READY:
            two.arrive(id_, 5)
        two.move(id_, after)
    assert (two(CountOpen()), audits(two)) == (1, [1])
    two(Audited(1, "published more than once"))
    assert (two(CountOpen()), two.row().message) == (0, "published more than once")


# Anew


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_new_publication_keeps_the_past_one(state: State, two: Bench) -> None:
    """Nothing of the old one is left in the entry's own row."""
    fresh = two.row()
    before = {
        "sha256": SHA256, "fence": frozenset({1}), "sealed": True, "version_id": 5, "owned": True,
        "version_uuid": "u", "status": "s", "cause": "c", "message": "m", "logs": "l", "attempts": 3, "adopted": True,
        "uploaded_at": "t", "finished_at": "t", "upload_seconds": 1.0, "convert_seconds": 2.0, "retry_requested": True,
        "run_id": "run-0",
    }  # fmt: skip
    two.put(1, state=state, **before)
    two(Renew(1, OTHER_LOOK))
    assert two.row() == changed(fresh, look=OTHER_LOOK, run_id="run-1")
    kept = {"state": state, "size": 10} | {name: value for name, value in before.items() if name in PAST}
    assert two.past() == [{"id": 1} | kept]


@pytest.mark.parametrize("state", [state for state in State if state not in TERMINAL])
def test_what_is_under_way_is_not_renewed(state: State, two: Bench) -> None:
    two.put(1, state=state)
    as_it_was = two.row()
    with pytest.raises(IllegalMove):
        two(Renew(1, LOOK))
    assert two.row() == as_it_was
    assert two.past() == []


def test_a_file_that_only_looks_different_keeps_its_publication(two: Bench) -> None:
    two.upload(1, 5)
    as_it_was = two.row()
    two(SameBytes(1, OTHER_LOOK))
    assert two.row() == changed(as_it_was, look=OTHER_LOOK)


RETRIED = [
    # state, version id, in the manifest; planned again by any run, by --retry-failed
    (State.FAILED, None, True, True, True),
    (State.FAILED, 5, True, False, True),
    (State.ERROR, 5, True, False, True),
    (State.FAILED, None, False, False, False),
    (State.ERROR, 5, False, False, False),
    (State.READY, 5, True, False, False),
    (State.SKIPPED, 5, True, False, False),
    (State.UPLOADED, 5, True, False, False),
    (State.IN_DOUBT, None, True, False, False),
]


@pytest.mark.parametrize("with_versions", [False, True])
@pytest.mark.parametrize(("state", "version_id", "in_manifest", "always", "on_demand"), RETRIED)
def test_what_is_tried_again(
    state: State,
    version_id: int | None,
    in_manifest: bool,
    always: bool,
    on_demand: bool,
    with_versions: bool,
    two: Bench,
) -> None:
    two.put(1, state=state, version_id=version_id, cause="c", message="m", finished_at="t")
    two.put(1, line=1 if in_manifest else None)
    as_it_was = two.row()
    two(RetryFailed(with_versions))
    if on_demand if with_versions else always:
        row = two.row()
        assert (row.state, row.cause, row.message, row.finished_at) == (State.PLANNED, None, None, None)
        assert row.version_id is None
    else:
        assert two.row() == as_it_was


def test_only_what_had_a_version_is_marked_as_tried_again(two: Bench) -> None:
    """An equal version in error then spares nothing: it is the very one that is tried anew."""
    two.publish(1, State.ERROR, version_id=5)
    two.put(2, state=State.FAILED)
    two(RetryFailed(with_versions=True))
    assert [two.item(id_).retry_requested for id_ in (1, 2)] == [True, False]
    two.publish(1, State.ERROR, version_id=6)
    two(Renew(1, LOOK))
    assert not two.item().retry_requested


def test_every_move_carries_its_run(two: Bench, make_planned: MakePlanned) -> None:
    two.move(1, State.SKIPPED)
    two.begin(make_planned(1), make_planned(2))
    two.move(2, State.SKIPPED)
    assert [two.row(id_).run_id for id_ in (1, 2)] == ["run-1", "run-2"]


def test_an_answer_keeps_what_was_said_before(two: Bench) -> None:
    """A reason is cleared when an entry is sent, and by nothing else."""
    two.intend(1)
    two.put(1, message="kept")
    two(Arrived(entry=two.item(), version_id=5, uploaded_at="t", upload_seconds=1.0))
    assert two.row().message == "kept"

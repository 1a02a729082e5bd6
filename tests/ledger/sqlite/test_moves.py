"""What the ledger is told about one entry: each message writes what it says, or raises and writes nothing."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from bulkload.core.model.errors import UsageError
from bulkload.core.model.records import Look
from bulkload.core.model.states import MOVES, TERMINAL, IllegalMove, State
from bulkload.ledger.records import Outcome, PlannedEntry
from bulkload.ledger.sqlite.writes import Store, VersionTaken

MakePlanned = Callable[..., PlannedEntry]
Plan = Callable[..., None]

SHA256 = "ab" * 32
LOOK = Look(10, "1:2:3")
OTHER_LOOK = Look(20, "4:5:6")


def row(store: Store, id_: int = 1) -> dict[str, Any]:
    """The whole row of an entry."""
    cursor = store.connection.execute("SELECT * FROM entries WHERE id = ?", (id_,))
    return dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))


def put(store: Store, id_: int, state: State, **columns: Any) -> None:
    """Let an entry stand somewhere, however it came there."""
    assignments = "".join(f", {name} = ?" for name in columns)
    store.connection.execute(f"UPDATE entries SET state = ?{assignments} WHERE id = ?", (state, *columns.values(), id_))


@pytest.fixture
def one(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> Store:
    """A ledger with two planned versions of one model: ids 1 and 2."""
    plan_entries(make_planned(1), make_planned(2))
    return store


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_a_move_is_the_tables_or_changes_nothing(before: State, after: State, one: Store) -> None:
    """G4: all 64 pairs."""
    put(one, 1, before, message="as it was")
    as_it_was = row(one)
    if after in MOVES[before]:
        one.move(1, after, Outcome(message="moved"))
        assert row(one) == as_it_was | {"state": after, "message": "moved", "run_id": "run-1"}
    else:
        with pytest.raises(IllegalMove, match=f"from {before} to {after}"):
            one.move(1, after, Outcome(message="moved"))
        assert row(one) == as_it_was


def test_an_outcome_writes_each_column_it_names_and_leaves_the_others(one: Store) -> None:
    put(one, 1, State.UPLOADING, logs="kept")
    values: dict[str, Any] = {
        "size": 11, "sha256": SHA256, "version_id": 5, "owned": True, "version_uuid": "u", "status": "ready",
        "cause": "c", "message": "m", "adopted": True, "uploaded_at": "t1", "finished_at": "t2",
        "upload_seconds": 0.5, "convert_seconds": 1.5,
    }  # fmt: skip
    one.move(1, State.UPLOADED, Outcome(**values))
    assert {name: row(one)[name] for name in values} == values
    assert row(one)["logs"] == "kept"


def test_a_move_of_nobody_is_an_error(one: Store) -> None:
    with pytest.raises(KeyError):
        one.move(99, State.UPLOADING, Outcome())
    with pytest.raises(KeyError):
        one.entry(99)


# Intent and seal


def test_an_intent_keeps_file_fence_and_attempt(one: Store) -> None:
    one.intend(1, OTHER_LOOK, {9, 3}, None)
    item = one.entry(1)
    assert (item.state, item.look, item.fence) == (State.UPLOADING, OTHER_LOOK, frozenset({3, 9}))
    assert (item.sealed, item.sha256, row(one)["attempts"]) == (False, None, 1)


def test_a_small_files_intent_is_its_seal(one: Store) -> None:
    one.intend(1, LOOK, (), SHA256)
    assert (one.entry(1).sealed, one.entry(1).sha256) == (True, SHA256)


def test_a_new_attempt_is_not_sealed_by_an_old_one(one: Store) -> None:
    """G2: a seal left over would put an upload in doubt that was never complete; and the old reason is gone."""
    one.intend(1, LOOK, {1}, SHA256)
    one.move(1, State.PLANNED, Outcome(cause="c", message="429"))
    one.intend(1, LOOK, {2}, None)
    item = one.entry(1)
    assert (item.sealed, item.sha256, item.fence) == (False, None, frozenset({2}))
    assert (row(one)["attempts"], row(one)["message"], row(one)["cause"]) == (2, None, None)


def test_a_seal_keeps_the_digest(one: Store) -> None:
    one.intend(1, LOOK, (), None)
    one.seal(1, SHA256)
    assert (one.entry(1).sealed, one.entry(1).sha256) == (True, SHA256)


@pytest.mark.parametrize("state", [state for state in State if state is not State.UPLOADING])
def test_only_an_upload_under_way_is_sealed(state: State, one: Store) -> None:
    put(one, 1, state)
    as_it_was = row(one)
    with pytest.raises(IllegalMove):
        one.seal(1, SHA256)
    assert row(one) == as_it_was


@pytest.mark.parametrize("state", [state for state in State if state is not State.PLANNED])
def test_only_what_is_planned_is_sent(state: State, one: Store) -> None:
    """G2: what is in flight, in doubt or there is not sent a second time."""
    put(one, 1, state)
    as_it_was = row(one)
    with pytest.raises(IllegalMove):
        one.intend(1, LOOK, (), None)
    assert row(one) == as_it_was


# Version ids


def upload(store: Store, id_: int, version_id: int) -> None:
    store.intend(id_, LOOK, (), SHA256)
    store.move(id_, State.UPLOADED, Outcome(version_id=version_id, owned=True))


def test_an_answer_with_another_entrys_id_is_not_believed(one: Store) -> None:
    upload(one, 1, 5)
    one.intend(2, LOOK, (), SHA256)
    as_it_was = row(one, 2)
    with pytest.raises(VersionTaken, match="5"):
        one.move(2, State.UPLOADED, Outcome(version_id=5, owned=True))
    assert row(one, 2) == as_it_was


def test_an_answer_with_a_past_publications_id_is_not_believed(one: Store) -> None:
    """Neither another entry's nor its own earlier one."""
    upload(one, 1, 5)
    one.move(1, State.READY, Outcome())
    one.renew(1)
    for id_ in (1, 2):
        one.intend(id_, LOOK, (), SHA256)
        with pytest.raises(VersionTaken):
            one.move(id_, State.UPLOADED, Outcome(version_id=5, owned=True))


def test_a_version_that_was_found_may_be_found_by_several(one: Store) -> None:
    """Two entries that an equal version spares: neither owns it."""
    for id_ in (1, 2):
        one.move(id_, State.SKIPPED, Outcome(version_id=5))
    assert [one.entry(id_).owned for id_ in (1, 2)] == [False, False]


def test_a_disowned_version_leaves_no_trace(one: Store) -> None:
    """Its id, UUID and times were another upload's; the intent is needed to reconcile."""
    one.intend(1, LOOK, {1, 2}, SHA256)
    one.move(
        1,
        State.UPLOADED,
        Outcome(version_id=5, owned=True, version_uuid="u", status="s", uploaded_at="t", upload_seconds=1.0),
    )
    one.disown(1, "another's")
    found = row(one)
    assert (found["state"], found["message"]) == ("in_doubt", "another's")
    assert {found[name] for name in ("version_id", "version_uuid", "status", "uploaded_at", "upload_seconds")} == {None}
    assert (one.entry(1).fence, one.entry(1).sha256, one.entry(1).sealed) == (frozenset({1, 2}), SHA256, True)
    upload(one, 2, 5)


def test_only_an_uploaded_version_is_disowned(one: Store) -> None:
    with pytest.raises(IllegalMove):
        one.disown(1, "another's")


def test_the_registrys_word_is_noted_until_it_has_judged(one: Store) -> None:
    upload(one, 1, 5)
    one.note_status(1, "pending_load_native")
    assert row(one)["status"] == "pending_load_native"
    one.move(1, State.READY, Outcome(status="ready"))
    one.note_status(1, "pending_load_native")
    assert row(one)["status"] == "ready"


def test_claimed_versions_are_those_of_others_and_all_earlier_ones(
    one: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """Labels tell which of them this entry may still find equal."""
    plan_entries(make_planned(1), make_planned(2), make_planned(3, "other"), make_planned(4, workspace_id=8))
    upload(one, 1, 5)
    one.move(1, State.READY, Outcome())
    one.renew(1)
    upload(one, 1, 6)
    one.move(2, State.SKIPPED, Outcome(version_id=4))
    upload(one, 3, 7)
    upload(one, 4, 8)
    assert one.claimed(one.entry(1)) == {4: "2", 5: "1"}
    assert one.claimed(one.entry(2)) == {5: "1", 6: "1"}


def test_a_version_is_unproved_while_its_entry_is_not_judged_and_has_other_bytes(
    one: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """Whoever sent these bytes may be the one that made it."""
    plan_entries(make_planned(1), make_planned(2), make_planned(3, "other"))
    upload(one, 1, 5)
    upload(one, 3, 7)
    put(one, 2, State.IN_DOUBT, sha256="cd" * 32)
    assert one.unproved(one.entry(2)) == {5}
    put(one, 2, State.IN_DOUBT, sha256=one.entry(1).sha256)
    assert one.unproved(one.entry(2)) == set()
    put(one, 2, State.IN_DOUBT, sha256="cd" * 32)
    one.move(1, State.READY, Outcome())
    assert one.unproved(one.entry(2)) == set()


def test_siblings_are_uploads_of_the_same_bytes_for_the_same_model(
    one: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    plan_entries(*(make_planned(line) for line in range(1, 6)), make_planned(6, "other"), make_planned(7))
    for id_ in (2, 3, 4, 6):
        upload(one, id_, id_)
    one.move(3, State.READY, Outcome())
    one.move(4, State.ERROR, Outcome())
    one.move(5, State.SKIPPED, Outcome(version_id=99, sha256=SHA256))
    upload(one, 7, 7)
    one.connection.execute("UPDATE entries SET sha256 = 'other' WHERE id = 7")
    assert [item.id for item in one.siblings(one.entry(1), SHA256)] == [2, 3]
    assert [item.id for item in one.siblings(one.entry(2), SHA256)] == [3]


# Sent again


def audits(store: Store) -> list[int]:
    return [item.id for item in store.to_audit(0, 9)]


def test_what_was_sent_again_and_became_a_version_is_audited(one: Store) -> None:
    """The first sending may have landed after all: a twin, to be reported."""
    upload(one, 1, 5)
    one.intend(2, LOOK, (), SHA256)
    one.move(2, State.IN_DOUBT, Outcome())
    one.move(2, State.PLANNED, Outcome())
    upload(one, 2, 6)
    assert audits(one) == [2]
    one.audited(2, None)
    assert audits(one) == []


def test_an_audit_that_is_due_is_open_work_and_one_without_a_version_is_none(one: Store) -> None:
    """A run with nothing open asks the registry nothing, for ever."""
    for id_, after in ((1, State.READY), (2, State.FAILED)):
        one.intend(id_, LOOK, (), SHA256)
        one.move(id_, State.PLANNED, Outcome())
        one.intend(id_, LOOK, (), SHA256)
        if after is State.READY:
            one.move(id_, State.UPLOADED, Outcome(version_id=5, owned=True))
        one.move(id_, after, Outcome())
    assert (one.count_open(), audits(one)) == (1, [1])
    one.audited(1, "published more than once")
    assert (one.count_open(), row(one)["message"]) == (0, "published more than once")


# Anew


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_new_publication_keeps_the_past_one(state: State, one: Store) -> None:
    """Nothing of the old one is left in the entry's own row."""
    fresh = row(one)
    before = {
        "sha256": SHA256, "fence": "[1]", "sealed": 1, "version_id": 5, "owned": 1, "version_uuid": "u", "status": "s",
        "cause": "c", "message": "m", "logs": "l", "attempts": 3, "adopted": 1, "uploaded_at": "t", "finished_at": "t",
        "upload_seconds": 1.0, "convert_seconds": 2.0, "retry_requested": 1,
    }  # fmt: skip
    put(one, 1, state, **before)
    one.renew(1, OTHER_LOOK)
    renewed = {"size": 20, "mark": "4:5:6", "run_id": "run-1"}
    assert row(one) == fresh | renewed
    columns = [name for name in before if name not in {"fence", "sealed", "retry_requested"}]
    past = one.connection.execute(f"SELECT entry_id, state, size, {', '.join(columns)} FROM past_publications")
    assert past.fetchall() == [(1, state, 10, *(before[name] for name in columns))]


@pytest.mark.parametrize("state", [state for state in State if state not in TERMINAL])
def test_what_is_under_way_is_not_renewed(state: State, one: Store) -> None:
    put(one, 1, state)
    as_it_was = row(one)
    with pytest.raises(IllegalMove):
        one.renew(1)
    assert row(one) == as_it_was
    assert one.connection.execute("SELECT count(*) FROM past_publications").fetchone() == (0,)


def test_a_file_that_only_looks_different_keeps_its_publication(one: Store) -> None:
    upload(one, 1, 5)
    one.same_bytes(1, OTHER_LOOK)
    item = one.entry(1)
    assert (item.look, item.state, item.version_id) == (OTHER_LOOK, State.UPLOADED, 5)


def test_what_was_not_sealed_is_sent_again_and_what_was_sealed_is_in_doubt(one: Store) -> None:
    """After a kill: an unsealed upload cannot have been accepted, a sealed one may have been."""
    one.intend(1, LOOK, {3}, None)
    one.intend(2, LOOK, {3}, SHA256)
    one.begin_run("run-2", "2026-01-06T17:00:00Z")
    one.recover()
    assert [one.entry(id_).state for id_ in (1, 2)] == [State.PLANNED, State.IN_DOUBT]
    assert [row(one, id_)["run_id"] for id_ in (1, 2)] == ["run-2", "run-2"]
    assert one.entry(2).fence == frozenset({3})
    assert "run ended" in row(one, 2)["message"]


@pytest.mark.parametrize("state", [state for state in State if state is not State.UPLOADING])
def test_recovery_touches_nothing_else(state: State, one: Store) -> None:
    put(one, 1, state)
    as_it_was = row(one)
    one.recover()
    assert row(one) == as_it_was


RETAKEN = [
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


@pytest.mark.parametrize("retry_failed", [False, True])
@pytest.mark.parametrize(("state", "version_id", "listed", "always", "on_demand"), RETAKEN)
def test_what_is_taken_again(
    state: State, version_id: int | None, listed: bool, always: bool, on_demand: bool, retry_failed: bool, one: Store
) -> None:
    put(one, 1, state, version_id=version_id, cause="c", message="m", finished_at="t", line=1 if listed else None)
    as_it_was = row(one)
    one.retake_failed(with_versions=retry_failed)
    if on_demand if retry_failed else always:
        found = row(one)
        assert (found["state"], found["cause"], found["message"], found["finished_at"]) == ("planned", None, None, None)
        assert found["version_id"] is None
    else:
        assert row(one) == as_it_was


def test_only_what_had_a_version_is_marked_as_taken_again(one: Store) -> None:
    """An equal version in error then spares nothing: it is the very one that is tried anew."""
    put(one, 1, State.ERROR, version_id=5, owned=1)
    put(one, 2, State.FAILED)
    one.retake_failed(with_versions=True)
    assert [one.entry(id_).retry_requested for id_ in (1, 2)] == [True, False]
    assert 5 in one.claimed(one.entry(1))
    upload(one, 1, 6)
    one.move(1, State.ERROR, Outcome())
    one.renew(1)
    assert not one.entry(1).retry_requested


# Whose ledger, and its runs


def test_a_ledger_belongs_to_one_registry(store: Store) -> None:
    store.claim_for("https://a", endpoint="https://a", manifest="m.csv")
    store.claim_for("https://a", endpoint="https://a:443", manifest="n.csv")
    with pytest.raises(UsageError, match=r"belongs to https://a, not to https://b; name another one with --ledger"):
        store.claim_for("https://b", manifest="o.csv")
    meta = dict(store.connection.execute("SELECT key, value FROM meta"))
    assert meta == {
        "schema_version": "2", "registry": "https://a", "endpoint": "https://a:443", "manifest": "n.csv",
    }  # fmt: skip


def test_a_registry_mismatch_is_a_usage_error() -> None:
    assert UsageError.exit_code == 2


def test_a_run_is_kept_with_its_summary(store: Store) -> None:
    store.end_run("2026-01-06T16:40:00Z", 3, '{"exit_code":3}')
    assert store.connection.execute("SELECT * FROM runs").fetchall() == [
        (1, "run-1", "2026-01-06T16:34:30Z", "2026-01-06T16:40:00Z", 3, '{"exit_code":3}')
    ]


def test_every_move_carries_its_run(one: Store) -> None:
    one.move(1, State.SKIPPED, Outcome())
    one.begin_run("run-2", "2026-01-06T17:00:00Z")
    one.move(2, State.SKIPPED, Outcome())
    assert [row(one, id_)["run_id"] for id_ in (1, 2)] == ["run-1", "run-2"]

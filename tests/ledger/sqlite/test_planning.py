"""Planning brings the ledger up to the manifest, and loses nothing that was published."""

import sqlite3
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.model.errors import ManifestError
from bulkload.core.model.records import Look
from bulkload.core.model.states import TERMINAL, State
from bulkload.ledger.records import Outcome, PlannedEntry
from bulkload.ledger.sqlite.planning import MOST_PROBLEMS, plan, suspects
from bulkload.ledger.sqlite.writes import Store

MakePlanned = Callable[..., PlannedEntry]
Plan = Callable[..., None]

SHA256 = "ab" * 32
LOOK = Look(10, "1:2:3")
OTHER_SHA256 = "cd" * 32
OTHER_LOOK = Look(20, "4:5:6")


def changed(planned: PlannedEntry, look: Look | None = OTHER_LOOK) -> PlannedEntry:
    return msgspec.structs.replace(planned, look=look)


def states(store: Store) -> dict[int, str]:
    return dict(store.connection.execute("SELECT id, state FROM entries"))


def lines(store: Store) -> dict[int, int | None]:
    return dict(store.connection.execute("SELECT id, line FROM entries"))


def dump(connection: sqlite3.Connection) -> list[str]:
    return list(connection.iterdump())


def publish(store: Store, id_: int, state: State = State.READY, version_id: int | None = None) -> None:
    """Let the ledger have published an entry, with this outcome."""
    store.intend(id_, LOOK, (), SHA256)
    store.move(id_, State.UPLOADED, Outcome(version_id=version_id or id_, owned=True))
    store.move(id_, state, Outcome())


def test_a_new_entry_is_planned(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    planned = make_planned(3, "fraud", workspace_id=9, version="v7", path="m/fraud.onnx", labels={"a": "b"})
    plan_entries(planned)
    columns = "entry_key, line, workspace_id, name, version_label, path, framework, labels, state, size, attempts"
    assert store.connection.execute(f"SELECT {columns} FROM entries").fetchall() == [
        (planned.entry_key, 3, 9, "fraud", "v7", "m/fraud.onnx", "onnx", '{"a":"b"}', "planned", 10, 0)
    ]


def test_planning_again_changes_nothing(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    plan_entries(make_planned(1), make_planned(2))
    publish(store, 1)
    before = dump(store.connection)
    plan_entries(make_planned(1), make_planned(2))
    assert dump(store.connection) == before


@pytest.mark.parametrize("state", list(State))
def test_a_known_entry_keeps_its_state(
    state: State, store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    plan_entries(make_planned(1))
    store.connection.execute("UPDATE entries SET state = ?, version_id = 5, message = 'm'", (state,))
    plan_entries(make_planned(1))
    assert store.connection.execute("SELECT state, version_id, message FROM entries").fetchall() == [(state, 5, "m")]


def test_a_moved_line_is_followed(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    """Rows are in any order; an entry is known by its key."""
    first, second = make_planned(1, version="a", path="a"), make_planned(2, version="b", path="b")
    plan_entries(first, second)
    swapped = [make_planned(1, version="b", path="b"), make_planned(2, version="a", path="a")]
    plan_entries(*swapped)
    assert lines(store) == {1: 2, 2: 1}
    assert [item.entry.version for item in store.in_manifest(0, 9)] == ["b", "a"]
    assert store.entry(1).entry.line == 2


def test_labels_and_places_follow_the_manifest(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    plan_entries(make_planned(1))
    plan_entries(make_planned(1, labels={"team": "fraud"}, source="/moved/model.onnx"))
    assert store.entry(1).entry.source == "/moved/model.onnx"
    assert store.connection.execute("SELECT labels FROM entries").fetchone() == ('{"team":"fraud"}',)


def test_what_left_the_manifest_keeps_its_data(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    """Line NULL: polled and reconciled, never sent, counted nowhere; and back again when the manifest has it again."""
    plan_entries(make_planned(1), make_planned(2), make_planned(3, "other"))
    publish(store, 1)
    plan_entries(make_planned(2))
    assert lines(store) == {1: None, 2: 2, 3: None}
    assert (store.entry(1).version_id, store.entry(1).in_manifest) == (1, False)
    assert [item.id for item in store.heads(0, 9)] == [2]
    assert sum(store.counts().values()) == 1
    plan_entries(make_planned(1), make_planned(2), make_planned(3, "other"))
    assert lines(store) == {1: 1, 2: 2, 3: 3}
    assert states(store) == {1: "ready", 2: "planned", 3: "planned"}


def test_an_empty_plan_forgets_nothing(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    plan_entries(make_planned(1))
    plan_entries()
    assert lines(store) == {1: None}


# Files


def suspicious(store: Store) -> list[int]:
    return [item.id for item in suspects(store, 0, 99)]


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_file_that_looks_different_is_suspect_and_stays_published_until_it_was_read(
    state: State, store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    plan_entries(make_planned(1))
    store.connection.execute("UPDATE entries SET state = ?, version_id = 5, sha256 = ?", (state, SHA256))
    plan_entries(changed(make_planned(1)))
    assert suspicious(store) == [1]
    assert (store.entry(1).state, store.entry(1).look) == (state, LOOK)


@pytest.mark.parametrize("look", [Look(11, "1:2:3"), Look(10, "1:2:4"), Look(10, None)], ids=str)
def test_any_change_of_a_files_look_is_suspect(
    look: Look, store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    plan_entries(make_planned(1))
    publish(store, 1)
    plan_entries(changed(make_planned(1), look))
    assert suspicious(store) == [1]


def test_a_file_that_is_the_same_or_gone_is_not_suspect(
    store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """What was published stays published when its file is gone."""
    plan_entries(make_planned(1), make_planned(2))
    publish(store, 1)
    publish(store, 2)
    plan_entries(make_planned(1), changed(make_planned(2), None))
    assert suspicious(store) == []


def test_a_planned_entry_follows_its_file(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    """Nothing was made of what it was before: there is nothing to compare, and nothing to read."""
    plan_entries(make_planned(1), make_planned(2))
    store.move(2, State.FAILED, Outcome(cause="unreadable"))
    plan_entries(changed(make_planned(1)), changed(make_planned(2)))
    assert suspicious(store) == []
    assert [store.entry(id_).look for id_ in (1, 2)] == [OTHER_LOOK, OTHER_LOOK]


@pytest.mark.parametrize("state", [State.UPLOADED, State.IN_DOUBT])
def test_what_is_under_way_remembers_the_file_that_was_sent(
    state: State, store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """So that a later run still sees the change."""
    plan_entries(make_planned(1))
    store.intend(1, LOOK, (), SHA256)
    store.move(1, state, Outcome())
    plan_entries(changed(make_planned(1)))
    assert suspicious(store) == []
    assert store.entry(1).look == LOOK


def test_suspects_are_those_of_the_last_plan(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    plan_entries(*(make_planned(line) for line in range(1, 6)))
    for id_ in range(1, 6):
        publish(store, id_)
    plan_entries(*(changed(make_planned(line)) for line in range(1, 6)))
    assert [item.id for item in suspects(store, 2, 2)] == [3, 4]
    store.same_bytes(3, OTHER_LOOK)
    store.renew(4, OTHER_LOOK)
    plan_entries(*(changed(make_planned(line)) for line in range(3, 6)))
    assert suspicious(store) == [5]


def test_another_declared_digest_is_a_new_publication(
    store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """G3: ready means that the registry holds what the manifest declares, also when the manifest was edited since."""
    plan_entries(make_planned(1), make_planned(2))
    publish(store, 1)
    publish(store, 2)
    plan_entries(make_planned(1, sha256=SHA256), make_planned(2, sha256=OTHER_SHA256))
    assert states(store) == {1: "ready", 2: "planned"}
    assert store.connection.execute("SELECT entry_id, version_id FROM past_publications").fetchall() == [(2, 2)]


# Twins


def test_the_same_entry_twice_is_a_problem_and_the_ledger_as_before(
    store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    plan_entries(make_planned(1), make_planned(2))
    publish(store, 1)
    before = dump(store.connection)
    twins = [make_planned(line, version="same", path="same") for line in (2, 5, 6)]
    with pytest.raises(ManifestError) as raised:
        plan_entries(changed(make_planned(1)), *twins)
    assert [(p.place, p.what.split(",")[0]) for p in raised.value.problems] == [
        ("line 5", "the same entry as line 2"),
        ("line 6", "the same entry as line 2"),
    ]
    assert str(raised.value) == "models.csv: 2 problems; nothing was sent"
    assert raised.value.exit_code == 4
    assert dump(store.connection) == before
    plan_entries(make_planned(1))
    assert suspicious(store) == []


def test_a_twin_is_found_also_where_the_ledger_had_the_entry_on_the_later_line(
    store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """What was read ahead of the ledger is out of date by then."""
    plan_entries(make_planned(9, version="same", path="same"))
    publish(store, 1)
    before = dump(store.connection)
    first, again = (make_planned(line, version="same", path="same", sha256=OTHER_SHA256) for line in (1, 9))
    with pytest.raises(ManifestError, match="1 problem") as raised:
        plan_entries(first, again)
    assert [(p.place, p.what.split(",")[0]) for p in raised.value.problems] == [("line 9", "the same entry as line 1")]
    assert dump(store.connection) == before


def test_more_twins_than_anyone_reads_are_counted_and_not_kept(store: Store, make_planned: MakePlanned) -> None:
    """G6: the memory does not grow with the manifest."""
    twin = make_planned(1)
    count = MOST_PROBLEMS + 5
    store.begin()
    with pytest.raises(ManifestError, match=f"{count} problems") as raised:
        plan(store, "m", (twin for _ in range(count + 1)))
    store.roll_back()
    assert len(raised.value.problems) == MOST_PROBLEMS


def test_a_manifest_that_breaks_off_leaves_the_ledger_as_before(
    store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """Planning is one transaction."""
    plan_entries(make_planned(1))
    before = dump(store.connection)

    def breaks_off(store: Store) -> None:
        entries = (make_planned(line) if line < 9 else 1 / 0 for line in range(2, 10))
        plan(store, "m", entries)  # type: ignore[arg-type]

    store.begin()
    with pytest.raises(ZeroDivisionError):
        store.attempt(breaks_off)
    store.commit()
    assert dump(store.connection) == before


def test_progress_is_told_now_and_then(store: Store, make_planned: MakePlanned) -> None:
    told: list[int] = []
    store.begin()
    plan(store, "m", (make_planned(line) for line in range(1, 2501)), told.append)
    store.commit()
    assert told == [1000, 2000]


manifests = st.lists(st.integers(0, 6), unique=True, max_size=7)


@given(st.lists(manifests, min_size=1, max_size=5))
def test_any_history_of_manifests_ends_with_the_last_one(
    tmp_path_factory: pytest.TempPathFactory, make_planned: MakePlanned, history: list[list[int]]
) -> None:
    """G1: each entry of the last manifest is there once, on its line; every other one ever seen keeps its data."""
    store = Store(tmp_path_factory.mktemp("history") / "ledger.db")
    store.connection.execute("PRAGMA synchronous = OFF")
    try:
        for manifest in history:
            store.begin()
            named = [(line, f"model-{number}") for line, number in enumerate(manifest, start=1)]
            plan(store, "m", [make_planned(line, name, version="1", path=name) for line, name in named])
            store.commit()
        found = dict(store.connection.execute("SELECT name, line FROM entries"))
    finally:
        store.close()
    assert {name: line for name, line in found.items() if line is not None} == {
        f"model-{number}": line for line, number in enumerate(history[-1], start=1)
    }
    assert set(found) == {f"model-{number}" for manifest in history for number in manifest}

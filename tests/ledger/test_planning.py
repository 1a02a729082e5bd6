"""Planning brings the ledger up to the manifest, and loses nothing that was published. It is one transaction."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.model.errors import UsageError
from bulkload.core.model.records import Look
from bulkload.core.model.states import TERMINAL, State
from bulkload.ledger.interface import (
    Counts,
    EndRun,
    FinishPlan,
    InManifest,
    PlanEntries,
    Renew,
    SameBytes,
    Suspects,
    Take,
)
from bulkload.ledger.memory.store import Row
from bulkload.ledger.records import PlannedEntry
from tests.ledger.bench import BEGIN_RUN, LOOK, OTHER_LOOK, OTHER_SHA256, SHA256, Bench, MemoryBench, SqliteBench

MakePlanned = Callable[..., PlannedEntry]


@pytest.fixture(scope="module", params=["sqlite", "memory"])
def make_ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Bench]:
    """One after the other: many examples of one test."""

    def make() -> Bench:
        if request.param == "memory":
            return MemoryBench()
        return SqliteBench(tmp_path_factory.mktemp("ledger") / "ledger.db")

    return make


def changed(planned: PlannedEntry, look: Look | None = OTHER_LOOK) -> PlannedEntry:
    return msgspec.structs.replace(planned, look=look)


def lines(ledger: Bench) -> list[int | None]:
    """Of all entries, by their ids."""
    return [row.line for row in rows(ledger)]


def rows(ledger: Bench) -> list[Row]:
    return [ledger.row(id_) for id_ in range(1, ledger.count() + 1)]


def suspects(ledger: Bench) -> list[int]:
    return [item.id for item in ledger(Suspects(0, 99))]


def test_a_new_entry_is_planned(ledger: Bench, make_planned: MakePlanned) -> None:
    planned = make_planned(3, "fraud", workspace_id=9, version="v7", path="m/fraud.onnx", labels={"a": "b"})
    assert ledger.begin(planned) == ()
    assert rows(ledger) == [
        Row(id=1, entry_key=planned.entry_key, line=3, workspace_id=9, entry=planned.entry, look=planned.look)
    ]


def test_planning_again_changes_nothing(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1), make_planned(2))
    ledger.publish(1)
    before = rows(ledger)
    ledger.begin(make_planned(1), make_planned(2))
    assert rows(ledger) == before


@pytest.mark.parametrize("state", [state for state in State if state is not State.UPLOADING])
def test_a_known_entry_keeps_its_state(state: State, ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1))
    ledger.put(1, state=state, version_id=5, message="m")
    before = rows(ledger)
    ledger.begin(make_planned(1))
    assert rows(ledger) == before


def test_a_moved_line_is_followed(ledger: Bench, make_planned: MakePlanned) -> None:
    """Rows are in any order; an entry is known by its key."""
    ledger.begin(make_planned(1, version="a", path="a"), make_planned(2, version="b", path="b"))
    ledger.begin(make_planned(1, version="b", path="b"), make_planned(2, version="a", path="a"))
    assert lines(ledger) == [2, 1]
    assert [item.entry.version for item in ledger(InManifest(0, 9))] == ["b", "a"]
    assert ledger.item().entry.line == 2


def test_labels_and_places_follow_the_manifest(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1))
    ledger.begin(make_planned(1, labels={"team": "fraud"}, source="/moved/model.onnx"))
    assert ledger.item().entry.source == "/moved/model.onnx"
    assert '{"team":"fraud"}' in ledger.results()[0]


def test_what_left_the_manifest_keeps_its_data(ledger: Bench, make_planned: MakePlanned) -> None:
    """No line: polled and reconciled, never sent, counted nowhere; and back again when the manifest has it again."""
    ledger.begin(make_planned(1), make_planned(2), make_planned(3, "other"))
    ledger.publish(1)
    ledger.begin(make_planned(2))
    assert lines(ledger) == [None, 2, None]
    assert (ledger.item().version_id, ledger.item().in_manifest) == (1, False)
    assert [item.id for item in ledger(Take(9, 0))] == [2]
    assert sum(ledger(Counts()).values()) == 1
    ledger.begin(make_planned(1), make_planned(2), make_planned(3, "other"))
    assert lines(ledger) == [1, 2, 3]
    assert ledger.states() == [State.READY, State.PLANNED, State.PLANNED]


def test_an_empty_plan_forgets_nothing(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1))
    ledger.begin()
    assert lines(ledger) == [None]


def test_who_only_waits_leaves_the_manifest_as_it_was(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1))
    ledger.begin(follows_manifest=False)
    assert lines(ledger) == [1]


# Files


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_file_that_looks_different_is_suspect_and_stays_published_until_it_was_read(
    state: State, ledger: Bench, make_planned: MakePlanned
) -> None:
    ledger.begin(make_planned(1))
    ledger.put(1, state=state, version_id=5, sha256=SHA256)
    before = rows(ledger)
    ledger.begin(changed(make_planned(1)))
    assert suspects(ledger) == [1]
    assert rows(ledger) == before


@pytest.mark.parametrize("look", [Look(11, "1:2:3"), Look(10, "1:2:4"), Look(10, None)], ids=str)
def test_any_change_of_a_files_look_is_suspect(look: Look, ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1))
    ledger.publish(1)
    ledger.begin(changed(make_planned(1), look))
    assert suspects(ledger) == [1]


def test_a_file_that_is_the_same_or_gone_is_not_suspect(ledger: Bench, make_planned: MakePlanned) -> None:
    """What was published stays published when its file is gone."""
    ledger.begin(make_planned(1, "a"), make_planned(2, "b"))
    ledger.publish(1)
    ledger.publish(2)
    ledger.begin(make_planned(1, "a"), changed(make_planned(2, "b"), None))
    assert suspects(ledger) == []


def test_a_planned_entry_follows_its_file(ledger: Bench, make_planned: MakePlanned) -> None:
    """Nothing was made of what it was before: there is nothing to compare, and nothing to read."""
    ledger.begin(make_planned(1), make_planned(2))
    ledger.move(2, State.FAILED, cause="unreadable")
    ledger.begin(changed(make_planned(1)), changed(make_planned(2)))
    assert suspects(ledger) == []
    assert [ledger.item(id_).look for id_ in (1, 2)] == [OTHER_LOOK, OTHER_LOOK]


@pytest.mark.parametrize("state", [State.UPLOADED, State.IN_DOUBT])
def test_what_is_under_way_remembers_the_file_that_was_sent(
    state: State, ledger: Bench, make_planned: MakePlanned
) -> None:
    """So that a later run still sees the change."""
    ledger.begin(make_planned(1))
    ledger.intend(1)
    ledger.move(1, state)
    ledger.begin(changed(make_planned(1)))
    assert suspects(ledger) == []
    assert ledger.item().look == LOOK


def test_suspects_are_those_of_the_last_plan(ledger: Bench, make_planned: MakePlanned) -> None:
    names = {line: f"model-{line}" for line in range(1, 6)}
    ledger.begin(*(make_planned(line, name) for line, name in names.items()))
    for id_ in names:
        ledger.publish(id_)
    ledger.begin(*(changed(make_planned(line, name)) for line, name in names.items()))
    assert [item.id for item in ledger(Suspects(2, 2))] == [3, 4]
    ledger(SameBytes(3, OTHER_LOOK))
    ledger(Renew(4, OTHER_LOOK))
    ledger.begin(*(changed(make_planned(line, names[line])) for line in (3, 4, 5)))
    assert suspects(ledger) == [5]
    ledger.close()
    # Another process has made no plan.
    assert suspects(ledger) == []


def test_another_declared_digest_is_a_new_publication(ledger: Bench, make_planned: MakePlanned) -> None:
    """G3: ready means that the registry holds what the manifest declares, also when the manifest was edited since."""
    ledger.begin(make_planned(1, "a"), make_planned(2, "b"))
    ledger.publish(1)
    ledger.publish(2)
    ledger.begin(make_planned(1, "a", sha256=SHA256), make_planned(2, "b", sha256=OTHER_SHA256))
    assert ledger.states() == [State.READY, State.PLANNED]
    assert [(row["id"], row["version_id"]) for row in ledger.past()] == [(2, 2)]


# The same entry twice


def test_the_same_entry_twice_is_told_with_the_line_of_the_first(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1), make_planned(2))
    twins = [make_planned(line, version="same", path="same") for line in (2, 5, 6)]
    assert ledger.begin(make_planned(1), *twins) == ((5, 2), (6, 2))
    assert lines(ledger) == [1, None, 2]


def test_it_is_found_across_pages(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger(BEGIN_RUN)
    pages = [make_planned(line, version="same", path="same") for line in (1, 2)]
    assert [ledger(PlanEntries((page,))) for page in pages] == [(), ((2, 1),)]


def test_it_is_found_also_where_the_ledger_had_the_entry_on_the_later_line(
    ledger: Bench, make_planned: MakePlanned
) -> None:
    """What was read ahead of the ledger is out of date by then."""
    ledger.begin(make_planned(9, version="same", path="same"))
    ledger.publish(1)
    first, again = (make_planned(line, version="same", path="same", sha256=OTHER_SHA256) for line in (1, 9))
    assert ledger.begin(first, again) == ((9, 1),)


# One transaction


def begun(ledger: Bench, *entries: PlannedEntry) -> None:
    """A beginning that is not whole."""
    ledger(msgspec.structs.replace(BEGIN_RUN, run_id="run-x", manifest="other.csv"))
    ledger(PlanEntries(entries))


def test_nothing_of_a_beginning_is_kept_where_the_process_ends_in_it(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1), make_planned(2))
    ledger.intend(1)
    before = rows(ledger), ledger.results()
    begun(ledger, changed(make_planned(2)), make_planned(3, "other"))
    ledger.close()
    assert (rows(ledger), ledger.results()) == before
    # The next one begins as if that one had never been.
    ledger.begin(make_planned(1), make_planned(2), run_id="run-x")
    assert ledger.states() == [State.IN_DOUBT, State.PLANNED]


def test_a_step_that_fails_takes_the_beginning_back(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1))
    before = rows(ledger)
    begun(ledger, make_planned(1), make_planned(2))
    broken = msgspec.structs.replace(make_planned(4), entry=None)
    with pytest.raises(AttributeError):
        ledger(PlanEntries((make_planned(3), broken)))
    assert rows(ledger) == before
    with pytest.raises(RuntimeError, match="no run is being begun"):
        ledger(PlanEntries((make_planned(2),)))
    with pytest.raises(RuntimeError, match="no run is being begun"):
        ledger(FinishPlan(follows_manifest=True))
    assert rows(ledger) == before


def test_nothing_else_is_done_before_a_beginning_is_whole(ledger: Bench, make_planned: MakePlanned) -> None:
    """It would be answered before it is committed."""
    ledger.begin(make_planned(1))
    begun(ledger, make_planned(1))
    with pytest.raises(RuntimeError, match="a run is being begun"):
        ledger(Counts())
    assert ledger(FinishPlan(follows_manifest=True)) == {}
    assert sum(ledger(Counts()).values()) == 1


def test_what_an_earlier_process_left_under_way_is_sorted_out(ledger: Bench, make_planned: MakePlanned) -> None:
    """After a kill: an unsealed upload cannot have been accepted, a sealed one may have been."""
    ledger.begin(make_planned(1, "a"), make_planned(2, "b"))
    ledger.intend(1, None, fence=frozenset({3}))
    ledger.intend(2, fence=frozenset({3}))
    ledger.close()
    ledger.begin(make_planned(1, "a"), make_planned(2, "b"))
    assert ledger.states() == [State.PLANNED, State.IN_DOUBT]
    assert [row.run_id for row in rows(ledger)] == ["run-2", "run-2"]
    assert ledger.item(2).fence == frozenset({3})
    assert ledger.row(2).message == "the run ended before the answer came"


# Whose ledger, and its runs


def test_a_ledger_belongs_to_one_registry(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1))
    ledger.begin(make_planned(1), endpoint="https://a:443")
    with pytest.raises(UsageError, match=r"belongs to https://a, not to https://b; name another one with --ledger"):
        ledger.begin(registry="https://b")
    ledger.begin(make_planned(1))
    assert lines(ledger) == [1]


def test_the_next_run_learns_how_long_conversions_took(ledger: Bench) -> None:
    ledger.begin()
    seconds = {"onnx": [1.0, 2.0]}
    ledger(EndRun(finished_at="t", exit_code=3, summary='{"exit_code":3}', conversion_seconds=seconds))
    ledger.close()
    ledger(msgspec.structs.replace(BEGIN_RUN, run_id="run-2"))
    assert ledger(FinishPlan(follows_manifest=True)) == seconds


manifests = st.lists(st.integers(0, 6), unique=True, max_size=7)


@given(st.lists(manifests, min_size=1, max_size=5))
def test_any_history_of_manifests_ends_with_the_last_one(
    make_ledger: Callable[[], Bench], make_planned: MakePlanned, history: list[list[int]]
) -> None:
    """G1: each entry of the last manifest is there once, on its line; every other one ever seen keeps its data."""
    ledger = make_ledger()
    for manifest in history:
        named = [(line, f"model-{number}") for line, number in enumerate(manifest, start=1)]
        ledger.begin(*(make_planned(line, name, version="1", path=name) for line, name in named))
    found = {row.entry.name: row.line for row in rows(ledger)}
    ledger.close()
    assert {name: line for name, line in found.items() if line is not None} == {
        f"model-{number}": line for line, number in enumerate(history[-1], start=1)
    }
    assert set(found) == {f"model-{number}" for manifest in history for number in manifest}

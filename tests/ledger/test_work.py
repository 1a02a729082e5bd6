"""What there is to do: one upload in flight per model, versions in manifest order, whatever happens."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.model.records import Look, RegistryVersion
from bulkload.core.model.states import State
from bulkload.core.model.summary import CauseCount
from bulkload.ledger.interface import (
    Claims,
    Compare,
    Comparison,
    CountOpen,
    Counts,
    Failures,
    ForgetListing,
    GetClaims,
    InManifest,
    InState,
    KeepListing,
    NextOfModel,
    RememberDigest,
    Renew,
    Take,
    WorkspacesToList,
)
from bulkload.ledger.records import LedgerEntry, PlannedEntry
from tests.ledger.bench import LOOK, OTHER_SHA256, SHA256, Bench, MemoryBench, SqliteBench

MakePlanned = Callable[..., PlannedEntry]

IN_FLIGHT = {State.UPLOADING, State.IN_DOUBT}


@pytest.fixture(scope="module", params=["sqlite", "memory"])
def make_ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Bench]:
    """One after the other: many examples of one test."""

    def make() -> Bench:
        if request.param == "memory":
            return MemoryBench()
        return SqliteBench(tmp_path_factory.mktemp("ledger") / "ledger.db")

    return make


Row = tuple[str, State, bool]


def filled(ledger: Bench, make_planned: MakePlanned, rows: list[Row]) -> Bench:
    """Entries of these models in these states, in the manifest (their line is their id) or no longer."""
    ledger.begin(*(make_planned(line, name) for line, (name, _, _) in enumerate(rows, start=1)))
    for id_, (_, state, in_manifest) in enumerate(rows, start=1):
        if state is not State.PLANNED or not in_manifest:
            ledger.put(id_, state=state, **({} if in_manifest else {"line": None}))
    return ledger


def naive_heads(rows: list[Row], after_line: int, most: int) -> list[int]:
    """The rule, word for word: planned, in the manifest, nothing of its model in flight or in doubt or before it."""
    heads = []
    for id_, (name, state, in_manifest) in enumerate(rows, start=1):
        of_model = [(i, s, at) for i, (n, s, at) in enumerate(rows, start=1) if n == name]
        blocked = any(s in IN_FLIGHT or (s is State.PLANNED and at and i < id_) for i, s, at in of_model)
        if state is State.PLANNED and in_manifest and not blocked and id_ > after_line:
            heads.append(id_)
    return heads[:most]


rows_of_ledgers = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(State), st.sampled_from([True, True, True, False])), max_size=14
)


@given(rows_of_ledgers, st.integers(0, 14), st.integers(1, 5))
def test_what_is_next_follows_the_rule(
    make_ledger: Callable[[], Bench], make_planned: MakePlanned, rows: list[Row], after_line: int, most: int
) -> None:
    """For any ledger, also with entries that left the manifest: those block their model but are never sent."""
    ledger = filled(make_ledger(), make_planned, rows)
    taken = ledger(Take(most, after_line))
    assert [item.id for item in taken] == naive_heads(rows, after_line, most)
    models = [name for name, _, _ in rows]
    assert [item.only_version for item in taken] == [models.count(item.entry.name) == 1 for item in taken]
    for name in "abc":
        found = ledger(NextOfModel((7, name)))
        expected = [id_ for id_ in naive_heads(rows, 0, 99) if rows[id_ - 1][0] == name]
        assert ([found.id] if found else []) == expected
    ledger.close()


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_any_run_sends_each_model_one_by_one_and_in_order(
    make_ledger: Callable[[], Bench], make_planned: MakePlanned, models: list[str], chance: random.Random
) -> None:
    """G2: whichever entry is taken, whatever comes of it, and however often it is sent again."""
    ledger = filled(make_ledger(), make_planned, [(name, State.PLANNED, True) for name in models])
    sent: dict[str, list[int]] = {name: [] for name in models}
    for _ in range(200):
        under_way = [item for state in IN_FLIGHT for item in ledger(InState(state, 0, 99))]
        waiting = ledger(Take(99, 0))
        if not under_way and not waiting:
            break
        names = [item.entry.name for item in under_way]
        assert len(names) == len(set(names))
        item = chance.choice(under_way + waiting)
        if item.state is State.PLANNED:
            ledger.intend(item.id, None)
            if item.id not in sent[item.entry.name]:
                sent[item.entry.name].append(item.id)
        else:
            after = [State.UPLOADED, State.PLANNED, State.IN_DOUBT]
            ledger.move(item.id, chance.choice(after + [State.FAILED] * (item.state is State.UPLOADING)))
    assert all(ids == sorted(ids) for ids in sent.values())
    ledger.close()


def test_a_model_is_a_name_in_a_workspace(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1), make_planned(2, workspace_id=8), make_planned(3))
    assert [item.id for item in ledger(Take(9, 0))] == [1, 2]


@pytest.mark.parametrize("state", sorted(IN_FLIGHT))
def test_what_left_the_manifest_under_way_still_blocks_its_model(
    state: State, ledger: Bench, make_planned: MakePlanned
) -> None:
    """G2: it may become a version yet, and the next one must not overtake it."""
    ledger.begin(make_planned(1), make_planned(2), make_planned(3, "other"))
    ledger.put(1, state=state, line=None)
    assert [item.entry.name for item in ledger(Take(9, 0))] == ["other"]
    assert ledger(NextOfModel((7, "model"))) is None


def test_what_failed_lets_the_next_version_go_on(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1), make_planned(2))
    ledger.move(1, State.FAILED)
    assert [item.id for item in ledger(Take(9, 0))] == [2]


def test_a_page_begins_behind_the_last_one(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(*(make_planned(line, f"model-{line}") for line in range(1, 8)))
    pages, line = [], 0
    while page := ledger(Take(3, line)):
        pages.append([item.id for item in page])
        line = page[-1].entry.line
    assert pages == [[1, 2, 3], [4, 5, 6], [7]]
    assert [item.id for item in ledger(InManifest(3, 2))] == [4, 5]
    assert [item.id for item in ledger(InState(State.PLANNED, 5, 9))] == [6, 7]


def test_an_entry_comes_back_as_it_was_planned(ledger: Bench, make_planned: MakePlanned) -> None:
    planned = make_planned(1, labels={"team": "fraud"}, sha256=SHA256)
    ledger.begin(planned, make_planned(2, look=None))
    assert ledger.item() == LedgerEntry(
        id=1,
        workspace_id=7,
        entry=planned.entry,
        state=State.PLANNED,
        look=LOOK,
        sha256=None,
        fence=frozenset(),
        sealed=False,
        version_id=None,
        owned=False,
        retry_requested=False,
        in_manifest=True,
    )
    assert ledger.item().model == (7, "model")
    # Its file could not be looked at.
    assert ledger.item(2).look is None


# What belongs to whom


def test_claimed_versions_are_those_of_others_and_all_earlier_ones(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1), make_planned(2), make_planned(3, "other"), make_planned(4, workspace_id=8))
    ledger.publish(1, version_id=5)
    ledger(Renew(1, LOOK))
    ledger.intend(1, None)
    ledger.arrive(1, 6)
    ledger.move(2, State.SKIPPED, version_id=4)
    ledger.upload(3, 7)
    ledger.upload(4, 8)
    assert ledger(GetClaims(ledger.item(1))).claimed == {4, 5}
    assert ledger(GetClaims(ledger.item(2))).claimed == {5, 6}


def test_a_version_is_unproved_while_its_entry_is_not_judged_and_has_other_bytes(
    ledger: Bench, make_planned: MakePlanned
) -> None:
    """Whoever sent these bytes may be the one that made it."""
    ledger.begin(make_planned(1), make_planned(2), make_planned(3, "other"))
    ledger.upload(1, 5)
    ledger.upload(3, 7)
    ledger.put(2, state=State.IN_DOUBT, sha256=OTHER_SHA256)
    assert ledger(GetClaims(ledger.item(2))) == Claims(claimed=frozenset({5}), unproved=frozenset({5}))
    ledger.put(2, sha256=SHA256)
    assert ledger(GetClaims(ledger.item(2))) == Claims(claimed=frozenset({5}), unproved=frozenset())
    ledger.put(2, sha256=OTHER_SHA256)
    ledger.move(1, State.READY)
    assert ledger(GetClaims(ledger.item(2))) == Claims(claimed=frozenset({5}), unproved=frozenset())


# Counts


def test_counts_describe_the_manifest_as_it_is_now(ledger: Bench, make_planned: MakePlanned) -> None:
    """All eight states; what left the manifest counts nowhere."""
    ledger.begin(*(make_planned(line, f"model-{line}") for line in range(1, 10)))
    for id_, state in enumerate(State, start=1):
        ledger.put(id_, state=state)
    ledger.put(9, line=None)
    assert ledger(Counts()) == {state.value: 1 for state in State}


@given(rows_of_ledgers)
def test_what_is_open_is_what_a_run_has_work_with(
    make_ledger: Callable[[], Bench], make_planned: MakePlanned, rows: list[Row]
) -> None:
    """A run with nothing open asks nothing; what left the manifest is polled and reconciled but never sent."""
    ledger = filled(make_ledger(), make_planned, rows)
    work = {State.UPLOADING, State.IN_DOUBT, State.UPLOADED}
    count = sum(state in work or (state is State.PLANNED and in_manifest) for _, state, in_manifest in rows)
    assert ledger(CountOpen()) == count
    to_list = any(state is State.IN_DOUBT or (state is State.PLANNED and at) for _, state, at in rows)
    assert ledger(WorkspacesToList()) == ([7] if to_list else [])
    ledger.close()


def test_failures_are_counted_by_cause_and_message_with_the_first_as_example(
    ledger: Bench, make_planned: MakePlanned
) -> None:
    ledger.begin(*(make_planned(line, f"model-{line}") for line in range(1, 7)))
    for id_, cause, message in (
        (5, "refused_413", "b"),
        (4, "refused_413", "a"),
        (2, "refused_413", "a"),
        (6, "x", ""),
    ):
        ledger.move(id_, State.FAILED, cause=cause, message=message)
    ledger.move(3, State.ERROR)
    ledger.put(6, line=None)
    assert ledger(Failures()) == (
        CauseCount(cause="refused_413", count=2, example="model-2: a", message="a"),
        CauseCount(cause="error", count=1, example="model-3: ", message=""),
        CauseCount(cause="refused_413", count=1, example="model-5: b", message="b"),
    )


# Digests and the listing


def compared(ledger: Bench, look: Look) -> Comparison:
    return ledger(Compare(ledger.item(), look))


def test_a_digest_is_known_as_long_as_the_file_looks_the_same(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1, source="/a"), make_planned(2, source="/b"))
    ledger(RememberDigest("/a", LOOK, "old"))
    ledger(RememberDigest("/a", LOOK, SHA256))
    assert compared(ledger, LOOK) == Comparison(possible=False, sha256=SHA256)
    assert ledger(Compare(ledger.item(2), LOOK)).sha256 is None


@pytest.mark.parametrize("look", [Look(11, "1:2:3"), Look(10, "1:2:4"), Look(10, None)], ids=str)
def test_any_change_of_a_files_look_forgets_its_digest(look: Look, ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1, source="/a"))
    ledger(RememberDigest("/a", LOOK, SHA256))
    assert compared(ledger, look).sha256 is None


def test_a_file_without_a_mark_is_never_known(ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1, source="/a"))
    ledger(RememberDigest("/a", Look(10, None), SHA256))
    assert compared(ledger, Look(10, None)).sha256 is None


def version(version_id: int, name: str = "model", workspace_id: int = 7, **fields: Any) -> RegistryVersion:
    values: dict[str, Any] = {"sha256": SHA256, "size": 10} | fields
    return RegistryVersion(version_id=version_id, name=name, workspace_id=workspace_id, **values)


def fence(ledger: Bench) -> frozenset[int]:
    """What of the model of the first entry was there: a fence that nobody names is that."""
    ledger.intend(1, None, fence=None)
    found = ledger.item().fence
    ledger.move(1, State.PLANNED)
    return found


def test_the_listing_keeps_only_models_of_this_ledger(ledger: Bench, make_planned: MakePlanned) -> None:
    """A workspace of 60,000 versions is 90 MB; a manifest of ten models needs a few kilobytes of it."""
    ledger.begin(make_planned(1))
    before = ledger.row()
    ledger(KeepListing((version(1), version(2, "other"), version(3, workspace_id=8), version(4))))
    assert fence(ledger) == {1, 4}
    assert ledger.row().entry == before.entry
    # What was passed over is not there when its model comes.
    ledger.begin(make_planned(1), make_planned(2, "other"))
    ledger.intend(2, None, fence=None)
    assert ledger.item(2).fence == frozenset()


def test_a_listing_that_is_asked_for_again_replaces_what_was_seen(ledger: Bench, make_planned: MakePlanned) -> None:
    """A read that was cut and repeated lists a version twice."""
    ledger.begin(make_planned(1))
    ledger(KeepListing((version(1, size=11),)))
    assert compared(ledger, LOOK).possible is False
    ledger(KeepListing((version(1), version(2))))
    assert fence(ledger) == {1, 2}
    assert compared(ledger, LOOK).possible is True
    ledger(ForgetListing())
    assert fence(ledger) == frozenset()
    assert compared(ledger, LOOK).possible is False


@pytest.mark.parametrize(("size", "possible"), [(10, True), (None, True), (11, False)])
def test_an_equal_version_is_possible_where_the_size_is_the_same_or_not_shown(
    size: int | None, possible: bool, ledger: Bench, make_planned: MakePlanned
) -> None:
    ledger.begin(make_planned(1))
    ledger(KeepListing((version(1, size=size),)))
    assert compared(ledger, LOOK).possible is possible

"""What there is to do: one upload in flight per model, versions in manifest order, whatever happens."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.model.records import Look, RegistryVersion
from bulkload.core.model.states import IllegalMove, State
from bulkload.core.model.summary import CauseCount
from bulkload.ledger.records import LedgerEntry, Outcome, PlannedEntry
from bulkload.ledger.sqlite.writes import Store

MakePlanned = Callable[..., PlannedEntry]
Plan = Callable[..., None]

SHA256 = "ab" * 32
LOOK = Look(10, "1:2:3")
IN_FLIGHT = {State.UPLOADING, State.IN_DOUBT}


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One ledger for many examples: ``fill`` begins each anew."""
    store = Store(tmp_path_factory.mktemp("ledger") / "ledger.db")
    store.connection.execute("PRAGMA synchronous = OFF")
    yield store
    store.close()


Row = tuple[str, State, bool]


def fill(store: Store, rows: list[Row]) -> None:
    """Entries of these models in these states, in the manifest (their line is their id) or no longer."""
    store.connection.execute("DELETE FROM entries")
    store.connection.executemany(
        "INSERT INTO entries (id, entry_key, line, workspace_id, name, path, framework, spec, labels, state)"
        " VALUES (?1, ?1, ?2, 7, ?3, '', '', json_object('line', ?1, 'name', ?3, 'path', '', 'source', '',"
        " 'conversion', json_object('framework', 'onnx')), '{}', ?4)",
        [(id_, id_ if listed else None, name, state) for id_, (name, state, listed) in enumerate(rows, start=1)],
    )


def naive_heads(rows: list[Row], after_line: int, most: int) -> list[int]:
    """The rule, word for word: planned, in the manifest, nothing of its model in flight or in doubt or before it."""
    heads = []
    for id_, (name, state, listed) in enumerate(rows, start=1):
        of_model = [(i, s, at) for i, (n, s, at) in enumerate(rows, start=1) if n == name]
        blocked = any(s in IN_FLIGHT or (s is State.PLANNED and at and i < id_) for i, s, at in of_model)
        if state is State.PLANNED and listed and not blocked and id_ > after_line:
            heads.append(id_)
    return heads[:most]


rows_of_ledgers = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(State), st.sampled_from([True, True, True, False])), max_size=14
)


@given(rows_of_ledgers, st.integers(0, 14), st.integers(1, 5))
def test_heads_and_next_of_model_follow_the_rule(
    shared_store: Store, rows: list[Row], after_line: int, most: int
) -> None:
    """For any ledger, also with entries that left the manifest: those block their model but are never sent."""
    fill(shared_store, rows)
    assert [item.id for item in shared_store.heads(after_line, most)] == naive_heads(rows, after_line, most)
    for name in "abc":
        found = shared_store.next_of_model((7, name))
        expected = [id_ for id_ in naive_heads(rows, 0, 99) if rows[id_ - 1][0] == name]
        assert ([found.id] if found else []) == expected


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_any_run_sends_each_model_one_by_one_and_in_order(
    shared_store: Store, models: list[str], chance: random.Random
) -> None:
    """G2: whichever head is taken, whatever comes of it, and however often it is sent again."""
    fill(shared_store, [(name, State.PLANNED, True) for name in models])
    sent: dict[str, list[int]] = {name: [] for name in models}
    for _ in range(200):
        under_way = [i for s in IN_FLIGHT for i in shared_store.in_state(s, 0, 99)]
        heads = shared_store.heads(0, 99)
        if not under_way and not heads:
            break
        names = [item.entry.name for item in under_way]
        assert len(names) == len(set(names))
        item = chance.choice(under_way + heads)
        if item.state is State.PLANNED:
            shared_store.intend(item.id, LOOK, (), SHA256)
            if item.id not in sent[item.entry.name]:
                sent[item.entry.name].append(item.id)
        elif item.state is State.UPLOADING:
            shared_store.move(
                item.id, chance.choice([State.UPLOADED, State.PLANNED, State.IN_DOUBT, State.FAILED]), Outcome()
            )
        else:
            shared_store.move(item.id, chance.choice([State.UPLOADED, State.PLANNED, State.IN_DOUBT]), Outcome())
    assert all(ids == sorted(ids) for ids in sent.values())


def test_a_model_is_a_name_in_a_workspace(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    plan_entries(make_planned(1), make_planned(2, workspace_id=8), make_planned(3))
    assert [item.id for item in store.heads(0, 9)] == [1, 2]


@pytest.mark.parametrize("state", sorted(IN_FLIGHT))
def test_what_left_the_manifest_under_way_still_blocks_its_model(
    state: State, store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """G2: it may become a version yet, and the next one must not overtake it."""
    plan_entries(make_planned(1), make_planned(2), make_planned(3, "other"))
    store.intend(1, LOOK, (), SHA256)
    if state is State.IN_DOUBT:
        store.move(1, State.IN_DOUBT, Outcome())
    plan_entries(make_planned(2), make_planned(3, "other"))
    assert [item.entry.name for item in store.heads(0, 9)] == ["other"]
    assert store.next_of_model((7, "model")) is None


def test_what_failed_lets_the_next_version_go_on(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    plan_entries(make_planned(1), make_planned(2))
    store.move(1, State.FAILED, Outcome())
    assert [item.id for item in store.heads(0, 9)] == [2]


def steps(store: Store, question: Callable[[Store], object]) -> int:
    """How many thousand steps SQLite's machine takes for the answer."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    store.connection.set_progress_handler(tick, 1000)
    question(store)
    store.connection.set_progress_handler(None, 1000)
    return count


@pytest.mark.parametrize(
    "question",
    [
        lambda store: store.heads(0, 256),
        lambda store: store.next_of_model((7, "model")),
        lambda store: store.siblings(store.entry(1), "no digest"),
        lambda store: store.in_state(State.IN_DOUBT, 0, 9),
        lambda store: store.counts(),
    ],
    ids=["heads", "next_of_model", "siblings", "in_state", "counts"],
)
def test_a_model_of_many_versions_costs_no_more_than_many_models(
    question: Callable[[Store], object], store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """A nightly publication of one model must not grow slower every night (quadratic would be 2 million rows)."""
    plan_entries(*(make_planned(line) for line in range(1, 3001)))
    store.connection.execute("UPDATE entries SET state = 'ready' WHERE id <= 2000")
    assert steps(store, question) < 200


def test_a_page_begins_behind_the_last_one(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    plan_entries(*(make_planned(line, f"model-{line}") for line in range(1, 8)))
    pages, line = [], 0
    while page := store.heads(line, 3):
        pages.append([item.id for item in page])
        line = page[-1].entry.line
    assert pages == [[1, 2, 3], [4, 5, 6], [7]]
    assert [item.id for item in store.in_manifest(3, 2)] == [4, 5]
    assert [item.id for item in store.in_state(State.PLANNED, 5, 9)] == [6, 7]


def test_an_entry_comes_back_as_it_was_planned(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    planned = make_planned(1, labels={"team": "fraud"}, sha256=SHA256)
    plan_entries(planned)
    assert store.entry(1) == LedgerEntry(
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
    assert store.entry(1).model == (7, "model")


def test_an_entry_whose_file_could_not_be_looked_at_has_no_look(
    store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    plan_entries(make_planned(1, look=None))
    assert store.entry(1).look is None


# Counts


def test_counts_describe_the_manifest_as_it_is_now(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    """All eight states; what left the manifest counts nowhere."""
    plan_entries(*(make_planned(line, f"model-{line}") for line in range(1, 10)))
    for id_, state in enumerate(State, start=1):
        store.connection.execute("UPDATE entries SET state = ? WHERE id = ?", (state, id_))
    store.connection.execute("UPDATE entries SET line = NULL WHERE id = 9")
    assert store.counts() == {state.value: 1 for state in State}


@given(rows_of_ledgers)
def test_what_is_open_is_what_a_run_has_work_with(shared_store: Store, rows: list[Row]) -> None:
    """A run with nothing open asks nothing; what left the manifest is polled and reconciled but never sent."""
    fill(shared_store, rows)
    work = {State.UPLOADING, State.IN_DOUBT, State.UPLOADED}
    count = sum(state in work or (state is State.PLANNED and listed) for _, state, listed in rows)
    assert shared_store.count_open() == count
    to_list = any(state is State.IN_DOUBT or (state is State.PLANNED and listed) for _, state, listed in rows)
    assert shared_store.workspaces_to_list() == ([7] if to_list else [])


def test_failures_are_counted_by_cause_with_the_first_as_example(
    store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    plan_entries(*(make_planned(line, f"model-{line}") for line in range(1, 7)))
    for id_, cause in ((5, "refused_413"), (4, "wrong_digest"), (2, "wrong_digest"), (6, "wrong_digest")):
        store.move(id_, State.FAILED, Outcome(cause=cause, message=f"message {id_}"))
    store.move(3, State.ERROR, Outcome())
    store.connection.execute("UPDATE entries SET line = NULL WHERE id = 6")
    assert store.failures() == (
        CauseCount(cause="wrong_digest", count=2, example="model-2: message 2"),
        CauseCount(cause="error", count=1, example="model-3: "),
        CauseCount(cause="refused_413", count=1, example="model-5: message 5"),
    )


# Digests and the listing


def test_a_digest_is_known_as_long_as_the_file_looks_the_same(store: Store) -> None:
    store.remember_digest("/a", LOOK, "old")
    store.remember_digest("/a", LOOK, SHA256)
    assert store.digest("/a", LOOK) == SHA256
    assert store.digest("/b", LOOK) is None


@pytest.mark.parametrize("look", [Look(11, "1:2:3"), Look(10, "1:2:4"), Look(10, None)], ids=str)
def test_any_change_of_a_files_look_forgets_its_digest(look: Look, store: Store) -> None:
    store.remember_digest("/a", LOOK, SHA256)
    assert store.digest("/a", look) is None


def version(version_id: int, name: str = "model", workspace_id: int = 7) -> RegistryVersion:
    return RegistryVersion(version_id=version_id, name=name, workspace_id=workspace_id, sha256=SHA256, size=10)


def test_the_listing_keeps_only_models_of_this_ledger(
    store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """A workspace of 60,000 versions is 90 MB; a manifest of ten models needs a few kilobytes of it."""
    plan_entries(make_planned(1))
    store.add_to_listing([version(1), version(2, "other"), version(3, workspace_id=8), version(4)])
    assert store.listed((7, "model")) == [version(1), version(4)]
    assert store.listed((7, "other")) == store.listed((8, "model")) == []


def test_a_listing_that_is_asked_for_again_replaces_what_was_seen(
    store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """A read that was cut and repeated lists a version twice."""
    plan_entries(make_planned(1))
    store.add_to_listing([version(1)])
    store.add_to_listing([version(1), version(2)])
    assert store.listed((7, "model")) == [version(1), version(2)]
    store.clear_listing()
    assert store.listed((7, "model")) == []


# Groups


def test_an_operation_that_raises_takes_back_what_it_did_and_spares_the_others(
    store: Store, plan_entries: Plan, make_planned: MakePlanned, path: Path
) -> None:
    plan_entries(make_planned(1), make_planned(2, "other"))

    def half(store: Store) -> None:
        store.move(1, State.FAILED, Outcome())
        store.move(2, State.READY, Outcome())

    store.begin()
    with pytest.raises(IllegalMove):
        store.attempt(half)
    store.attempt(lambda store: store.move(2, State.SKIPPED, Outcome()))
    store.commit()
    assert [store.entry(id_).state for id_ in (1, 2)] == [State.PLANNED, State.SKIPPED]


def test_a_group_that_was_given_up_is_gone(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    plan_entries(make_planned(1))
    store.begin()
    store.attempt(lambda store: store.move(1, State.FAILED, Outcome()))
    store.roll_back()
    store.roll_back()
    assert store.entry(1).state is State.PLANNED
    assert not store.in_transaction
    with suppress(IllegalMove):
        store.intend(1, LOOK, (), None)

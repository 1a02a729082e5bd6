"""What questions and moves cost, in steps of SQLite's machine, and in statements."""

from collections.abc import Callable

import pytest

from bulkload.core.model.states import State
from bulkload.ledger.groups import GroupCommit
from bulkload.ledger.interface import Arrived, Intend, Judge, Take
from bulkload.ledger.records import LedgerEntry, PlannedEntry
from bulkload.ledger.sqlite.execution import Execution
from bulkload.ledger.sqlite.writes import Store
from tests.ledger.bench import LOOK
from tests.ledger.test_moves import READY, shown

MakePlanned = Callable[..., PlannedEntry]
Plan = Callable[..., None]


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
        lambda store: store.next_entries(0, 256),
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


def intents(items: list[LedgerEntry]) -> list[Intend]:
    return [Intend(entry=item, look=LOOK, fence=frozenset()) for item in items]


def answers(items: list[LedgerEntry]) -> list[Arrived]:
    return [Arrived(entry=item, version_id=item.id, uploaded_at="t", upload_seconds=1.0) for item in items]


def verdicts(items: list[LedgerEntry]) -> list[Judge]:
    return [
        Judge(
            entry_id=item.id,
            version=shown(version_id=item.id, name=item.entry.name, file_name=None),
            noted=None,
            ready=READY,
        )
        for item in items
    ]


def test_a_group_of_moves_is_one_statement(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    """Each step of SQLite gives the interpreter away, and takes it back from whoever has it then."""
    plan_entries(*(make_planned(line, f"m-{line}") for line in range(1, 41)))
    execution, said = Execution(store), set[str]()
    items, groups = execution.carry_out(Take(40, 0)), GroupCommit(execution)
    groups.execute(intents(items[:20]))
    # Said again for each trigger that it runs.
    store.connection.set_trace_callback(said.add)
    groups.execute([*answers(items[:20]), *verdicts(items[:20]), *intents(items[20:30])])
    assert sorted(statement.split()[0] for statement in said) == ["BEGIN", "COMMIT", "INSERT", "INSERT"]
    said.clear()
    groups.execute([*answers(items[20:30]), *intents(items[30:])])
    assert [statement.split()[:3] for statement in said] == [["INSERT", "INTO", "moves"]]
    store.connection.set_trace_callback(None)
    assert store.counts() | {"ready": 20, "uploaded": 10, "uploading": 10} == store.counts()


def test_a_move_finds_its_entry_at_once(store: Store, plan_entries: Plan, make_planned: MakePlanned) -> None:
    """Also where many entries stand where it stands."""
    plan_entries(*(make_planned(line, f"m-{line}") for line in range(1, 3001)))
    items = store.in_manifest(0, 20)
    groups = GroupCommit(Execution(store))
    for make in (intents, answers, verdicts):
        assert steps(store, lambda _: groups.execute(make(items))) < 20  # noqa: B023 - called at once

"""What questions cost, in steps of SQLite's machine: never more for one model of many versions than for many models."""

from collections.abc import Callable

import pytest

from bulkload.core.model.states import State
from bulkload.ledger.records import PlannedEntry
from bulkload.ledger.sqlite.writes import Store

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

"""Planning brings the ledger up to the manifest, and loses nothing that was published."""

import sqlite3
from collections.abc import Callable

import msgspec
import pytest

from bulkload.core.model.errors import ManifestError
from bulkload.core.model.records import Look
from bulkload.core.model.states import State
from bulkload.ledger.records import Outcome, PlannedEntry
from bulkload.ledger.sqlite.planning import MOST_PROBLEMS, plan
from bulkload.ledger.sqlite.writes import Store

MakePlanned = Callable[..., PlannedEntry]
Plan = Callable[..., None]

SHA256 = "ab" * 32
LOOK = Look(10, "1:2:3")
OTHER_SHA256 = "cd" * 32
OTHER_LOOK = Look(20, "4:5:6")


def changed(planned: PlannedEntry, look: Look | None = OTHER_LOOK) -> PlannedEntry:
    return msgspec.structs.replace(planned, look=look)


def dump(connection: sqlite3.Connection) -> list[str]:
    return list(connection.iterdump())


def publish(store: Store, id_: int, state: State = State.READY, version_id: int | None = None) -> None:
    """Let the ledger have published an entry, with this outcome."""
    store.intend(id_, LOOK, (), SHA256)
    store.move(id_, State.UPLOADED, Outcome(version_id=version_id or id_, owned=True))
    store.move(id_, state, Outcome())


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

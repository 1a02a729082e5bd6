"""Anybody may look at a ledger, in mid-run too, and nothing of it is disturbed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bulkload.core.model.errors import LedgerError
from bulkload.core.model.records import Look
from bulkload.core.model.states import State
from bulkload.core.model.summary import CauseCount
from bulkload.ledger import LedgerReader
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.ledger.records import Outcome, PlannedEntry
from bulkload.ledger.sqlite.writes import Store
from tests.ledger.bench import intend

LOOK = Look(10, "1:2:3")

MakePlanned = Callable[..., PlannedEntry]
Plan = Callable[..., None]

# design.md, section 7: a contract with scripts.
COLUMNS = [
    "entry_key",
    "line",
    "name",
    "workspace_id",
    "version_label",
    "path",
    "framework",
    "size",
    "sha256",
    "state",
    "version_id",
    "version_uuid",
    "status",
    "cause",
    "message",
    "logs",
    "attempts",
    "adopted",
    "labels",
    "uploaded_at",
    "finished_at",
    "upload_seconds",
    "convert_seconds",
    "run_id",
    # design-2.md, section 3.
    "workspace",
    "registry",
]


def rows(path: Path) -> list[dict[str, Any]]:
    with LedgerReader(path) as reader:
        return [dict(zip(RESULT_COLUMNS, row, strict=True)) for row in reader.results()]


def test_the_view_has_the_columns_of_the_design(store: Store) -> None:
    found = [row[1] for row in store.connection.execute("PRAGMA table_info(results)")]
    assert found == list(RESULT_COLUMNS) == COLUMNS


def test_any_sqlite_client_reads_the_view_in_mid_run(
    store: Store, path: Path, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    plan_entries(make_planned(1))
    with closing(sqlite3.connect(path)) as client:
        assert client.execute("SELECT name, state FROM results").fetchall() == [("model", "planned")]


def test_a_row_says_all_about_its_last_publication(
    store: Store, path: Path, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    planned = make_planned(1, version="v1", path="m.onnx", labels={"team": "fraud"})
    plan_entries(planned)
    intend(store, 1, LOOK, {1}, "digest")
    store.move(1, State.UPLOADED, Outcome(version_id=5, owned=True, uploaded_at="t1", upload_seconds=0.5))
    store.move(
        1,
        State.ERROR,
        Outcome(
            version_uuid="u", status="error", cause="conversion_error", message="m", logs="l1\nl2", finished_at="t2",
            convert_seconds=1.5, adopted=True,
        ),
    )  # fmt: skip
    expected = {
        "entry_key": planned.entry_key, "line": 1, "name": "model", "workspace_id": 7, "version_label": "v1",
        "path": "m.onnx", "framework": "onnx", "size": 10, "sha256": "digest", "state": "error", "version_id": 5,
        "version_uuid": "u", "status": "error", "cause": "conversion_error", "message": "m", "logs": "l1\nl2",
        "attempts": 1, "adopted": 1, "labels": '{"team":"fraud"}', "uploaded_at": "t1", "finished_at": "t2",
        "upload_seconds": 0.5, "convert_seconds": 1.5, "run_id": "run-1",
            "workspace": None, "registry": None,
    }  # fmt: skip
    assert rows(path) == [expected]
    store.renew(1)
    assert rows(path)[0]["state"] == "planned"
    assert rows(path)[0]["version_id"] is None


def test_rows_come_in_manifest_order_and_what_left_it_comes_last(
    store: Store, path: Path, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    labelled = {label: {"version": label, "path": label} for label in "abcd"}
    plan_entries(*(make_planned(line, **labelled[label]) for line, label in enumerate("abcd", start=1)))
    plan_entries(make_planned(1, **labelled["c"]), make_planned(2, **labelled["a"]))
    found = rows(path)
    assert [(row["version_label"], row["line"]) for row in found[:2]] == [("c", 1), ("a", 2)]
    assert {(row["version_label"], row["line"]) for row in found[2:]} == {("b", None), ("d", None)}


def test_a_reader_sees_what_is_committed_and_nothing_else(
    store: Store, path: Path, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """In the middle of a group it neither waits nor reads half of it."""
    plan_entries(make_planned(1), make_planned(2, "other"))
    with LedgerReader(path) as reader:
        store.begin()
        store.move(1, State.FAILED, Outcome(cause="c", message="m"))
        assert reader.counts()["planned"] == 2
        store.move(2, State.FAILED, Outcome(cause="c", message="m"))
        store.commit()
        assert reader.counts()["failed"] == 2
        assert reader.failures() == (CauseCount(cause="c", count=2, example="model: m", message="m"),)


def test_a_copy_is_a_ledger_of_its_own_in_mid_run(
    store: Store, path: Path, tmp_path: Path, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """It has what is committed, and what is done to it changes nothing of the other."""
    plan_entries(make_planned(1), make_planned(2, "other"))
    copy = tmp_path / "copy.db"
    store.begin()
    store.move(1, State.FAILED, Outcome(cause="c", message="m"))
    with LedgerReader(path) as reader:
        reader.copy_to(copy)
    store.commit()
    with closing(sqlite3.connect(copy)) as client:
        client.execute("DELETE FROM entries WHERE name = 'other'")
        client.commit()
    assert [row["state"] for row in rows(copy)] == ["planned"]
    assert [row["state"] for row in rows(path)] == ["failed", "planned"]


def test_a_slow_reader_sees_one_moment_and_holds_nobody_up(
    store: Store, path: Path, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    plan_entries(*(make_planned(line, f"model-{line}") for line in range(1, 5)))
    with LedgerReader(path) as reader:
        results = reader.results()
        first = next(results)
        store.move(4, State.SKIPPED, Outcome())
        left = list(results)
    state = RESULT_COLUMNS.index("state")
    assert [row[state] for row in [first, *left]] == ["planned"] * 4
    assert [row["state"] for row in rows(path)] == ["planned"] * 3 + ["skipped"]


def test_the_newest_run_is_the_one_that_began_last(store: Store, path: Path) -> None:
    """By the order in which they began: a wall clock that was set back does not hide it."""
    store.claim_for("https://a", endpoint="https://a", manifest="m.csv")
    store.end_run("2026-01-06T16:40:00Z", 3, "{}")
    store.begin_run("run-2", "2025-01-01T00:00:00Z")
    with LedgerReader(path) as reader:
        assert reader.last_run() == {
            "run_id": "run-2", "started_at": "2025-01-01T00:00:00Z", "finished_at": None, "exit_code": None,
        }  # fmt: skip
        assert (reader.endpoint, reader.manifest) == ("https://a", "m.csv")
        assert reader.holder is None


def test_a_ledger_without_a_run_has_none(path: Path) -> None:
    Store(path).close()
    with LedgerReader(path) as reader:
        assert reader.last_run() is None
        assert (reader.endpoint, reader.manifest) == (None, None)
        assert set(reader.counts()) == {state.value for state in State}
        assert list(reader.results()) == []


def test_a_missing_ledger_is_named_and_not_made(path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no such ledger; `bulkload run MANIFEST` makes one"):
        LedgerReader(path)
    assert list(path.parent.iterdir()) == []


def test_a_reader_cannot_write(store: Store, path: Path) -> None:
    with LedgerReader(path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM entries")


def test_a_reader_never_folds_the_log_into_the_file(
    store: Store, path: Path, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """Two connections that checkpoint can corrupt a ledger (SQLite before 3.51.3): only the writer's does."""
    before = path.read_bytes()
    plan_entries(make_planned(1))
    for _ in range(3):
        assert rows(path)
    assert path.read_bytes() == before


def test_what_a_killed_run_committed_is_read_without_its_log_being_touched(
    store: Store, path: Path, plan_entries: Plan, make_planned: MakePlanned, tmp_path: Path
) -> None:
    """The write-ahead log that a killed run leaves is part of the ledger."""
    plan_entries(make_planned(1))
    copy = tmp_path / "copy"
    copy.mkdir()
    for suffix in ("", "-wal"):
        (copy / (path.name + suffix)).write_bytes(path.with_name(path.name + suffix).read_bytes())
    log = (copy / (path.name + "-wal")).read_bytes()
    assert [row["state"] for row in rows(copy / path.name)] == ["planned"]
    assert (copy / (path.name + "-wal")).read_bytes() == log


def test_a_damaged_ledger_is_an_error_and_no_traceback(
    path: Path, store: Store, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    plan_entries(*(make_planned(line, f"model-{line}") for line in range(1, 200)))
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"the ledger is damaged .*; move it away"), LedgerReader(path) as reader:
        list(reader.results())


def test_a_path_with_signs_of_an_address_is_only_a_path(tmp_path: Path) -> None:
    path = tmp_path / "50% of #1?mode=rw.db"
    Store(path).close()
    with LedgerReader(path) as reader:
        assert reader.last_run() is None


def test_columns_states_and_a_limit_choose_what_is_read(
    store: Store, path: Path, plan_entries: Plan, make_planned: MakePlanned
) -> None:
    """In the order of the manifest, whatever the states; what left it comes last."""
    plan_entries(*(make_planned(line, f"m{line}") for line in range(1, 7)))
    for id_, state in ((1, State.FAILED), (2, State.SKIPPED), (4, State.FAILED), (5, State.SKIPPED)):
        store.move(id_, state, Outcome())
    plan_entries(*(make_planned(line, f"m{line}") for line in range(2, 7)))
    with LedgerReader(path) as reader:
        ended = (State.SKIPPED, State.FAILED)
        assert list(reader.results(["name", "line"], ended)) == [("m2", 2), ("m4", 4), ("m5", 5), ("m1", None)]
        assert list(reader.results(["name"], ended, 3)) == [("m2",), ("m4",), ("m5",)]
        assert list(reader.results(["name"], ended, 9)) == [("m2",), ("m4",), ("m5",), ("m1",)]
        assert list(reader.results(["name"], (), 1)) == [("m2",)]
        assert not list(reader.results(["name"], (), 0))

"""A ledger with a run under way, and entries to plan into it."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bulkload.core.model.records import Conversion, Entry, Look
from bulkload.ledger.records import PlannedEntry
from bulkload.ledger.sqlite.writes import Store
from tests.ledger.bench import Bench, MemoryBench, SqliteBench, plan_into

LOOK = Look(10, "1:2:3")

MakePlanned = Callable[..., PlannedEntry]
Plan = Callable[..., None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger lies."""
    return tmp_path / "models.csv.ledger.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """An open ledger in its first run, "run-1"."""
    opened = Store(path)
    # No test cuts the power, and a commit a statement would cost a flush each.
    opened.connection.execute("PRAGMA synchronous = OFF")
    opened.begin_run("run-1", "2026-01-06T16:34:30Z")
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "memory"])
def ledger(request: pytest.FixtureRequest, path: Path) -> Iterator[Bench]:
    """A ledger of either kind, new."""
    bench: Bench = SqliteBench(path) if request.param == "sqlite" else MemoryBench()
    yield bench
    bench.close()


@pytest.fixture(scope="session")
def make_planned() -> MakePlanned:
    """An entry as planning takes it in; its key follows from workspace, name, label and path."""

    def make(line: int, name: str = "model", **fields: Any) -> PlannedEntry:
        workspace_id = fields.pop("workspace_id", 7)
        look = fields.pop("look", LOOK)
        defaults = {"version": str(line), "path": f"files/{name}-{line}.onnx", "source": f"/files/{name}-{line}.onnx"}
        entry = Entry(**{"line": line, "name": name, "conversion": Conversion(framework="onnx"), **defaults, **fields})
        words = f"{workspace_id} {entry.name} {entry.version} {entry.path}"
        key = hashlib.blake2b(words.encode(), digest_size=16).hexdigest()
        return PlannedEntry(entry_key=key, workspace_id=workspace_id, entry=entry, look=look)

    return make


@pytest.fixture
def plan_entries(store: Store) -> Plan:
    """Plan these entries, in one operation as the writer makes it."""

    def plan_them(*entries: PlannedEntry) -> None:
        store.begin()
        try:
            store.attempt(lambda store: plan_into(store, entries))
        finally:
            store.commit()

    return plan_them

"""What a ledger in memory keeps: rows, as records in dictionaries, and what else outlives a process."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bulkload.core.model.records import Entry, Look, RegistryVersion
from bulkload.core.model.states import State
from bulkload.ledger.interface import Model
from bulkload.ledger.records import RESULT_COLUMNS, LedgerEntry


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with its current publication, or with a past one."""

    id: int
    entry_key: str
    # None: no longer in the manifest.
    line: int | None
    workspace_id: int
    entry: Entry
    state: State = State.PLANNED
    look: Look | None
    sha256: str | None = None
    fence: frozenset[int] = frozenset()
    sealed: bool = False
    retry_requested: bool = False
    version_id: int | None = None
    owned: bool = False
    version_uuid: str | None = None
    status: str | None = None
    cause: str | None = None
    message: str | None = None
    logs: str | None = None
    attempts: int = 0
    audit: bool = False
    adopted: bool = False
    uploaded_at: str | None = None
    finished_at: str | None = None
    upload_seconds: float | None = None
    convert_seconds: float | None = None
    run_id: str | None = None

    @property
    def model(self) -> Model:
        """One upload of it is in flight at a time."""
        return self.workspace_id, self.entry.name

    @property
    def blocks(self) -> bool:
        """No other entry of its model may be sent."""
        return self.state in (State.UPLOADING, State.IN_DOUBT)

    def item(self, *, only_version: bool = False) -> LedgerEntry:
        """What the engine works on."""
        return LedgerEntry(
            id=self.id,
            workspace_id=self.workspace_id,
            entry=self.entry,
            state=self.state,
            look=self.look,
            sha256=self.sha256,
            fence=self.fence,
            sealed=self.sealed,
            version_id=self.version_id,
            owned=self.owned,
            retry_requested=self.retry_requested,
            in_manifest=self.line is not None,
            only_version=only_version,
        )

    def result(self, registry: str | None) -> tuple[Any, ...]:
        """What people are told, in the order of ``RESULT_COLUMNS``; ``registry``: whom the ledger belongs to."""
        entry = self.entry
        derived = {
            "name": entry.name,
            "version_label": entry.version,
            "path": entry.path,
            "framework": entry.conversion.framework,
            "size": None if self.look is None else self.look.size,
            "labels": msgspec.json.encode(entry.labels).decode(),
            "state": self.state.value,
            "adopted": int(self.adopted),
            "workspace": entry.workspace,
            "registry": registry,
        }
        return tuple(derived[name] if name in derived else getattr(self, name) for name in RESULT_COLUMNS)


@dataclass(slots=True)
class Content:
    """What was committed."""

    # registry, endpoint, manifest.
    facts: dict[str, str] = field(default_factory=dict)
    # Run id -> what is known of it, in the order in which they began.
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    entries: dict[int, Row] = field(default_factory=dict)
    # The entries of each model, by id: an entry keeps its model.
    models: dict[Model, tuple[int, ...]] = field(default_factory=dict)
    past: list[Row] = field(default_factory=list)
    # Path -> look and digest.
    digests: dict[str, tuple[Look, str]] = field(default_factory=dict)
    listing: dict[int, RegistryVersion] = field(default_factory=dict)
    conversion_seconds: dict[str, list[float]] = field(default_factory=dict)

    def copy(self) -> "Content":
        """Another one, which may be changed: what is in it is not."""
        return Content(*(getattr(self, each.name).copy() for each in dataclasses.fields(self)))


@dataclass(slots=True)
class MemoryStore:
    """What outlives a process: a ledger's file, were it one."""

    content: Content = field(default_factory=Content)

    def results(self) -> Iterator[tuple[Any, ...]]:
        """Rows of ``RESULT_COLUMNS``, in manifest order; entries no longer in the manifest come last."""
        rows = self.content.entries.values()
        in_manifest = sorted((row for row in rows if row.line is not None), key=line_of)
        others = sorted((row for row in rows if row.line is None), key=lambda row: row.entry_key)
        registry = self.content.facts.get("registry")
        yield from (row.result(registry) for row in (*in_manifest, *others))


def line_of(row: Row) -> int:
    """The line of an entry of the manifest."""
    if row.line is None:
        raise AssertionError("it is in the manifest")
    return row.line

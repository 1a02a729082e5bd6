"""Processes that die: the real engine and the real ledger, on virtual time, against a registry in memory.

Every effect (a commit, a request, a piece of a body, an answer) can be the last thing that a process does. What it had
committed and what the registry had received stays; the next process goes on from there.
"""

import asyncio
import itertools
import json
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec

from bulkload.core.model.errors import BulkloadError, Interrupted
from bulkload.core.model.records import RegistryVersion, Workspace
from bulkload.core.model.settings import Settings
from bulkload.core.model.states import OPEN
from bulkload.core.model.summary import RunSummary
from bulkload.core.verdicts import CallFailed, Failure, FailureKind
from bulkload.engine.clock import LoopClock
from bulkload.engine.events import OnEvent
from bulkload.engine.publish import publish
from bulkload.engine.stop import Stop
from bulkload.ledger import Ledger as LedgerFile
from bulkload.ledger import LedgerReader
from bulkload.ledger.interface import Ledger
from bulkload.ledger.memory import MemoryLedger, MemoryStore
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.ledger.writer import LoopWriter
from bulkload.registry.answers import ListedVersion
from bulkload.registry.form import Form
from bulkload.source import LocalSource
from tests.guarantees.registry_model import WORKSPACE, Fate, RegistryModel
from tests.guarantees.virtual_time import VirtualLoop

# Files up to here are one body, larger ones are streamed in pieces of this size.
PIECE_BYTES = 8
# How long a dead process stays dead.
RESTART_SECONDS = 1.0
# Far more than a life with a few entries needs: one that has so many goes in circles.
MOST_EFFECTS = 20_000
MOST_LIVES = 12

Row = dict[str, Any]


class LedgerKind(StrEnum):
    """Which of the two ledgers the processes have."""

    # SQLite's, without a thread of its own.
    FILE = "file"
    # Its twin, which costs a fraction.
    MEMORY = "memory"


class Crash(BaseException):
    """The process is dead: nothing that it does from here on has an effect."""


@dataclass(frozen=True, slots=True)
class Life:
    """What one process did."""

    # None where it died, or ended with an error of its own.
    summary: RunSummary | None
    error: BulkloadError | None
    died: bool
    # For each effect, the state of everything that outlives the process, just before it.
    points: tuple[object, ...]


@dataclass(slots=True)
class World:
    """A folder with a manifest, a ledger, a registry, and one process after the other."""

    folder: Path
    rows: Sequence[Row]
    registry: RegistryModel
    changes: dict[str, Any] = field(default_factory=dict)
    kind: LedgerKind = LedgerKind.MEMORY
    now: float = 0.0
    seed: int = 0
    most_effects: int = MOST_EFFECTS
    # Who hears what happens in its runs.
    on_event: OnEvent | None = None

    lives: list[Life] = field(default_factory=list)
    # The twin's, which outlives the processes.
    _store: MemoryStore = field(default_factory=MemoryStore)
    _loop: VirtualLoop | None = None
    _stop: Stop = field(default_factory=Stop)
    _dead: bool = False
    _points: list[object] = field(default_factory=list)
    _crash_at: int | None = None
    _asked_at: int | None = None
    _cut: bool = False
    _ledger_changes: int = 0

    def __post_init__(self) -> None:
        self.registry.clock = self.time
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write(self.rows)

    def write(self, rows: Sequence[Row]) -> None:
        """Write the manifest and its files. A row's ``content`` is its file."""
        lines = []
        for row in rows:
            fields = {"framework": "onnx", "workspace": str(WORKSPACE), **row}
            content = fields.pop("content")
            fields.setdefault("path", f"{row['name']}-{row.get('version', '0')}.onnx")
            file = self.folder / fields["path"]
            if not file.exists() or file.read_bytes() != content:
                file.write_bytes(content)
            lines.append(json.dumps(fields))
        self.rows = rows
        (self.folder / "models.jsonl").write_text("\n".join(lines) + "\n")

    @property
    def ledger(self) -> Path:
        """Where the runs keep their ledger, where it is a file."""
        return self.folder / "ledger.db"

    @property
    def has_ledger(self) -> bool:
        """Whether a run has begun, and what it committed is there."""
        return self.ledger.exists() if self.kind is LedgerKind.FILE else bool(self._store.content.runs)

    def time(self) -> float:
        """Seconds, through all lives."""
        return self._loop.time() if self._loop is not None else self.now

    def effect(self) -> None:
        """Something that outlives the process is about to happen, or has just happened."""
        if self._dead:
            raise Crash
        self._points.append((self._ledger_changes, self.registry.changes))
        number = len(self._points)
        if number > self.most_effects:
            raise AssertionError("this run goes in circles")
        if number == self._asked_at:
            self._stop.ask(Interrupted(2))
            if self._cut:
                self._stop.cut()
        if number == self._crash_at:
            self.die()
            raise Crash

    def die(self) -> None:
        """Nothing has an effect from here on, and time stands still."""
        self._dead = True
        self.now = self.time()

    def live(
        self, *, crash_at: int | None = None, asked_at: int | None = None, cut: bool = False, **changes: Any
    ) -> Life:
        """One process from its start to its end, or to the effect (from 1) at which it dies or is asked to stop."""
        self._stop, self._dead, self._points, self._ledger_changes = Stop(), False, [], 0
        self._crash_at, self._asked_at, self._cut = crash_at, asked_at, cut
        summary, failure = None, None
        self._loop = VirtualLoop(self.now)
        with asyncio.Runner(loop_factory=lambda: self._loop or VirtualLoop()) as runner:
            try:
                summary = runner.run(self._publish(**changes))
            except BulkloadError as error:
                failure = error
            except BaseException:
                if not self._dead:
                    raise
            if not self._dead:
                self.now = self._loop.time()
        self._loop = None
        self.registry.lose_connections()
        self.now += RESTART_SECONDS
        life = Life(None if self._dead else summary, failure, self._dead, tuple(self._points))
        self.lives.append(life)
        return life

    def live_to_the_end(self, **changes: Any) -> Life:
        """Run again and again, as cron would, until a run leaves nothing open."""
        for _ in range(MOST_LIVES):
            life = self.live(**changes)
            if life.summary is not None and not any(life.summary.states[state] for state in OPEN):
                return life
        raise AssertionError(f"still open after {MOST_LIVES} runs: {life.summary or life.error}")

    def results(self) -> list[dict[str, Any]]:
        """The ledger's rows, in manifest order."""
        if self.kind is LedgerKind.MEMORY:
            return [dict(zip(RESULT_COLUMNS, row, strict=True)) for row in self._store.results()]
        with LedgerReader(self.ledger) as reader:
            return [dict(zip(RESULT_COLUMNS, row, strict=True)) for row in reader.results()]

    def state_of(self, entry_id: int) -> str:
        """Where an entry stands, by what was committed."""
        if self.kind is LedgerKind.MEMORY:
            return self._store.content.entries[entry_id].state
        with closing(sqlite3.connect(f"{self.ledger.as_uri()}?mode=ro", uri=True)) as file:
            (state,) = file.execute("SELECT state FROM entries WHERE id = ?", (entry_id,)).fetchone()
        return str(state)

    def _opened_ledger(self) -> Ledger:
        if self.kind is LedgerKind.MEMORY:
            return MemoryLedger(self._store, on_commit=self._commit)
        return LedgerFile(self.ledger, "", writer=partial(LoopWriter, on_commit=self._commit))

    def _settings(self, **changes: Any) -> Settings:
        values: dict[str, Any] = {
            "manifest": str(self.folder / "models.jsonl"),
            "endpoint": "http://registry.invalid",
            "ledger": self.ledger,
            "settle": self.registry.settle,
        }
        return Settings(**(values | self.changes | changes))

    async def _publish(self, **changes: Any) -> RunSummary:
        settings = self._settings(**changes)
        return await publish(
            settings,
            registry=Client(self, settings.answer_timeout),
            ledger=self._opened_ledger(),
            sources=LocalSource(
                small_file_bytes=PIECE_BYTES,
                piece_size_bytes=PIECE_BYTES,
                # Nobody changes a file in the moment in which it was written.
                wall_clock=lambda: float("inf"),
            ),
            clock=_WorldClock(self.registry),
            # Another process has another chance.
            random=random.Random(f"{self.seed} {len(self.lives)}"),
            on_event=self.on_event,
            stop=self._stop,
        )

    def _commit(self, changes: int) -> None:
        """The ledger is about to commit, or has committed: so many changes of this life are on the disk."""
        self._ledger_changes = changes
        self.effect()


class _WorldClock(LoopClock):
    """The loop's, and a wall clock that goes with it: the registry's own."""

    def __init__(self, registry: RegistryModel) -> None:
        super().__init__()
        self._registry = registry

    def utc_now(self) -> str:
        return self._registry.date.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Client:
    """What ``bulkload.registry.Registry`` is to the engine: a method a call, one typed error."""

    endpoint = "http://registry.invalid"

    def __init__(self, world: World, answer_timeout: float) -> None:
        self.requests: Counter[str] = Counter()
        self._answer_timeout = answer_timeout
        self._world = world
        self._registry = world.registry

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    @property
    def answered_at(self) -> datetime:
        return self._registry.date

    def pace_logins(self, wait: Callable[[], Awaitable[None]]) -> None:
        pass

    async def token(self, *, large: bool = False) -> str:
        return "token"

    def has_token(self, *, large: bool = False) -> bool:
        return True

    async def config(self) -> dict[str, Any]:
        return {"default_arch": "x86"}

    async def workspaces(self) -> list[Workspace]:
        return [Workspace(workspace_id=WORKSPACE, name="w")]

    async def version(self, version_id: int) -> RegistryVersion:
        await self._send("poll")
        found = self._registry.version(version_id)
        if found is None:
            raise CallFailed(Failure(call="version", kind=FailureKind.STATUS, status=404, message="no such version"))
        return found

    async def list_workspace(self, workspace_id: int) -> AsyncGenerator[list[RegistryVersion]]:
        await self._send("list")
        yield self._registry.listed()

    async def list_versions_for_model(self, name: str, workspace_id: int) -> list[RegistryVersion]:
        await self._send("list")
        return self._registry.listed(name)

    async def list_versions(self, name: str) -> list[ListedVersion]:
        raise AssertionError("this registry has list_versions_for_model")

    async def create_workspace(self, name: str) -> int:
        raise AssertionError("the workspace is there")

    def has_answered(self, call: str) -> bool:
        return True

    async def look_for(self, call: str) -> Failure | None:
        raise AssertionError("this registry has every call")

    async def upload_logs(self, version_id: int, lines: int | None = None) -> list[str]:
        await self._send("other")
        return []

    async def send_small(
        self, call: str, form: Form, content: bytes, *, on_first_byte: Callable[[], None] = lambda: None
    ) -> int:
        fate = self.begin_upload()
        on_first_byte()
        await self.take_piece(call, fate)
        return await self.answer_upload(call, form, b"".join((form.head, content, form.tail)), fate)

    def uploading(self, call: str, form: Form, size: int) -> "PushedUpload":
        return PushedUpload(self, call, form, size)

    def begin_upload(self) -> Fate:
        """A request begins; what will become of it."""
        self.requests["upload"] += 1
        self._world.effect()
        return self._registry.next_fate()

    async def take_piece(self, call: str, fate: Fate) -> None:
        """A piece of its body is on its way."""
        await anyio.sleep(self._registry.piece_seconds)
        self._world.effect()
        if fate is Fate.BROKEN:
            raise _cut(call)

    async def answer_upload(self, call: str, form: Form, data: bytes, fate: Fate) -> int:
        """The whole body has arrived: what the registry makes of it, and what the sender hears."""
        registry = self._registry
        if fate is Fate.THROTTLED:
            raise _refused(call, 429, "too many requests", registry.throttle())
        if (refusal := registry.refusal()) is not None:
            raise _refused(call, refusal.status, "not now", refusal.retry_after)
        registry.during_upload(registry)
        stored = None if fate is Fate.NEVER else registry.receive(*parsed(form, data), fate)
        self._world.effect()
        await anyio.sleep(min(registry.answer_seconds, self._answer_timeout))
        if fate is not Fate.ANSWERED or stored is None or registry.answer_seconds > self._answer_timeout:
            raise _cut(call)
        self._world.effect()
        return registry.answer_to(stored)

    async def _send(self, kind: str) -> None:
        self.requests[kind] += 1
        self._world.effect()
        await anyio.sleep(0.01)
        self._world.effect()


class PushedUpload:
    """An upload under way. A registry that has all that was announced does not wait for the sender to say so."""

    def __init__(self, client: Client, call: str, form: Form, size: int) -> None:
        self.departed = False
        self._client = client
        self._call = call
        self._form = form
        self._length = form.content_length(size)
        self._data = bytearray()
        self._fate: Fate | None = None

    async def __aenter__(self) -> "PushedUpload":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def begin(self) -> None:
        self._fate = self._client.begin_upload()
        self.departed = True
        self._data += self._form.head

    async def write(self, piece: bytes | memoryview) -> None:
        assert self._fate is not None
        self._data += piece
        await self._client.take_piece(self._call, self._fate)

    async def finish(self) -> int:
        assert self._fate is not None
        self._data += self._form.tail
        assert len(self._data) == self._length
        await self._client.take_piece(self._call, self._fate)
        return await self._client.answer_upload(self._call, self._form, bytes(self._data), self._fate)


def parsed(form: Form, data: bytes) -> tuple[dict[str, Any], str, bytes]:
    """Metadata, file name and bytes of an upload's form."""
    assert data.startswith(form.head)
    assert data.endswith(form.tail)
    head = form.head.decode()
    metadata = msgspec.json.decode(head.split("\r\n\r\n", 1)[1].split("\r\n--", 1)[0])
    file_name = head.rsplit('filename="', 1)[1].split('"', 1)[0]
    return metadata, file_name, data[len(form.head) : len(data) - len(form.tail)]


def _refused(call: str, status: int, message: str, retry_after: float | None) -> CallFailed:
    return CallFailed(
        Failure(call=call, kind=FailureKind.STATUS, status=status, message=message, retry_after=retry_after)
    )


def _cut(call: str) -> CallFailed:
    return CallFailed(Failure(call=call, kind=FailureKind.CUT, message="connection lost"))


def distinct(points: Sequence[object]) -> list[int]:
    """The effects (from 1) at which a crash leaves something else behind than a crash at the effect before."""
    return [
        number for number, (one, before) in enumerate(zip(points, [None, *points], strict=False), 1) if one != before
    ]


def products(fates: Sequence[Fate], uploads: int) -> Iterator[tuple[Fate, ...]]:
    """Every way in which the first uploads may go."""
    return itertools.product(fates, repeat=uploads)

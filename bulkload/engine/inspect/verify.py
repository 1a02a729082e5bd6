"""Every entry of a ledger against the registry: its version, its state; and versions that no entry has."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import msgspec

from bulkload.core.contract.file_names import sent_file_name
from bulkload.core.identity.verification import LedgerWord, Unowned, differences
from bulkload.core.model.errors import UsageError
from bulkload.core.model.events import Advanced, OnEvent
from bulkload.core.model.records import RegistryVersion
from bulkload.core.verdicts import CallFailed, may_mean_no_such_version
from bulkload.engine.backoff import usual_backoff
from bulkload.engine.calls import TriedEnough
from bulkload.engine.events import Events
from bulkload.engine.preflight.checks import identity_of
from bulkload.engine.preflight.questions import Questions
from bulkload.engine.stop import Stop, lone_errors
from bulkload.ledger import LedgerReader
from bulkload.registry.interface import Registry

# Entries compared until the next word of it.
WORDS_A_STEP = 256

_encode = msgspec.json.encode
_decode_version = msgspec.json.Decoder(RegistryVersion).decode
_decode_word = msgspec.json.Decoder(LedgerWord).decode
_decode_ids = msgspec.json.Decoder(frozenset[int]).decode


@dataclass(slots=True)
class Verification:
    """What a comparison found."""

    versions: int = 0
    differing: int = 0
    # Versions of the ledger's models that no entry of it has; some of them are others', and no difference.
    unowned: int = 0
    # Those of them that belie an entry.
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class Tell:
    """Who hears of what is found."""

    # An entry whose version is not what the ledger says, and in what.
    difference: Callable[[LedgerWord, list[str]], None]
    unowned: Callable[[Unowned], None]


async def verify(
    reader: LedgerReader, registry: Registry, *, on_event: OnEvent | None, stop: Stop, tell: Tell
) -> Verification:
    """Compare; ``tell`` hears of everything that differs. Changes nothing.

    Each workspace is listed once. Raises ``UsageError`` where the ledger belongs to another registry,
    ``RegistryUnavailable``, ``NotAuthorised``, ``LedgerError``.
    """
    with lone_errors(), _listing() as seen:
        async with registry:
            return await stop.or_end(_verify(reader, registry, seen, Events(on_event), tell))


async def _verify(
    reader: LedgerReader, registry: Registry, seen: "_Listing", events: Events, tell: Tell
) -> Verification:
    events.phase("asking the registry")
    questions = Questions(registry, usual_backoff(), 0.0, events)
    identity = identity_of(registry, await questions.whole(await questions.config()))
    if reader.registry not in (None, identity):
        raise UsageError(
            f"this ledger belongs to {reader.registry}, not to {identity}; give the registry that it was published to"
        )
    events.phase("listing")
    for workspace_id in reader.workspaces():
        await questions.ask(lambda: _list(registry, workspace_id, seen, events))  # noqa: B023 - awaited at once
    events.phase("comparing")
    found = Verification()
    for number, (word, fence) in enumerate(reader.words(), 1):
        if number % WORDS_A_STEP == 0:
            events(Advanced(number))
        seen.claim(word, fence)
        if word.version_id is None:
            continue
        found.versions += 1
        version = seen.version(word.version_id)
        if version is None:
            # Absent from its workspace: gone, or somewhere else.
            version = await _found_elsewhere(questions, registry, word.version_id)
        wrong = differences(word, version)
        if wrong:
            found.differing += 1
            tell.difference(word, wrong)
    seen.claim_past(reader.past_versions())
    for unowned in seen.unowned():
        found.unowned += 1
        found.duplicates += unowned.differs
        tell.unowned(unowned)
    return found


async def _list(registry: Registry, workspace_id: int, seen: "_Listing", events: Events) -> None:
    async for versions in registry.list_workspace(workspace_id):
        seen.add(versions)
        events(Advanced(seen.count))


async def _found_elsewhere(questions: Questions, registry: Registry, version_id: int) -> RegistryVersion | None:
    """A version that its workspace's listing does not have; None where no other has it either."""

    async def found() -> RegistryVersion | None:
        try:
            return await registry.version(version_id)
        except CallFailed as failed:
            if failed.failure.refusal is not None and may_mean_no_such_version(failed.failure):
                return None
            raise

    try:
        return await questions.ask(found)
    except TriedEnough as error:
        failed = error.__cause__
        # The listing has said so before.
        if isinstance(failed, CallFailed) and may_mean_no_such_version(failed.failure):
            return None
        raise


class _Listing:
    """What the registry showed, and what the ledger claims of it; on disk beyond a few megabytes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # Versions so far.
        self.count = 0
        connection.executescript(
            "PRAGMA journal_mode = OFF;"
            "CREATE TABLE seen (version_id INTEGER PRIMARY KEY, workspace_id INTEGER, name TEXT, version BLOB);"
            "CREATE TABLE held (version_id INTEGER PRIMARY KEY);"
            "CREATE TABLE models (workspace_id INTEGER, name TEXT, PRIMARY KEY (workspace_id, name)) WITHOUT ROWID;"
            # What was sent, and which versions its model had before.
            "CREATE TABLE sent (workspace_id INTEGER, name TEXT, sha256 TEXT, word BLOB, fence BLOB);"
            "CREATE INDEX sent_bytes ON sent (workspace_id, name, sha256);"
        )

    def add(self, versions: list[RegistryVersion]) -> None:
        """Keep some versions."""
        self.count += len(versions)
        self._connection.executemany(
            "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)",
            [(version.version_id, version.workspace_id, version.name, _encode(version)) for version in versions],
        )

    def version(self, version_id: int) -> RegistryVersion | None:
        """One of them."""
        row = self._connection.execute("SELECT version FROM seen WHERE version_id = ?", (version_id,)).fetchone()
        return _decode_version(row[0]) if row else None

    def claim(self, word: LedgerWord, fence: frozenset[int] | None) -> None:
        """Note an entry: its model is the ledger's, and so is its version."""
        model = (word.workspace_id, word.name)
        self._connection.execute("INSERT OR IGNORE INTO models VALUES (?, ?)", model)
        if word.version_id is not None:
            self.claim_past([word.version_id])
        if fence is not None:
            values = (*model, word.sha256, _encode(word), _encode(sorted(fence)))
            self._connection.execute("INSERT INTO sent VALUES (?, ?, ?, ?, ?)", values)

    def claim_past(self, version_ids: "Iterator[int] | list[int]") -> None:
        """Note versions that entries hold or held."""
        self._connection.executemany("INSERT OR IGNORE INTO held VALUES (?)", ((id_,) for id_ in version_ids))

    def unowned(self) -> Iterator[Unowned]:
        """The versions of the ledger's models that no entry holds or held, by their ids."""
        rows = self._connection.execute(
            "SELECT version FROM seen JOIN models USING (workspace_id, name)"
            " WHERE version_id NOT IN (SELECT version_id FROM held) ORDER BY version_id"
        )
        for row in rows:
            version = _decode_version(row[0])
            yield Unowned(
                name=version.name,
                workspace_id=version.workspace_id,
                version_id=version.version_id,
                sha256=version.sha256,
                status=version.status,
                entry=self._sender(version),
            )

    def _sender(self, version: RegistryVersion) -> LedgerWord | None:
        """An entry whose upload may have made this version."""
        rows = self._connection.execute(
            "SELECT word, fence FROM sent WHERE workspace_id = ? AND name = ? AND sha256 = ?",
            (version.workspace_id, version.name, version.sha256),
        )
        for encoded, fence in rows:
            word = _decode_word(encoded)
            same_file = version.file_name in (None, sent_file_name(word.path))
            if same_file and version.version_id not in _decode_ids(fence):
                return word
        return None


@contextmanager
def _listing() -> Iterator[_Listing]:
    with closing(sqlite3.connect("", isolation_level=None)) as connection:
        yield _Listing(connection)

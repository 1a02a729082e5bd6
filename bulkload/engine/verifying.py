"""Every version of a ledger against the registry: present, digest, status, name, workspace."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import msgspec

from bulkload.core.records import RegistryVersion
from bulkload.core.retry import RetryBudget
from bulkload.core.settings import Connection, Credentials
from bulkload.core.verdicts import CallFailed
from bulkload.core.verification import PublishedVersion, differences
from bulkload.engine.calls import repeat
from bulkload.engine.run import Progress
from bulkload.engine.stopping import Stop, lone_errors
from bulkload.ledger import LedgerReader
from bulkload.registry import Registry

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(RegistryVersion).decode


@dataclass(slots=True)
class Verification:
    """What a comparison found."""

    versions: int = 0
    differing: int = 0


async def verify(
    reader: LedgerReader,
    endpoint: str,
    credentials: Credentials,
    connection: Connection,
    *,
    progress: Progress,
    stop: Stop,
    tell: Callable[[PublishedVersion, list[str]], None],
) -> Verification:
    """Compare; ``tell`` hears of every version that differs. Changes nothing.

    Each workspace is listed once. Raises ``RegistryUnavailable``, ``NotAuthorised``, ``CallFailed``, ``LedgerError``.
    """
    with lone_errors(), _listing() as seen:
        async with Registry(endpoint, credentials, connection) as registry:
            return await stop.or_end(_verify(reader, registry, seen, progress, tell))


async def _verify(
    reader: LedgerReader,
    registry: Registry,
    seen: "_Listing",
    progress: Progress,
    tell: Callable[[PublishedVersion, list[str]], None],
) -> Verification:
    budget = RetryBudget()
    progress.phase = "listing"
    for workspace_id in reader.workspaces():
        await repeat(lambda: _list(registry, workspace_id, seen, progress), budget, lambda: 0.5)  # noqa: B023
    progress.phase, progress.done = "comparing", 0
    found = Verification()
    for published in reader.published():
        progress.done += 1
        found.versions += 1
        version = seen.version(published.version_id)
        if version is None:
            # Absent from its workspace: gone, or somewhere else.
            version = await repeat(lambda: _one(registry, published.version_id), budget, lambda: 0.5)  # noqa: B023
        wrong = differences(published, version)
        if wrong:
            found.differing += 1
            tell(published, wrong)
    return found


async def _list(registry: Registry, workspace_id: int, seen: "_Listing", progress: Progress) -> None:
    async for versions in registry.list_workspace(workspace_id):
        seen.add(versions)
        progress.done += len(versions)


async def _one(registry: Registry, version_id: int) -> RegistryVersion | None:
    try:
        return await registry.version(version_id)
    except CallFailed as failed:
        if failed.failure.status == 404:
            return None
        raise


class _Listing:
    """What the registry showed, by version id; on disk beyond a few megabytes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("CREATE TABLE seen (version_id INTEGER PRIMARY KEY, version BLOB NOT NULL)")

    def add(self, versions: list[RegistryVersion]) -> None:
        """Keep some versions."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO seen VALUES (?, ?)",
            [(version.version_id, _encode(version)) for version in versions],
        )

    def version(self, version_id: int) -> RegistryVersion | None:
        """One of them."""
        row = self._connection.execute("SELECT version FROM seen WHERE version_id = ?", (version_id,)).fetchone()
        return _decode(row[0]) if row else None


@contextmanager
def _listing() -> Iterator[_Listing]:
    with closing(sqlite3.connect("", isolation_level=None)) as connection:
        yield _Listing(connection)

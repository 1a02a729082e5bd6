"""Reading the registry's SQLite file: rows in, records out. Works on any connection, also of another process.

Tables of `registry.db` in the data folder: `workspaces`, `users`, `workspace_users`, `models` (a name in a workspace),
`versions` (one upload each), `configs` (of versions). Ids of workspaces, models, versions and configs are separate
sequences with overlapping values, as in the real registry.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from bulkload.sandbox.judge.conversion import Timeline
from bulkload.sandbox.store.records import StoredVersion, Version, shown_error_summary, shown_status

DATABASE = "registry.db"
FILES = "files"

SCHEMA = """
CREATE TABLE IF NOT EXISTS workspaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL,
    created_by TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS users (
    id TEXT PRIMARY KEY,             -- Keycloak's UUID
    email TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS workspace_users (
    workspace_id INTEGER NOT NULL REFERENCES workspaces,
    user_id TEXT NOT NULL REFERENCES users,
    user_type TEXT NOT NULL,         -- OWNER, COLLABORATOR
    PRIMARY KEY (workspace_id, user_id)
);
CREATE TABLE IF NOT EXISTS models (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    workspace_id INTEGER NOT NULL REFERENCES workspaces,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    UNIQUE (name, workspace_id)
);
CREATE INDEX IF NOT EXISTS models_by_workspace ON models (workspace_id);
CREATE TABLE IF NOT EXISTS versions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    models_pk_id INTEGER NOT NULL REFERENCES models,
    name TEXT NOT NULL,
    workspace_id INTEGER NOT NULL,
    visibility TEXT NOT NULL,
    framework TEXT NOT NULL,
    conversion TEXT NOT NULL,        -- JSON, as answers show it
    file_name TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,            -- of the bytes in files/<first two of uuid>/<uuid>
    created_at REAL NOT NULL,        -- seconds since the epoch, like all times here
    created_by TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    task_id TEXT,
    phases TEXT NOT NULL,            -- JSON: [[status, when it ends], ...]
    outcome TEXT,                    -- ready, error; NULL: never terminal
    busy_until REAL,                 -- when its converter is free again; NULL: took none
    runtime_at_first TEXT NOT NULL,
    runtime_when_ready TEXT NOT NULL,
    contained INTEGER NOT NULL,
    error_summary TEXT,
    logs TEXT NOT NULL,              -- JSON: lines
    traits TEXT NOT NULL             -- JSON: faults that stay with the version
);
CREATE INDEX IF NOT EXISTS versions_by_model ON versions (models_pk_id);
CREATE INDEX IF NOT EXISTS versions_by_name ON versions (name);
CREATE INDEX IF NOT EXISTS versions_by_busy_until ON versions (busy_until);
CREATE TABLE IF NOT EXISTS configs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version_id INTEGER NOT NULL REFERENCES versions,
    config TEXT NOT NULL             -- JSON: what was set
);
CREATE INDEX IF NOT EXISTS configs_by_version ON configs (version_id);
"""
# The sequences start apart and overlap later on: an id taken for another kind of id finds a row, the wrong one.
FIRST_IDS = {"workspaces": 108, "models": 1204, "versions": 1215, "configs": 1788}

SELECT_VERSIONS = """
SELECT versions.*, configs.id AS config_id, configs.config AS config FROM versions
JOIN configs ON configs.id = (SELECT max(id) FROM configs WHERE version_id = versions.id)
"""
ANYONES_MODELS = "SELECT * FROM models WHERE (?1 IS NULL OR workspace_id = ?1) AND (?2 IS NULL OR name = ?2)"


def connect(data: Path) -> sqlite3.Connection:
    """Open the database of a data folder for reading, from whichever process. Raises sqlite3.OperationalError."""
    connection = sqlite3.connect(
        f"{(data / DATABASE).absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=30
    )
    connection.execute("PRAGMA query_only=ON")
    connection.row_factory = sqlite3.Row
    return connection


def version_of_row(row: sqlite3.Row) -> Version:
    """One row of SELECT_VERSIONS as a record."""
    values: dict[str, Any] = dict(row)
    phases = tuple((status, ends_at) for status, ends_at in msgspec.json.decode(values.pop("phases")))
    timeline = Timeline(phases, values.pop("outcome"))
    del values["busy_until"]
    values["conversion"] = values["conversion"].encode()
    values["contained"] = bool(values["contained"])
    values["logs"] = tuple(msgspec.json.decode(values["logs"]))
    for field in ("traits", "config"):
        values[field] = msgspec.json.decode(values[field])
    return Version(timeline=timeline, **values)


def find_version(connection: sqlite3.Connection, version_id: int) -> Version | None:
    """The version of that id."""
    row = connection.execute(f"{SELECT_VERSIONS} WHERE versions.id = ?", (version_id,)).fetchone()
    return None if row is None else version_of_row(row)


def newest_version_id(connection: sqlite3.Connection, models_pk_id: int) -> int | None:
    """The id of the newest version of a model."""
    row = connection.execute("SELECT max(id) FROM versions WHERE models_pk_id = ?", (models_pk_id,)).fetchone()
    return None if row[0] is None else int(row[0])


def versions_of_model(connection: sqlite3.Connection, models_pk_id: int) -> list[Version]:
    """The versions of a model, newest first."""
    rows = connection.execute(
        f"{SELECT_VERSIONS} WHERE versions.models_pk_id = ? ORDER BY versions.id DESC", (models_pk_id,)
    )
    return [version_of_row(row) for row in rows]


def matching_versions(connection: sqlite3.Connection, name: str, models_pk_id: int | None) -> list[Version]:
    """list_versions as the real one matches: by name OR by model pk, over all workspaces and owners (fact 1.6)."""
    rows = connection.execute(
        f"{SELECT_VERSIONS} WHERE versions.name = ? OR versions.models_pk_id = ?", (name, models_pk_id)
    )
    return [version_of_row(row) for row in rows]


def find_models(
    connection: sqlite3.Connection, workspace_id: int | None = None, name: str | None = None
) -> list[sqlite3.Row]:
    """Rows of `models`, of one workspace or of one name or of any."""
    return connection.execute(ANYONES_MODELS, (workspace_id, name)).fetchall()


def find_model(connection: sqlite3.Connection, models_pk_id: int) -> sqlite3.Row | None:
    """The row of `models` with that pk."""
    row: sqlite3.Row | None = connection.execute("SELECT * FROM models WHERE id = ?", (models_pk_id,)).fetchone()
    return row


def find_workspaces(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """All rows of `workspaces`, oldest first."""
    return connection.execute("SELECT * FROM workspaces ORDER BY id").fetchall()


def find_workspace(connection: sqlite3.Connection, workspace_id: int) -> sqlite3.Row | None:
    """The row of `workspaces` with that id."""
    row: sqlite3.Row | None = connection.execute("SELECT * FROM workspaces WHERE id = ?", (workspace_id,)).fetchone()
    return row


def find_users(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """All rows of `users`, the account first."""
    return connection.execute("SELECT * FROM users ORDER BY rowid").fetchall()


def workspace_users(connection: sqlite3.Connection) -> dict[int, list[sqlite3.Row]]:
    """The rows of `workspace_users` by workspace id, oldest first."""
    users: dict[int, list[sqlite3.Row]] = {}
    for row in connection.execute("SELECT * FROM workspace_users ORDER BY rowid"):
        users.setdefault(row["workspace_id"], []).append(row)
    return users


def file_path(data: Path, uuid: str) -> Path:
    """Where the bytes of a version are. Spread over 256 folders: some file systems dislike 100,000 files in one."""
    return data / FILES / uuid[:2] / uuid


def stored_versions(
    data: Path, *, name: str | None = None, workspace_id: int | None = None, now: float | None = None
) -> list[StoredVersion]:
    """What the registry in a data folder holds, in the order of creation, judged at `now` (default: this moment).

    Reads the SQLite file and nothing else: it works in any process, while the sandbox runs and afterwards.
    """
    moment = time.time() if now is None else now
    with closing(connect(data)) as connection:
        return [
            _stored(data, version, moment)
            for version in all_versions(connection)
            if name in {None, version.name} and workspace_id in {None, version.workspace_id}
        ]


def all_versions(connection: sqlite3.Connection) -> Iterator[Version]:
    """Every version, oldest first."""
    for row in connection.execute(f"{SELECT_VERSIONS} ORDER BY versions.id"):
        yield version_of_row(row)


def _stored(data: Path, version: Version, now: float) -> StoredVersion:
    return StoredVersion(
        id=version.id,
        uuid=version.uuid,
        models_pk_id=version.models_pk_id,
        name=version.name,
        workspace_id=version.workspace_id,
        visibility=version.visibility,
        framework=version.framework,
        file_name=version.file_name,
        size=version.size,
        sha256=version.sha256,
        status=shown_status(version, now),
        error_summary=shown_error_summary(version, now),
        created_at=version.created_at,
        path=file_path(data, version.uuid),
    )


def versions_by_uuid(connection: sqlite3.Connection, uuids: list[str]) -> list[Version]:
    """The versions with these UUIDs; unknown ones are left out."""
    found = (connection.execute(f"{SELECT_VERSIONS} WHERE versions.uuid = ?", (uuid,)).fetchone() for uuid in uuids)
    return [version_of_row(row) for row in found if row is not None]

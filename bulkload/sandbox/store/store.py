"""Writing the registry: rows in SQLite, files on disk. One connection, owned by the event loop's thread.

A version becomes visible with one commit, after all its bytes are in their place. Nothing is synced to the disk: what
must survive is a killed sandbox, not a power cut, and a thousand uploads a second must fit.
"""

import fcntl
import os
import re
import sqlite3
import uuid as uuids
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bulkload.sandbox.judge.conversion import ConversionQueue
from bulkload.sandbox.store.queries import DATABASE, FILES, FIRST_IDS, SCHEMA, file_path
from bulkload.sandbox.store.records import NewVersion
from bulkload.system.private import make_own_folder, make_private, make_private_folder, open_private

INCOMING = "incoming"
# What ``incoming_path`` gives.
_OWN_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OWNER = "OWNER"
COLLABORATOR = "COLLABORATOR"
INSERT_VERSION = """
INSERT INTO versions (uuid, models_pk_id, name, workspace_id, visibility, framework, conversion, file_name, size,
    sha256, created_at, created_by, owner_id, task_id, phases, outcome, busy_until, runtime_at_first,
    runtime_when_ready, contained, error_summary, logs, traits)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# The insert is an upsert on (name, workspace_id) that bumps updated_at (fact sheet 1.1).
UPSERT_MODEL = """
INSERT INTO models (name, workspace_id, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)
ON CONFLICT (name, workspace_id) DO UPDATE SET updated_at = excluded.updated_at RETURNING id
"""


class DataFolderInUseError(RuntimeError):
    """Another sandbox runs on this data folder. Stop it, or give this one another folder."""


class Store:
    """The tables and files of one data folder. Raises DataFolderInUseError when another process has it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        make_private_folder(data)
        self._lock = _lock_folder(data)
        make_private(data / DATABASE)
        self.connection = sqlite3.connect((data / DATABASE).absolute(), isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=OFF")
        self.connection.executescript(SCHEMA)
        self._start_sequences()
        self._prepare_folders()

    def close(self) -> None:
        """Close the database and give the folder free."""
        self.connection.close()
        os.close(self._lock)

    def incoming_path(self) -> tuple[str, Path]:
        """A new UUID, and where the bytes of that version may arrive."""
        uuid = str(uuids.uuid4())
        return uuid, self.data / INCOMING / uuid

    def conversion_queue(self, converters: int) -> ConversionQueue:
        """The queue as the stored versions have left it."""
        rows = self.connection.execute(
            "SELECT busy_until FROM versions WHERE busy_until IS NOT NULL ORDER BY busy_until DESC LIMIT ?",
            (converters,),
        )
        return ConversionQueue(converters, (row[0] for row in rows))

    def add_version(self, version: NewVersion, *, owner: str, owner_id: str) -> tuple[int, int]:
        """Move the file into its place and insert the version with its configuration. Returns model pk, version id."""
        metadata, file = version.metadata, version.file
        place = file_path(self.data, file.uuid)
        make_own_folder(place.parent)
        (self.data / INCOMING / file.uuid).rename(place)
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            row = connection.execute(UPSERT_MODEL, (metadata.name, metadata.workspace_id, version.created_at))
            models_pk_id = int(row.fetchone()[0])
            cursor = connection.execute(INSERT_VERSION, _version_row(version, models_pk_id, owner, owner_id))
            version_id = int(cursor.lastrowid or 0)
            schemas = {"input_schema": metadata.input_schema, "output_schema": metadata.output_schema}
            self.add_config(version_id, {field: text for field, text in schemas.items() if text is not None})
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        return models_pk_id, version_id

    def add_config(self, version_id: int, config: dict[str, object]) -> int:
        """Insert a configuration of a version; the newest one is the one that counts. Returns its id."""
        cursor = self.connection.execute(
            "INSERT INTO configs (version_id, config) VALUES (?, ?)",
            (version_id, msgspec.json.encode(config).decode()),
        )
        return int(cursor.lastrowid or 0)

    def add_workspace(self, name: str, *, created_at: float, created_by: str, owner_id: str) -> int:
        """Insert a workspace with its owner. Raises sqlite3.IntegrityError when the name is taken."""
        cursor = self.connection.execute(
            "INSERT INTO workspaces (name, created_at, created_by) VALUES (?, ?, ?)", (name, created_at, created_by)
        )
        workspace_id = int(cursor.lastrowid or 0)
        self.add_workspace_user(workspace_id, owner_id, OWNER)
        return workspace_id

    def add_user(self, user_id: str, email: str, *, created_at: float) -> None:
        """Insert a user. Raises sqlite3.IntegrityError when the e-mail address is taken."""
        self.connection.execute(
            "INSERT INTO users (id, email, created_at) VALUES (?, ?, ?)", (user_id, email, created_at)
        )

    def add_workspace_user(self, workspace_id: int, user_id: str, user_type: str) -> None:
        """Put a user into a workspace, or change the type of one that is in it."""
        self.connection.execute(
            "INSERT INTO workspace_users (workspace_id, user_id, user_type) VALUES (?, ?, ?) "
            "ON CONFLICT (workspace_id, user_id) DO UPDATE SET user_type = excluded.user_type",
            (workspace_id, user_id, user_type),
        )

    def remove_workspace_user(self, workspace_id: int, user_id: str) -> int:
        """Take a user out of a workspace. Returns how many rows that were."""
        cursor = self.connection.execute(
            "DELETE FROM workspace_users WHERE workspace_id = ? AND user_id = ?", (workspace_id, user_id)
        )
        return cursor.rowcount

    def delete_versions(self, versions: Iterable[tuple[int, str]]) -> None:
        """Delete versions, given as (id, uuid), with configurations and files, and models that have none left."""
        doomed = list(versions)
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        for version_id, _ in doomed:
            connection.execute("DELETE FROM configs WHERE version_id = ?", (version_id,))
            connection.execute("DELETE FROM versions WHERE id = ?", (version_id,))
        connection.execute("DELETE FROM models WHERE id NOT IN (SELECT models_pk_id FROM versions)")
        connection.execute("COMMIT")
        for _, uuid in doomed:
            file_path(self.data, uuid).unlink(missing_ok=True)

    def _start_sequences(self) -> None:
        for table, first in FIRST_IDS.items():
            known = self.connection.execute("SELECT 1 FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
            if known is None:
                self.connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, first - 1))

    def _prepare_folders(self) -> None:
        make_own_folder(self.data / FILES)
        incoming = self.data / INCOMING
        make_own_folder(incoming)
        # What a killed sandbox was receiving never became a version. What has another name is somebody else's.
        for path in incoming.iterdir():
            if _OWN_NAME.fullmatch(path.name):
                path.unlink()


def _lock_folder(data: Path) -> int:
    descriptor = open_private(data / "sandbox.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DataFolderInUseError(
            f"{data}: another sandbox runs on this folder, perhaps for a command that is under way; wait"
            " until it ends, stop it, or choose another folder"
        ) from None
    return descriptor


def _version_row(version: NewVersion, models_pk_id: int, owner: str, owner_id: str) -> tuple[object, ...]:
    metadata, file, timeline, course = version.metadata, version.file, version.timeline, version.course
    return (
        file.uuid,
        models_pk_id,
        metadata.name,
        metadata.workspace_id,
        metadata.visibility,
        metadata.framework,
        metadata.conversion.decode(),
        metadata.file_name,
        file.size,
        file.sha256,
        version.created_at,
        owner,
        owner_id,
        version.task_id,
        msgspec.json.encode(timeline.phases).decode(),
        timeline.outcome,
        timeline.phases[-1][1] if timeline.phases else None,
        course.runtime_at_first,
        course.runtime_when_ready,
        int(course.contained),
        version.error_summary,
        msgspec.json.encode(version.logs).decode(),
        msgspec.json.encode(version.traits).decode(),
    )

"""The endpoints of workspaces and of their users."""

import secrets
import sqlite3
import uuid
from typing import Any

import msgspec

from bulkload.sandbox.api import answers
from bulkload.sandbox.api.metadata import bad_request
from bulkload.sandbox.door.decoding import Id, Text
from bulkload.sandbox.door.exchange import Exchange, Reply, error_reply, json_reply
from bulkload.sandbox.registry import Registry
from bulkload.sandbox.store import queries
from bulkload.sandbox.store.store import COLLABORATOR, OWNER


class WorkspacesQuery(msgspec.Struct, frozen=True):
    user_id: Text | None = None


class NewWorkspace(msgspec.Struct, frozen=True):
    workspace_name: Text


class WorkspaceQuery(msgspec.Struct, frozen=True):
    workspace_id: Id


class WorkspaceUser(msgspec.Struct, frozen=True):
    workspace_id: Id
    email: Text | None = None
    user_id: Text | None = None
    user_type: Text | None = None
    url: Text | None = None


class UsersQuery(msgspec.Struct, frozen=True):
    user_ids: list[str] | None = None


class Invitation(msgspec.Struct, frozen=True):
    email: Text
    roles: list[str] | None = None
    password: Text | None = None
    require_reset: bool | None = None


class Workspaces:
    """Handlers of workspaces/ and users/. There is one account to log in with; other users are names in lists."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._registry.store.connection

    async def list(self, exchange: Exchange) -> Reply:
        """POST workspaces/list: those of one user where `user_id` says so, else all, as administrators see them."""
        query = await exchange.json(WorkspacesQuery)
        members = queries.workspace_users(self._connection)
        models: dict[int, list[int]] = {}
        for model in queries.find_models(self._connection):
            models.setdefault(model["workspace_id"], []).append(model["id"])
        listed = [
            answers.workspace_answer(row, models.get(row["id"], []))
            for row in queries.find_workspaces(self._connection)
            if query.user_id is None or any(user["user_id"] == query.user_id for user in members.get(row["id"], []))
        ]
        return json_reply({"workspaces": listed})

    async def create(self, exchange: Exchange) -> Reply:
        """POST workspaces/create: names are unique over the whole instance; who creates one owns it."""
        query = await exchange.json(NewWorkspace)
        if not query.workspace_name:
            raise bad_request("workspace_name must not be empty")
        registry = self._registry
        try:
            workspace_id = registry.store.add_workspace(
                query.workspace_name,
                created_at=registry.clock.now(),
                created_by=registry.account.email,
                owner_id=registry.account.user_id,
            )
        except sqlite3.IntegrityError:
            status = registry.settings.duplicate_workspace_status
            category = "Internal Server Error" if status >= 500 else "Bad request"
            reason = 'duplicate key value violates unique constraint "workspace_name_key"'
            return error_reply(status, f"{category}: {reason}")
        return json_reply({"workspace_id": workspace_id})

    async def add_user(self, exchange: Exchange) -> Reply:
        """POST workspaces/add_user: an invited user, by e-mail or id; one that is in it already changes its type."""
        query = await exchange.json(WorkspaceUser)
        user_type = (query.user_type or COLLABORATOR).upper()  # the vendor's SDK writes them small
        if user_type not in {OWNER, COLLABORATOR}:
            raise bad_request(f"unknown user_type {query.user_type!r}, expected {OWNER} or {COLLABORATOR}")
        user = self._user(query)
        self._check_workspace(query.workspace_id)
        self._registry.store.add_workspace_user(query.workspace_id, user["id"], user_type)
        return json_reply({})

    async def list_users(self, exchange: Exchange) -> Reply:
        """POST workspaces/list_users."""
        query = await exchange.json(WorkspaceQuery)
        self._check_workspace(query.workspace_id)
        users = queries.workspace_users(self._connection).get(query.workspace_id, [])
        return json_reply({"users": [{key: user[key] for key in ("user_id", "user_type")} for user in users]})

    async def remove_user(self, exchange: Exchange) -> Reply:
        """POST workspaces/remove_user."""
        query = await exchange.json(WorkspaceUser)
        removed = self._registry.store.remove_workspace_user(query.workspace_id, self._user(query)["id"])
        return json_reply({"affected_rows": removed})

    async def users(self, exchange: Exchange) -> Reply:
        """POST users/query: users by their ids, or all of them."""
        query = await exchange.json(UsersQuery)
        rows = queries.find_users(self._connection)
        wanted = [row for row in rows if query.user_ids is None or row["id"] in query.user_ids]
        return json_reply({"users": {row["id"]: answers.user_answer(row) for row in wanted}})

    async def invite(self, exchange: Exchange) -> Reply:
        """POST users/invite: a user who can be added to workspaces; there is no logging in as such a one."""
        query = await exchange.json(Invitation)
        if "@" not in query.email:
            raise bad_request(f"{query.email!r} is no e-mail address")
        user_id = str(uuid.uuid4())
        try:
            self._registry.store.add_user(user_id, query.email, created_at=self._registry.clock.now())
        except sqlite3.IntegrityError:
            raise bad_request(f"user {query.email} exists already") from None
        return json_reply({"id": user_id, "password": query.password or secrets.token_urlsafe(12)})

    def _user(self, query: WorkspaceUser) -> Any:
        for row in queries.find_users(self._connection):
            if row["id"] == query.user_id or row["email"] == query.email:
                return row
        raise bad_request(f"user {query.email or query.user_id!r} does not exist")

    def _check_workspace(self, workspace_id: int) -> None:
        if queries.find_workspace(self._connection, workspace_id) is None:
            raise bad_request(f"workspace {workspace_id} does not exist")

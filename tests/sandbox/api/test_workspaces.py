"""Workspaces and who is in them."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

pytestmark = pytest.mark.anyio


async def test_who_creates_a_workspace_owns_it(start: Any) -> None:
    """The default one and new ones."""
    async with start() as caller:
        _, made = await caller.ask("workspaces/create", {"workspace_name": "mine"})
        owner = {"user_id": caller.sandbox.account.user_id, "user_type": "OWNER"}
        for workspace_id in (caller.sandbox.workspace_id, made["workspace_id"]):
            assert await caller.ask("workspaces/list_users", {"workspace_id": workspace_id}) == (
                200,
                {"users": [owner]},
            )


async def test_an_invited_user_is_added_and_removed(start: Any) -> None:
    """By e-mail or by id; adding again changes the type; small letters are understood, as the vendor's SDK sends."""
    async with start() as caller:
        workspace = {"workspace_id": caller.sandbox.workspace_id}
        _, invited = await caller.ask("users/invite", {"email": "jane@example.com", "roles": []})
        jane = {"email": "jane@example.com", **workspace}
        assert await caller.ask("workspaces/add_user", jane) == (200, {})
        _, listed = await caller.ask("workspaces/list_users", workspace)
        assert listed["users"][1:] == [{"user_id": invited["id"], "user_type": "COLLABORATOR"}]
        await caller.ask("workspaces/add_user", {"user_id": invited["id"], "user_type": "owner", **workspace})
        _, listed = await caller.ask("workspaces/list_users", workspace)
        assert listed["users"][1:] == [{"user_id": invited["id"], "user_type": "OWNER"}]
        assert (await caller.ask("workspaces/remove_user", jane))[1] == {"affected_rows": 1}
        assert (await caller.ask("workspaces/remove_user", jane))[1] == {"affected_rows": 0}


async def test_workspaces_can_be_asked_for_by_their_user(start: Any) -> None:
    """Without a user all of them."""
    async with start() as caller:
        _, made = await caller.ask("workspaces/create", {"workspace_name": "shared"})
        _, invited = await caller.ask("users/invite", {"email": "jane@example.com"})
        await caller.ask("workspaces/add_user", {"user_id": invited["id"], **made})
        _, hers = await caller.ask("workspaces/list", {"user_id": invited["id"]})
        _, everyones = await caller.ask("workspaces/list")
        assert [row["name"] for row in hers["workspaces"]] == ["shared"]
        assert [row["id"] for row in everyones["workspaces"]] == [caller.sandbox.workspace_id, made["workspace_id"]]


async def test_users_are_described_by_id(start: Any) -> None:
    """All of them, or those asked for."""
    async with start() as caller:
        _, invited = await caller.ask("users/invite", {"email": "jane@example.com", "password": "initial"})
        assert invited["password"] == "initial"
        _, found = await caller.ask("users/query")
        assert list(found["users"]) == [caller.sandbox.account.user_id, invited["id"]]
        _, found = await caller.ask("users/query", {"user_ids": [invited["id"]]})
        assert [user["email"] for user in found["users"].values()] == ["jane@example.com"]


async def test_a_restart_remembers_users(start: Any) -> None:
    async with start() as caller:
        await caller.ask("users/invite", {"email": "jane@example.com"})
    async with start() as caller:
        _, found = await caller.ask("users/query")
        assert [user["email"] for user in found["users"].values()] == [caller.sandbox.username, "jane@example.com"]


async def test_a_data_folder_from_before_there_were_users_gets_its_owner(start: Any) -> None:
    """All its workspaces are the account's."""
    async with start() as caller:
        _, made = await caller.ask("workspaces/create", {"workspace_name": "old"})
        data = caller.sandbox.data
    with closing(sqlite3.connect(data / "registry.db")) as connection:
        connection.executescript("DROP TABLE workspace_users; DROP TABLE users;")
    async with start() as caller:
        for workspace_id in (caller.sandbox.workspace_id, made["workspace_id"]):
            _, listed = await caller.ask("workspaces/list_users", {"workspace_id": workspace_id})
            assert listed["users"] == [{"user_id": caller.sandbox.account.user_id, "user_type": "OWNER"}]


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("workspaces/add_user", {"email": "nobody@example.com"}, "does not exist"),
        ("workspaces/add_user", {}, "does not exist"),
        ("workspaces/add_user", {"email": "user@example.com", "workspace_id": 1}, "workspace 1 does not exist"),
        ("workspaces/add_user", {"email": "user@example.com", "user_type": "king"}, "unknown user_type"),
        ("workspaces/list_users", {"workspace_id": 1}, "workspace 1 does not exist"),
        ("users/invite", {"email": "user@example.com"}, "exists already"),
        ("users/invite", {"email": "jane"}, "no e-mail address"),
    ],
)
async def test_what_cannot_be_is_refused(start: Any, path: str, body: dict[str, Any], reason: str) -> None:
    """400 with the reason."""
    async with start() as caller:
        status, answer = await caller.ask(path, {"workspace_id": caller.sandbox.workspace_id} | body)
        assert (status, answer["code"]) == (400, 400)
        assert reason in answer["msg"]

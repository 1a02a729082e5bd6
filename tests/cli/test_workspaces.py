"""``bulkload workspaces``: what is there, and one more."""

import json
from typing import Any

import pytest

from bulkload.core.model.errors import UsageError
from bulkload.core.model.records import Workspace
from bulkload.core.verdicts import CallFailed, Failure, FailureKind
from bulkload.engine.inspect.catalog import Browser, find_workspace
from bulkload.sandbox import read_request_log
from tests.cli.attended import attending
from tests.conftest import clean_environment, homes
from tests.variants import every

DEFAULT = {"workspace_id": 108, "name": "user@example.com - Default Workspace"}


def objects(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_list_has_one_line_a_workspace(bulkload, start_sandbox):
    """A table for people, by name; JSON with the documented keys."""
    sandbox = start_sandbox()
    assert objects(bulkload("workspaces", "list", "--json", env=sandbox.environment).stdout) == [DEFAULT]
    assert bulkload("workspaces", "create", "fraud", env=sandbox.environment).returncode == 0
    result = bulkload("workspaces", "list", env=sandbox.environment)
    assert result.returncode == 0, result.stderr
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["id", "name"], ["109", "fraud"], ["108", "user@example.com - Default Workspace"],
    ]  # fmt: skip


def test_create_prints_the_id_and_again_the_same_one(bulkload, start_sandbox):
    """A script may ask for the workspace that it needs: the second time is exit 0 with a note, and makes nothing."""
    sandbox = start_sandbox()
    first = bulkload("workspaces", "create", "fraud", env=sandbox.environment)
    assert (first.returncode, first.stdout, first.stderr) == (0, "109\n", "")
    again = bulkload("workspaces", "create", "fraud", env=sandbox.environment)
    assert (again.returncode, again.stdout) == (0, "109\n")
    assert again.stderr == "workspace 'fraud' exists already; nothing was made\n"
    for name, created in (("fraud", False), ("other", True)):
        (found,) = objects(bulkload("workspaces", "create", name, "--json", env=sandbox.environment).stdout)
        assert list(found) == ["workspace_id", "name", "created"]
        assert (found["name"], found["created"]) == (name, created)


@pytest.mark.parametrize("name", ["42", "", " "])
def test_a_name_that_could_not_be_used_is_exit_2(name, bulkload, start_sandbox):
    """All digits would be taken for an id; nothing is asked."""
    sandbox = start_sandbox()
    result = bulkload("workspaces", "create", name, env=sandbox.environment)
    assert (result.returncode, result.stdout) == (2, "")
    assert read_request_log(sandbox.data / "requests.jsonl") == []


@pytest.mark.parametrize("fault", every(4, ["any:lost-answer@2", "any:503@2", "any:429=0@2", "any:reset@2"]))
def test_a_lost_answer_makes_no_second_workspace(fault, bulkload, start_sandbox):
    """The name is looked for again before it is made again; the id is that of the one."""
    sandbox = start_sandbox("--fault", fault)
    result = bulkload("workspaces", "create", "fraud", env=sandbox.environment)
    assert (result.returncode, result.stdout) == (0, "109\n"), result.stderr
    listed = objects(bulkload("workspaces", "list", "--json", env=sandbox.environment).stdout)
    assert [workspace["name"] for workspace in listed] == ["fraud", DEFAULT["name"]]


def test_two_who_create_the_same_workspace_get_the_same_id(start_sandbox, tmp_path, warm):
    """Both succeed, whoever was quicker."""
    sandbox = start_sandbox()
    environment = clean_environment() | homes(tmp_path) | sandbox.environment
    with attending(tmp_path) as make:
        words = ("workspaces", "create", "fraud")
        children = [make().begin(warm, *words, cwd=tmp_path, env=environment) for _ in range(4)]
        assert [child.ended() for child in children] == [0] * 4
        assert {child.stdout for child in children} == {"109\n"}


class OthersRegistry:
    """A registry where a name belongs to a workspace that this account does not see."""

    endpoint = "https://registry.example.com"
    answered_at = None

    def __init__(self, status: int, message: str) -> None:
        self._failure = Failure(call="workspaces/create", kind=FailureKind.STATUS, status=status, message=message)
        self.tries = 0

    async def token(self) -> str:
        return "t"

    async def workspaces(self) -> list[Workspace]:
        return []

    async def create_workspace(self, name: str) -> int:
        self.tries += 1
        raise CallFailed(self._failure)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "message", "words"),
    [
        (500, 'duplicate key value violates unique constraint "workspace_name_key"', "does not see"),
        (409, "conflict", "does not see"),
        (400, "Bad request: not a DNS name", "refuses the workspace name"),
    ],
)
async def test_a_name_that_others_have_or_that_is_refused_is_a_usage_error(status, message, words):
    """Said at once: trying again would not help."""
    registry = OthersRegistry(status, message)
    with pytest.raises(UsageError, match=words) as caught:
        await Browser(registry).create_workspace("fraud")  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert registry.tries == 1


def test_the_nearest_name_is_offered_else_those_there_are():
    """Upper and lower case are a likely slip; many names are no hint."""
    known = [Workspace(workspace_id=number, name=f"Team {number}") for number in range(1, 13)]
    assert find_workspace("3", known).name == "Team 3"
    assert find_workspace("Team 3", known).workspace_id == 3
    with pytest.raises(UsageError, match="did you mean 'Team 7'"):
        find_workspace("team 7", known)
    with pytest.raises(UsageError, match=r"1 'Team 1', .*10 'Team 10', ... \(`bulkload workspaces list` shows all\)"):
        find_workspace("999", known)
    with pytest.raises(UsageError, match="this account sees none"):
        find_workspace("x", [])

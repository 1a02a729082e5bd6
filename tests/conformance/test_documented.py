"""The check against the documentation notices what it is for; every test here relies on it."""

import json
from typing import Any

import pytest

from tests.conformance.documented import API, REALM, SHAPES, problems_of
from tests.conformance.report import COLUMNS, Report

WORKSPACES = f"{API}/workspaces/list"
RIGHT: dict[str, Any] = {
    "id": 1,
    "name": "w",
    "created_at": "2026-01-09T18:38:00.86797+00:00",
    "created_by": "",
    "archived": False,
    "models": [1],
    "pipelines": [],
}


def answer(status: int = 200, **changes: Any) -> list[str]:
    """The problems of workspaces/list with one workspace, changed; None leaves a key away."""
    workspace = {key: value for key, value in {**RIGHT, **changes}.items() if value is not None}
    return problems_of(WORKSPACES, status, "application/json", json.dumps({"workspaces": [workspace]}).encode())


def test_a_documented_answer_has_no_problem() -> None:
    assert answer() == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": None}, "$.workspaces[0].name is missing"),
        ({"surprise": 1}, "$.workspaces[0].surprise is not documented"),
        ({"id": "1"}, "$.workspaces[0].id is '1', no int"),
        ({"id": True}, "$.workspaces[0].id is True, no int"),
        ({"archived": 0}, "$.workspaces[0].archived is 0, no bool"),
        ({"models": {}}, "$.workspaces[0].models is no list"),
        ({"models": [1, "2"]}, "$.workspaces[0].models[1] is '2', no int"),
        ({"created_at": "2026-01-09 18:38"}, "is '2026-01-09 18:38', not like"),
        ({"status": 202}, "202 instead of 200"),
    ],
    ids=str,
)
def test_a_wrong_answer_has_its_problem(changes: dict[str, Any], problem: str) -> None:
    """One, with its place."""
    (found,) = answer(**changes)
    assert problem in found


@pytest.mark.parametrize(
    ("path", "status", "content_type", "body", "right"),
    [
        (WORKSPACES, 400, "application/json", b'{"msg":"Bad request: x","code":400}', True),
        (WORKSPACES, 400, "application/json", b'{"error":"x"}', False),
        (WORKSPACES, 401, "text/plain", b"Jwt is missing", True),
        (WORKSPACES, 401, "application/json", b"{}", False),
        (f"{REALM}/token", 401, "application/json", b'{"error":"invalid_grant"}', True),
        (f"{REALM}/token", 401, "application/json", b'{"msg":"x","code":401}', False),
        (f"{REALM}/logout", 204, "text/plain", b"", True),
    ],
)
def test_a_refusal_has_the_form_of_who_refuses(
    path: str, status: int, content_type: str, body: bytes, right: bool
) -> None:
    """The registry's, the gateway's, Keycloak's."""
    assert (problems_of(path, status, content_type, body) == []) is right


def test_the_table_tells_content_from_discontent_and_silence() -> None:
    """One wrong answer is not outvoted by many right ones."""
    report = Report()
    for _ in range(3):
        report.add(WORKSPACES, "curl", content=True)
        report.add(WORKSPACES, "SDK", content=True)
    report.add(WORKSPACES, "SDK", content=False)
    head, row = report.lines([WORKSPACES])
    found = {column: row[head.index(column) :].split("  ")[0].strip() for column in COLUMNS}
    assert (found["curl"], found["SDK"], found["requests"]) == ("3", "1 WRONG", "-")
    assert WORKSPACES in SHAPES

"""POST /v1/graphql: what the vendor's SDK reads of the database."""

import asyncio
import sys
import time
from typing import Any

import pytest

pytestmark = pytest.mark.anyio
MODEL = """
query ModelById { model_by_pk(id: %d) {
  id model_id model_version models_pk_id sha status error_summary file_name image_path updated_at visibility
  model_tags { tag { id tag } }
  arch: conversion(path: "arch") accel: conversion(path: "accel") whole: conversion
  model { workspace { id name } }
} }
"""


async def ask(caller: Any, query: str, **variables: Any) -> dict[str, Any]:
    """The decoded answer, which is 200 whatever it says."""
    url = f"{caller.sandbox.endpoint}/v1/graphql"
    async with caller.session.post(url, json={"query": query, "variables": variables}) as response:
        assert response.status == 200
        answer: dict[str, Any] = await response.json()
        return answer


@pytest.fixture(autouse=True)
def installed() -> None:
    """graphql-core is an extra: where it is missing these promises are not made."""
    pytest.importorskip("graphql", reason="graphql-core is not installed")


async def test_a_version_is_what_rest_says_of_it(start: Any) -> None:
    """Under the names of the database; arch and accel out of the conversion."""
    async with start() as caller:
        version_id = await caller.publish(framework="pytorch", conversion={"arch": "arm"}, file_name="a.pt")
        told = await caller.poll(version_id)
        found = (await ask(caller, MODEL % version_id))["data"]["model_by_pk"]
        assert found["model_id"] == told["name"]
        assert (found["model_version"], found["sha"]) == (told["file_info"]["version"], told["file_info"]["sha"])
        assert [found[key] for key in ("id", "status", "error_summary", "image_path", "visibility")] == [
            told[key] for key in ("id", "status", "error_summary", "image_path", "visibility")
        ]
        assert (found["arch"], found["accel"], found["whole"]) == ("arm", None, told["conversion"])
        assert found["model"]["workspace"]["id"] == caller.sandbox.workspace_id


async def test_the_status_is_that_of_the_moment(start: Any) -> None:
    """A version that is converting is not ready here either."""
    async with start(time_scale=1000.0) as caller:
        version_id = await caller.publish(framework="pytorch", file_name="a.pt")
        assert (await ask(caller, MODEL % version_id))["data"]["model_by_pk"]["status"] == "pending_load_native"


async def test_the_default_workspace_is_found_by_its_user(start: Any) -> None:
    """And nobody else has one."""
    query = """query ($user_id: String = "") { user_default_workspace(where: {user_id: {_eq: $user_id}}) {
      workspace { archived created_at created_by name id users { user_id } pipelines { id } models { models { id } } }
    } }"""
    async with start() as caller:
        version_id = await caller.publish()
        user_id = caller.sandbox.account.user_id
        (found,) = (await ask(caller, query, user_id=user_id))["data"]["user_default_workspace"]
        assert found["workspace"]["id"] == caller.sandbox.workspace_id
        assert found["workspace"]["users"] == [{"user_id": user_id}]
        assert found["workspace"]["models"] == [{"models": [{"id": version_id}]}]
        assert (await ask(caller, query, user_id="x"))["data"]["user_default_workspace"] == []


async def test_a_workspace_has_its_models_last_changed_first(start: Any) -> None:
    """Each with its versions, newest first."""
    query = """query ($id: bigint!) { workspace_by_pk(id: $id) {
      name models(order_by: {updated_at: desc}) { name models { id } }
    } }"""
    async with start() as caller:
        first = await caller.publish(name="a")
        second = await caller.publish(name="b")
        third = await caller.publish(b"other", name="a")
        found = (await ask(caller, query, id=caller.sandbox.workspace_id))["data"]["workspace_by_pk"]
        assert [(model["name"], [version["id"] for version in model["models"]]) for model in found["models"]] == [
            ("a", [third, first]),
            ("b", [second]),
        ]
        assert (await ask(caller, query, id=1))["data"]["workspace_by_pk"] is None


async def test_versions_are_found_by_conditions(start: Any) -> None:
    """Name and UUID, within a workspace: all of them must hold."""
    query = """query ($name: String!, $uuid: String!, $workspace: bigint!) {
      model(where: {_and: [{model_id: {_eq: $name}}, {model_version: {_eq: $uuid}},
                           {model: {workspace: {id: {_eq: $workspace}}}}]}) { id }
    }"""
    async with start() as caller:
        version_id = await caller.publish(name="a")
        uuid = (await caller.poll(version_id))["file_info"]["version"]
        right = {"name": "a", "uuid": uuid, "workspace": caller.sandbox.workspace_id}
        assert (await ask(caller, query, **right))["data"]["model"] == [{"id": version_id}]
        for wrong in ({"name": "b"}, {"uuid": "x"}, {"workspace": 1}):
            assert (await ask(caller, query, **right | wrong))["data"]["model"] == []


async def test_a_configuration_leads_back_to_its_version(start: Any) -> None:
    query = "query ($id: bigint!) { model_config_by_pk(id: $id) { runtime tensor_fields model { id } } }"
    async with start() as caller:
        version_id = await caller.publish()
        body = {"model_version_id": version_id, "tensor_fields": ["x"]}
        _, made = await caller.ask("models/insert_model_config", body)
        found = (await ask(caller, query, id=made["model_config"]["id"]))["data"]["model_config_by_pk"]
        assert found == {"runtime": "onnx", "tensor_fields": ["x"], "model": {"id": version_id}}
        assert (await ask(caller, query, id=1))["data"]["model_config_by_pk"] is None


async def test_the_schema_can_be_asked_for(start: Any) -> None:
    """By the introspection query that comes before all others."""
    from graphql import build_client_schema, get_introspection_query

    async with start() as caller:
        answer = await ask(caller, get_introspection_query())
        query = build_client_schema(answer["data"]).query_type
        assert query is not None
        assert "model_by_pk" in query.fields


async def test_a_query_that_cannot_be_is_an_error_in_graphqls_form(start: Any) -> None:
    async with start() as caller:
        for query in ("query {", "query { pipelines { id } }"):
            answer = await ask(caller, query)
            assert answer["errors"][0]["message"]
            assert answer.get("data") is None


async def test_without_graphql_core_the_answer_says_what_to_install(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In GraphQL's own form, so that any client shows it."""
    monkeypatch.setitem(sys.modules, "graphql", None)
    async with start() as caller:
        (error,) = (await ask(caller, "query { workspace { id } }"))["errors"]
        assert "pip install 'bulkload[sandbox]'" in error["message"]


async def test_the_database_is_for_those_with_a_token(start: Any) -> None:
    async with start() as caller:
        url = f"{caller.sandbox.endpoint}/v1/graphql"
        async with caller.session.post(url, json={"query": "x"}, headers={"Authorization": "Bearer x"}) as response:
            assert response.status == 401


def nested(levels: int) -> str:
    """A query that goes from a model to its versions and back, so often."""
    return "{ model " + "{ model { models " * levels + "{ id }" + " } }" * levels + " }"


TWICE = "model { models { ...f%d } }"
TOO_MUCH = {
    "aliases": "{ " + " ".join(f"a{at}: workspace {{ id }}" for at in range(5000)) + " }",
    "the same field": "{ " + "workspace { id } " * 400 + "}",
    "depth": nested(50),
    "brackets": "{" * 3000,
    "lists": "{ workspace(where: " + "[" * 3000,
    "a list in a value": "{ workspace(where: {_and: [" + "{id: {_eq: 1}}," * 3000 + "]}) { id } }",
    "texts": "{ " + '"x" ' * 5000 + " }",
    "fragments in fragments": "query { model { ...f0 } } fragment f30 on model { id }"
    + "".join(f" fragment f{at} on model {{ a: {TWICE % (at + 1)} b: {TWICE % (at + 1)} }}" for at in range(30)),
    "the schema's fields": "{ __schema { types { fields " + "{ type { fields " * 8 + "{ name }" + " } }" * 8 + " } } }",
}


@pytest.mark.parametrize("kind", TOO_MUCH)
async def test_a_question_that_costs_too_much_is_refused_soon(start: Any, kind: str) -> None:
    """In GraphQL's form; by its text where that tells, and polls go on meanwhile."""
    async with start() as caller:
        version_id = await caller.publish()
        begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(ask(caller, TOO_MUCH[kind]))
            await caller.poll(version_id)
        answer = asking.result()
        assert answer["errors"][0]["message"]
        assert not answer.get("data")
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        pytest.param(nested(4), {}, marks=pytest.mark.attack),  # by its time: five seconds
        ("query ($w: model_bool_exp) { model(where: $w) { id } }", {"w": {"_and": [{}] * 15_000}}),
        ("{ " + " ".join(f"a{at}: model {{ conversion }}" for at in range(290)) + " }", {}),
    ],
)
async def test_an_answer_that_costs_too_much_is_refused_soon(start: Any, query: str, variables: Any) -> None:
    """A short question can lead to more rows than there are, a short condition to many comparisons."""
    async with start() as caller:
        for _ in range(20):
            await caller.publish(framework="custom", conversion={"requirements": ["x" * 500] * 9})
        answer = await ask(caller, query, **variables)
        assert "the answer" in answer["errors"][0]["message"]
        assert not answer.get("data")


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("query ($id: bigint!) { model_by_pk(id: $id) { id } }", {"id": 2**63}),
        ("query ($id: bigint!) { model_by_pk(id: $id) { id } }", {"id": [1]}),
        ("query ($id: bigint!) { model_by_pk(id: $id) { id } }", {"id": {"a": "b"}}),
        ("query ($id: bigint!) { model_by_pk(id: $id) { id } }", {}),
        ("{ model_by_pk(id: 99999999999999999999999) { id } }", {}),
        ("{ workspace { id } } { workspace { id } }", {}),
        ("fragment f on model { ...f } { model { ...f } }", {}),
        ("fragment f on model { ...g } fragment g on model { ...f } { model { ...g } }", {}),
        ("subscription { x }", {}),
        ("scalar x", {}),
        ("", {}),
        ("\0", {}),
    ],
)
async def test_an_odd_question_is_an_error_in_graphqls_form(start: Any, query: str, variables: Any) -> None:
    """Never a 500."""
    async with start() as caller:
        answer = await ask(caller, query, **variables)
        assert answer["errors"][0]["message"]

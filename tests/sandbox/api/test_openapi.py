"""The OpenAPI document is true: every route stands in it, and every answer is as it says."""

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import jsonschema
import pytest

from bulkload.sandbox.accounts.accounts import open_account
from bulkload.sandbox.accounts.keycloak import DEVICE_GRANT
from bulkload.sandbox.api.openapi import openapi_document
from bulkload.sandbox.door import paths
from bulkload.sandbox.door.gateway import routing_table

pytestmark = pytest.mark.anyio
DOCUMENT: dict[str, Any] = json.loads(openapi_document())
DESCRIBED = {(method.upper(), path) for path, operations in DOCUMENT["paths"].items() for method in operations}


def validate(value: Any, schema: Any) -> None:
    """Against a schema of the document, with what it refers to. Raises jsonschema.ValidationError."""
    jsonschema.Draft202012Validator(schema | {"components": DOCUMENT["components"]}).validate(value)


async def test_every_route_is_described_and_nothing_else(start: Any) -> None:
    """The table that requests are served by is the measure."""
    async with start() as caller:
        files = {("GET", path) for path in paths.DOCS_FILES}
        assert set(routing_table(caller.sandbox._registry)) - files == DESCRIBED


def test_what_it_refers_to_is_there() -> None:
    """And every schema is one."""
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(DOCUMENT)))
    assert names == DOCUMENT["components"]["schemas"].keys()
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_only_doors_are_open_without_a_token() -> None:
    """`security: []` stands where the gateway asks for none."""
    unguarded = {
        path for path, operations in DOCUMENT["paths"].items() for call in operations.values() if "security" in call
    }
    assert unguarded == paths.WITHOUT_TOKEN


class Checker:
    """Sends requests and holds each question and answer against the document. Counts what it has seen."""

    def __init__(self, caller: Any, content_of: Callable[[str], bytes]) -> None:
        self.caller = caller
        self.content_of = content_of
        self.seen: set[tuple[str, str, int]] = set()

    async def ask(self, method: str, path: str, expected: int = 200, **options: Any) -> Any:
        """The decoded answer; `json` in the options is a question that is valid too."""
        template, _ = paths.known_path(path)
        operation = DOCUMENT["paths"][template][method.lower()]
        if "json" in options and expected < 400:
            validate(options["json"], operation["requestBody"]["content"]["application/json"]["schema"])
        url = f"{self.caller.sandbox.endpoint}{path}"
        async with self.caller.session.request(method, url, **options) as response:
            body = await response.read()
            assert response.status == expected, (path, body)
            described = operation["responses"][str(response.status)].get("content", {})
            if not described:
                assert body == b"", path
                return None
            assert list(described) == [response.content_type], path
            value = json.loads(body) if response.content_type == "application/json" else body.decode()
        validate(value, next(iter(described.values()))["schema"])
        self.seen.add((method, template, expected))
        return value

    async def call(self, path: str, expected: int = 200, **body: Any) -> Any:
        """POST of the API."""
        return await self.ask("POST", f"/v1/api/{path}", expected, json=body)

    async def upload(self, route: str, expected: int, framework: str = "onnx", **fields: Any) -> int:
        """The version id, or 0."""
        metadata = self.caller.metadata(framework=framework, **fields)
        if expected < 400:
            validate(metadata, DOCUMENT["components"]["schemas"]["UploadRequest"])
        form = aiohttp.FormData()
        form.add_field("metadata", json.dumps(metadata), content_type="application/json")
        form.add_field("file", self.content_of(framework), filename="a.onnx")
        answer = await self.ask("POST", f"/v1/api/models/{route}", expected, data=form)
        return 0 if expected >= 400 else int(answer["insert_models"]["returning"][0]["models"][0]["id"])


@pytest.fixture
async def checker(start: Any, model: Callable[[str], bytes]) -> AsyncIterator[Checker]:
    """A checker of a sandbox of its own."""
    async with start(device_interval_seconds=0) as caller:
        yield Checker(caller, model)


async def test_every_answer_is_as_described(checker: Checker) -> None:
    """All endpoints, accepted and refused, with exactly the keys that the document has."""
    await about_models(checker)
    await about_workspaces(checker)
    await about_the_instance(checker)
    await about_logins(checker)
    accepted = {(method, path) for method, path, status in checker.seen if status < 300}
    without_body = {("POST", paths.LOGOUT), ("PUT", paths.PASSWORD)}
    assert accepted | without_body == DESCRIBED


async def about_models(checker: Checker) -> None:
    sandbox = checker.caller.sandbox
    version_id = await checker.upload("upload_and_convert", 202, framework="custom", conversion={"arch": "x86"})
    await checker.upload("upload", 200, name="other", conversion={"accel": "cuda"})
    await checker.upload("upload_and_convert", 400, name="Bad")
    query = {"name": "m", "filename": "m.onnx", "workspace_id": str(sandbox.workspace_id)}
    await checker.ask("POST", "/v1/api/models/upload_stream", params=query, data=b"bytes")
    for path in ("get_version_by_id", "get_model_version_by_id"):
        await checker.call(f"models/{path}", model_version_id=version_id)
        await checker.call(f"models/{path}", 404, model_version_id=1)
        await checker.call(f"models/{path}", 400, model_version_id="x")
    listed = await checker.call("models/list", workspace_id=sandbox.workspace_id)
    assert len(listed["models"]) == 2
    assert len(await checker.call("models/list_versions", model_id="m")) == 2
    await checker.call("models/list_versions_for_model", model_id="m", workspace_id=sandbox.workspace_id)
    await checker.call("models/get_config_by_id", model_id=version_id)
    await checker.call("models/get_config_by_id", model_id=1)
    await checker.call("models/insert_model_config", model_version_id=version_id, tensor_fields=["x"])
    assert (await checker.call("models/get_upload_logs", model_version_id=version_id, lines=1))["logs"]
    pk = listed["models"][0]["model"]["id"]
    await checker.call("models/get", id=pk)
    await checker.call("models/get", 404, id=1)
    await checker.call("models/get_by_id", id=pk)
    uuid = listed["models"][0]["model_versions"][0]["model_version"]["file_info"]["version"]
    await checker.call("models/delete_model_versions", model_versions=[uuid], confirm_delete=True)
    await checker.call("models/delete_model", model_id="m", workspace_id=sandbox.workspace_id)


async def about_workspaces(checker: Checker) -> None:
    made = await checker.call("workspaces/create", workspace_name="w")
    await checker.call("workspaces/create", 500, workspace_name="w")
    await checker.call("workspaces/list")
    invited = await checker.call("users/invite", email="jane@example.com")
    await checker.call("workspaces/add_user", user_id=invited["id"], **made)
    await checker.call("workspaces/list_users", **made)
    await checker.call("workspaces/remove_user", user_id=invited["id"], **made)
    await checker.call("users/query")


async def about_the_instance(checker: Checker) -> None:
    await checker.call("features/list")
    await checker.ask("GET", "/v1/api/config")
    await checker.ask("GET", paths.DOCS)
    await checker.ask("GET", paths.OPENAPI)
    await checker.ask("POST", paths.GRAPHQL, json={"query": "query { workspace { id } }"})
    await checker.ask("POST", "/v1/api/features/list", 401, headers={"Authorization": "Bearer x"}, json={})


async def about_logins(checker: Checker) -> None:
    account = checker.caller.sandbox.account
    secret = {"client_id": "api-client", "client_secret": account.client_secret}
    login = {"client_id": "sdk-client", "username": account.email, "password": account.password}
    answer = await checker.ask("POST", paths.TOKEN, data={"grant_type": "password", **login})
    await checker.ask("POST", paths.TOKEN, data={"grant_type": "client_credentials", **secret})
    await checker.ask("POST", paths.TOKEN, 401, data={"grant_type": "password", "client_id": "sdk-client"})
    await checker.ask("POST", paths.TOKEN, 400, data={"grant_type": "magic", "client_id": "sdk-client"})
    device = await checker.ask("POST", paths.DEVICE, data={"client_id": "sdk-client"})
    form = {"grant_type": DEVICE_GRANT, "device_code": device["device_code"], "client_id": "sdk-client"}
    await checker.ask("POST", paths.TOKEN, 400, data=form)
    await checker.ask("GET", paths.DEVICE_PAGE, params={"user_code": device["user_code"]})
    decision = {"user_code": device["user_code"], "password": account.password}
    await checker.ask("POST", paths.DEVICE_PAGE, 401, data=decision | {"password": "x"})
    await checker.ask("POST", paths.DEVICE_PAGE, data=decision)
    await checker.ask("POST", paths.DEVICE_PAGE, 400, data=decision)
    form = {"client_id": "sdk-client", "refresh_token": answer["refresh_token"]}
    await checker.ask("POST", paths.LOGOUT, 204, data=form)
    await checker.ask("POST", paths.LOGOUT, 400, data=form)
    await checker.ask("GET", paths.USERS)
    await checker.ask("GET", paths.USER.format(user_id=account.user_id))
    await checker.ask("GET", paths.USER.format(user_id="x"), 404)
    password = paths.PASSWORD.format(user_id=account.user_id)
    await checker.ask("PUT", password, 204, json={"value": "new"})
    assert open_account(checker.caller.sandbox.data).password == "new"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "required"),
        ({"surprise": 1}, "Additional properties"),
        ({"status": 5}, "is not of type"),
    ],
)
async def test_the_check_notices_what_it_is_for(checker: Checker, change: dict[str, Any], reason: str) -> None:
    """A key too few, a key too many, a wrong type."""
    version_id = await checker.upload("upload", 200)
    answer = await checker.call("models/get_version_by_id", model_version_id=version_id)
    told = answer["model_version"]["model_version"]
    told.update(change)
    if change.get("id", 0) is None:
        del told["id"]
    schema = DOCUMENT["paths"]["/v1/api/models/get_version_by_id"]["post"]["responses"]["200"]["content"]
    with pytest.raises(jsonschema.ValidationError, match=reason):
        validate(answer, schema["application/json"]["schema"])

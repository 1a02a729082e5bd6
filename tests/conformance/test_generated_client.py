"""The client that the vendor generates from the published contract parses every answer of the sandbox."""

import importlib
import inspect
import io
import json
import pkgutil
import re
import typing
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests
from wallaroo import wallaroo_ml_ops_api_client as generated
from wallaroo.wallaroo_ml_ops_api_client.client import AuthenticatedClient
from wallaroo.wallaroo_ml_ops_api_client.models import (
    ModelsUploadStreamVisibility,
    UploadPayloadDoc,
    UploadRequest,
)
from wallaroo.wallaroo_ml_ops_api_client.types import File

from tests.conformance.conftest import MODELS, Sandbox
from tests.conformance.documented import TIME
from tests.conformance.recorder import Relay

Answered = tuple[Any, Any]  # what the generated client made of an answer, and the answer


def modules() -> dict[str, ModuleType]:
    """Path of an endpoint -> the module of the generated client that asks it."""
    folder = Path(generated.__file__).parent / "api"
    found: dict[str, ModuleType] = {}
    for module in pkgutil.walk_packages([str(folder)], f"{generated.__name__}.api."):
        if not module.ispkg:
            imported = importlib.import_module(module.name)
            path = re.search(r'"url": "([^"]+)"', inspect.getsource(imported))
            if path is not None:
                found[path[1]] = imported
    return found


MODULES = modules()


@pytest.fixture
def client(sandbox: Sandbox, relays: dict[str, Relay]) -> Iterator[AuthenticatedClient]:
    """As the SDK makes it."""
    with AuthenticatedClient(base_url=relays["generated client"].endpoint, token=sandbox.token) as client:
        yield client


@pytest.fixture
def ask(client: AuthenticatedClient, relays: dict[str, Relay]) -> Callable[..., Answered]:
    """Asks one endpoint with a body in the words of JSON."""

    def ask(path: str, body: Any = None, status: int = 200, **parameters: Any) -> Answered:
        module = MODULES[path]
        if isinstance(body, dict):
            kind = typing.get_type_hints(module.sync_detailed)["body"]
            body = kind.from_dict(body)
        arguments = parameters if body is None else {"body": body, **parameters}
        response = module.sync_detailed(client=client, **arguments)
        assert response.status_code == status, response.content
        return response.parsed, json.loads(response.content)

    return ask


def plain(value: Any) -> Any:
    """A parsed answer as JSON again."""
    return [item.to_dict() for item in value] if isinstance(value, list) else value.to_dict()


def with_times_of_one_width(value: Any) -> Any:
    """The registry leaves zeros at the end of a time away, the client writes them."""
    if isinstance(value, dict):
        return {key: with_times_of_one_width(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_times_of_one_width(inner) for inner in value]
    is_time = isinstance(value, str) and TIME.fullmatch(value) is not None
    return datetime.fromisoformat(value).isoformat(timespec="microseconds") if is_time else value


def is_whole(made: Any, answer: Any) -> bool:
    """Whether a parsed answer holds all that the answer held, and all of it has a name."""
    if made is None or unknown_keys(made):
        return False
    return bool(with_times_of_one_width(plain(made)) == with_times_of_one_width(answer))


def unknown_keys(value: Any, where: str = "$") -> list[str]:
    """Keys that the contract has no name for."""
    if isinstance(value, list):
        return [key for item in value for key in unknown_keys(item, f"{where}[]")]
    if not hasattr(value, "__attrs_attrs__"):
        return []
    named = [name.name for name in value.__attrs_attrs__ if name.name != "additional_properties"]
    # A class without names of its own is a map.
    here = [f"{where}.{key}" for key in value.additional_properties] if named else []
    return here + [key for name in named for key in unknown_keys(getattr(value, name), f"{where}.{name}")]


@pytest.fixture
def published(sandbox: Sandbox, workspace: int) -> dict[str, Any]:
    """A workspace with an onnx model and a custom one that is converting; what they are called by."""
    schema = "/////zAAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAAAAAA="
    headers, ids = {"Authorization": f"Bearer {sandbox.token}"}, []
    for name, file_name, framework in (
        ("digits", "digits-mlp.onnx", "onnx"),
        ("centroid", "nearest-centroid.zip", "custom"),
    ):
        metadata = {
            "name": name,
            "visibility": "private",
            "workspace_id": workspace,
            "conversion": {"framework": framework, "requirements": [], "arch": "x86", "accel": "cuda"},
            "input_schema": schema,
            "output_schema": schema,
        }
        parts = {
            "metadata": (None, json.dumps(metadata), "application/json"),
            "file": (file_name, (MODELS / file_name).read_bytes(), "application/octet-stream"),
        }
        url = f"{sandbox.endpoint}/v1/api/models/upload_and_convert"
        answer = requests.post(url, files=parts, headers=headers, timeout=30).json()
        ids.append(answer["insert_models"]["returning"][0]["models"][0]["id"])
    (listed,) = sandbox.call("models/list_versions_for_model", model_id="digits", workspace_id=workspace)["models"]
    version = listed["model_versions"][0]["model_version"]
    invited = sandbox.call("users/invite", email=f"someone-{workspace}@example.com")
    return {
        "workspace_id": workspace,
        "version_id": ids[0],
        "converting_id": ids[1],
        "pk": listed["model"]["id"],
        "uuid": version["file_info"]["version"],
        "user_id": invited["id"],
    }


# Path -> bodies whose answers are parsed; names in braces are those of `published`.
QUESTIONS: dict[str, list[Any]] = {
    "models/get_model_version_by_id": [{"model_version_id": "{version_id}"}, {"model_version_id": "{converting_id}"}],
    "models/list": [{"workspace_id": "{workspace_id}"}, {"workspace_id": "{workspace_id}", "workspace_name": None}],
    "models/list_versions": [{"models_pk_id": "{pk}"}, {"model_id": "digits", "models_pk_id": "{pk}"}],
    "models/list_versions_for_model": [{"model_id": "digits", "workspace_id": "{workspace_id}"}],
    "models/get_config_by_id": [{"model_id": "{version_id}"}],
    "models/insert_model_config": [
        {"model_version_id": "{version_id}", "tensor_fields": ["x"], "batch_config": "single"},
        {
            "model_version_id": "{version_id}",
            "filter_threshold": 0.5,
            "continuous_batching_config": {"max_concurrent_batch_size": 8},
            "dynamic_batching_config": {"batch_size_limit": 1, "batch_size_target": 1, "max_batch_delay_ms": 5},
        },
    ],
    "models/get_upload_logs": [{"model_version_id": "{version_id}"}, {"model_version_id": "{version_id}", "lines": 1}],
    "models/get": [{"id": "{pk}"}],
    "models/get_by_id": [{"id": "{pk}"}],
    "models/delete_model": [
        {"model_id": "digits", "workspace_id": "{workspace_id}"},
        {"model_id": "digits", "workspace_id": "{workspace_id}", "confirm_delete": True},
    ],
    "models/delete_model_versions": [{"model_versions": ["{uuid}"], "confirm_delete": True}],
    "workspaces/list": [{}, {"user_id": "{user_id}"}],
    "workspaces/create": [{"workspace_name": "made-by-client-{workspace_id}"}],
    "workspaces/add_user": [{"user_id": "{user_id}", "workspace_id": "{workspace_id}"}],
    "workspaces/list_users": [{"workspace_id": "{workspace_id}"}],
    "workspaces/remove_user": [{"user_id": "{user_id}", "workspace_id": "{workspace_id}"}],
    "users/query": [{"user_ids": ["{user_id}"]}],
    "users/invite": [{"email": "new-{workspace_id}@example.com", "roles": []}],
    "features/list": [None],
}
UPLOADS = {"models/upload": 200, "models/upload_and_convert": 202}
STREAM = "models/upload_stream"


def filled(body: Any, values: dict[str, Any]) -> Any:
    """A question with its names filled in: `{name}` alone keeps the value's type."""
    if isinstance(body, dict):
        return {key: filled(value, values) for key, value in body.items()}
    if isinstance(body, list):
        return [filled(value, values) for value in body]
    if isinstance(body, str) and "{" in body:
        return values[body[1:-1]] if body[0] == "{" and body[-1] == "}" else body.format(**values)
    return body


def test_no_endpoint_is_forgotten(sandbox: Sandbox) -> None:
    """All that the contract and the sandbox both know is asked below."""
    served = requests.get(f"{sandbox.endpoint}/v1/api/docs/openapi.json", timeout=30).json()["paths"]
    asked = {f"/v1/api/{path}" for path in (*QUESTIONS, *UPLOADS, STREAM)}
    assert asked == served.keys() & MODULES.keys()


@pytest.mark.parametrize("path", QUESTIONS)
def test_an_answer_is_parsed_as_a_whole(
    ask: Callable[..., Answered], published: dict[str, Any], parsed: Callable[[str, bool], None], path: str
) -> None:
    """As what the contract says of success; nothing is lost, and nothing is unknown to it."""
    path, questions = f"/v1/api/{path}", QUESTIONS[path]
    for body in questions:
        made, answer = ask(path, filled(body, published))
        content = is_whole(made, answer)
        parsed(path, content)
        assert content, (answer, made and plain(made), unknown_keys(made))


@pytest.mark.parametrize("path", UPLOADS)
def test_an_upload_is_understood_both_ways(
    ask: Callable[..., Answered], workspace: int, parsed: Callable[[str, bool], None], path: str
) -> None:
    """This client sends the file first."""
    metadata = {
        "name": "digits",
        "visibility": "private",
        "workspace_id": workspace,
        "conversion": {"framework": "onnx", "requirements": []},
    }
    with (MODELS / "digits-mlp.onnx").open("rb") as payload:
        file = File(payload=payload, file_name="digits-mlp.onnx", mime_type="application/octet-stream")
        form = UploadPayloadDoc(file=file, metadata=UploadRequest.from_dict(metadata))
        made, answer = ask(f"/v1/api/{path}", form, UPLOADS[path])
    content = is_whole(made, answer)
    parsed(f"/v1/api/{path}", content)
    assert content


def test_a_stream_is_understood_both_ways(
    ask: Callable[..., Answered], workspace: int, parsed: Callable[[str, bool], None]
) -> None:
    """The legacy route."""
    query = {"name": "digits", "filename": "d.onnx", "workspace_id": workspace}
    made, answer = ask(
        f"/v1/api/{STREAM}",
        File(payload=io.BytesIO(b"bytes")),
        visibility=ModelsUploadStreamVisibility.PRIVATE,
        **query,
    )
    content = is_whole(made, answer)
    parsed(f"/v1/api/{STREAM}", content)
    assert content


def test_a_refusal_is_parsed_as_one(ask: Callable[..., Answered], workspace: int) -> None:
    """Where the contract knows 400: message and code."""
    made, answer = ask(
        "/v1/api/workspaces/add_user", {"email": "nobody@example.com", "workspace_id": workspace}, status=400
    )
    assert (made.msg, made.code) == (answer["msg"], 400)

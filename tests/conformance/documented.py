"""What the vendor documents, or was seen to answer, endpoint by endpoint. Written anew, from no code of the sandbox.

A shape is a type, a tuple of shapes (any of them), a list of one shape, or a dict of keys. A key that ends in `?` may
be absent. Keys that are not here are wrong, too.
"""

import json
import re
from typing import Any

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHA256 = re.compile(r"[0-9a-f]{64}")
STATUS = re.compile(r"uploading|(pending|attempting)_load_(native|container)|ready|error")
RUNTIME = re.compile(r"flight|mlflow|onnx|tensorflow")
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) F .*", re.DOTALL)
NULL = type(None)

INSERTED = {"insert_models": {"returning": [{"models": [{"id": int}]}]}}
CONVERSION = {
    "python_version?": str,
    "requirements": [str],
    "framework": str,
    "framework_config": ({"framework": str, "config": dict}, NULL),
    "arch?": str,
    "accel?": (str, dict),
}
VERSION = {
    "name": str,
    "visibility": str,
    "workspace_id": int,
    "conversion": CONVERSION,
    "id": int,
    "image_path": (str, NULL),
    "status": STATUS,
    "task_id": (UUID, NULL),
    "file_info": {"version": UUID, "sha": SHA256, "file_name": str, "size": int},
    "created_on_version": str,
    "created_by": str,
    "created_at": TIME,
    "deployed": bool,
    "error_summary": (str, NULL),
}
CONFIG = {
    "id": int,
    "model_version_id": int,
    "runtime": RUNTIME,
    "filter_threshold": (float, int, NULL),
    "tensor_fields": ([str], NULL),
    "input_schema": (str, NULL),
    "output_schema": (str, NULL),
    "batch_config": (str, NULL),
    "dynamic_batching_config": (dict, NULL),
    "continuous_batching_config": (dict, NULL),
    "queue_depth": (int, NULL),
    "sidekick_uri": (str, NULL),
    "openai": (dict, NULL),
}
CONFIGURED = {"model_version": VERSION, "config": CONFIG}
SHORT_CONFIG = {"id": int, "runtime": RUNTIME, "tensor_fields": ([str], NULL), "filter_threshold": (float, NULL)}
MODEL = {"id": int, "name": str, "owner_id": str, "created_at": TIME, "updated_at": TIME}
MODELS = {
    "models": [
        {
            "model": {**MODEL, "workspace_id": int},
            "model_versions": [CONFIGURED],
            "workspace": {
                "id": int,
                "name": str,
                "created_by": str,
                "archived": bool,
                "created_at": TIME,
                "group_id": (str, NULL),
            },
        }
    ]
}
MODELS_VERSION = {
    "sha": SHA256,
    "models_pk_id": int,
    "model_version": UUID,
    "owner_id": str,
    "model_id": str,
    "id": int,
    "file_name": str,
    "image_path": (str, NULL),
}
FLAT_VERSION = {**MODELS_VERSION, "status": STATUS}
WORKSPACE = {
    "id": int,
    "name": str,
    "created_at": TIME,
    "created_by": str,
    "archived": bool,
    "models": [int],
    "pipelines": [int],
}
TOKEN = {
    "access_token": str,
    "expires_in": int,
    "refresh_expires_in": int,
    "refresh_token?": str,
    "token_type": re.compile("Bearer"),
    "not-before-policy": int,
    "session_state?": UUID,
    "scope": str,
}
DEVICE = {
    "device_code": str,
    "user_code": re.compile("[A-Z]{4}-[A-Z]{4}"),
    "verification_uri": str,
    "verification_uri_complete": str,
    "expires_in": int,
    "interval": int,
}
USER = {"id": UUID, "username": str, "email": str, "enabled": bool, "createdTimestamp": int}

API = "/v1/api"
REALM = "/auth/realms/master/protocol/openid-connect"
USERS = "/auth/admin/realms/master/users"
# Path: the status of success and the shape of its body.
SHAPES: dict[str, tuple[int, Any]] = {
    f"{API}/models/upload_and_convert": (202, INSERTED),
    f"{API}/models/upload": (200, INSERTED),
    f"{API}/models/upload_stream": (200, INSERTED),
    f"{API}/models/get_version_by_id": (200, {"model_version": CONFIGURED}),
    f"{API}/models/get_model_version_by_id": (200, {"model_version": CONFIGURED}),
    f"{API}/models/list": (200, MODELS),
    f"{API}/models/list_versions": (200, [FLAT_VERSION]),
    f"{API}/models/list_versions_for_model": (200, MODELS),
    f"{API}/models/get_config_by_id": (200, {"model_config": (SHORT_CONFIG, NULL)}),
    f"{API}/models/insert_model_config": (200, {"model_config": CONFIG}),
    f"{API}/models/get_upload_logs": (200, {"logs": [LOG_LINE]}),
    f"{API}/models/get": (200, {**MODEL, "models": [MODELS_VERSION], "workspace": {"id": int, "name": str}}),
    f"{API}/models/get_by_id": (200, {**MODEL, "workspace_id": int, "model_config": (SHORT_CONFIG, NULL)}),
    f"{API}/models/delete_model": (200, {"bytes": int}),
    f"{API}/models/delete_model_versions": (200, {"bytes": int}),
    f"{API}/workspaces/list": (200, {"workspaces": [WORKSPACE]}),
    f"{API}/workspaces/create": (200, {"workspace_id": int}),
    f"{API}/workspaces/add_user": (200, {}),
    f"{API}/workspaces/list_users": (
        200,
        {"users": [{"user_id": UUID, "user_type": re.compile("OWNER|COLLABORATOR")}]},
    ),
    f"{API}/workspaces/remove_user": (200, {"affected_rows": int}),
    f"{API}/users/query": (200, {"users": dict}),
    f"{API}/users/invite": (200, {"id": UUID, "password": str}),
    f"{API}/features/list": (200, {"features": dict, "name": str, "is_auth_enabled": bool}),
    # `sandbox_id` is the sandbox's own, so that a ledger knows its registry again.
    f"{API}/config": (200, {"default_arch": re.compile("x86|arm|power10"), "sandbox_id?": UUID}),
    f"{API}/docs": (200, str),
    f"{API}/docs/openapi.json": (200, dict),
    "/v1/graphql": (200, {"data": dict}),
    f"{REALM}/token": (200, TOKEN),
    f"{REALM}/auth/device": (200, DEVICE),
    f"{REALM}/logout": (204, NULL),
    "/auth/realms/master/device": (200, str),
    USERS: (200, [USER]),
    f"{USERS}/{{user_id}}": (200, USER),
    f"{USERS}/{{user_id}}/reset-password": (204, NULL),
}
REFUSED = {"msg": str, "code": int}
REFUSED_BY_KEYCLOAK = {"error": str, "error_description?": str}


def known_path(path: str) -> str:
    """A path as it stands in SHAPES."""
    return re.sub(rf"^{USERS}/[^/]+", f"{USERS}/{{user_id}}", path)


def problems_of(path: str, status: int, content_type: str, body: bytes) -> list[str]:
    """What of an answer is not as documented; empty for none."""
    wanted_status, shape = SHAPES[known_path(path)]
    if status == 401 and path.startswith("/v1"):
        return [] if content_type == "text/plain" else [f"{path}: a 401 of type {content_type}"]
    if status >= 400:
        shape = REFUSED_BY_KEYCLOAK if path.startswith("/auth") else REFUSED
    elif status != wanted_status:
        return [f"{path}: {status} instead of {wanted_status}"]
    value = json.loads(body) if content_type == "application/json" else body.decode() or None
    return [f"{path}: {problem}" for problem in differences(value, shape)]


def differences(value: Any, shape: Any, where: str = "$") -> list[str]:
    """Where a value has another shape."""
    if isinstance(shape, tuple):
        found = [differences(value, choice, where) for choice in shape]
        return [] if [] in found else min(found, key=len)
    if isinstance(shape, re.Pattern):
        fits = isinstance(value, str) and shape.fullmatch(value) is not None
        return [] if fits else [f"{where} is {value!r}, not like {shape.pattern}"]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{where} is no list"]
        return [
            found for number, item in enumerate(value) for found in differences(item, shape[0], f"{where}[{number}]")
        ]
    if isinstance(shape, dict):
        return _differing_keys(value, shape, where)
    # A truth value is no number here, though Python says so.
    fits = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
    return [] if fits else [f"{where} is {value!r}, no {shape.__name__}"]


def _differing_keys(value: Any, shape: dict[str, Any], where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is no object"]
    wanted = {key.removesuffix("?"): inner for key, inner in shape.items()}
    needed = {key for key in shape if not key.endswith("?")}
    found = [f"{where}.{key} is missing" for key in sorted(needed - value.keys())]
    found += [f"{where}.{key} is not documented" for key in sorted(value.keys() - wanted.keys())]
    for key in wanted.keys() & value.keys():
        found += differences(value[key], wanted[key], f"{where}.{key}")
    return found

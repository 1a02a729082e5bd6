"""The OpenAPI document of what the sandbox serves: `/v1/api/docs/openapi.json`."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from bulkload.sandbox.accounts.logins import NewPassword
from bulkload.sandbox.api import contract as shapes
from bulkload.sandbox.api import routes, workspaces
from bulkload.sandbox.api.graphql import Question
from bulkload.sandbox.api.metadata import UploadRequest
from bulkload.sandbox.door import paths
from bulkload.sandbox.door.exchange import JSON

FORM = "application/x-www-form-urlencoded"
TEXT = {"text/plain": {"schema": {"type": "string"}}}
HTML = {"text/html": {"schema": {"type": "string"}}}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One line of the document. `asked` and `answered` are types; `also` is every other status with its type.

    A type that is a dict is the content as OpenAPI writes it; None: no body.
    """

    method: str
    path: str
    summary: str
    asked: Any
    answered: Any
    status: int = 200
    also: tuple[tuple[int, Any], ...] = ()


def _call(path: str, summary: str, asked: Any, answered: Any, *also: int, status: int = 200) -> Endpoint:
    """A POST of the API: refusals are ErrorBody, a missing or wrong token is plain text."""
    refusals = tuple((code, shapes.ErrorBody) for code in (400, *also))
    return Endpoint("POST", f"{paths.API}/{path}", summary, asked, answered, status, (*refusals, (401, TEXT)))


def _fields(*names: str) -> dict[str, Any]:
    return {FORM: {"schema": {"type": "object", "properties": {name: {"type": "string"} for name in names}}}}


def _form(path: str, summary: str, fields: tuple[str, ...], answered: Any, status: int = 200) -> Endpoint:
    """A POST of Keycloak's."""
    refusals = ((400, shapes.KeycloakError), (401, shapes.KeycloakError))
    return Endpoint("POST", path, summary, _fields(*fields), answered, status, refusals)


# `format` is OpenAPI 3.0's word for it, by which Swagger UI still lets one choose a file.
BYTES = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
UPLOAD = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["metadata", "file"],
            "properties": {
                "metadata": {"$ref": "#/components/schemas/UploadRequest"},
                "file": BYTES,
            },
        },
        "encoding": {"metadata": {"contentType": JSON}},
    }
}
STREAM = {"application/octet-stream": {"schema": BYTES}}
CREDENTIALS = ("client_id", "client_secret")
ENDPOINTS = (
    _call("models/upload_and_convert", "Upload a version and convert it", UPLOAD, shapes.InsertAnswer, 507, status=202),
    _call("models/upload", "Upload a version that is ready at once", UPLOAD, shapes.InsertAnswer, 507),
    _call("models/upload_stream", "Upload a raw body (legacy)", STREAM, shapes.InsertAnswer, 507),
    _call("models/get_version_by_id", "One version", routes.VersionQuery, shapes.VersionAnswer, 404),
    _call("models/get_model_version_by_id", "The same, older path", routes.VersionQuery, shapes.VersionAnswer, 404),
    _call("models/list", "All models of a workspace, with versions", routes.ListQuery, shapes.ModelsAnswer),
    _call(
        "models/list_versions",
        "Versions by name OR model pk, of any workspace",
        routes.ListVersionsQuery,
        list[shapes.FlatVersion],
    ),
    _call("models/list_versions_for_model", "Versions of a name", routes.NamedModelQuery, shapes.ModelsAnswer),
    _call("models/get_config_by_id", "A version's configuration", routes.ConfigQuery, shapes.ShortConfigAnswer),
    _call("models/insert_model_config", "Configure a version anew", routes.NewConfig, shapes.ConfigAnswer, 404),
    _call("models/get_upload_logs", "Logs of a conversion", routes.VersionQuery, shapes.LogsAnswer, 404),
    _call("models/get", "A model by its pk", routes.ModelQuery, shapes.ModelAnswer, 404),
    _call("models/get_by_id", "The same with configuration", routes.ModelQuery, shapes.ConfiguredModelAnswer, 404),
    _call("models/delete_model", "Delete a model", routes.NamedModelQuery, shapes.DeletedAnswer, 404),
    _call("models/delete_model_versions", "Delete by UUID", routes.DeleteVersionsQuery, shapes.DeletedAnswer),
    _call("workspaces/list", "Workspaces", workspaces.WorkspacesQuery, shapes.WorkspacesAnswer),
    _call("workspaces/create", "New workspace", workspaces.NewWorkspace, shapes.NewWorkspaceAnswer, 500),
    _call("workspaces/add_user", "Put a user into a workspace", workspaces.WorkspaceUser, shapes.EmptyAnswer),
    _call("workspaces/list_users", "Users of a workspace", workspaces.WorkspaceQuery, shapes.MembersAnswer),
    _call("workspaces/remove_user", "Take a user out of it", workspaces.WorkspaceUser, shapes.RemovedAnswer),
    _call("users/query", "Users by id", workspaces.UsersQuery, shapes.UsersAnswer),
    _call("users/invite", "Invite a user", workspaces.Invitation, shapes.InvitationAnswer),
    _call("features/list", "What this instance can", dict[str, Any], shapes.FeaturesAnswer),
    Endpoint("GET", f"{paths.API}/config", "The instance's configuration", None, shapes.InstanceConfig),
    Endpoint("GET", paths.DOCS, "This page", None, HTML),
    Endpoint("GET", paths.OPENAPI, "This document", None, dict[str, Any]),
    Endpoint(
        "POST",
        paths.GRAPHQL,
        "What the vendor's SDK reads of the database",
        Question,
        shapes.GraphQLAnswer,
        also=((400, shapes.ErrorBody), (401, TEXT)),
    ),
    _form(
        paths.TOKEN,
        "Keycloak: tokens",
        (*CREDENTIALS, "grant_type", "username", "password", "refresh_token", "device_code", "scope"),
        shapes.TokenAnswer,
    ),
    _form(paths.DEVICE, "Keycloak: a code for a device login", (*CREDENTIALS, "scope"), shapes.DeviceAnswer),
    _form(paths.LOGOUT, "Keycloak: end a session", (*CREDENTIALS, "refresh_token"), None, 204),
    Endpoint("GET", paths.DEVICE_PAGE, "Keycloak: the page for a device's code", None, HTML),
    Endpoint(
        "POST",
        paths.DEVICE_PAGE,
        "Keycloak: approve or deny a device's code",
        _fields("user_code", "password", "deny"),
        HTML,
        also=((400, HTML), (401, HTML)),
    ),
    Endpoint("GET", paths.USERS, "Keycloak: users", None, list[shapes.User], also=((401, TEXT),)),
    Endpoint(
        "GET",
        paths.USER,
        "Keycloak: a user",
        None,
        shapes.User,
        also=((401, TEXT), (404, shapes.KeycloakError)),
    ),
    Endpoint(
        "PUT",
        paths.PASSWORD,
        "Keycloak: another password",
        NewPassword,
        None,
        204,
        ((400, shapes.KeycloakError), (401, TEXT), (404, shapes.KeycloakError)),
    ),
)
QUERIES = {
    f"{paths.API}/models/upload_stream": ("name", "filename", "visibility", "workspace_id"),
    paths.DEVICE_PAGE: ("user_code",),
    paths.USERS: ("email",),
}


@cache
def openapi_document() -> bytes:
    """The document, JSON. Its schemas are made of the types that requests are read with and answers held against."""
    types = {UploadRequest: None}  # in order, each once
    for endpoint in ENDPOINTS:
        for wanted in (endpoint.asked, endpoint.answered, *(kind for _, kind in endpoint.also)):
            if not isinstance(wanted, dict | None):
                types[wanted] = None
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(types, schemas, strict=True))
    described: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        described.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schema_of)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "bulkload sandbox", "version": "1", "description": "The endpoints of this sandbox."},
            "security": [{"bearerAuth": []}],
            "paths": described,
            "components": {
                "schemas": components,
                "securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            },
        }
    )


def _operation(endpoint: Endpoint, schema_of: dict[Any, Any]) -> dict[str, Any]:
    def content(kind: Any) -> dict[str, Any]:
        if kind is None:
            return {}
        return {"content": kind if isinstance(kind, dict) else {JSON: {"schema": schema_of[kind]}}}

    answers = ((endpoint.status, endpoint.answered), *endpoint.also)
    operation: dict[str, Any] = {
        "tags": [_tag(endpoint.path)],
        "summary": endpoint.summary,
        "responses": {
            str(status): {"description": "done" if status < 300 else "refused", **content(kind)}
            for status, kind in answers
        },
    }
    if endpoint.asked is not None:
        operation["requestBody"] = {"required": True, **content(endpoint.asked)}
    if endpoint.path in paths.WITHOUT_TOKEN:
        operation["security"] = []
    parameters = [_parameter(name, "query") for name in QUERIES.get(endpoint.path, ())]
    if "{user_id}" in endpoint.path:
        parameters.append(_parameter("user_id", "path"))
    return operation | ({"parameters": parameters} if parameters else {})


def _tag(path: str) -> str:
    """Which part of the registry it is."""
    if not path.startswith(f"{paths.API}/"):
        return "database" if path == paths.GRAPHQL else "Keycloak"
    part = path.removeprefix(f"{paths.API}/").partition("/")[0]
    return part if part in {"models", "workspaces", "users"} else "instance"


def _parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}

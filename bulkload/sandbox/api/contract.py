"""The shapes of answers, as the OpenAPI document describes them: exactly these keys, no others.

answers.py makes them; a test holds every answer against these. What may be absent is UNSET here.
"""

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field


class Shape(Struct, forbid_unknown_fields=True):
    """One JSON object."""


class ErrorBody(Shape):
    """The registry's own errors."""

    msg: str
    code: int


class InsertedId(Shape):
    id: int


class InsertedModels(Shape):
    models: list[InsertedId]


class Returning(Shape):
    returning: list[InsertedModels]


class InsertAnswer(Shape):
    """An upload's answer: `id` is the version's."""

    insert_models: Returning


class ShownConversion(Shape):
    requirements: list[str]
    framework: str
    framework_config: dict[str, Any] | None
    python_version: str | UnsetType = UNSET
    arch: str | UnsetType = UNSET
    accel: str | dict[str, Any] | UnsetType = UNSET


class FileInfo(Shape):
    """`version` is the version's UUID, `sha` the SHA-256 of the file's bytes."""

    version: str
    sha: str
    file_name: str
    size: int


class ShownVersion(Shape):
    name: str
    visibility: str
    workspace_id: int
    conversion: ShownConversion
    id: int
    image_path: str | None
    status: str
    task_id: str | None
    file_info: FileInfo
    created_on_version: str
    created_by: str
    created_at: str
    deployed: bool
    error_summary: str | None


class ShownConfig(Shape):
    id: int
    model_version_id: int
    runtime: str
    filter_threshold: float | None
    tensor_fields: list[str] | None
    input_schema: str | None
    output_schema: str | None
    batch_config: str | None
    dynamic_batching_config: dict[str, Any] | None
    continuous_batching_config: dict[str, Any] | None
    queue_depth: int | None
    sidekick_uri: str | None
    openai: dict[str, Any] | None


class ConfiguredVersion(Shape):
    model_version: ShownVersion
    config: ShownConfig


class VersionAnswer(Shape):
    model_version: ConfiguredVersion


class ShownModel(Shape):
    id: int
    name: str
    owner_id: str
    created_at: str
    updated_at: str
    workspace_id: int


class ModelsWorkspace(Shape):
    id: int
    name: str
    created_by: str
    archived: bool
    created_at: str
    group_id: str | None


class ListedModel(Shape):
    model: ShownModel
    model_versions: list[ConfiguredVersion]
    workspace: ModelsWorkspace


class ModelsAnswer(Shape):
    models: list[ListedModel]


class ModelsVersion(Shape):
    """`model_id` is the name here, `model_version` the UUID."""

    sha: str
    models_pk_id: int
    model_version: str
    owner_id: str
    model_id: str
    id: int
    file_name: str
    image_path: str | None


class FlatVersion(ModelsVersion):
    """The same with its status."""

    status: str


class ShortConfig(Shape):
    id: int
    runtime: str
    tensor_fields: list[str] | None
    filter_threshold: float | None


class ShortConfigAnswer(Shape):
    model_config: ShortConfig | None


class ConfigAnswer(Shape):
    model_config: ShownConfig


class LogsAnswer(Shape):
    logs: list[str]


class WorkspaceName(Shape):
    id: int
    name: str


class ModelAnswer(Shape):
    id: int
    name: str
    owner_id: str
    created_at: str
    updated_at: str
    models: list[ModelsVersion]
    workspace: WorkspaceName


class ConfiguredModelAnswer(Shape):
    id: int
    name: str
    owner_id: str
    created_at: str
    updated_at: str
    workspace_id: int
    model_config: ShortConfig | None


class DeletedAnswer(Shape):
    bytes: int


class ListedWorkspace(Shape):
    id: int
    name: str
    created_at: str
    created_by: str
    archived: bool
    models: list[int]
    pipelines: list[int]


class WorkspacesAnswer(Shape):
    workspaces: list[ListedWorkspace]


class NewWorkspaceAnswer(Shape):
    workspace_id: int


class EmptyAnswer(Shape):
    pass


class Member(Shape):
    user_id: str
    user_type: str


class MembersAnswer(Shape):
    users: list[Member]


class RemovedAnswer(Shape):
    affected_rows: int


class User(Shape):
    id: str
    username: str
    email: str
    enabled: bool
    created_milliseconds: int = field(name="createdTimestamp")


class UsersAnswer(Shape):
    users: dict[str, User]


class InvitationAnswer(Shape):
    id: str
    password: str


class InstanceConfig(Shape):
    default_arch: str
    sandbox_id: str


class FeaturesAnswer(Shape):
    features: dict[str, str]
    name: str
    is_auth_enabled: bool


class TokenAnswer(Shape):
    """A service account's has neither refresh token nor session."""

    access_token: str
    expires_in: int
    refresh_expires_in: int
    token_type: str
    scope: str
    not_before_policy: int = field(name="not-before-policy")
    refresh_token: str | UnsetType = UNSET
    session_state: str | UnsetType = UNSET


class DeviceAnswer(Shape):
    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class KeycloakError(Shape):
    error: str
    error_description: str | UnsetType = UNSET


class GraphQLAnswer(Shape):
    data: dict[str, Any] | UnsetType | None = UNSET
    errors: list[dict[str, Any]] | UnsetType = UNSET

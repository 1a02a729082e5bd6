"""Records in, the registry's JSON shapes out, key for key. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from sqlite3 import Row
from typing import Any

import msgspec

from bulkload.sandbox.store.records import NO_TRAITS, Traits, Version, shown_digest, shown_error_summary, shown_status

CREATED_ON_VERSION = "2025.2.1"
IMAGE_PATH = "proxy.replicated.com/proxy/wallaroo/ghcr.io/wallaroolabs/mac-deploy:v2025.2.2-6518"
OWNER_ID_IN_LISTS = '""'  # two quotes: so it stands in every current answer (fact 1.5)
CONFIG_FIELDS = (
    "filter_threshold",
    "tensor_fields",
    "input_schema",
    "output_schema",
    "batch_config",
    "dynamic_batching_config",
    "continuous_batching_config",
    "queue_depth",
    "sidekick_uri",
    "openai",
)


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as the registry prints them: UTC, not of fixed width (trap 9)."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
    return (text.rstrip("0") if "." in text else text) + "+00:00"


def insert_answer(version_id: int) -> dict[str, Any]:
    """What an upload is answered with."""
    return {"insert_models": {"returning": [{"models": [{"id": version_id}]}]}}


def config_answer(version: Version, now: float, traits: Traits = NO_TRAITS) -> dict[str, Any]:
    """The 13 keys of a configuration inside a version's answer."""
    ready = shown_status(version, now, traits) == "ready"
    shown: dict[str, Any] = {
        "id": version.config_id,
        "model_version_id": version.id,
        "runtime": version.runtime_when_ready if ready else version.runtime_at_first,
    }
    for field in CONFIG_FIELDS:
        shown[field] = version.config.get(field)
    return shown


def short_config_answer(version: Version, now: float) -> dict[str, Any]:
    """The four keys of get_config_by_id: no schemas (fact 1.8)."""
    config = config_answer(version, now)
    return {key: config[key] for key in ("id", "runtime", "tensor_fields", "filter_threshold")}


def image_path(version: Version, now: float, traits: Traits = NO_TRAITS) -> str | None:
    """The image of a version that runs in a container, once it is ready."""
    contained = version.contained and shown_status(version, now, traits) == "ready"
    return IMAGE_PATH if contained else None


def version_answer(version: Version, now: float, traits: Traits = NO_TRAITS) -> dict[str, Any]:
    """`{"model_version": {...}, "config": {...}}`: the nested form of get_version_by_id and of models/list."""
    model_version = {
        "name": version.name,
        "visibility": version.visibility,
        "workspace_id": version.workspace_id,
        "conversion": msgspec.Raw(version.conversion),
        "id": version.id,
        "image_path": image_path(version, now, traits),
        "status": shown_status(version, now, traits),
        "task_id": version.task_id,
        "file_info": {
            "version": version.uuid,
            "sha": shown_digest(version, traits),
            "file_name": version.file_name,
            "size": version.size,
        },
        "created_on_version": CREATED_ON_VERSION,
        "created_by": version.created_by,
        "created_at": timestamp(version.created_at),
        "deployed": False,
        "error_summary": shown_error_summary(version, now, traits),
    }
    if says_no_status(version, traits):
        del model_version["status"]
    return {"model_version": model_version, "config": config_answer(version, now, traits)}


def flat_version_answer(version: Version, now: float, traits: Traits = NO_TRAITS) -> dict[str, Any]:
    """One item of list_versions: here `model_version` is the UUID and `model_id` the name (fact 1.6)."""
    shown = {
        "sha": shown_digest(version, traits),
        "models_pk_id": version.models_pk_id,
        "model_version": version.uuid,
        "owner_id": version.owner_id,
        "model_id": version.name,
        "id": version.id,
        "file_name": version.file_name,
        "image_path": image_path(version, now, traits),
        "status": shown_status(version, now, traits),
    }
    if says_no_status(version, traits):
        del shown["status"]
    return shown


def says_no_status(version: Version, traits: Traits) -> bool:
    """Whether an answer has no status at all, by a fault."""
    return "no-status" in traits or "no-status" in version.traits


def model_fields(model: Row) -> dict[str, Any]:
    """What is said of a model itself."""
    return {
        "id": model["id"],
        "name": model["name"],
        "owner_id": OWNER_ID_IN_LISTS,
        "created_at": timestamp(model["created_at"]),
        "updated_at": timestamp(model["updated_at"]),
        "workspace_id": model["workspace_id"],
    }


def listed_model(
    model: Row, versions: Iterable[Version], workspace: Row, now: float, traits: Traits = NO_TRAITS
) -> dict[str, Any]:
    """One item of models/list: the model, its versions newest first, its workspace."""
    return {
        "model": model_fields(model),
        "model_versions": [version_answer(version, now, traits) for version in versions],
        "workspace": {
            "id": workspace["id"],
            "name": workspace["name"],
            "created_by": workspace["created_by"],
            "archived": False,
            "created_at": timestamp(workspace["created_at"]),
            "group_id": None,
        },
    }


def user_answer(user: Row) -> dict[str, Any]:
    """A user as Keycloak describes one; `createdTimestamp` is in milliseconds."""
    return {
        "id": user["id"],
        "username": user["email"],
        "email": user["email"],
        "enabled": True,
        "createdTimestamp": int(user["created_at"] * 1000),
    }


def workspace_answer(workspace: Row, models_pk_ids: list[int]) -> dict[str, Any]:
    """One item of workspaces/list."""
    return {
        "id": workspace["id"],
        "name": workspace["name"],
        "created_at": timestamp(workspace["created_at"]),
        "created_by": workspace["created_by"],
        "archived": False,
        "models": models_pk_ids,
        "pipelines": [],
    }

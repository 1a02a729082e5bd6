"""What the sandbox keeps of a version, as records."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bulkload.sandbox.api.metadata import UploadMetadata
from bulkload.sandbox.judge.conversion import Course, Timeline, status_at

UNKNOWN_STATUS = "quarantined"
# Faults that change what is told about a version instead of how the answer travels. Those met by an upload stay with
# the version; those met by a poll or a listing concern that one answer.
# Each with its argument when none is given: seconds, where it has any.
TRAITS = {
    "wrong-digest": 0.0,
    "no-digest": 0.0,
    "stuck": 0.0,
    "unknown-status": 0.0,
    "no-status": 0.0,
    "late-summary": 1.0,
    "null-summary": 0.0,
    "lag": 5.0,
}
Traits = Mapping[str, float]  # name -> argument
NO_TRAITS: Traits = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Bytes that have arrived. `uuid` names the file and becomes the version's UUID; `sha256` is of what is stored."""

    uuid: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """All that a version's row is made of, but for its ids."""

    metadata: UploadMetadata
    file: StoredFile
    created_at: float
    task_id: str | None
    timeline: Timeline
    course: Course
    error_summary: str | None
    logs: tuple[str, ...]
    traits: Traits


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version with its newest configuration, as read back. Times are seconds since the epoch."""

    id: int
    uuid: str
    models_pk_id: int
    name: str
    workspace_id: int
    visibility: str
    framework: str
    conversion: bytes
    file_name: str
    size: int
    sha256: str
    created_at: float
    created_by: str
    owner_id: str
    task_id: str | None
    timeline: Timeline
    runtime_at_first: str
    runtime_when_ready: str
    contained: bool
    error_summary: str | None
    logs: tuple[str, ...]
    traits: Traits
    config_id: int
    config: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """A version as tests ask for it: what the registry holds, with its status now and the file of its bytes."""

    id: int
    uuid: str
    models_pk_id: int
    name: str
    workspace_id: int
    visibility: str
    framework: str
    file_name: str
    size: int
    sha256: str
    status: str
    error_summary: str | None
    created_at: float
    path: Path


def shown_status(version: Version, now: float, traits: Traits = NO_TRAITS) -> str:
    """The status that an answer shows at `now`, with the traits of the version and of that answer."""
    every = traits.keys() | version.traits.keys()
    if "unknown-status" in every:
        return UNKNOWN_STATUS
    if "stuck" in every and version.timeline.phases:
        last_status, last_end = version.timeline.phases[-1]
        return last_status if now >= last_end else status_at(version.timeline, now)
    if "stuck" in every:
        return "pending_load_container"
    return status_at(version.timeline, now)


def shown_error_summary(version: Version, now: float, traits: Traits = NO_TRAITS) -> str | None:
    """The error_summary that an answer shows: null until the version ended in `error`, and later when it is late."""
    if shown_status(version, now, traits) != "error" or "late-summary" in traits:
        return None
    finished_at = version.timeline.finished_at or 0.0
    late_seconds = version.traits.get("late-summary")
    if late_seconds is not None and now < finished_at + late_seconds:
        return None
    return "null" if "null-summary" in {**traits, **version.traits} else version.error_summary


def is_listed(version: Version, now: float, traits: Traits = NO_TRAITS) -> bool:
    """Whether a listing knows a version already: one that lags behind its upload is found by its id only."""
    lag_seconds = max(traits.get("lag", 0.0), version.traits.get("lag", 0.0))
    return now >= version.created_at + lag_seconds


def shown_digest(version: Version, traits: Traits = NO_TRAITS) -> str | None:
    """The digest that an answer shows. An upload's `wrong-digest` has changed the stored bytes themselves."""
    if "no-digest" in traits or "no-digest" in version.traits:
        return None
    if "wrong-digest" in traits:
        return f"{int(version.sha256[0], 16) ^ 1:x}{version.sha256[1:]}"
    return version.sha256

"""What the sandbox keeps of a version, as records."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bulkload.sandbox.conversion import Course, Timeline, status_at
from bulkload.sandbox.metadata import UploadMetadata

UNKNOWN_STATUS = "quarantined"
# Faults that change what is told about a version instead of how the answer travels. Those met by an upload stay with
# the version; those met by a poll or a listing concern that one answer.
TRAITS = frozenset({"wrong-digest", "no-digest", "stuck", "unknown-status", "late-summary"})
LATE_SUMMARY_SECONDS = 1.0


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
    traits: dict[str, float]  # name -> argument


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
    traits: dict[str, float]
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


def shown_status(version: Version, now: float, traits: frozenset[str] = frozenset()) -> str:
    """The status that an answer shows at `now`, with the traits of the version and of that answer."""
    every = traits | version.traits.keys()
    if "unknown-status" in every:
        return UNKNOWN_STATUS
    if "stuck" in every and version.timeline.phases:
        last_status, last_end = version.timeline.phases[-1]
        return last_status if now >= last_end else status_at(version.timeline, now)
    if "stuck" in every:
        return "pending_load_container"
    return status_at(version.timeline, now)


def shown_error_summary(version: Version, now: float, traits: frozenset[str] = frozenset()) -> str | None:
    """The error_summary that an answer shows: null until the version ended in `error`, and later when it is late."""
    if shown_status(version, now, traits) != "error" or "late-summary" in traits:
        return None
    finished_at = version.timeline.finished_at or 0.0
    late_seconds = version.traits.get("late-summary")
    if late_seconds is not None and now < finished_at + late_seconds:
        return None
    return version.error_summary


def shown_digest(version: Version, traits: frozenset[str] = frozenset()) -> str | None:
    """The digest that an answer shows. An upload's `wrong-digest` has changed the stored bytes themselves."""
    if "no-digest" in traits or "no-digest" in version.traits:
        return None
    if "wrong-digest" in traits:
        return f"{int(version.sha256[0], 16) ^ 1:x}{version.sha256[1:]}"
    return version.sha256

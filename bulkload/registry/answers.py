"""The registry's answers as records. Lenient: unknown fields, statuses and missing parts are no reason to fail."""

import email.utils
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from bulkload.core.records import Conversion, RegistryVersion, Workspace

# An error page of a proxy can be long; a message is for reading.
LONGEST_MESSAGE = 500

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


def version_from(node: object) -> RegistryVersion | None:
    """One ``{"model_version": {...}, "config": {...}}``, as ``get_version_by_id`` and ``models/list`` hold it.

    None where it has no id or name: not a version.
    """
    if not isinstance(node, dict):
        return None
    version = node.get("model_version")
    if not isinstance(version, dict):
        return None
    version_id, name = version.get("id"), version.get("name")
    if not isinstance(version_id, int) or not isinstance(name, str):
        return None
    file_info = _object(version.get("file_info"))
    config = _object(node.get("config"))
    return RegistryVersion(
        version_id=version_id,
        name=name,
        workspace_id=_integer(version.get("workspace_id")) or 0,
        visibility=_text(version.get("visibility")) or "private",
        conversion=_conversion(version.get("conversion")),
        input_schema=_text(config.get("input_schema")),
        output_schema=_text(config.get("output_schema")),
        status=_text(version.get("status")),
        sha256=_text(file_info.get("sha")),
        size=_integer(file_info.get("size")),
        file_name=_text(file_info.get("file_name")),
        uuid=_text(file_info.get("version")),
        error_summary=_error_summary(version.get("error_summary")),
        created_at=_text(version.get("created_at")),
    )


def versions_of_model(node: object) -> list[RegistryVersion]:
    """One item of ``{"models": [...]}``: a model with its versions. The flat form of 2023 has none."""
    nodes = _object(node).get("model_versions")
    found = [version_from(item) for item in nodes] if isinstance(nodes, list) else []
    return [version for version in found if version is not None]


class ListedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``models/list_versions``, which names no workspace."""

    version_id: int
    name: str
    sha256: str | None
    file_name: str | None


def listed_versions(answer: object) -> list[ListedVersion] | None:
    """The bare array of ``models/list_versions``; None where it is none."""
    if not isinstance(answer, list):
        return None
    return [
        ListedVersion(
            version_id=row["id"],
            name=row["model_id"],
            sha256=_text(row.get("sha")),
            file_name=_text(row.get("file_name")),
        )
        for row in answer
        if isinstance(row, dict) and isinstance(row.get("id"), int) and isinstance(row.get("model_id"), str)
    ]


def workspaces_from(answer: object) -> list[Workspace] | None:
    """``{"workspaces": [...]}`` without the archived ones; None where it is none."""
    rows = _object(answer).get("workspaces")
    if not isinstance(rows, list):
        return None
    return [
        Workspace(workspace_id=row["id"], name=row["name"])
        for row in rows
        if isinstance(row, dict)
        and isinstance(row.get("id"), int)
        and isinstance(row.get("name"), str)
        and row.get("archived") is not True
    ]


def uploaded_version_id(answer: object) -> int | None:
    """The version id in ``{"insert_models": {"returning": [{"models": [{"id": 1216}]}]}}``; None where it has none."""
    try:
        id_ = answer["insert_models"]["returning"][0]["models"][0]["id"]  # type: ignore[index]
    except (TypeError, KeyError, IndexError):
        return None
    return _integer(id_)


def error_message(body: bytes, content_type: str) -> str:
    """The words of an error answer: both JSON forms (``msg``; ``error`` with ``status``), or plain text."""
    try:
        answer = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        answer = None
    if isinstance(answer, dict):
        words = answer.get("msg") or answer.get("error_description") or answer.get("error") or answer.get("message")
        if isinstance(words, str):
            return _short(words)
    if "html" in content_type:
        return "an HTML page"
    return _short(body.decode("utf-8", errors="replace"))


def retry_after_seconds(header: str | None, answered_at: str | None) -> float | None:
    """``Retry-After`` in seconds; its date form is measured against the answer's own ``Date``, never our clock."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    until, now = http_date(header), http_date(answered_at)
    if until is None or now is None:
        return None
    return max(0.0, (until - now).total_seconds())


def http_date(header: str | None) -> datetime | None:
    """An HTTP date, in UTC."""
    if header is None:
        return None
    try:
        parsed = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed


def registry_time(text: str | None) -> datetime | None:
    """A time of the registry: ISO 8601 with a fraction of any width (``2026-01-09T18:38:00.86797+00:00`` occurs)."""
    match = _TIME.fullmatch(text or "")
    if match is None:
        return None
    fraction = (match.group(2) or "")[:6].ljust(6, "0")
    try:
        return datetime.fromisoformat(f"{match.group(1)}.{fraction}{match.group(3)}")
    except ValueError:
        return None


def _conversion(node: object) -> Conversion | None:
    values = _object(node)
    framework = _text(values.get("framework"))
    if framework is None:
        return None
    requirements = values.get("requirements")
    accel = values.get("accel")
    config = values.get("framework_config")
    return Conversion(
        framework=framework,
        python_version=_text(values.get("python_version")) or "3.8",
        requirements=tuple(map(str, requirements)) if isinstance(requirements, list) else (),
        arch=_text(values.get("arch")),
        accel=accel if isinstance(accel, str | dict) else None,
        framework_config=config if isinstance(config, dict) else None,
    )


def _error_summary(value: object) -> str | None:
    # The literal string "null" stands in real answers.
    text = _text(value)
    return None if text in (None, "", "null") else text


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _short(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"

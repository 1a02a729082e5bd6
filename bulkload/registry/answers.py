"""The registry's answers as records. Lenient: unknown fields, statuses and missing parts are no reason to fail."""

import email.utils
import re
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec

from bulkload.core.bounds import LONGEST_MESSAGE_CHARACTERS, LONGEST_TEXT_CHARACTERS
from bulkload.core.formats.json_bounds import BeyondBounds, check_json
from bulkload.core.model.records import Conversion, RegistryVersion, Workspace
from bulkload.registry.redaction import NO_SECRETS, Secrets

_TITLE = re.compile(rb"<title[^>]*>([^<]*)", re.IGNORECASE)
# Beside ``code``.
_FORMS_OF_REFUSALS = (("msg",), ("status", "error", "source"))
_OAUTH_ERROR = re.compile(r"[a-z]+(_[a-z]+)*")
_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]*)?")
# What SQLite and the registry's own database can hold.
_LARGEST_INTEGER = 2**63 - 1


def version_from(node: object, secrets: Secrets = NO_SECRETS) -> RegistryVersion | None:
    """One ``{"model_version": {...}, "config": {...}}``, as ``get_version_by_id`` and ``models/list`` hold it.

    None where it has no id or name: not a version.
    """
    if not isinstance(node, dict):
        return None
    version = node.get("model_version")
    if not isinstance(version, dict):
        return None

    def text(value: object) -> str | None:
        return _name(value, secrets)

    version_id, name = _integer(version.get("id")), text(version.get("name"))
    if version_id is None or name is None:
        return None
    file_info = _object(version.get("file_info"))
    config = _object(node.get("config"))
    return RegistryVersion(
        version_id=version_id,
        name=name,
        workspace_id=_integer(version.get("workspace_id")) or 0,
        visibility=text(version.get("visibility")) or "private",
        conversion=_conversion(version.get("conversion"), secrets),
        # These are compared, and of any length.
        input_schema=_whole(config.get("input_schema"), secrets),
        output_schema=_whole(config.get("output_schema"), secrets),
        status=text(version.get("status")),
        sha256=text(file_info.get("sha")),
        size=_integer(file_info.get("size")),
        file_name=text(file_info.get("file_name")),
        uuid=text(file_info.get("version")),
        error_summary=_error_summary(version.get("error_summary"), secrets),
        created_at=text(version.get("created_at")),
    )


class _FileInfo(msgspec.Struct):
    version: str | None = None
    sha: str | None = None
    file_name: str | None = None
    size: int | None = None


class _Conversion(msgspec.Struct):
    framework: str
    python_version: str | None = None
    requirements: tuple[str, ...] | None = None
    arch: str | None = None
    accel: str | dict[str, Any] | None = None
    framework_config: dict[str, Any] | None = None


class _Schemas(msgspec.Struct):
    input_schema: str | None = None
    output_schema: str | None = None


class _Version(msgspec.Struct):
    id: int
    name: str
    file_info: _FileInfo
    conversion: _Conversion
    workspace_id: int | None = None
    visibility: str | None = None
    status: str | None = None
    error_summary: str | None = None
    created_at: str | None = None


class _Node(msgspec.Struct):
    model_version: _Version
    config: _Schemas


class _Poll(msgspec.Struct):
    model_version: _Node


_POLL = msgspec.json.Decoder(_Poll)


def polled_version(text: bytes | bytearray, secrets: Secrets) -> RegistryVersion | None:
    """The version of a whole answer to a poll, where it is as documented: what ``version_from`` makes of it, quickly.

    None where anything in it asks for a closer look.
    """
    # Within this bound no part of it is cut.
    if len(text) > LONGEST_TEXT_CHARACTERS or not secrets.are_absent_from(text):
        return None
    try:
        check_json(text)
        node = _POLL.decode(text).model_version
    except (BeyondBounds, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    version, file, conversion = node.model_version, node.model_version.file_info, node.model_version.conversion
    numbers = (version.id, version.workspace_id or 0, file.size or 0)
    if max(numbers) > _LARGEST_INTEGER or min(numbers) < -_LARGEST_INTEGER:
        return None
    accel, config, summary = conversion.accel, conversion.framework_config, version.error_summary
    return RegistryVersion(
        version_id=version.id,
        name=version.name,
        workspace_id=version.workspace_id or 0,
        visibility=version.visibility or "private",
        conversion=Conversion(
            framework=conversion.framework,
            python_version=conversion.python_version or "3.8",
            requirements=conversion.requirements or (),
            arch=conversion.arch,
            accel=accel if accel is None else without_secrets(accel, NO_SECRETS),
            framework_config=config if config is None else without_secrets(config, NO_SECRETS),
        ),
        input_schema=node.config.input_schema,
        output_schema=node.config.output_schema,
        status=version.status,
        sha256=file.sha,
        size=file.size,
        file_name=file.file_name,
        uuid=file.version,
        error_summary=summary if summary is None else _error_summary(summary, NO_SECRETS),
        created_at=version.created_at,
    )


def versions_of_one_model(answer: object, secrets: Secrets = NO_SECRETS) -> list[RegistryVersion] | None:
    """Both documented forms of ``list_versions_for_model``: ``{"models": [...]}`` and ``{"model_versions": [...]}``.

    None where it is neither, or names a model without saying which versions it has (the flat form of 2023): no word
    about versions is not the word that there are none.
    """
    models = _object(answer).get("models")
    lists = [_object(model).get("model_versions") for model in models] if isinstance(models, list) else None
    if lists is None:
        lists = [_object(answer).get("model_versions")]
    versions: list[RegistryVersion] = []
    for nodes in lists:
        if not isinstance(nodes, list):
            return None
        versions += [version for node in nodes if (version := version_from(node, secrets)) is not None]
    return versions


class ListedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``models/list_versions``, which names no workspace."""

    version_id: int
    name: str
    sha256: str | None
    file_name: str | None


def listed_versions(answer: object, secrets: Secrets = NO_SECRETS) -> list[ListedVersion] | None:
    """The bare array of ``models/list_versions``; None where it is none."""
    if not isinstance(answer, list):
        return None
    return [
        ListedVersion(
            version_id=version_id,
            name=name,
            sha256=_name(row.get("sha"), secrets),
            file_name=_name(row.get("file_name"), secrets),
        )
        for row in map(_object, answer)
        if (version_id := _integer(row.get("id"))) is not None
        and (name := _name(row.get("model_id"), secrets)) is not None
    ]


def workspaces_from(answer: object, secrets: Secrets = NO_SECRETS) -> list[Workspace] | None:
    """``{"workspaces": [...]}`` without the archived ones; None where it is none."""
    rows = _object(answer).get("workspaces")
    if not isinstance(rows, list):
        return None
    return [
        Workspace(workspace_id=workspace_id, name=name)
        for row in map(_object, rows)
        if (workspace_id := _integer(row.get("id"))) is not None
        and (name := _name(row.get("name"), secrets)) is not None
        and row.get("archived") is not True
    ]


def workspace_roles(answer: object) -> dict[str, str] | None:
    """``{"users": [{"user_id", "user_type"}]}`` as user id -> role; None where it is none."""
    rows = _object(answer).get("users")
    if not isinstance(rows, list):
        return None
    return {
        user_id: _text(row.get("user_type")) or "member"
        for row in map(_object, rows)
        if (user_id := _text(row.get("user_id"))) is not None
    }


def created_workspace_id(answer: object) -> int | None:
    """The id in ``{"workspace_id": 18}``; None where it has none."""
    return _integer(_object(answer).get("workspace_id"))


def uploaded_version_id(answer: object) -> int | None:
    """The version id in ``{"insert_models": {"returning": [{"models": [{"id": 1216}]}]}}``; None where it has none."""
    try:
        id_ = answer["insert_models"]["returning"][0]["models"][0]["id"]  # type: ignore[index]
    except (TypeError, KeyError, IndexError):
        return None
    return _integer(id_)


def is_registrys_refusal(status: int, body: bytes | bytearray) -> bool:
    """Whether an answer that is no success is in a form of the registry's own, so that it is the registry's word.

    There are two: ``{"msg", "code"}``, and ``{"code", "status", "error", "source"}``; ``code`` is the answer's status.
    Text, pages, other JSON and empty bodies are what gateways, firewalls and sign-in pages answer. The one empty answer
    that is documented is 507; redirects are never the API's.
    """
    if status < HTTPStatus.BAD_REQUEST:
        return False
    if not body:
        return status == HTTPStatus.INSUFFICIENT_STORAGE
    answer = _decoded_object(body)
    if _integer(answer.get("code")) != status:
        return False
    return any(all(isinstance(answer.get(key), str) for key in form) for form in _FORMS_OF_REFUSALS)


def is_keycloaks_refusal(body: bytes | bytearray) -> bool:
    """The same for Keycloak: ``{"error", "error_description"}``, of which the second is not always there.

    ``error`` is one of OAuth's words; that of a gateway is a sentence, or a status.
    """
    error = _decoded_object(body).get("error")
    return isinstance(error, str) and _OAUTH_ERROR.fullmatch(error) is not None


def error_message(body: bytes | bytearray, secrets: Secrets = NO_SECRETS) -> str:
    """The words of an error answer: both JSON forms (``msg``; ``error`` with ``status``), a page's title, or text."""
    answer = _decoded_object(body)
    for key in ("msg", "error_description", "error", "message"):
        words = answer.get(key)
        if isinstance(words, str) and words:
            return one_line(secrets.words(words))
    if body.lstrip()[:1] == b"<":
        title = _TITLE.search(body)
        words = f"an HTML page: {title[1].decode(errors='replace')}" if title else "an HTML page"
    else:
        words = body.decode("utf-8", errors="replace")
    # Before they are cut, lest half of a secret stays.
    return one_line(secrets.words(words))


def shown_texts(answer: dict[str, Any], secrets: Secrets) -> dict[str, Any]:
    """A refusal's texts as they may be shown; ``error`` is a code, which is compared."""
    return {
        key: (_name if key == "error" else _words)(value, secrets) if isinstance(value, str) else value
        for key, value in answer.items()
    }


def without_secrets(value: Any, secrets: Secrets) -> Any:
    """A JSON value as it may be kept and shown, with the texts in it as names."""
    if isinstance(value, str):
        return _name(value, secrets)
    if isinstance(value, list):
        return [without_secrets(item, secrets) for item in value]
    if isinstance(value, dict):
        return {secrets.name(key): without_secrets(item, secrets) for key, item in value.items()}
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        # What no encoder takes.
        return str(value)
    return value


def one_line(words: str) -> str:
    """Foreign words as they may stand in a message: one line, of readable length, without control characters."""
    line = " ".join(
        "".join(sign if sign.isprintable() else " " for sign in words[: 4 * LONGEST_MESSAGE_CHARACTERS]).split()
    )
    return line if len(line) <= LONGEST_MESSAGE_CHARACTERS else line[: LONGEST_MESSAGE_CHARACTERS - 1] + "…"


def retry_after_seconds(header: str | None, answered_at: str | None) -> float | None:
    """``Retry-After`` in seconds; its date form is measured against the answer's own ``Date``, never our clock."""
    if header is None:
        return None
    if _SECONDS.fullmatch(header.strip()):
        return float(header)
    until, now = http_date(header), http_date(answered_at)
    if until is None or now is None:
        return None
    return max(0.0, (until - now).total_seconds())


@lru_cache(maxsize=4)
def http_date(header: str | None) -> datetime | None:
    """An HTTP date, in UTC. Many answers in a row have the same."""
    if header is None:
        return None
    try:
        parsed = email.utils.parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed


def _conversion(node: object, secrets: Secrets) -> Conversion | None:
    values = _object(node)
    framework = _name(values.get("framework"), secrets)
    if framework is None:
        return None
    requirements = values.get("requirements")
    accel = without_secrets(values.get("accel"), secrets)
    config = without_secrets(values.get("framework_config"), secrets)
    return Conversion(
        framework=framework,
        python_version=_name(values.get("python_version"), secrets) or "3.8",
        requirements=tuple(secrets.name(str(each)) for each in requirements) if isinstance(requirements, list) else (),
        arch=_name(values.get("arch"), secrets),
        accel=accel if isinstance(accel, str | dict) else None,
        framework_config=config if isinstance(config, dict) else None,
    )


def _error_summary(value: object, secrets: Secrets) -> str | None:
    # The literal string "null" stands in real answers.
    text = _words(value, secrets)
    return None if text in (None, "", "null") else text


def _decoded_object(body: bytes | bytearray) -> dict[str, Any]:
    try:
        return _object(msgspec.json.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _words(value: object, secrets: Secrets) -> str | None:
    """A text for people."""
    return secrets.words(value)[:LONGEST_TEXT_CHARACTERS] if isinstance(value, str) else None


def _name(value: object, secrets: Secrets) -> str | None:
    """A text that is compared as well as shown."""
    return secrets.name(value)[:LONGEST_TEXT_CHARACTERS] if isinstance(value, str) else None


def _whole(value: object, secrets: Secrets) -> str | None:
    return secrets.name(value) if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    known = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_INTEGER
    return value if known else None  # type: ignore[return-value]

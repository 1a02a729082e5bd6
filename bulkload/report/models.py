"""What a registry holds, for people and for programs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bulkload.core.contract.times import registry_time
from bulkload.core.model.records import RegistryVersion, Workspace
from bulkload.core.model.units import show_bytes
from bulkload.engine.inspect.catalog import ModelSummary
from bulkload.report.fitting import Fit, print_fitted
from bulkload.report.schemas import columns_of
from bulkload.report.sink import Stream, as_json
from bulkload.report.tables import Column

# Enough of a digest to tell files apart by eye.
DIGEST_SIGNS = 8

# Id -> name of the workspaces that the account sees.
Names = Mapping[int, str]

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# 2025-12-22T21:40:20.792647873Z stdout F custom model validation successful
_LOG_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\S+) (stdout|stderr) [FP](?: (.*))?", re.DOTALL)


def json_line(found: object) -> str:
    """One object as one line."""
    return as_json(found).decode()


def printable(text: str) -> str:
    """Foreign words as a terminal may have them: one line, without anything that would steer it."""
    plain = _ESCAPE.sub("", text).expandtabs(4)
    return "".join(sign if sign.isprintable() else " " for sign in plain)


def utc(text: str | None) -> str | None:
    """A time of the registry as bulkload writes times: UTC, ISO 8601, of one width."""
    found = registry_time(text)
    if found is None:
        return text
    return found.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def show_age(text: str | None, now: datetime) -> str:
    """How long ago a time was: ``12s``, ``5m``, ``3h``, ``12d``."""
    found = registry_time(text)
    if found is None:
        return printable(text or "")
    seconds = max(0, int((now - found).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


# Models.


def model_object(model: ModelSummary, names: Names) -> dict[str, Any]:
    """A line of ``models list --json``."""
    return {
        "name": model.name,
        "workspace_id": model.workspace_id,
        "workspace": names.get(model.workspace_id),
        "versions": model.versions,
        "version_id": model.version_id,
        "status": model.status,
        "framework": model.framework,
        "size": model.size,
        "created_at": utc(model.created_at),
    }


_MODEL_COLUMNS = (
    Column("name"), Column("workspace"), Column("versions", right=True), Column("newest", right=True),
    Column("status"), Column("framework"), Column("size", right=True),
)  # fmt: skip
_MODEL_FIT = Fit(
    telling=("workspace",),
    narrowed=(("name", 26), ("workspace", 12), ("framework", 12), ("status", 10), ("name", 16)),
    spare=("versions", "size", "framework", "workspace"),
    folded="name",
)


def print_models(models: Iterable[ModelSummary], names: Names, now: datetime, stream: Stream) -> None:
    """A table of models, by workspace and name."""
    found = sorted(models, key=lambda model: (names.get(model.workspace_id, ""), model.workspace_id, model.name))
    rows = (
        (
            printable(model.name), _workspace(model.workspace_id, names), str(model.versions), str(model.version_id),
            printable(model.status or ""), printable(model.framework or ""), _size(model.size),
            _created(model.created_at, now, stream),
        )
        for model in found
    )  # fmt: skip
    print_fitted((*_MODEL_COLUMNS, _created_column(stream)), rows, stream, _MODEL_FIT)


# Versions.


def version_object(version: RegistryVersion, names: Names) -> dict[str, Any]:
    """A line of ``models versions --json``."""
    conversion = version.conversion
    return {
        "version_id": version.version_id,
        "version_uuid": version.uuid,
        "name": version.name,
        "workspace_id": version.workspace_id,
        "workspace": names.get(version.workspace_id),
        "visibility": version.visibility,
        "status": version.status,
        "error_summary": version.error_summary,
        "framework": conversion and conversion.framework,
        "python_version": conversion and conversion.python_version,
        "requirements": conversion and conversion.requirements,
        "arch": conversion and conversion.arch,
        "accel": conversion and conversion.accel,
        "framework_config": conversion and conversion.framework_config,
        "file_name": version.file_name,
        "size": version.size,
        "sha256": version.sha256,
        "created_at": utc(version.created_at),
        "input_schema": version.input_schema,
        "output_schema": version.output_schema,
    }


def version_object_with_columns(version: RegistryVersion, names: Names) -> dict[str, Any]:
    """What ``models show --json`` prints: schemas also as columns, the form that manifests hold."""
    shown = version_object(version, names)
    for side in ("input", "output"):
        columns = columns_of(shown[f"{side}_schema"])
        shown[f"{side}_columns"] = columns and [{"name": name, "type": kind} for name, kind in columns]
    return shown


_VERSION_COLUMNS = (
    Column("version", right=True), Column("workspace"), Column("status"), Column("framework"), Column("arch/accel"),
    Column("file"), Column("size", right=True), Column("sha256"),
)  # fmt: skip
_VERSION_FIT = Fit(
    telling=("workspace",),
    narrowed=(("workspace", 12), ("file", 16), ("framework", 12), ("status", 10), ("file", 8)),
    spare=("arch/accel", "file", "framework", "size", "workspace"),
)


def print_versions(versions: Sequence[RegistryVersion], names: Names, now: datetime, stream: Stream) -> None:
    """A table of versions, in their order."""
    rows = (
        (
            str(version.version_id), _workspace(version.workspace_id, names), printable(version.status or ""),
            "" if version.conversion is None else printable(version.conversion.framework), _target(version),
            printable(version.file_name or ""), _size(version.size), printable(version.sha256 or "")[:DIGEST_SIGNS],
            _created(version.created_at, now, stream),
        )
        for version in versions
    )  # fmt: skip
    print_fitted((*_VERSION_COLUMNS, _created_column(stream)), rows, stream, _VERSION_FIT)


def version_facts(version: RegistryVersion, names: Names) -> list[tuple[str, str]]:
    """Everything about one version; what it has not is not named."""
    conversion = version.conversion
    facts = [
        ("version", str(version.version_id)),
        ("uuid", version.uuid or ""),
        ("model", version.name),
        ("workspace", f"{version.workspace_id} {names.get(version.workspace_id, '')}"),
        ("visibility", version.visibility),
        ("status", version.status or "unknown"),
        ("error", version.error_summary or ""),
        ("created", utc(version.created_at) or ""),
        ("file", version.file_name or ""),
        ("size", "" if version.size is None else f"{show_bytes(version.size)} ({version.size:,} bytes)"),
        ("sha256", version.sha256 or "the registry shows none"),
    ]
    if conversion is not None:
        config = conversion.framework_config
        facts += [
            ("framework", conversion.framework),
            ("arch", conversion.arch or ""),
            ("accel", conversion.accel if isinstance(conversion.accel, str) else json_line(conversion.accel)),
            ("python", conversion.python_version),
            ("requirements", ", ".join(conversion.requirements)),
            ("config", "" if config is None else json_line(config)),
        ]
    shown = [(name, printable(value).strip()) for name, value in facts]
    return [*((name, value) for name, value in shown if value not in ("", "null")), *_schema_facts(version)]


def _schema_facts(version: RegistryVersion) -> list[tuple[str, str]]:
    facts = []
    for name, text in (("input", version.input_schema), ("output", version.output_schema)):
        if not text:
            continue
        columns = columns_of(text)
        if columns is None:
            lines = [f"cannot be decoded: {printable(text[:40])}"]
        else:
            lines = [printable(f"{column}: {kind}") for column, kind in columns] or ["no columns"]
        facts += [(name if number == 0 else "", line) for number, line in enumerate(lines)]
    return facts


def config_object(version: RegistryVersion, config: Mapping[str, Any]) -> dict[str, Any]:
    """A version's config; the registry calls the config's own id just ``id``."""
    rest = {key: value for key, value in config.items() if key != "id"}
    return {"version_id": version.version_id, "name": version.name, "config_id": config.get("id"), **rest}


def config_facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A config as lines: also what is not set is said, for that is what one looks for."""
    labels = {"version_id": "version", "name": "model", "config_id": "config"}
    return [
        (
            labels.get(key, printable(key)),
            "-" if value is None else printable(value if isinstance(value, str) else json_line(value)),
        )
        for key, value in found.items()
    ]


# Logs.


def log_object(line: str) -> dict[str, str | None]:
    """A log line in its parts; one of another form is all text."""
    match = _LOG_LINE.fullmatch(line)
    if match is None:
        return {"time": None, "stream": None, "text": line}
    return {"time": match[1], "stream": match[2], "text": match[3] or ""}


def log_text(line: str) -> str:
    """What the conversion printed, without when and where."""
    return printable(log_object(line)["text"] or "").rstrip()


def why_no_logs(version: RegistryVersion) -> str:
    """What to make of a log that is empty."""
    shown = f"version {version.version_id} ({printable(version.name)})"
    if version.status in ("ready", "error"):
        return f"{shown} has no logs: natively run models have none, and others' are kept for some weeks only"
    return f"{shown} has no logs yet: they come with the end of its conversion, and it is {version.status}"


# Workspaces.


def workspace_object(workspace: Workspace) -> dict[str, Any]:
    """A line of ``workspaces list --json``."""
    return {"workspace_id": workspace.workspace_id, "name": workspace.name}


def print_workspaces(workspaces: Iterable[Workspace], stream: Stream) -> None:
    """A table of workspaces, in their order."""
    rows = ((str(workspace.workspace_id), printable(workspace.name)) for workspace in workspaces)
    print_fitted((Column("id", right=True), Column("name")), rows, stream, Fit(narrowed=(("name", 16),), folded="name"))


# Cells.


def _workspace(workspace_id: int, names: Names) -> str:
    """Its name, or its id where this account does not see it."""
    return printable(names.get(workspace_id, str(workspace_id)))


def _target(version: RegistryVersion) -> str:
    """What it is built for: ``x86``, ``x86/cuda``."""
    if version.conversion is None:
        return ""
    accel = version.conversion.accel
    word = accel if isinstance(accel, str) else next(iter(accel or ()), "none")
    return printable("/".join(part for part in (version.conversion.arch, None if word == "none" else word) if part))


def _size(size: int | None) -> str:
    return "" if size is None else show_bytes(size)


def _created_column(stream: Stream) -> Column:
    """On a terminal how old a version is, for that is what people ask, and short; elsewhere when it was made."""
    return Column("age", right=True) if stream.isatty() else Column("created")


def _created(text: str | None, now: datetime, stream: Stream) -> str:
    if stream.isatty():
        return show_age(text, now)
    found = registry_time(text)
    return printable(text or "") if found is None else f"{found.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

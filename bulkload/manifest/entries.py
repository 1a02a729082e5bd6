"""One raw row into a checked entry, or into everything that is wrong with it."""

import difflib
import os
import re
import stat
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from bulkload.core.errors import UsageError
from bulkload.core.frameworks import (
    BY_EXTENSION,
    FRAMEWORKS,
    PYTHON_VERSIONS,
    VISIBILITIES,
    config_findings,
    did_you_mean,
    engine_findings,
    framework_findings,
)
from bulkload.core.records import Conversion, Entry, Problem
from bulkload.core.schemas import SchemaProblem, decode, forbidden, parse_schema, to_base64
from bulkload.manifest.rows import FIELDS, NotJson, Row, from_text

# The guide's rule and the vendor's SDK's, both; the whole of the name.
NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
LONGEST_NAME = 63
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# Control characters and lone surrogates: nothing that a file name, a label or a header can hold on every system.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
# A file name stands in quotes in the upload's header, and the registry stores it as it comes.
UNSAFE_IN_HEADER = re.compile('["\\\\]')
EMPTY_SCHEMAS = frozenset({"vllm", "sglang"})


def parse_overrides(words: "list[str] | tuple[str, ...]") -> dict[str, str]:
    """``--set field=value`` words as a mapping. Raises ``UsageError`` for a word without ``=`` or an unknown field."""
    found: dict[str, str] = {}
    for word in words:
        field, sign, value = word.partition("=")
        if not sign:
            raise UsageError(f"--set {word}: write it as --set FIELD=VALUE")
        if field not in FIELDS or field in ("name", "path"):
            known = [name for name in FIELDS if name not in ("name", "path")]
            raise UsageError(f"--set {field}: is no field that can be set; {did_you_mean(field, known)}")
        try:
            from_text(field, value)
        except NotJson as error:
            raise UsageError(f"--set {field}: is no JSON: {error}") from None
        found[field] = value
    return found


class EntryChecker:
    """Turns rows of one manifest into entries. Holds what all rows share."""

    def __init__(
        self,
        manifest: str,
        folder: Path,
        overrides: Mapping[str, str],
        workspace: str | None,
        *,
        workspace_needed: bool,
    ) -> None:
        self.manifest = manifest
        self._folder = str(folder)
        self._overrides = {field: from_text(field, text) for field, text in overrides.items()}
        self._workspace = workspace
        self._workspace_needed = workspace_needed
        self.defaults: dict[str, Any] = {}

    def check(self, row: Row) -> Entry | list[Problem]:
        """The entry, or every problem of the row."""
        return _RowCheck(self.manifest, self._folder, row.place, self._values(row)).entry(
            row.number, workspace_needed=self._workspace_needed
        )

    def _values(self, row: Row) -> dict[str, Any]:
        """Row, then ``--set``, then the manifest's defaults, then ``--workspace``; None counts as not given."""
        values: dict[str, Any] = {"workspace": self._workspace} if self._workspace is not None else {}
        for source in (self.defaults, self._overrides, row.fields):
            given = {field: value for field, value in source.items() if value is not None}
            if "workspace_id" in given or "workspace" in given:
                # One thing under two names: what comes later replaces both.
                values.pop("workspace", None)
                values.pop("workspace_id", None)
            values.update(given)
        return values


class _RowCheck:
    """The checks of one row. Every problem is kept, none ends the row."""

    def __init__(self, manifest: str, folder: str, place: str, values: dict[str, Any]) -> None:
        self._manifest = manifest
        self._folder = folder
        self._place = place
        self._values = values
        self._problems: list[Problem] = []

    def entry(self, number: int, *, workspace_needed: bool) -> Entry | list[Problem]:
        name = self._name()
        path, source = self._path()
        framework = self._framework(path)
        accel = self._values.get("accel")
        arch = self._text("arch")
        for finding in engine_findings(arch, accel):
            self._problem(finding.field, finding.what, finding.remedy)
        conversion = Conversion(
            framework=framework or "",
            python_version=self._choice("python_version", PYTHON_VERSIONS) or "3.8",
            requirements=self._requirements(),
            arch=arch,
            accel=accel,
            framework_config=self._framework_config(framework),
        )
        entry = Entry(
            line=number,
            name=name,
            path=path,
            source=source,
            workspace=self._workspace(needed=workspace_needed),
            visibility=self._choice("visibility", VISIBILITIES) or "private",
            version=self._text("version"),
            conversion=conversion,
            input_schema=self._schema("input_schema", framework),
            output_schema=self._schema("output_schema", framework),
            sha256=self._sha256(),
            labels=self._labels(),
        )
        return self._problems or entry

    def _problem(self, field: str, what: str, remedy: str) -> None:
        self._problems.append(
            Problem(manifest=self._manifest, place=self._place, field=field, what=what, remedy=remedy)
        )

    # Texts.

    def _text(self, field: str) -> str | None:
        value = self._values.get(field)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            self._problem(field, f"{value!r} is no text", f'write it in quotes: "{value}"')
            return None
        if UNPRINTABLE.search(value):
            self._problem(field, f"{value!r} holds a character that cannot be printed", "remove it")
            return None
        return value

    def _choice(self, field: str, choices: tuple[str, ...]) -> str | None:
        value = self._values.get(field)
        if isinstance(value, float):
            # 3.8 is what many tools make of "3.8", and it can mean nothing else.
            value = self._values[field] = str(value)
        value = self._text(field)
        if value is None or value in choices:
            return value
        self._problem(field, f'unknown {field} "{value}"', did_you_mean(value, choices))
        return None

    def _name(self) -> str:
        name = self._text("name")
        if name is None:
            if self._values.get("name") is None:
                self._problem("name", "is missing", "give every entry a model name")
            return ""
        if NAME.fullmatch(name) is None:
            fitting = suggested_name(name)
            remedy = f'write it as "{fitting}"' if fitting else "use lower-case letters, digits and -"
            what = f'"{name[:80]}" is no model name: up to 63 of a-z, 0-9 and -, a letter first, no - at the end'
            self._problem("name", what, remedy)
        return name

    def _workspace(self, *, needed: bool) -> str | None:
        by_name, by_id = self._text("workspace"), self._text("workspace_id")
        if by_name is not None and by_id is not None and by_name != by_id:
            self._problem("workspace", f'is "{by_name}" and workspace_id is "{by_id}"', "give one of them")
        if by_id is not None and not by_id.isdecimal():
            self._problem("workspace_id", f'"{by_id}" is no id', "write digits, or use workspace for a name")
        workspace = by_name or by_id
        if workspace is None and needed:
            self._problem(
                "workspace", "is missing", "give every entry a workspace, or all of them one with --workspace"
            )
        return workspace

    def _sha256(self) -> str | None:
        digest = self._text("sha256")
        if digest is not None and SHA256.fullmatch(digest) is None:
            self._problem("sha256", f'"{digest[:80]}" is no SHA-256', "write its 64 hexadecimal digits")
        return digest and digest.lower()

    # The file.

    def _path(self) -> tuple[str, str]:
        path = self._text("path")
        if not path:
            if self._values.get("path") in (None, ""):
                self._problem("path", "is missing", "name the model's file")
            return "", ""
        if URI.match(path):
            self._problem("path", f"{path} is no local file", "download it and name the file")
            return path, path
        source = os.path.join(self._folder, path)  # noqa: PTH118 - a million times
        wrong = _wrong_file(source)
        if wrong is not None:
            self._problem("path", f"{path} {wrong[0]}", wrong[1])
        elif UNSAFE_IN_HEADER.search(os.path.basename(path)):  # noqa: PTH119
            self._problem("path", f"the file name of {path} holds a quote or a backslash", "rename the file")
        return path, source

    # Framework and what depends on it.

    def _framework(self, path: str) -> str | None:
        given = self._text("framework")
        if given is None:
            extension = os.path.splitext(path)[1].lower()  # noqa: PTH122
            found = BY_EXTENSION.get(extension)
            if found is None and self._values.get("framework") is None:
                what = f'is missing, and "{extension}" files can be of several' if extension else "is missing"
                self._problem("framework", what, f"use one of {', '.join(FRAMEWORKS)}")
            return found
        findings = framework_findings(given)
        for finding in findings:
            self._problem(finding.field, finding.what, finding.remedy)
        return None if findings else given

    def _framework_config(self, framework: str | None) -> dict[str, Any] | None:
        config = self._values.get("framework_config")
        if config is None:
            return None
        if not isinstance(config, dict):
            self._problem("framework_config", f"{config!r} is no object", 'write {"framework": ..., "config": {...}}')
            return None
        if not config.keys() <= {"framework", "config"}:
            # The inner object alone is what people mean.
            config = {"framework": framework, "config": config}
        elif "framework" not in config:
            config = {"framework": framework, **config}
        if framework is not None:
            for finding in config_findings(framework, config):
                self._problem(finding.field, finding.what, finding.remedy)
        return config

    def _schema(self, field: str, framework: str | None) -> str | None:
        value = self._values.get(field)
        if value is None:
            if _needs_schemas(framework):
                self._problem(field, f"is missing; {framework} needs it", 'write {"column": "float32[10]", ...}')
            return None
        try:
            text = self._schema_text(value)
            problem, columns = _look_at_schema(text)
        except SchemaProblem as found:
            self._problem(field, str(found), found.remedy)
            return None
        if problem is not None:
            self._problem(field, str(problem), problem.remedy)
        elif columns == 0 and framework not in EMPTY_SCHEMAS and _needs_schemas(framework):
            self._problem(field, f"has no columns; {framework} needs some", 'write {"column": "float32[10]", ...}')
        return text

    def _schema_text(self, value: Any) -> str:
        if isinstance(value, str) and value.endswith(".arrow"):
            return _schema_of_file(os.path.join(self._folder, value), value)  # noqa: PTH118
        return parse_schema(value)

    # Lists and objects.

    def _requirements(self) -> tuple[str, ...]:
        value = self._values.get("requirements")
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(line, str) and line.strip() for line in value):
            self._problem("requirements", f"{value!r} is no list of texts", 'write ["numpy==1.26.4", ...]')
            return ()
        return tuple(value)

    def _labels(self) -> dict[str, str]:
        value = self._values.get("labels")
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            self._problem("labels", f"{value!r} is no object of texts", 'write {"team": "vision"}')
            return {}
        return value


def _needs_schemas(framework: str | None) -> bool:
    return framework is not None and FRAMEWORKS[framework].needs_schemas


def suggested_name(name: str) -> str:
    """The nearest name that the registry takes; empty where there is none."""
    lowered = re.sub(r"[^a-z0-9]+", "-", name.lower())
    return lowered.lstrip("-0123456789")[:LONGEST_NAME].rstrip("-")


def _wrong_file(source: str) -> tuple[str, str] | None:  # noqa: PLR0911 - a table of what can be wrong
    """What keeps a file from being sent, and the remedy; only its stat is looked at."""
    try:
        found = os.stat(source)  # noqa: PTH116 - a million times
    except FileNotFoundError:
        return "does not exist", _near_file(source)
    except (OSError, ValueError) as error:
        return f"cannot be looked at ({getattr(error, 'strerror', None) or error})", "check the path"
    if stat.S_ISDIR(found.st_mode):
        return "is a folder", "zip it and name the zip"
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file", "name a file"
    if found.st_size == 0:
        return "is empty", "check where it comes from"
    if not os.access(source, os.R_OK):
        return "cannot be read", "check its permissions"
    return None


def _near_file(source: str) -> str:
    folder, name = os.path.split(source)
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return f"check the path: there is no folder {folder}"
    near = difflib.get_close_matches(name, names, n=1)
    return f'did you mean "{near[0]}"?' if near else "check the path; it is relative to the manifest's folder"


@lru_cache(maxsize=1024)
def _schema_of_file(path: str, written: str) -> str:
    """The schema of an Arrow IPC file, as base64. Raises ``SchemaProblem``."""
    import pyarrow as pa

    remedy = "name an Arrow IPC file, or write the columns out"
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SchemaProblem(f"{written} cannot be read ({reason})", remedy) from None
    for opened in (pa.ipc.open_file, pa.ipc.open_stream):
        try:
            return to_base64(opened(data).schema)
        except (pa.ArrowInvalid, OSError, EOFError):
            continue
    raise SchemaProblem(f"{written} is no Arrow IPC file", remedy)


@lru_cache(maxsize=4096)
def _look_at_schema(text: str) -> tuple[SchemaProblem | None, int]:
    """What the registry would not take, and the number of columns. Raises ``SchemaProblem``."""
    schema = decode(text)
    return forbidden(schema), len(schema)

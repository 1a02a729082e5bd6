"""One raw row into a checked entry, or into everything that is wrong with it."""

import os
import re
from collections.abc import Mapping
from functools import cache
from itertools import islice
from typing import Any

from msgspec.structs import replace

from bulkload.core.bounds import LONGEST_LABEL_CHARACTERS, MOST_LABELS
from bulkload.core.contract.frameworks import (
    FRAMEWORK_OF_EXTENSION,
    FRAMEWORKS,
    PYTHON_VERSIONS,
    VISIBILITIES,
    BrokenRule,
    config_findings,
    engine_findings,
    framework_findings,
    missing_framework,
    whole_config,
)
from bulkload.core.contract.names import wrong_name
from bulkload.core.contract.schemas import SchemaProblem, look_at, parse_schema
from bulkload.core.formats.signatures import Content
from bulkload.core.model.records import Conversion, Entry, Notice, Problem
from bulkload.core.text.words import LONGEST_SHOWN, UNPRINTABLE, did_you_mean, gap_hint, printable, shown, shown_path
from bulkload.manifest.files import Files
from bulkload.manifest.json_text import from_text
from bulkload.manifest.overriding import given, over
from bulkload.manifest.places import foreign_place
from bulkload.manifest.rows import Row, UnreadableValue
from bulkload.manifest.values import label_text, unsendable, written

LONGEST_FIELD = 200
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
# A file name stands in quotes in the upload's header, and the registry stores it as it comes.
UNSAFE_IN_HEADER = re.compile('["\\\\]')
# The registry's ids are database integers.
LONGEST_ID = 18
# A wrong value may be wrong a million times.
MOST_FINDINGS_A_FIELD = 10

_USUAL_FIELDS = frozenset({"name", "path", "framework", "workspace", "workspace_id"})
_CONVERSION_FIELDS = ("python_version", "requirements", "arch", "accel", "framework_config")


class EntryChecker:
    """Turns rows of one manifest into entries. Holds what all rows share."""

    def __init__(
        self,
        manifest: str,
        files: Files,
        overrides: Mapping[str, str],
        workspace: str | None,
        *,
        workspace_needed: bool,
    ) -> None:
        self.manifest = manifest
        self.files = files
        # What somebody should know of the rows so far, until it is taken.
        self.notices: list[Notice] = []
        self.workspace_needed = workspace_needed
        self._workspace = {} if workspace is None else {"workspace": workspace}
        self._overrides = {field: from_text(field, text) for field, text in overrides.items()}
        self._told: set[tuple[str, str, str]] = set()
        self.take_defaults({})

    def take_defaults(self, defaults: Mapping[str, Any]) -> None:
        """Put the manifest's own ``defaults`` under the rows that follow."""
        self._shared: dict[str, Any] = {}
        # Field -> where its shared value was written.
        self._origins: dict[str, str] = {}
        sources = (("--workspace", self._workspace), ("defaults", defaults), ("--set", self._overrides))
        for origin, fields in sources:
            own = given(fields)
            self._shared = over(self._shared, own)
            self._origins.update(dict.fromkeys(own, origin))

    def check(self, row: Row) -> Entry | list[Problem]:
        """The entry, or every problem of the row that was not told before."""
        own = given(row.fields)
        check = _RowCheck(self, over(self._shared, own) if self._shared else own)
        entry = check.entry(row.number)
        for doubt in check.doubts:
            if (problem := self._problem(row, own, doubt)) is not None:
                self.notices.append(Notice(problem))
        if not check.findings:
            return entry
        return [problem for finding in check.findings if (problem := self._problem(row, own, finding)) is not None]

    def take_notices(self) -> list[Notice]:
        """The notices since the last time."""
        taken, self.notices = self.notices, []
        return taken

    def _problem(self, row: Row, own: Mapping[str, Any], finding: BrokenRule) -> Problem | None:
        field = finding.field.partition(".")[0]
        place = row.place
        if field not in own and field in self._origins:
            # What all rows share is wrong once, at its own place.
            place = self._origins[field]
            key = (place, finding.field, finding.what)
            if key in self._told:
                return None
            self._told.add(key)
        # A key of the row's own may stand in it.
        named = printable(finding.field[:LONGEST_FIELD])
        return Problem(
            manifest=self.manifest,
            place=place,
            field=named,
            what=finding.what,
            remedy=finding.remedy,
            kind=finding.kind,
        )


class _RowCheck:
    """The checks of one row. Every finding is kept, none ends the row."""

    __slots__ = ("_checker", "_values", "doubts", "findings")

    def __init__(self, checker: EntryChecker, values: dict[str, Any]) -> None:
        self._checker = checker
        self._values = values
        self.findings: list[BrokenRule] = []
        # What stops nothing.
        self.doubts: list[BrokenRule] = []

    def entry(self, number: int) -> Entry:
        """The entry; it means nothing when there are findings."""
        name = self._name()
        before = len(self.findings)
        path, source = self._path()
        is_there = path != "" and len(self.findings) == before
        framework = self._framework(path)
        if is_there:
            self._look_at(number, path, source, framework or "")
        plain, workspace = _plain_conversion(framework), self._workspace()
        entry = Entry(line=number, name=name, path=path, source=source, workspace=workspace, conversion=plain)
        # What nearly all rows have, a million times: nothing but what each needs.
        if self._values.keys() <= _USUAL_FIELDS and not (framework and FRAMEWORKS[framework].needs_schemas):
            return entry
        return replace(
            entry,
            visibility=self._choice("visibility", VISIBILITIES) or "private",
            version=self._text("version"),
            conversion=plain if self._values.keys().isdisjoint(_CONVERSION_FIELDS) else self._conversion(framework),
            input_schema=self._schema("input_schema", framework),
            output_schema=self._schema("output_schema", framework),
            sha256=self._sha256(),
            labels=self._labels(),
        )

    def _find(self, field: str, what: str, remedy: str, kind: str = "") -> None:
        self.findings.append(BrokenRule(field, what, remedy, kind))

    # Texts.

    def _text(self, field: str) -> str | None:
        value = self._values.get(field)
        if value is None:
            return None
        # The common right case first: a million rows come this way.
        if type(value) is str and value.isprintable() and value[0] != " " and value[-1] != " ":
            return value
        text = written(value)
        if isinstance(text, UnreadableValue):
            self._find(field, text.what, text.remedy)
            return None
        if UNPRINTABLE.search(text):
            self._find(field, f"{shown(text)} holds a character that cannot be printed", "remove it")
            return None
        if text != text.strip() and field != "path":
            stripped = text.strip()
            self._find(field, f"{shown(text)} begins or ends with a space", f"write it as {shown(stripped)}")
            return None
        return text

    def _choice(self, field: str, choices: tuple[str, ...]) -> str | None:
        value = self._values.get(field)
        if type(value) is float:
            # 3.8 is what many tools make of "3.8", and it can mean nothing else.
            self._values[field] = str(value)
        text = self._text(field)
        if text is None or text in choices:
            return text
        self._find(field, f"unknown {field} {shown(text)}", did_you_mean(text, choices))
        return None

    def _name(self) -> str:
        value = self._values.get("name")
        # A line end is told by the rule for names, like all else that they may not hold.
        name = value if isinstance(value, str) and value.endswith(("\n", "\r")) else self._text("name")
        if name is None:
            if "name" not in self._values:
                self._find("name", "is missing", "give every entry a model name")
            return ""
        wrong = wrong_name(name)
        if wrong is not None:
            self._find("name", *wrong)
        elif (gap := gap_hint(name, as_name=True)) is not None:
            self._find("name", gap, "give the entry its model's name")
        return name

    def _workspace(self) -> str | None:
        by_name, by_id = self._text("workspace"), self._text("workspace_id")
        field, workspace = ("workspace", by_name) if by_id is None else ("workspace_id", by_id)
        if workspace is None:
            if self._checker.workspace_needed and not self._values.keys() & {"workspace", "workspace_id"}:
                remedy = "give every entry a workspace, or all of them one with --workspace"
                self._find("workspace", "is missing", remedy)
            return None
        if by_name is not None and by_id is not None and by_name != by_id:
            self._find("workspace", f"is {shown(by_name)} and workspace_id is {shown(by_id)}", "give one of them")
        if workspace.isdecimal():
            if not workspace.isascii() or len(workspace) > LONGEST_ID:
                self._find(field, f"{shown(workspace)} is no id", f"write up to {LONGEST_ID} of the digits 0 to 9")
                return None
            return workspace.lstrip("0") or "0"
        gap = gap_hint(workspace)
        if gap is not None:
            remedy = "leave it out, or write the workspace; one that is really called so is named by its id"
            self._find(field, gap, remedy)
        elif by_id is not None:
            self._find("workspace_id", f"{shown(by_id)} is no id", "write digits, or use workspace for a name")
        return workspace

    def _sha256(self) -> str | None:
        digest = self._text("sha256")
        if digest is None:
            return None
        if SHA256.fullmatch(digest) is None:
            self._find("sha256", f"{shown(digest)} is no SHA-256", "write its 64 hexadecimal digits")
        return digest.lower()

    # The file.

    def _path(self) -> tuple[str, str]:
        path = self._text("path")
        if path is None:
            if "path" not in self._values:
                self._find("path", "is missing", "name the model's file")
            return "", ""
        files = self._checker.files
        source = files.source(path)
        wrong = files.wrong(path, source)
        if wrong is not None:
            # A file that is there may be called as it likes.
            place = foreign_place(path)
            self._find_content(path, wrong if place is None else Content(*place))
        elif UNSAFE_IN_HEADER.search(path) and UNSAFE_IN_HEADER.search(os.path.basename(path.rstrip("/"))):  # noqa: PTH119
            self._find("path", f"the file name of {shown_path(path)} holds a quote or a backslash", "rename the file")
        return files.named(path, source)

    def _look_at(self, line: int, path: str, source: str, framework: str) -> None:
        """Look whether the file's content can be a model."""
        found = self._checker.files.content(line, path, source, framework)
        if found is not None:
            self._find_content(path, found)

    def _find_content(self, path: str, found: Content) -> None:
        finding = BrokenRule("path", f"{shown_path(path)} {found.what}", found.remedy, found.what.partition(' ("')[0])
        (self.findings if found.certain else self.doubts).append(finding)

    # Framework and conversion.

    def _framework(self, path: str) -> str | None:
        given = self._text("framework")
        if given is not None:
            wrong = None if given in FRAMEWORKS else framework_findings(given)
            self.findings += wrong or ()
            return None if wrong else given
        if "framework" in self._values:
            return None
        if not path:
            return None  # said already; there is nothing that could say the framework
        extension = os.path.splitext(path)[1].lower()  # noqa: PTH122
        found = FRAMEWORK_OF_EXTENSION.get(extension)
        if found is None:
            self.findings.append(missing_framework(extension))
        return found

    def _conversion(self, framework: str | None) -> Conversion:
        arch = self._text("arch")
        accel = self._json("accel")
        if arch is not None or accel is not None:
            self.findings += engine_findings(arch, accel)
        return Conversion(
            framework=framework or "",
            python_version=self._choice("python_version", PYTHON_VERSIONS) or "3.8",
            requirements=self._requirements(),
            arch=arch,
            accel=accel,
            framework_config=self._framework_config(framework, accel),
        )

    def _framework_config(self, framework: str | None, accel: object) -> dict[str, Any] | None:
        config = self._json("framework_config")
        if config is None:
            return None
        if not isinstance(config, dict):
            form = 'write {"framework": ..., "config": {...}}'
            self._find("framework_config", f"{shown(config)} is no object", form)
            return None
        if framework is None:
            return None
        config = whole_config(framework, config)
        self.findings += config_findings(framework, config, accel)
        return config

    def _requirements(self) -> tuple[str, ...]:
        lines = self._json("requirements")
        if lines is None:
            return ()
        if not isinstance(lines, list) or not all(isinstance(line, str) and line.strip() for line in lines):
            example = [lines] if isinstance(lines, str) and len(lines) < LONGEST_SHOWN else ["numpy==1.26.4"]
            remedy = f"write [{', '.join(shown(line) for line in example)}, ...]"
            self._find("requirements", f"{shown(lines)} is no list of texts", remedy)
            return ()
        for line in lines:
            if UNPRINTABLE.search(line):
                self._find("requirements", f"{shown(line)} holds a character that cannot be printed", "remove it")
        return tuple(lines)

    # Schemas and labels.

    def _schema(self, field: str, framework: str | None) -> str | None:
        rule = None if framework is None else FRAMEWORKS[framework]
        if field not in self._values:
            if rule is not None and rule.needs_schemas:
                self._find(field, f"is missing; {framework} needs it", 'write {"column": "float32[10]", ...}')
            return None
        value = self._json(field)
        if value is None:
            return None
        try:
            is_file = isinstance(value, str) and value.lower().endswith(".arrow")
            text = self._checker.files.schema(value) if is_file else parse_schema(value)
            refused, columns = look_at(text)
        except SchemaProblem as problem:
            self._find(field, str(problem), problem.remedy)
            return None
        if refused is not None:
            self._find(field, str(refused), refused.remedy)
        elif columns == 0 and rule is not None and rule.needs_schemas and not rule.empty_schemas:
            self._find(field, f"has no columns; {framework} needs some", 'write {"column": "float32[10]", ...}')
        return text

    def _labels(self) -> dict[str, str]:
        labels = self._values.get("labels")
        if labels is None:
            return {}
        if isinstance(labels, UnreadableValue):
            self._find("labels", labels.what, labels.remedy)
            return {}
        if not isinstance(labels, dict):
            self._find("labels", f"{shown(labels)} is no object", 'write {"team": "vision"}')
            return {}
        if len(labels) > MOST_LABELS:
            self._find(
                "labels", f"has {len(labels):,} of them, more than {MOST_LABELS}", "keep those that results need"
            )
            return {}
        found: dict[str, str] = {}
        for key, value in labels.items():
            text = None if value is None else label_text(value)
            unfit = list(unsendable("labels", {key: text}, 0)) if isinstance(text, str) else ()
            if unfit:
                self.findings += unfit
            elif isinstance(text, UnreadableValue):
                self._find(f"labels.{key}", text.what, text.remedy)
            elif text is not None and max(len(text), len(key)) > LONGEST_LABEL_CHARACTERS:
                what = f"has {max(len(text), len(key)):,} characters, more than {LONGEST_LABEL_CHARACTERS:,}"
                self._find(f"labels.{key}", what, "write it shorter; what is long belongs into a file")
            elif text is not None:
                found[key] = text
        return found

    def _json(self, field: str) -> Any:
        """The field's value where JSON can hold it; None where it is not given or cannot be sent."""
        value = self._values.get(field)
        if value is None:
            return None
        wrong = list(islice(unsendable(field, value, 0), MOST_FINDINGS_A_FIELD))
        self.findings += wrong
        return None if wrong else value


@cache
def _plain_conversion(framework: str | None) -> Conversion:
    """What nearly all rows have: one for each framework."""
    return Conversion(framework=framework or "")

"""One way to write a manifest in every format, and one to check it."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
import yaml
from pyarrow import feather, parquet

from bulkload.core.model.records import Entry, Notice, Problem
from bulkload.manifest import check, parse_overrides

EXTENSIONS = (".csv", ".jsonl", ".json", ".yaml", ".yml", ".toml", ".parquet", ".arrow", ".feather")
MODEL_FILES = ("model.onnx", "model.pt", "model.pth", "model.h5", "model.pkl", "model.zip", "model", "other.onnx")

Rows = Sequence[Mapping[str, Any]]
Write = Callable[..., Path]


class Checked(NamedTuple):
    entries: list[Entry]
    problems: list[Problem]


Check = Callable[..., Checked]


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def as_csv(rows: Rows) -> bytes:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([text_of(row[name]) if row.get(name) is not None else "" for name in columns] for row in rows)
    return text.getvalue().encode()


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)} = {as_toml(inner)}" for key, inner in value.items() if inner is not None)
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps(value)


def as_table(rows: Rows) -> pa.Table:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    texts = [[None if row.get(name) is None else text_of(row[name]) for row in rows] for name in columns]
    return pa.table([pa.array(column, pa.string()) for column in texts], names=columns)


def write_document(path: Path, rows: Rows, defaults: Mapping[str, Any] | None) -> None:
    document: Any = list(rows) if defaults is None else {"defaults": dict(defaults), "models": list(rows)}
    if path.suffix == ".json":
        path.write_text(json.dumps(document))
    elif path.suffix == ".toml":
        path.write_text(f"defaults = {as_toml(dict(defaults or {}))}\nmodels = {as_toml(list(rows))}\n")
    else:
        path.write_text(yaml.safe_dump(document, sort_keys=False))


@pytest.fixture(params=EXTENSIONS)
def extension(request: pytest.FixtureRequest) -> str:
    """Every format in turn."""
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with model files of all sorts."""
    for name in MODEL_FILES:
        (tmp_path / name).write_bytes(b"model")
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes rows as a manifest in the format of ``extension``; lists and objects in cells are JSON text."""

    def write(extension: str, rows: Rows, defaults: Mapping[str, Any] | None = None) -> Path:
        path = folder / f"manifest{extension}"
        if extension == ".csv":
            path.write_bytes(as_csv(rows))
        elif extension == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif extension == ".parquet":
            parquet.write_table(as_table(rows), path)
        elif extension in (".arrow", ".feather"):
            feather.write_feather(as_table(rows), path)
        else:
            write_document(path, rows, defaults)
        return path

    return write


@pytest.fixture
def checked() -> Check:
    """Checks a manifest; ``overrides`` are ``--set`` words."""

    def checked(
        manifest: Path | str, *, overrides: Sequence[str] = (), workspace: str | None = None, needed: bool = False
    ) -> Checked:
        found = list(
            check(str(manifest), overrides=parse_overrides(overrides), workspace=workspace, workspace_needed=needed)
        )
        told = [one.problem if isinstance(one, Notice) else one for one in found]
        for problem in told:
            # No message hides from a terminal, or does something to it.
            assert isinstance(problem, Entry) or (problem.remedy and str(problem).isprintable()), problem
        return Checked(
            [entry for entry in found if isinstance(entry, Entry)],
            [problem for problem in found if isinstance(problem, Problem)],
        )

    return checked


@pytest.fixture
def check_text(folder: Path, checked: Check) -> Check:
    """Checks a manifest that is written as it stands: ``check_text(".csv", "name,path\\n...")``."""

    def check_text(extension: str, text: str | bytes, **given: Any) -> Checked:
        path = folder / f"manifest{extension}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return checked(path, **given)

    return check_text

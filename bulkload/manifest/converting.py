"""A manifest in another format, without loss."""

import csv
import datetime as dt
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from bulkload.core.bounds import LARGEST_DOCUMENT_BYTES, LONGEST_LINE_BYTES
from bulkload.core.model.errors import ManifestError, UsageError
from bulkload.core.model.records import Problem
from bulkload.core.text.words import UNPRINTABLE, scalar_text, shown
from bulkload.manifest.arrow_pieces import VALUE_BYTES
from bulkload.manifest.checking import STANDARD_INPUT, opened_reader
from bulkload.manifest.document_formats import toml_bomb
from bulkload.manifest.entries import MOST_FINDINGS_A_FIELD
from bulkload.manifest.overriding import over
from bulkload.manifest.problems import problem_list
from bulkload.manifest.rows import FIELDS, Defaults, Row
from bulkload.manifest.values import unsendable
from bulkload.manifest.yaml_scalars import NO_TEXT, NUMBERS_BEGIN
from bulkload.system.file_names import path_text, real_path

# Of Arrow and Parquet, whichever is reached first.
ROWS_A_BATCH = 16_384
CHARACTERS_A_BATCH = 8 << 20
_SCHEMA_FIELDS = ("input_schema", "output_schema")


@dataclass(slots=True)
class _Staged:
    """All rows on disk, one JSON line each, with the fields that occur."""

    file: IO[bytes]
    defaults: dict[str, Any] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows, in the manifest's order."""
        self.file.seek(0)
        for line in self.file:
            yield json.loads(line)

    def full_rows(self) -> Iterator[dict[str, Any]]:
        """The rows with the manifest's defaults written into them."""
        for row in self.rows():
            yield over(self.defaults, row)

    def columns(self) -> list[str]:
        """The fields that occur, in the order of the documentation."""
        return [name for name in FIELDS if name in self.used or name in self.defaults]

    def close(self) -> None:
        """Forget the rows."""
        self.file.close()


def convert(manifest: str, extension: str, target: BinaryIO, folder: Path | None) -> int:
    """Write ``manifest`` to ``target`` in the format of ``extension``; the number of entries.

    ``folder``: where the result will lie; relative paths are rewritten so that they still lead to the same files.
    Reads syntax only: what is wrong with an entry stays wrong. Raises ``ManifestError`` with every problem of the
    syntax, ``UsageError`` for what the other format cannot hold.
    """
    with closing(_stage(manifest, _moved(manifest, folder))) as staged:
        WRITERS[extension](staged, target)
        return sum(1 for _ in staged.rows())


def _moved(manifest: str, folder: Path | None) -> Callable[[str], str]:
    """How a relative path reads from the folder of the result."""
    here = Path.cwd() if manifest == STANDARD_INPUT else real_path(Path(manifest)).parent
    if folder is None or real_path(folder) == here:
        return lambda path: path
    source, target = path_text(str(here)), path_text(str(real_path(folder)))

    def moved(path: str) -> str:
        return path if os.path.isabs(path) else os.path.relpath(os.path.join(source, path), target)  # noqa: PTH117, PTH118

    return moved


def _stage(manifest: str, moved: Callable[[str], str]) -> _Staged:
    staged = _Staged(tempfile.TemporaryFile(prefix="bulkload-"))  # noqa: SIM115 - closed by the caller
    try:
        problems = _fill(staged, manifest, moved)
        if problems:
            plural = "problem" if len(problems) == 1 else "problems"
            raise ManifestError(f"{manifest}: {len(problems):,} {plural}; nothing was converted", problems)
    except BaseException:
        staged.close()
        raise
    return staged


def _fill(staged: _Staged, manifest: str, moved: Callable[[str], str]) -> Sequence[Problem]:
    """Stage the rows; every problem of the syntax."""
    problems = problem_list()
    with opened_reader(manifest) as (reader, stream):
        for found in reader.read(stream):
            if isinstance(found, Problem):
                problems.append(found)
                continue
            fields = _given(found.fields, moved)
            place = found.place if isinstance(found, Row) else "defaults"
            for name, value in fields.items():
                for no in islice(unsendable(name, value, 0), MOST_FINDINGS_A_FIELD):
                    problems.append(reader.problem(place, no.what, no.remedy, no.field))
            if isinstance(found, Defaults):
                staged.defaults = fields
            elif not problems:
                staged.used.update(fields)
                staged.file.write(json.dumps(fields).encode() + b"\n")
    return problems


def _given(fields: dict[str, Any], moved: Callable[[str], str]) -> dict[str, Any]:
    """The fields that are given."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if value is not None and value != "":
            leads_to_file = name == "path" or (
                name in _SCHEMA_FIELDS and isinstance(value, str) and value.endswith(".arrow")
            )
            found[name] = moved(value) if leads_to_file and isinstance(value, str) and "://" not in value else value
    if isinstance(found.get("labels"), dict):
        found["labels"] = {key: _label(value) for key, value in found["labels"].items()}
    return found


def _label(value: Any) -> Any:
    """A date, which not every format has, as the text that it is to the check."""
    return scalar_text(value) if isinstance(value, dt.date | dt.time | dt.timedelta | Decimal) else value


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _write_csv(staged: _Staged, target: BinaryIO) -> None:
    text = io.TextIOWrapper(target, encoding="utf-8", newline="")
    columns = staged.columns()
    line = io.StringIO(newline="")
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(columns)
    for row in staged.full_rows():
        text.write(line.getvalue())
        line.seek(0)
        line.truncate()
        writer.writerow([_cell(row[name]) if name in row else "" for name in columns])
        _see_it_fits(row, line.getvalue().encode())
    text.write(line.getvalue())
    text.flush()
    text.detach()


def _write_jsonl(staged: _Staged, target: BinaryIO) -> None:
    for row in staged.full_rows():
        line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
        _see_it_fits(row, line)
        target.write(line)


def _see_it_fits(row: dict[str, Any], line: bytes) -> None:
    """What is written can be read: a line has its bound."""
    if len(line) > LONGEST_LINE_BYTES:
        what = f"entry {shown(row.get('name'))} has more than {LONGEST_LINE_BYTES >> 20} MiB as a line"
        raise UsageError(f"{what}; write it in fewer words, or choose another format")


class _Document:
    """What is written can be read: a document has its bound."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._left = LARGEST_DOCUMENT_BYTES

    def write(self, data: bytes) -> int:
        """Write, unless it is too much in all."""
        self._left -= len(data)
        if self._left < 0:
            raise UsageError(f"has more than {LARGEST_DOCUMENT_BYTES >> 20} MiB as one document; {_STREAMED}")
        return self._target.write(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """The same for several."""
        for piece in pieces:
            self.write(piece)


_STREAMED = "choose jsonl, csv, parquet or arrow, which are read piece by piece"


def _write_json(staged: _Staged, whole: BinaryIO) -> None:
    target = _Document(whole)
    target.write(b"{")
    if staged.defaults:
        target.write(b'"defaults": ' + json.dumps(staged.defaults, ensure_ascii=False).encode() + b",\n ")
    target.write(b'"models": [')
    separator = b"\n  "
    for row in staged.rows():
        target.write(separator + json.dumps(row, ensure_ascii=False).encode())
        separator = b",\n  "
    target.write(b"\n]}\n")


def _write_yaml(staged: _Staged, whole: BinaryIO) -> None:
    import yaml

    target = _Document(whole)

    class Dumper(yaml.SafeDumper):
        """Where PyYAML writes text that would not be read back as the same text."""

        def text(self, value: str) -> yaml.ScalarNode:
            # Between single quotes it leaves line ends such as U+0085 as they are, and they become spaces.
            style = '"' if UNPRINTABLE.search(value) else None
            return self.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, Dumper.text)
    # YAML 1.1 does not know all numbers (1e-3, 0o17), and leaves texts that look like them without quotes.
    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", NO_TEXT, list(NUMBERS_BEGIN))

    def block(value: Any) -> bytes:
        text: str = yaml.dump(
            value, Dumper=Dumper, allow_unicode=True, sort_keys=False, default_flow_style=None, width=120
        )
        return text.encode()

    if staged.defaults:
        target.write(block({"defaults": staged.defaults}))
    target.write(b"models:\n")
    target.writelines(block([row]) for row in staged.rows())


def _write_toml(staged: _Staged, target: BinaryIO) -> None:
    """Whole: its writer knows no parts, and a TOML manifest is read whole too."""
    import tomli_w

    document: dict[str, Any] = {"defaults": staged.defaults} if staged.defaults else {}
    try:
        text = tomli_w.dumps({**document, "models": list(staged.rows())})
    except TypeError:
        raise UsageError("TOML cannot hold null; leave it out, or choose another format") from None
    bomb = toml_bomb(text)
    if bomb is not None:
        raise UsageError(f"{bomb[0]} as TOML; {_STREAMED}")
    _Document(target).write(text.encode())


def _write_arrow(staged: _Staged, target: BinaryIO, *, parquet: bool) -> None:
    """Text columns; lists and objects as JSON text, because entries may differ in their form."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    columns = staged.columns()
    schema = pa.schema([(name, pa.string()) for name in columns])
    opened = pq.ParquetWriter(target, schema) if parquet else pa.ipc.new_file(cast("io.IOBase", target), schema)
    with opened as writer:
        batch: list[dict[str, str]] = []
        characters = 0
        for row in staged.full_rows():
            cells = {name: _cell(value) for name, value in row.items()}
            _see_it_fits(row, b"".join(cell.encode().ljust(len(cell) + VALUE_BYTES) for cell in cells.values()))
            batch.append(cells)
            characters += sum(map(len, cells.values()))
            if len(batch) == ROWS_A_BATCH or characters > CHARACTERS_A_BATCH:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                batch, characters = [], 0
        writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def _write_parquet(staged: _Staged, target: BinaryIO) -> None:
    _write_arrow(staged, target, parquet=True)


def _write_ipc(staged: _Staged, target: BinaryIO) -> None:
    _write_arrow(staged, target, parquet=False)


WRITERS: dict[str, Callable[[_Staged, BinaryIO], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".json": _write_json,
    ".yaml": _write_yaml,
    ".yml": _write_yaml,
    ".toml": _write_toml,
    ".parquet": _write_parquet,
    ".arrow": _write_ipc,
    ".feather": _write_ipc,
}

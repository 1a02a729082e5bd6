"""The offline check: a whole manifest, once, streamed, with every problem and nothing sent."""

import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from bulkload.core.equality import offline_keys
from bulkload.core.frameworks import did_you_mean
from bulkload.core.records import Entry, Problem
from bulkload.manifest.arrow_formats import Arrow, Parquet
from bulkload.manifest.document_formats import Json, Toml
from bulkload.manifest.entries import EntryChecker
from bulkload.manifest.line_formats import Csv, JsonLines
from bulkload.manifest.rows import Defaults, Reader, Row
from bulkload.manifest.yaml_format import Yaml

STANDARD_INPUT = "-"

READERS: dict[str, type[Reader]] = {
    ".csv": Csv,
    ".jsonl": JsonLines,
    ".json": Json,
    ".yaml": Yaml,
    ".yml": Yaml,
    ".toml": Toml,
    ".parquet": Parquet,
    ".arrow": Arrow,
    ".feather": Arrow,
}


def check(
    manifest: str, *, overrides: Mapping[str, str], workspace: str | None, workspace_needed: bool
) -> Iterator[Entry | Problem]:
    """Read ``manifest`` (a path, or ``-`` for JSON lines on standard input) and yield entries and problems.

    ``overrides`` are ``--set`` words, ``workspace`` is for entries that name none; ``workspace_needed`` makes it a
    problem when there is none at all. Holds neither rows nor entries, whatever the manifest's size.
    """
    if manifest == STANDARD_INPUT:
        checker = EntryChecker(manifest, Path.cwd(), overrides, workspace, workspace_needed=workspace_needed)
        yield from _check_rows(checker, JsonLines("standard input"), sys.stdin.buffer)
        return
    path = Path(manifest)
    reader = READERS.get(path.suffix.lower())
    wrong = _wrong_manifest(path) if reader is None or not path.is_file() else None
    if wrong is not None or reader is None:
        what, remedy = wrong or ("", "")
        yield Problem(manifest=manifest, place="", field="", what=what, remedy=remedy)
        return
    try:
        stream = path.open("rb")
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        yield Problem(manifest=manifest, place="", field="", what=what, remedy="check its permissions")
        return
    folder = Path.cwd() / path.parent
    checker = EntryChecker(manifest, folder, overrides, workspace, workspace_needed=workspace_needed)
    with stream:
        yield from _check_rows(checker, reader(manifest), stream)


def _wrong_manifest(path: Path) -> tuple[str, str]:
    if path.is_dir():
        return "is a folder", "name a manifest inside it"
    if path.exists() and not path.is_file():
        return "is no regular file", "name a file, or pipe JSON lines and name it -"
    if not path.exists():
        return "does not exist", "check the path"
    extensions = tuple(READERS)
    suffix = path.suffix or path.name
    return f'"{suffix}" is no manifest format', did_you_mean(suffix, extensions)


def _check_rows(checker: EntryChecker, reader: Reader, stream: BinaryIO) -> Iterator[Entry | Problem]:
    empty = True
    with closing(_Seen()) as seen:
        for found in reader.read(stream):
            if isinstance(found, Problem):
                empty = False
                yield found
            elif isinstance(found, Defaults):
                checker.defaults = found.fields
            else:
                empty = False
                yield from _check_row(checker, seen, found)
    if empty:
        yield reader.problem("", "holds no entries", "write one entry a model version: at least name and path")


def _check_row(checker: EntryChecker, seen: "_Seen", row: Row) -> Iterator[Entry | Problem]:
    checked = checker.check(row)
    if not isinstance(checked, Entry):
        yield from checked
        return
    twin = seen.add(row.place, offline_keys(checked))
    if twin is not None:
        yield Problem(
            manifest=checker.manifest,
            place=row.place,
            field="name",
            what=f'"{checked.name}" with this file and these settings stands at {twin} already',
            remedy="remove one of them, or give them different version labels",
        )
        return
    yield checked


class _Seen:
    """The keys of the entries so far: on disk beyond a few megabytes, so that a million rows cost no memory."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA cache_size = -8192")
        self._connection.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, place TEXT NOT NULL) WITHOUT ROWID")
        self._connection.execute("BEGIN")

    def add(self, place: str, keys: tuple[bytes, ...]) -> str | None:
        """Remember the keys; the place of the entry that had one of them already."""
        for key in keys:
            try:
                self._connection.execute("INSERT INTO seen VALUES (?, ?)", (key, place))
            except sqlite3.IntegrityError:
                row = self._connection.execute("SELECT place FROM seen WHERE key = ?", (key,)).fetchone()
                return str(row[0])
        return None

    def close(self) -> None:
        """Forget all."""
        self._connection.close()

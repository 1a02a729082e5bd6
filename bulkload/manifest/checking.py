"""The offline check: a whole manifest, once, streamed, with every problem and nothing sent."""

import sqlite3
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from bulkload.core.identity.content import offline_keys
from bulkload.core.model.errors import ManifestError
from bulkload.core.model.records import Entry, Notice, Problem
from bulkload.core.text.words import did_you_mean, shown
from bulkload.core.verdicts import refuse_passing
from bulkload.manifest.arrow_formats import Arrow, Parquet
from bulkload.manifest.document_formats import Json, Toml
from bulkload.manifest.entries import EntryChecker
from bulkload.manifest.files import Files, IsKnown, Outside
from bulkload.manifest.line_formats import Csv, JsonLines
from bulkload.manifest.rows import Defaults, Reader
from bulkload.manifest.yaml_format import Yaml
from bulkload.system.file_names import is_utf8, recorded_path

STANDARD_INPUT = "-"
# Keys are random: what is not in this cache is a page read and written for every row.
CACHE_KIB = 32 * 1024

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
    manifest: str,
    *,
    overrides: Mapping[str, str],
    workspace: str | None,
    workspace_needed: bool,
    root: str | None = None,
    outside: Outside | None = None,
    is_known: IsKnown = lambda *_: False,
) -> Iterator[Entry | Problem | Notice]:
    """Read ``manifest`` (a path, or ``-`` for JSON lines on standard input) and yield entries, problems and notices.

    ``overrides`` are ``--set`` words, ``workspace`` is for entries that name none; ``workspace_needed`` makes it a
    problem when there is none at all. Nothing outside ``root`` (its links resolved) is read for it; ``outside`` counts
    the files that lie outside the manifest's folder; what ``is_known`` knows is not looked into. Holds neither rows nor
    entries, whatever the manifest's size.
    """
    try:
        folder = _folder_of(manifest)
        with opened_reader(manifest) as (reader, stream):
            files = Files(folder, root, outside, is_known)
            checker = EntryChecker(reader.manifest, files, overrides, workspace, workspace_needed=workspace_needed)
            yield from _check_rows(checker, reader, stream)
    except ManifestError as error:
        yield from error.problems


def _folder_of(manifest: str) -> Path:
    """Where relative paths begin: absolute, unless its name is no UTF-8, which no record can hold."""
    below = Path() if manifest == STANDARD_INPUT else Path(manifest).parent
    folder = Path.cwd() / below
    if is_utf8(str(folder)):
        return folder
    if not is_utf8(str(below)):
        what = "lies in a folder whose name is not UTF-8"
        raise _not_opened(recorded_path(manifest), what, "rename the folder, or run from inside it")
    return below


@contextmanager
def opened_reader(manifest: str) -> Iterator[tuple[Reader, BinaryIO]]:
    """The reader of a manifest's format and its open file. Raises ``ManifestError`` where either cannot be had."""
    named = "standard input" if manifest == STANDARD_INPUT else recorded_path(manifest)
    reader = JsonLines if manifest == STANDARD_INPUT else READERS.get(_extension(manifest))
    wrong = None if manifest == STANDARD_INPUT else _wrong_manifest(manifest)
    if wrong is not None or reader is None:
        raise _not_opened(named, *(wrong or _wrong_extension(manifest)))
    try:
        with _opened(manifest) as stream:
            yield reader(named), stream
    except OSError as error:
        refuse_passing(named, error)
        what = f"cannot be read ({error.strerror or error})"
        raise _not_opened(named, what, "check the path and its permissions") from None


def _not_opened(manifest: str, what: str, remedy: str) -> ManifestError:
    problem = Problem(manifest=manifest, place="", field="", what=what, remedy=remedy)
    return ManifestError(f"{manifest}: {what}", (problem,))


def place_of(manifest: str, line: int) -> str:
    """Where an entry stands, by the number that it has."""
    noun = {Csv: "line", JsonLines: "line", Parquet: "row", Arrow: "row"}
    return f"{noun.get(READERS.get(_extension(manifest), JsonLines), 'item')} {line}"


def _extension(manifest: str) -> str:
    return Path(manifest).suffix.lower()


def _opened(manifest: str) -> AbstractContextManager[BinaryIO]:
    if manifest != STANDARD_INPUT:
        return Path(manifest).open("rb")
    if sys.stdin is None:  # started with it closed
        raise OSError("standard input is closed")
    return nullcontext(sys.stdin.buffer)


def _wrong_manifest(manifest: str) -> tuple[str, str] | None:
    try:
        mode = Path(manifest).stat().st_mode
    except FileNotFoundError:
        return "does not exist", "check the path"
    except (OSError, ValueError) as error:
        refuse_passing(manifest, error)
        return f"cannot be looked at ({getattr(error, 'strerror', None) or error})", "check the path"
    if stat.S_ISDIR(mode):
        return "is a folder", "name a manifest inside it"
    if not stat.S_ISREG(mode):
        return "is no regular file", "name a file, or pipe JSON lines and name it -"
    return None


def _wrong_extension(manifest: str) -> tuple[str, str]:
    suffix = Path(manifest).suffix
    if not suffix:
        return "has no extension that says its format", f"name it as one of {', '.join(READERS)}"
    return f"{shown(suffix)} is no manifest format", did_you_mean(suffix, READERS)


def _check_rows(checker: EntryChecker, reader: Reader, stream: BinaryIO) -> Iterator[Entry | Problem | Notice]:
    empty = True
    with closing(_Seen()) as seen:
        for found in reader.read(stream):
            if isinstance(found, Defaults):
                checker.take_defaults(found.fields)
                continue
            empty = False
            if isinstance(found, Problem):
                yield found
                continue
            checked = checker.check(found)
            if checker.notices:
                yield from checker.take_notices()
            if not isinstance(checked, Entry):
                yield from checked
            elif found.guessed:
                continue
            elif (first := seen.add(found.place, offline_keys(checked))) is None:
                yield checked
            else:
                what = f'"{checked.name}" with this file and these settings stands at {first} already'
                yield reader.problem(
                    found.place, what, "remove one of them, or give them different version labels", field="name"
                )
    if empty:
        yield reader.problem("", "holds no entries", "write one entry a model version: at least name and path")


class _Seen:
    """The keys of the entries so far: on disk beyond the cache, so that no number of rows costs more memory."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
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

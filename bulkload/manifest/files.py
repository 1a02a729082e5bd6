"""The files that a manifest names: looked at, at both ends, and never loaded."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from io import IOBase
from pathlib import Path
from typing import cast

from bulkload.core.bounds import FILE_HEAD_BYTES
from bulkload.core.contract.schemas import NOT_READABLE, SchemaProblem, to_base64
from bulkload.core.formats.contents import folder_content, look
from bulkload.core.formats.signatures import Content
from bulkload.core.text.words import shown, shown_path
from bulkload.core.verdicts import local_failure, refuse_passing
from bulkload.manifest.arrow_stream import ArrowStream, TooLarge
from bulkload.manifest.missing import Missing
from bulkload.system.file_names import local_path, path_text
from bulkload.system.folders import Folder, WrongFolder, folder_in
from bulkload.system.opening import NO_FILE, OutsideRoot, is_below, open_regular

# Schemas of files that are kept, small ones.
MOST_SCHEMAS = 1_000
LARGEST_SCHEMA = 1 << 14


# Folders of which it is known whether they lie in the manifest's own.
MOST_FOLDERS = 1_000


@dataclass(slots=True)
class Outside:
    """Files that lie outside the manifest's own folder."""

    count: int = 0
    # The first of them.
    example: str = ""


# Whether the entry of a line, with this path and framework, was sent from the file, or the folder, as it is now.
IsKnown = Callable[[int, str, str, "os.stat_result | Folder"], bool]


class Files:
    """What one manifest's relative paths mean."""

    def __init__(
        self,
        folder: Path,
        root: str | None = None,
        outside: Outside | None = None,
        is_known: IsKnown = lambda *_: False,
    ) -> None:
        """``root``: nothing outside it is looked at; its links are resolved. ``is_known``: what is not looked into."""
        self._folder = path_text(str(folder))
        # As ``os.path.join`` would put it, a million times.
        self._prefix = os.path.join(self._folder, "")  # noqa: PTH118
        self._real_folder = path_text(os.path.realpath(folder))
        self._root = root
        self._outside = outside
        self._is_known = is_known
        # Of the last file that was looked at from outside, or what the folder holds that it is.
        self._found: os.stat_result | Folder | None = None
        self._inside: dict[str, bool] = {}
        self._missing = Missing()
        self._schemas: dict[str, str | SchemaProblem] = {}

    def source(self, path: str) -> str:
        """The absolute path."""
        return path if path.startswith("/") else self._prefix + path

    def wrong(self, path: str, source: str) -> Content | None:
        """What keeps a file from being sent, and the remedy; only its stat is looked at."""
        self._found = None
        if self._root is not None and not is_below(source, self._root):
            return self._out_of_root()
        try:
            place = local_path(source)
            found = os.lstat(place)
            is_link = stat.S_ISLNK(found.st_mode)
            self._found = found = os.stat(place) if is_link else found  # noqa: PTH116 - a million times
        except FileNotFoundError:
            return Content(*self._missing.cause(path, source))
        except NotADirectoryError:
            what = "names a file with a / after it" if path.endswith("/") else "leads through a file, not a folder"
            return Content(what, "check the path")
        except (OSError, ValueError) as error:
            return _not_looked_at(source, error, "check the path")
        if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
            return self._wrong_folder(path, source) if stat.S_ISDIR(found.st_mode) else _no_content(found.st_mode)
        if self._outside is not None and not self._is_inside(place, is_link=is_link):
            self._outside.count += 1
            self._outside.example = self._outside.example or path
        return None if os.access(place, os.R_OK) else Content("cannot be read", "check its permissions")

    def content(self, line: int, path: str, source: str, framework: str) -> Content | None:
        """What is wrong with the content of the file that ``wrong`` looked at last: its beginning is read, and of some
        its end, unless it is known. ``framework``: or empty.
        """
        if self._found is not None and self._is_known(line, path, framework, self._found):
            return None
        if self.is_folder:
            return folder_content(framework)
        try:
            descriptor, found = open_regular(source, self._root)
        except OutsideRoot:
            return self._out_of_root()
        except (OSError, ValueError) as error:
            return _not_looked_at(source, error, "check its permissions")
        try:
            size = found.st_size
            # A buffer of the whole bound costs more than a small file.
            head = os.pread(descriptor, min(FILE_HEAD_BYTES, size), 0)
            return look(framework, source, size, head, lambda place, length: os.pread(descriptor, length, place))
        except Exception as error:  # noqa: BLE001 - a look that fails is one entry's, and no reason to refuse it
            return _not_looked_at(source, error, "look at it yourself", certain=False)
        finally:
            os.close(descriptor)

    @property
    def is_folder(self) -> bool:
        """Whether ``wrong`` looked at a folder last, and found nothing wrong with it: it is sent as a zip."""
        return isinstance(self._found, Folder)

    def named(self, path: str, source: str) -> tuple[str, str]:
        """Path and source as they are kept of what was looked at last: those of a folder end with a /, however it is
        written.
        """
        return (f"{path.rstrip('/')}/", f"{source.rstrip('/')}/") if self.is_folder else (path, source)

    def _wrong_folder(self, path: str, source: str) -> Content | None:
        """The same for a folder, with all that is in it."""
        self._found = None
        name = os.path.basename(path.rstrip("/"))  # noqa: PTH119
        if name in ("", ".", ".."):
            return Content("is a folder without a name, which its zip needs", "name it by its own name, as models/a/")
        try:
            folder = folder_in(source, self._root)
            wrong = next((m for m in folder.members if not os.access(_inside(source, m.name), os.R_OK)), None)
        except OutsideRoot:
            return self._out_of_root()
        except WrongFolder as error:
            return Content(error.what, error.remedy)
        except (OSError, ValueError) as error:
            return _not_looked_at(source, error, "check its permissions")
        if wrong is not None:
            return Content(f"holds {shown_path(wrong.name.decode())}, which cannot be read", "check its permissions")
        self._found = folder
        if self._outside is not None and not all(is_below(p, self._real_folder) for p in (source, *folder.links)):
            self._outside.count += 1
            self._outside.example = self._outside.example or path
        return None

    def _out_of_root(self) -> Content:
        return Content(f"lies outside --root {self._root}", "move it there, or name another --root")

    def _is_inside(self, place: str, *, is_link: bool) -> bool:
        """Whether a file lies in the manifest's own folder, links resolved."""
        if is_link:
            return is_below(place, self._real_folder)
        # As ``os.path.dirname``, a million times.
        folder = place[: place.rfind("/") + 1]
        inside = self._inside.get(folder)
        if inside is None:
            inside = is_below(folder, self._real_folder)
            if len(self._inside) < MOST_FOLDERS:
                self._inside[folder] = inside
        return inside

    def schema(self, path: str) -> str:
        """The schema of an Arrow IPC file, as base64. Raises ``SchemaProblem``."""
        found = self._schemas.get(path)
        if found is None:
            try:
                found = _schema_of_file(self.source(path), path, self._root)
            except SchemaProblem as problem:
                found = problem
            if len(self._schemas) < MOST_SCHEMAS and (isinstance(found, SchemaProblem) or len(found) < LARGEST_SCHEMA):
                self._schemas[path] = found
        if isinstance(found, SchemaProblem):
            raise found
        return found


def _inside(folder: str, name: bytes) -> str:
    return os.path.join(local_path(folder), os.fsdecode(name))  # noqa: PTH118


def _no_content(mode: int) -> Content:
    if not stat.S_ISREG(mode):
        return Content(NO_FILE, "name a file")
    return Content("is empty", "check where it comes from")


def _not_looked_at(source: str, error: Exception, remedy: str, *, certain: bool = True) -> Content:
    """A file that was not seen. Where the cause passes, the upload finds out: it is tried again within bounds."""
    failure = local_failure(source, error)
    if failure is not None:
        return Content(f"cannot be looked at for now ({failure.message})", "it is tried again when it is sent", False)
    return Content(f"cannot be looked at ({getattr(error, 'strerror', None) or error})", remedy, certain)


def _schema_of_file(source: str, path: str, root: str | None) -> str:
    import pyarrow as pa

    remedy = "name an Arrow IPC file, or write the columns out"
    try:
        # A pipe would be waited for without end.
        descriptor, _ = open_regular(source, root)
    except OutsideRoot:
        what = f"{shown(path)} lies outside --root {root}"
        raise SchemaProblem(what, "move it there, or name another --root") from None
    except (OSError, ValueError) as error:
        refuse_passing(source, error)
        reason = getattr(error, "strerror", None) or error
        words = reason if reason == NO_FILE else f"cannot be read ({reason})"
        raise SchemaProblem(f"{shown(path)} {words}", remedy) from None
    with os.fdopen(descriptor, "rb") as opened:
        try:
            # Only what describes the columns is read, however much data follows.
            stream = pa.PythonFile(cast("IOBase", ArrowStream(opened, schema_only=True)), mode="r")
            return to_base64(pa.ipc.open_stream(stream).schema.remove_metadata())
        except TooLarge as error:
            raise SchemaProblem(f"{shown(path)}: {error}", remedy) from None
        except NOT_READABLE as error:
            refuse_passing(source, error)
    raise SchemaProblem(f"{shown(path)} is no Arrow IPC file", remedy)

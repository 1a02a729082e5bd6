"""The files that a manifest names: looked at, not read."""

import difflib
import os
import stat
import unicodedata
from pathlib import Path

from bulkload.core.frameworks import shown
from bulkload.core.schemas import NOT_READABLE, SchemaProblem, to_base64

# A search for what was meant takes milliseconds: it is done for the first missing files, not for a million of them, and
# not in folders where it would take longer.
MOST_SUGGESTIONS = 100
MOST_NAMES = 2_000


class Files:
    """What one manifest's relative paths mean."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._suggestions_left = MOST_SUGGESTIONS
        self._schemas: dict[str, str | SchemaProblem] = {}

    def source(self, path: str) -> str:
        """The absolute path."""
        return os.path.join(self._folder, path)  # noqa: PTH118 - a million times

    def wrong(self, path: str, source: str) -> tuple[str, str] | None:
        """What keeps a file from being sent, and the remedy; only its stat is looked at."""
        try:
            found = os.stat(source)  # noqa: PTH116 - a million times
        except FileNotFoundError:
            return "does not exist", self._meant(path)
        except NotADirectoryError:
            what = "names a file with a / after it" if path.endswith("/") else "leads through a file, not a folder"
            return what, "check the path"
        except (OSError, ValueError) as error:
            return f"cannot be looked at ({getattr(error, 'strerror', None) or error})", "check the path"
        if not stat.S_ISREG(found.st_mode):
            is_folder = stat.S_ISDIR(found.st_mode)
            return ("is a folder", "zip it and name the zip") if is_folder else ("is no regular file", "name a file")
        if found.st_size == 0:
            return "is empty", "check where it comes from"
        return None if os.access(source, os.R_OK) else ("cannot be read", "check its permissions")

    def _meant(self, path: str) -> str:
        """The remedy for a file that is not there."""
        if self._suggestions_left == 0:
            return "check the path; it is relative to the manifest's folder"
        self._suggestions_left -= 1
        for other in (path.strip(), path.replace("\\", "/").strip()):
            if other != path and os.path.isfile(self.source(other)):  # noqa: PTH113
                return f"write it as {shown(other)}"
        folder, name = os.path.split(path)
        names = _names_in(self.source(folder))
        if names is None:
            return f"there is no folder {shown(folder)} in the manifest's folder; check the path"
        same = next((other for other in names if unicodedata.normalize("NFC", other) == _composed(name)), None)
        if same is not None:
            return "rename the file: its name looks the same, but is written with other Unicode characters (NFC, NFD)"
        near = difflib.get_close_matches(name[:255], names, n=1) if len(names) <= MOST_NAMES else []
        if near:
            return f"did you mean {shown(os.path.join(folder, near[0]))}?"  # noqa: PTH118
        return "check the path; it is relative to the manifest's folder"

    def schema(self, path: str) -> str:
        """The schema of an Arrow IPC file, as base64. Raises ``SchemaProblem``."""
        found = self._schemas.get(path)
        if found is None:
            try:
                found = _schema_of_file(self.source(path), path)
            except SchemaProblem as problem:
                found = problem
            if len(self._schemas) < MOST_NAMES:
                self._schemas[path] = found
        if isinstance(found, SchemaProblem):
            raise found
        return found


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _names_in(folder: str) -> list[str] | None:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return None


def _schema_of_file(source: str, path: str) -> str:
    import pyarrow as pa

    remedy = "name an Arrow IPC file, or write the columns out"
    try:
        mode = os.stat(source).st_mode  # noqa: PTH116
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SchemaProblem(f"{shown(path)} cannot be read ({reason})", remedy) from None
    if not stat.S_ISREG(mode):  # a pipe would be waited for without end
        raise SchemaProblem(f"{shown(path)} is no regular file", remedy)
    for opened in (pa.ipc.open_file, pa.ipc.open_stream):
        try:
            # Only what describes the columns is read, however much data follows.
            with pa.OSFile(source, "rb") as file, opened(file) as reader:
                return to_base64(reader.schema.remove_metadata())
        except NOT_READABLE:
            continue
    raise SchemaProblem(f"{shown(path)} is no Arrow IPC file", remedy)

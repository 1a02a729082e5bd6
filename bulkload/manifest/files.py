"""The files that a manifest names: looked at, not read."""

import os
import stat
from pathlib import Path

from bulkload.core.schemas import NOT_READABLE, SchemaProblem, to_base64
from bulkload.core.words import shown
from bulkload.manifest.missing import Missing
from bulkload.system.file_names import local_path, path_text

# Schemas of files that are kept, small ones.
MOST_SCHEMAS = 1_000


class Files:
    """What one manifest's relative paths mean."""

    def __init__(self, folder: Path) -> None:
        self._folder = path_text(str(folder))
        self._missing = Missing()
        self._schemas: dict[str, str | SchemaProblem] = {}

    def source(self, path: str) -> str:
        """The absolute path."""
        return os.path.join(self._folder, path)  # noqa: PTH118 - a million times

    def wrong(self, path: str, source: str) -> tuple[str, str] | None:
        """What keeps a file from being sent, and the remedy; only its stat is looked at."""
        try:
            found = os.stat(local_path(source))  # noqa: PTH116 - a million times
        except FileNotFoundError:
            return self._missing.cause(path, source)
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
        return None if os.access(local_path(source), os.R_OK) else ("cannot be read", "check its permissions")

    def schema(self, path: str) -> str:
        """The schema of an Arrow IPC file, as base64. Raises ``SchemaProblem``."""
        found = self._schemas.get(path)
        if found is None:
            try:
                found = _schema_of_file(self.source(path), path)
            except SchemaProblem as problem:
                found = problem
            if len(self._schemas) < MOST_SCHEMAS:
                self._schemas[path] = found
        if isinstance(found, SchemaProblem):
            raise found
        return found


def _schema_of_file(source: str, path: str) -> str:
    import pyarrow as pa

    remedy = "name an Arrow IPC file, or write the columns out"
    source = local_path(source)
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

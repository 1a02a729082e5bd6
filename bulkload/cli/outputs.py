"""Files that a command is told to write by -o."""

import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bulkload.core.model.errors import OutputLost, UsageError
from bulkload.report.sink import Sink
from bulkload.system.replacing import replaced

# With these begin SQLite's files and their write-ahead logs: a ledger, or what somebody else needs.
_DATABASES = (b"SQLite format 3\0", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
# Standard output by another name: what it leads to is written on, not replaced.
_STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def named_file(output: Path | None) -> Path | None:
    """The file that -o names; None for standard output."""
    return None if output is None or str(output) in _STANDARD_OUTPUT else output


@contextmanager
def written_file(path: Path, *, beside: Collection[Path] = (), flag: str = "-o") -> Iterator[Sink]:
    """A file to be written in the block; it is there whole when that ends well, else as it was before.

    ``beside``: what is read meanwhile, and must not be replaced by what comes of it; nor is any database. ``flag``
    names the file. Raises ``UsageError`` where no file can lie, ``OutputLost`` where it cannot be written to its end.
    """
    refuse_what_is_read(path, beside, flag)
    with ExitStack() as stack:
        try:
            draft = stack.enter_context(replaced(path))
            stream = stack.enter_context(draft.open("w", encoding="utf-8", newline="\n"))
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror}); name another file with {flag}") from None
        sink = Sink(stream, name=str(path))
        yield sink
        sink.flush()
        try:
            stack.close()
        except OSError as error:
            raise OutputLost(f"{path}: cannot be written ({error.strerror}); what was there is there still") from None


def refuse_what_is_read(path: Path, beside: Collection[Path], flag: str) -> None:
    """Raise ``UsageError`` for what must not be written over."""
    if any(_same(path, source) for source in beside):
        raise UsageError(f"{path}: is what the rows are read from; name another file with {flag}")
    if _is_database(path):
        raise UsageError(
            f"{path}: is a database, such as a ledger, and is not written over; name another file with {flag}"
        )


def refuse_no_folder(path: Path, flag: str) -> None:
    """Raise ``UsageError`` where no file can be made: what is written in the end had better be known now."""
    folder = path.parent
    try:
        reason = None if folder.is_dir() else "there is no such folder"
    except OSError as error:
        reason = error.strerror
    if reason is None and not os.access(folder, os.W_OK | os.X_OK):
        reason = "this user may not write there"
    if reason is not None:
        raise UsageError(f"{path}: cannot be written ({reason}); name another file with {flag}")


def _is_database(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(16).startswith(_DATABASES)
    except OSError:
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False

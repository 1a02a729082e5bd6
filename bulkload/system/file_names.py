"""File names are bytes: a text of ours means its UTF-8, whatever the locale says."""

import os
import sys
from pathlib import Path

_IS_UTF8 = sys.getfilesystemencoding() == "utf-8"


def local_path(text: str) -> str:
    """What Python's functions call the path that has this text's UTF-8 as its bytes. Raises ``UnicodeEncodeError``."""
    return text if _IS_UTF8 else os.fsdecode(text.encode("utf-8", "surrogateescape"))


def real_path(path: Path) -> Path:
    """Where a path leads, its links followed. One that leads in a circle is left as it is: whoever opens it is told.

    ``Path.resolve`` raises what is no ``OSError`` for it.
    """
    return Path(os.path.realpath(path))


def path_text(path: str) -> str:
    """The text of a path that Python's functions gave; bytes that are no UTF-8 are lone surrogates in it."""
    return path if _IS_UTF8 else os.fsencode(path).decode("utf-8", "surrogateescape")


def is_utf8(path: str) -> bool:
    """Whether the bytes of a path are text, as every record needs."""
    return path_text(path) == recorded_path(path)


def recorded_path(path: str) -> str:
    """The same for messages and records: bytes that are no UTF-8 are written as escapes."""
    return path_text(path).encode("utf-8", "backslashreplace").decode()

"""Which ledger a command is asked about: one that is there, or words about what is there instead."""

import difflib
import os
import shlex
from pathlib import Path

from bulkload.cli.options import SANDBOX_LEDGER, default_ledger, program, sandbox_folder
from bulkload.core.errors import UsageError

# With it every SQLite file begins.
_MAGIC = b"SQLite format 3\0"
_ENDING = ".db"
MOST_NAMED = 3


def existing_ledger(path: Path) -> Path:
    """A ledger that is there. A manifest's path stands for its ledger.

    Raises ``UsageError`` where there is none; whether it can be read is seen when it is opened.
    """
    found = path if path.suffix == _ENDING else _ledger_of(path)
    if not _is_there(found):
        raise UsageError(f"{path}: there is no such ledger{_hint(path.name, path.parent)}")
    if found.is_dir():
        raise UsageError(f"{path}: is a folder, not a ledger{_hint('', path)}")
    if not found.is_file():
        raise UsageError(f"{path}: is no file; a ledger is one")
    begins = _beginning(found)
    if found.suffix == _ENDING:
        if begins == b"":
            raise UsageError(f"{found}: is empty: no run has begun with this ledger{_hint(found.name, found.parent)}")
        return found
    if begins in (None, _MAGIC):
        return found
    named = shlex.quote(str(path))
    raise UsageError(f"{path}: has no ledger yet: `{program()} run {named}` makes {default_ledger(str(path))}")


def _ledger_of(manifest: Path) -> Path:
    """The ledger beside a manifest, or that of its private sandbox; the path itself where there is neither."""
    for ledger in (default_ledger(str(manifest)), sandbox_folder(str(manifest)) / SANDBOX_LEDGER):
        if os.path.isfile(ledger):  # noqa: PTH113 - False also for what cannot be looked at
            return ledger
    return manifest


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except PermissionError as error:
        raise UsageError(f"{path}: cannot be looked at ({error.strerror}); ask the folder's owner") from None
    except (OSError, ValueError):
        return False
    return True


def _beginning(path: Path) -> bytes | None:
    """The first bytes; None where they cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC))
    except OSError:
        return None


def _hint(name: str, folder: Path) -> str:
    """What may have been meant: a ledger beside it, or how to make one."""
    try:
        ledgers = sorted(found.name for found in folder.iterdir() if found.suffix == _ENDING and _is_ledger(found))
    except OSError:
        ledgers = []
    manifests = [ledger.removesuffix(".ledger.db") for ledger in ledgers]
    near = difflib.get_close_matches(name, {*ledgers, *manifests}, n=1, cutoff=0.8) if name else []
    if near:
        return f"; did you mean {folder / near[0]}?"
    if ledgers:
        more = f" and {len(ledgers) - MOST_NAMED:,} more" if len(ledgers) > MOST_NAMED else ""
        return f"; ledgers in {folder}: {', '.join(ledgers[:MOST_NAMED])}{more}"
    return f"; `{program()} run MANIFEST` makes one"


def _is_ledger(path: Path) -> bool:
    return path.is_file() and _beginning(path) == _MAGIC

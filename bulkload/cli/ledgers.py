"""Which ledger a command is asked about: one that is there, or words about what is there instead."""

import shlex
from pathlib import Path

from bulkload.cli.options import REGISTRY_FOLDER, SANDBOX_LEDGER, default_ledger, program, sandbox_folder
from bulkload.core.model.errors import UsageError
from bulkload.system.file_names import real_path

# With it every SQLite file begins.
_MAGIC = b"SQLite format 3\0"
_ENDING = ".db"
MOST_NAMED = 3


def existing_ledger(path: Path, *, of_sandbox: bool = False) -> Path:
    """A ledger that is there. A manifest's path stands for its ledger, or for that of its private sandbox.

    ``of_sandbox``: that of the sandbox is meant, where there are both. Raises ``UsageError`` where there is none;
    whether it can be read is seen when it is opened.
    """
    found = path if path.suffix == _ENDING else _ledger_of(path, of_sandbox=of_sandbox)
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


def sandbox_of_ledger(ledger: Path) -> Path:
    """The folder of the private sandbox that a ledger was published to: around it, or beside one that was named.

    Raises ``UsageError`` where there is none: looking makes none.
    """
    for folder in (sandbox_folder(str(ledger)), *([ledger.parent] if ledger.name == SANDBOX_LEDGER else [])):
        if is_sandbox(folder):
            return folder
    raise UsageError(f"{ledger}: there is no private sandbox of this ledger; give --endpoint in place of --sandbox")


def is_sandbox(folder: Path) -> bool:
    """Whether a private sandbox keeps its data there. Raises ``UsageError`` where that cannot be seen."""
    data = folder / REGISTRY_FOLDER
    return _is_there(data) and data.is_dir()


def files_of(ledger: Path) -> list[Path]:
    """A ledger, what is kept beside it, and the manifest that it has its name from; not all need be there."""
    real = real_path(ledger)
    beside = [real.with_name(real.name + suffix) for suffix in ("", "-wal", "-shm", "-journal", ".lock", ".heartbeat")]
    return [*beside, ledger.with_name(ledger.name.removesuffix(".ledger.db"))]


def _ledger_of(manifest: Path, *, of_sandbox: bool) -> Path:
    """The ledger beside a manifest, or that of its private sandbox; the path itself where there is neither."""
    ledgers = [default_ledger(str(manifest)), sandbox_folder(str(manifest)) / SANDBOX_LEDGER]
    for ledger in reversed(ledgers) if of_sandbox else ledgers:
        if _is_there(ledger) and ledger.is_file():
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
    import difflib  # here, as this is for a name that is wrong

    near = difflib.get_close_matches(name, {*ledgers, *manifests}, n=1, cutoff=0.8) if name else []
    if near:
        return f"; did you mean {folder / near[0]}?"
    if ledgers:
        more = f" and {len(ledgers) - MOST_NAMED:,} more" if len(ledgers) > MOST_NAMED else ""
        return f"; ledgers in {folder}: {', '.join(ledgers[:MOST_NAMED])}{more}"
    return f"; `{program()} run MANIFEST` makes one"


def _is_ledger(path: Path) -> bool:
    return path.is_file() and _beginning(path) == _MAGIC

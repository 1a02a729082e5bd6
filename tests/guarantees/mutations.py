"""Bugs as edits of the source: a copy of the package with one planted, and a process that imports that copy.

Nothing here imports bulkload: a process that proves something about a copy must not have the real one already.
"""

import itertools
import multiprocessing
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "bulkload"
# What bulkload imports, imported once: each proof is a fork of that process.
IMPORTED_ONCE = (
    "aiofiles", "aiohttp", "aiohttp.web", "anyio._backends._asyncio", "ijson", "msgspec", "pyarrow", "pyarrow.ipc",
    "sqlite3", "yaml",
)  # fmt: skip
# A proof takes seconds; one that runs for longer goes in circles.
LONGEST_PROOF_SECONDS = 240.0


class MutationLost(Exception):
    """The text to be replaced is not there once: the source has changed, and the mutation must follow."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """In a file of the package one text becomes another one."""

    file: str
    old: str
    new: str

    def apply(self, package: Path) -> None:
        """Change the copy. Raises ``MutationLost``."""
        path = package / self.file
        source = path.read_text() if path.is_file() else ""
        if source.count(self.old) != 1:
            raise MutationLost(f"{self.file} has {self.old!r} {source.count(self.old)} times, not once")
        # What Python has compiled of it would still be the old text.
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()
        path.write_text(source.replace(self.old, self.new))


@dataclass(frozen=True, slots=True)
class Proof:
    """A function of ``proofs`` with its arguments, by name: it returns what is wrong."""

    name: str
    arguments: tuple[object, ...] = ()

    def __str__(self) -> str:
        """For the names of tests."""
        return " ".join((self.name, *map(str, self.arguments))).replace("_", " ")


def mutated_copy(folder: Path, mutations: Sequence[Mutation]) -> Path:
    """A folder to import the package from, with the mutations. Raises ``MutationLost``."""
    copy = folder / "copy"
    shutil.copytree(PACKAGE, copy / "bulkload")
    for mutation in mutations:
        mutation.apply(copy / "bulkload")
    return copy


def found_in(copy: Path, proof: Proof, folder: Path) -> list[str]:
    """What a proof says of a copy, in a process of its own. ``folder`` is for its files."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(list(IMPORTED_ONCE))
    mine, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=_prove, args=(str(copy), proof, str(folder), theirs))
    process.start()
    theirs.close()
    with mine:
        try:
            if not mine.poll(LONGEST_PROOF_SECONDS):
                raise AssertionError(f"{proof} has not ended within {LONGEST_PROOF_SECONDS:g} s")
            found = mine.recv()
        except EOFError:
            raise AssertionError(f"{proof} has died") from None
        finally:
            process.kill()
            process.join()
            process.close()
    if isinstance(found, Exception):
        raise found
    assert isinstance(found, list)
    return found


# In the other process.


def _prove(copy: str, proof: Proof, folder: str, answer: "Connection[object, object]") -> None:
    """Send what the proof finds in the copy, or why it could not be asked."""
    sys.path.insert(0, copy)
    try:
        proofs = import_module("tests.guarantees.proofs")
        package = import_module("bulkload").__file__ or ""
        assert package.startswith(copy), f"{package} is imported, not {copy}"
        folders = (Path(folder) / str(number) for number in itertools.count())
        answer.send(getattr(proofs, proof.name)(folders, *proof.arguments))
    except BaseException as error:  # noqa: BLE001 - told where somebody reads it
        answer.send(AssertionError(f"{type(error).__name__}: {error}"))

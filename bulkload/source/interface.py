"""Where models lie: what a run asks of a place, and what it gets. ``local.LocalSource`` reads this machine's files.

A place is written as in the manifest, made absolute. Whatever goes wrong with one raises ``OSError`` with its errno: it
is not there, is no file, is empty, lies outside the root, cannot be read. A place that is not the same from the first
look to the last raises ``SourceChanged``.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from bulkload.core.model.records import Look


class SourceChanged(Exception):
    """The file changed while it was read: what was read is neither the old nor the new one."""


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A file read whole."""

    data: bytes
    look: Look
    sha256: str


class OpenFile(Protocol):
    """A file of any size, open for one upload."""

    @property
    def look(self) -> Look:
        """How it looked when it was opened."""
        ...

    @property
    def sha256(self) -> str | None:
        """Of the whole file; known from the moment the last piece is given out."""
        ...

    def pieces(self) -> AsyncGenerator[bytes | memoryview]:
        """Its bytes, in pieces, once. Raises ``OSError`` and ``SourceChanged``.

        When the last piece comes, ``sha256`` is the digest of all bytes, this piece included, and the file is known to
        be as it was when it was opened. Memory does not grow with the file.
        """
        ...


class Sources(Protocol):
    """Every place that a run reads models from."""

    @property
    def small_file_bytes(self) -> int:
        """Up to here a file is one read, and one body."""
        ...

    def look(self, place: str) -> Look:
        """What tells its states from each other without reading it. Blocks: for threads, and for one file."""
        ...

    async def look_now(self, place: str) -> Look:
        """The same, beside other work."""
        ...

    async def read_small(self, place: str) -> SmallFile:
        """A small file, whole. One that is larger has changed."""
        ...

    def open(self, place: str, *, at_a_time: int = 1) -> AbstractAsyncContextManager[OpenFile]:
        """A file of any size. ``at_a_time``: how many may be open together, which share the memory."""
        ...

    async def digest(self, place: str) -> tuple[Look, str]:
        """How a file of any size looks, and its SHA-256, read whole."""
        ...

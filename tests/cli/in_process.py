"""The command line in this process: against a sandbox in a thread, with standard streams of the test's own."""

import contextlib
import os
import pty
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from anyio.from_thread import start_blocking_portal

from bulkload.cli import run_command_line
from bulkload.sandbox import Sandbox, SandboxSettings
from tests.conftest import clean_environment, homes


@dataclass(frozen=True)
class Place:
    """A ledger of a finished run, its registry, and a manifest of which nothing was sent."""

    folder: Path
    environment: dict[str, str]

    def words(self, command: str) -> list[str]:
        """``{}`` stands for the folder."""
        return [word.replace("{}", str(self.folder)) for word in command.split()]


@contextlib.contextmanager
def sandbox_in(folder: Path) -> Iterator[Place]:
    """A sandbox that keeps its data in ``folder / "registry"``."""
    settings = SandboxSettings(data=folder / "registry", time_scale=0)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Sandbox(settings)) as sandbox:
        yield Place(folder, {"BULKLOAD_ENDPOINT": sandbox.endpoint, "BULKLOAD_TOKEN": sandbox.token} | homes(folder))


@contextlib.contextmanager
def environment_of(place: Place) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(clean_environment() | place.environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run_with(place: Place, words: list[str], stdout: TextIO, said: Path) -> tuple[int, str]:
    """The exit code, and what standard error got."""
    with (
        environment_of(place),
        said.open("w+") as stderr,
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        code = run_command_line(words)
    return code, said.read_text()


@contextlib.contextmanager
def terminal() -> Iterator[tuple[TextIO, list[bytes]]]:
    """A terminal to write to, and what it got, whole when the block has ended."""
    ours, theirs = pty.openpty()
    pieces: list[bytes] = []

    def read() -> None:
        # So a terminal says that nobody writes to it any more: by an error.
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 65_536):
                pieces.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        yield stream, pieces
    reader.join()
    os.close(ours)

"""A command in a terminal, as a person sees it: frame by frame."""

import errno
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte

from bulkload.report.sink import ERASE

LONGEST_SECONDS = 180.0
_ERASE = ERASE.encode()


class Terminal:
    """A command in a pseudo-terminal of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", side: int, columns: int, rows: int) -> None:
        self.process = process
        self._side = side
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._unread = b""
        self._erase = b""
        # Each as it stood before the next was drawn.
        self.frames: list[list[str]] = []

    def read(self, seconds: float) -> bool:
        """Read what comes within some time; False at the end of all output."""
        if not select.select([self._side], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._side, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # the other side is closed
                raise
            data = b""
        if not data:
            return False
        # What begins like an erasure may be continued by what is read next.
        *whole, self._unread = (self._unread + data).split(_ERASE)
        for piece in whole:
            self._draw(piece)
        return True

    def resize(self, columns: int, rows: int) -> None:
        """As a person who drags the window's corner."""
        fcntl.ioctl(self._side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._side, keys)

    def until(self, happened: Callable[[], object]) -> None:
        """Read until something holds; it has to come before the end."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not happened():
            assert time.monotonic() < deadline, self.lines()
            assert self.read(0.2), (self.lines(), self._unread)

    def to_the_end(self) -> int:
        """Read all that comes; the exit code."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while self.read(0.2):
            assert time.monotonic() < deadline, self.lines()
        self._draw(self._unread)
        return self.process.wait(LONGEST_SECONDS)

    def lines(self) -> list[str]:
        """What the screen shows now."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def _draw(self, piece: bytes) -> None:
        """All between two erasures. The display begins where the cursor stands then."""
        self._stream.feed(self._erase + piece)
        self._erase = _ERASE
        frame = [line.rstrip() for line in self.screen.display[self.screen.cursor.y :]]
        while frame and not frame[-1]:
            frame.pop()
        if frame:
            self.frames.append(frame)


@contextmanager
def in_terminal(*words: object, cwd: Path, env: dict[str, str], columns: int, rows: int = 24) -> Iterator[Terminal]:
    """``bulkload`` with some words, in a terminal of this size."""
    side, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def own_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "bulkload", *map(str, words)],
        cwd=cwd, env=env, stdin=end, stdout=end, stderr=end, start_new_session=True, preexec_fn=own_terminal,  # noqa: PLW1509 - no thread is started here
    )  # fmt: skip
    os.close(end)
    try:
        yield Terminal(process, side, columns, rows)
    finally:
        process.kill()
        process.wait()
        os.close(side)

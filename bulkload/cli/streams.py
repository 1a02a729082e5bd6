"""Standard streams that are not there: closed before the start, or left by the terminal or program that read them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from typing import Any, TextIO


@contextmanager
def lasting_streams() -> Iterator[None]:
    """For as long as the block, whoever writes to standard error need not fear that nobody reads it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number is its own: no file that is opened later becomes a standard stream.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - to the end
    with redirect_stderr(_Lasting(sys.stderr)):
        yield


def leave_stream(stream: TextIO) -> None:
    """Nobody reads this stream any more: what is written to it from now on, and what it still holds, goes nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), stream.fileno())


class _Lasting:
    """A stream whose reader may go away: a run goes on behind a closed terminal, and behind ``2>&1 | head``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            leave_stream(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            leave_stream(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

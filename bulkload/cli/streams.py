"""Standard streams: sinks for as long as a command runs, whatever they are, also where they were closed before."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO, cast

from bulkload.core.model.errors import ExitCode, OutputLost, ReaderGone
from bulkload.report.sink import Sink

# They come before an internal error in the order of exit codes.
_BEFORE_INTERNAL = {
    ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.USAGE, ExitCode.MANIFEST, ExitCode.LEDGER_IN_USE,
}  # fmt: skip


@contextmanager
def standard_sinks() -> Iterator[Sink]:
    """For as long as the block both streams are sinks; gives that of standard output.

    Whoever writes to standard error need not fear that nobody reads it: a run goes on behind a closed terminal, and
    behind ``2>&1 | head``.
    """
    # The lowest free number is its own: no file that is opened later becomes a standard stream. What goes to a closed
    # standard output is lost with words: its place holds what cannot be written.
    for name, mode, flags in (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8"))
    # no-color.org; a dumb terminal has none.
    colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    output, errors = Sink(sys.stdout, colours=colours), Sink(sys.stderr, lasting=True, colours=colours)
    with redirect_stdout(cast("TextIO", output)), redirect_stderr(cast("TextIO", errors)):
        yield output


def ended_with(code: int, lost: OutputLost) -> int:
    """The exit code of what ended with ``code`` and could not say all: the first that applies.

    Whoever stops reading changes nothing about how a run has ended, unless it ended well.
    """
    if isinstance(lost, ReaderGone):
        return code or lost.exit_code
    return code if code in _BEFORE_INTERNAL else lost.exit_code

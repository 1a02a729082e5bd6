"""Draws what ``facts`` says: a few lines that renew themselves on a terminal, a plain line now and then elsewhere."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import anyio

from bulkload.report.facts import Facts, Line, display_lines, plain_line
from bulkload.report.sink import Sink, standard_error

if TYPE_CHECKING:
    from rich.text import Text

TERMINAL_SECONDS = 0.2
PLAIN_SECONDS = 30.0
# Whoever has just begun wants to see soon that it works.
FIRST_PLAIN_SECONDS = 5.0
# How soon it is seen elsewhere that there is nothing to show any more.
LOOK_SECONDS = 1.0

# The facts of this moment; None: there is nothing to show any more.
Look = Callable[[], Facts | None]


async def show_progress(look: Look, sink: Sink, interval: float = PLAIN_SECONDS) -> None:
    """Show what ``look`` finds until it is cancelled, or finds nothing. ``interval``: from one plain line to the next.

    On a terminal that can renew lines these are drawn, again where its width changes.
    """
    if not sink.can_renew:
        await _say_now_and_then(look, sink, interval)
        return
    try:
        while (facts := look()) is not None:
            draw(facts, sink)
            await anyio.sleep(TERMINAL_SECONDS)
    finally:
        sink.clear()


async def _say_now_and_then(look: Look, sink: Sink, interval: float) -> None:
    due = anyio.current_time() + min(FIRST_PLAIN_SECONDS, interval)
    while (facts := look()) is not None:
        if (left := due - anyio.current_time()) <= 0.0:
            sink.say(plain_line(facts, _clock(), joint=_joint(sink)))
            sink.flush()
            due = anyio.current_time() + interval
        await anyio.sleep(min(LOOK_SECONDS, left if left > 0.0 else interval))


def draw(facts: Facts, sink: Sink) -> None:
    """In the place of what was drawn before."""
    # The last column stays free: a full line is two lines for some terminals.
    width = max(10, sink.columns_now - 1)
    lines = display_lines(facts, width, _clock(), joint=_joint(sink))
    sink.renew([_painted(line, width, sink) for line in lines])


def said_in_a_line(facts: Facts) -> str:
    """The facts in one line, for whoever asks."""
    return plain_line(facts, _clock(), joint=_joint(standard_error()))


def clear_progress() -> None:
    """Take what is drawn away, for a line of another kind in its place; it comes again below."""
    standard_error().clear()


def _painted(line: Line, width: int, sink: Sink) -> "Text":
    from rich.text import Text

    full, empty = ("█", "░") if _shows_signs(sink) else ("#", ".")
    text = Text(no_wrap=True, overflow="crop", end="")
    if line.filled + line.empty:
        text.append(full * line.filled, "green").append(empty * line.empty, "dim").append("  ")
    text.append(line.text, "yellow" if line.holds else "")
    if line.right:
        text.append(line.right.rjust(width - text.cell_len), "dim")
    return text


def _joint(sink: Sink) -> str:
    return " · " if _shows_signs(sink) else ", "


def _shows_signs(sink: Sink) -> bool:
    try:
        "█░·".encode(sink.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _clock() -> datetime:
    return datetime.now().astimezone()

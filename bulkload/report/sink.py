"""The one way out: everything that is printed, on both streams, passes here.

What people read is made visible first (``core.visible``): whatever others wrote, a terminal obeys none of it. What
programs read is exact. While a command runs, ``sys.stdout`` and ``sys.stderr`` are sinks (``cli.streams``), so that
what a library prints passes here, too.
"""

import codecs
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, BinaryIO, TextIO, cast

from bulkload.core.model.errors import OutputLost, ReaderGone
from bulkload.core.text.visible import visible, visible_json, visible_line
from bulkload.system.writing import write_all

# From the cursor, which stands where the drawn lines begin, to the end of the screen.
ERASE = "\r\x1b[J"
UP = "\x1b[{}A"
# What is printed leaves in pieces of this size, but each line for itself on a terminal.
PIECE_BYTES = 64 << 10


class Sink:
    """A stream that people or programs read.

    ``lasting``: one that nobody need read. Where it cannot be written any more, what follows is dropped; for another
    one, ``OutputLost`` is raised (``ReaderGone`` when its reader went away), again whenever something is to be written.
    ``colours``: they may be used.
    """

    def __init__(
        self, stream: TextIO, *, lasting: bool = False, colours: bool = True, name: str = "standard output"
    ) -> None:
        self._stream = stream
        self._colours = colours
        self._lasting = lasting
        self._name = name
        self._leave = _way_out(stream)
        self._is_terminal = stream.isatty()
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        # A stream's encoding may have a state: marks at its start, shifts.
        self._encode = codecs.getincrementalencoder(self.encoding)("backslashreplace").encode
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._held = bytearray()
        self._is_drawn = False
        self.lost: OutputLost | None = None

    # For people.

    def write(self, text: str) -> int:
        """Text for people: what a terminal would obey is shown, and what the encoding has not is escaped."""
        if not isinstance(text, str):
            raise TypeError("text is written here; data goes by give()")
        self._put(visible(text))
        return len(text)

    def say(self, *lines: str) -> None:
        """Lines for people. A line's end within one is shown: it begins no other."""
        self._put("".join(f"{visible_line(line)}\n" for line in lines))

    def say_in_colour(self, sign: str, colour: str, rest: str) -> None:
        """A line that begins with a coloured sign, where colours are wanted."""
        import click

        shown = visible_line(sign)
        self._put(f"{click.style(shown, fg=colour) if self._colours else shown}{visible_line(rest)}\n")

    def say_styled(self, parts: Iterable[tuple[str, str]]) -> None:
        """A line of texts, each with its style where colours are wanted: a colour's name, "bold", or none."""
        import click

        line = ""
        for text, style in parts:
            shown = visible_line(text)
            if style and self._colours:
                shown = click.style(shown, bold=True) if style == "bold" else click.style(shown, fg=style)
            line += shown
        self._put(f"{line}\n")

    def renew(self, lines: Sequence[Any]) -> None:
        """Draw lines of rich's in the place of those that were drawn last; what is said next takes their place.

        The cursor goes back to where they begin: a terminal that is resized, and breaks them anew, keeps it there.
        """
        from rich.segment import Segment, Segments

        drawn: list[str] = []
        console = self._console(drawn.append)
        for number, line in enumerate(lines):
            parts = [Segment("\n")] if number else []
            parts += [Segment(visible_line(part.text), part.style) for part in console.render(line) if not part.control]
            console.print(Segments(parts), end="", soft_wrap=True)
        back = UP.format(len(lines) - 1) if len(lines) > 1 else ""
        self._put(f"{''.join(drawn)}{back}\r")
        self._is_drawn = True

    def clear(self) -> None:
        """Take away what is drawn."""
        if self._is_drawn:
            self._erase()
            self.flush()

    def show(self, renderable: Any) -> None:
        """Something of rich's. Its own colours pass; its words are made visible as all others."""
        from rich.segment import Segment, Segments

        console = self._console()
        parts = console.render(renderable)
        console.print(Segments(Segment(visible(part.text), part.style) for part in parts if not part.control), end="")

    @property
    def columns(self) -> int:
        """How wide the terminal is."""
        width: int = self._console().width
        return width

    @property
    def columns_now(self) -> int:
        """How wide this very terminal is now; elsewhere 80."""
        try:
            return os.get_terminal_size(self.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    @property
    def can_renew(self) -> bool:
        """Whether lines may be drawn again in their place."""
        return self._is_terminal and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")

    def _console(self, put: Callable[[str], object] | None = None) -> Any:
        from rich.console import Console

        return Console(file=cast("TextIO", _Painted(self, put or self._put)))

    # For programs.

    def give(self, data: bytes) -> None:
        """Exact data, in UTF-8 where it is text. On a terminal it is made visible."""
        if self._is_terminal:
            self.write(self._decode(data))
        else:
            self._put_bytes(data)

    def give_json(self, found: object) -> None:
        """One object as one line."""
        self.give(as_json(found) + b"\n")

    def binary(self) -> BinaryIO:
        """The same for writers of files."""
        return cast("BinaryIO", _Given(self))

    # As a stream.

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._is_terminal

    def fileno(self) -> int:
        """Its descriptor. Raises ``OSError`` where it has none."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def flush(self) -> None:
        """Let go what is held. Raises ``OutputLost`` where it cannot be written."""
        if self.lost is not None:
            self._held.clear()
            if self._lasting:
                return
            raise self.lost
        data = bytes(self._held)
        self._held.clear()
        if not data:
            return
        if self._is_terminal and not self._lasting and isinstance(sys.stderr, Sink):
            # Both streams may be one terminal: nothing is written into what is drawn there.
            sys.stderr.clear()
        try:
            self._leave(data)
        except (OSError, ValueError) as error:
            self.lost = _lost(error, self._name)
            if not self._lasting:
                raise self.lost from None

    def _put(self, text: str) -> None:
        self._erase()
        self._put_bytes(self._encode(text))

    def _erase(self) -> None:
        """What is drawn goes with what is written next."""
        if self._is_drawn:
            self._is_drawn = False
            self._held += self._encode(ERASE)

    def _put_bytes(self, data: bytes) -> None:
        self._held += data
        if self._lasting or self._is_terminal or len(self._held) >= PIECE_BYTES:
            self.flush()


class _Painted:
    """A sink for text that has been made visible and has colours of ours."""

    def __init__(self, sink: Sink, put: Callable[[str], object]) -> None:
        self.encoding, self.isatty, self.fileno, self.flush = sink.encoding, sink.isatty, sink.fileno, sink.flush
        self.write = put


class _Given(io.RawIOBase):
    """Data for programs, as a file."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._sink.give(bytes(data))
        return len(data)


def _way_out(stream: TextIO) -> Callable[[bytes], object]:
    """How bytes leave: by the descriptor itself, so that nothing is kept that would be tried again at the exit."""
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # with PYTHONUNBUFFERED there is none between
    if isinstance(raw, io.FileIO):
        stream.flush()
        return partial(write_all, raw.fileno())
    if buffer is None:
        return lambda data: stream.write(data.decode(getattr(stream, "encoding", None) or "utf-8"))

    def leave(data: bytes) -> None:
        buffer.write(data)
        buffer.flush()

    return leave


def _lost(error: OSError | ValueError, name: str) -> OutputLost:
    if isinstance(error, BrokenPipeError | ConnectionResetError):
        return ReaderGone(f"whoever read {name} has gone away")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return OutputLost(f"{name} cannot be written ({reason}); what was to stand there is lost, and nothing else")


# What tables are printed to.
Stream = TextIO | Sink


def as_sink(stream: Stream) -> Sink:
    """``stream`` itself where it is a sink, else one before it."""
    return stream if isinstance(stream, Sink) else Sink(stream)


def standard_output() -> Sink:
    """Where results and data go."""
    return as_sink(sys.stdout)


def standard_error() -> Sink:
    """Where everything else goes."""
    stream: Any = sys.stderr
    return stream if isinstance(stream, Sink) else Sink(stream, lasting=True)


def say(*lines: str) -> None:
    """Lines for people, on standard output, at once: they may be waited for."""
    sink = standard_output()
    sink.say(*lines)
    sink.flush()


def tell(*lines: str) -> None:
    """Lines for people, on standard error."""
    standard_error().say(*lines)


def give_json(found: object) -> None:
    """One object as one line for programs, on standard output, at once."""
    sink = standard_output()
    sink.give_json(found)
    sink.flush()


def as_json(found: object) -> bytes:
    """An object in one line of UTF-8, with escapes for what a terminal would obey: the value is the same."""
    import msgspec

    try:
        data = msgspec.json.encode(found)
    except UnicodeEncodeError:  # a lone surrogate: a file's name that is no text
        return json.dumps(msgspec.to_builtins(found)).encode()
    return data if data.isascii() and b"\x7f" not in data else visible_json(data.decode()).encode()

"""Whether JSON is within bounds, told while it arrives and before anything is built of it.

Parsers pay for depth (one that names the place of each value keeps that name for each level: 20,000 brackets were two
gigabytes), for texts that do not end, and for many small values; one breaks down at a number of 5,000 digits.
"""

from bulkload.core.bounds import DEEPEST_JSON, LARGEST_ITEM_BYTES, LONGEST_NUMBER_CHARACTERS, MOST_ANSWER_VALUES

# To find a long number: what one is written with as one sign, and all else as another. (A pattern takes ten times as
# long, and each answer is looked at.)
_AS_NUMBER = bytes(ord("0") if sign in b"0123456789.eE+-" else ord(" ") for sign in range(256))
_LONG_NUMBER = b"0" * LONGEST_NUMBER_CHARACTERS
# What stands between numbers, apart from the comma.
_BETWEEN = b"[]{}: \t\r\n"
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


class BeyondBounds(ValueError):
    """JSON that nobody means: the text says of what it has too much."""


class JsonBounds:
    """Looks at JSON piece by piece, wherever it is cut."""

    def __init__(self, *, level: int | None = None) -> None:
        """``level``: that of a list's items (1 is the whole); each is bounded, and so is what stands between two."""
        self._level = level
        self._depth = 0
        self._in_text = False
        # A backslash at the end of a piece belongs to what follows.
        self._rest = b""
        # Since the last bracket above the items.
        self._item_bytes = 0
        # Of the number at the end of the last piece.
        self._number = 0

    def feed(self, piece: bytes) -> None:
        """Look at the next piece. Raises ``BeyondBounds``."""
        self._item_bytes += len(piece)
        piece = self._rest + piece
        self._rest = b""
        if b"\\" in piece:
            # Escaped quotes are none. Of a run of backslashes each second one is escaped by the one before it.
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
            if piece.endswith(b"\\"):
                piece, self._rest = piece[:-1], b"\\"
        parts = piece.split(b'"')
        # One sign outside of ASCII makes each of a text's take four bytes.
        if len(piece) > LARGEST_ITEM_BYTES and max(map(len, parts)) > LARGEST_ITEM_BYTES:
            raise BeyondBounds(f"a text of more than {LARGEST_ITEM_BYTES:,} bytes")
        outside = b"".join(parts[1 if self._in_text else 0 :: 2])
        self._in_text ^= len(parts) % 2 == 0
        self._count(outside.translate(None, _NO_BRACKET))
        self._measure(outside.translate(None, _BETWEEN).split(b","))
        if self._level is not None and self._item_bytes > LARGEST_ITEM_BYTES:
            raise BeyondBounds(f"an item of more than {LARGEST_ITEM_BYTES:,} bytes")

    def _measure(self, numbers: list[bytes]) -> None:
        longest = max(self._number + len(numbers[0]), *map(len, numbers))
        if longest > LONGEST_NUMBER_CHARACTERS:
            raise BeyondBounds(f"a number of more than {LONGEST_NUMBER_CHARACTERS} characters")
        self._number = len(numbers[-1]) + (self._number if len(numbers) == 1 else 0)

    def _count(self, brackets: bytes) -> None:
        depth, above = self._depth, self._level or 0
        for bracket in brackets:
            depth += 1 if bracket in b"[{" else -1
            if depth > DEEPEST_JSON:
                raise BeyondBounds(f"more than {DEEPEST_JSON} levels")
            if depth < above:
                self._item_bytes = 0
        self._depth = depth


def check_json(text: bytes | bytearray) -> None:
    """Look at JSON that is there as a whole. Raises ``BeyondBounds``."""
    openings = text.count(b"[") + text.count(b"{")
    # Those in texts are counted, too: a bound, no exact number.
    if openings + text.count(b",") > MOST_ANSWER_VALUES:
        raise BeyondBounds(f"more than {MOST_ANSWER_VALUES:,} values")
    if openings > DEEPEST_JSON or len(text) > LARGEST_ITEM_BYTES or _LONG_NUMBER in text.translate(_AS_NUMBER):
        JsonBounds().feed(bytes(text))

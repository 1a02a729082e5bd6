"""What others wrote, as people may be shown it: nothing in it that a terminal would obey.

Names of files, answers of a registry or of Keycloak, tokens, ledgers: each may hold what moves the cursor, renames the
window, fills the clipboard, or turns the direction of writing. It is shown as what it is: ``\\x1b``, ``\\u202e``.
"""

import re

# Controls of C0 (but the line feed and the tab), DEL, C1; signs that show nothing and change how others are shown
# (soft hyphen, direction, joiners, invisible operators, tags, ...); separators of lines and paragraphs; and lone
# surrogates: bytes of a name that are no text.
_OBEYED = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff"
)
# Colours are only taken away: programs whose output is quoted here paint it.
_IN_TEXT = re.compile(rf"\x1b\[[0-9;:]*m|[{_OBEYED}]")
_IN_LINE = re.compile(rf"\x1b\[[0-9;:]*m|[\n\t{_OBEYED}]")
_IN_JSON = re.compile(f"[{_OBEYED}]")


def visible(text: str) -> str:
    """Text that may be sent to a terminal; its lines stay lines."""
    return text if text.isascii() and text.isprintable() else _IN_TEXT.sub(_shown, text)


def visible_line(text: str) -> str:
    """The same in one line: nobody writes another line of ours."""
    return text if text.isascii() and text.isprintable() else _IN_LINE.sub(_shown, text)


def visible_json(text: str) -> str:
    """JSON of the same value, with escapes for what a terminal would obey. (Encoders escape C0 alone.)"""
    return text if text.isascii() and "\x7f" not in text else _IN_JSON.sub(_escaped, text)


def _shown(found: re.Match[str]) -> str:
    sign = found[0]
    if len(sign) > 1:
        return ""
    code = ord(sign)
    # Python's form of a byte that is no text.
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return sign.encode("unicode_escape", "surrogatepass").decode()


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[start : start + 2].hex()}" for start in range(0, len(units), 2))


# The first signs by which spreadsheets know a formula, also in their full width.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\x00"
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def spreadsheet_cell(text: str) -> str:
    """A text that a spreadsheet shows and does not calculate: one that it would take for a formula gets a ``'``."""
    if not text or _NUMBER.fullmatch(text):
        return text
    begins_as_formula = text.lstrip().lstrip(_ZERO_WIDTH).lstrip().startswith(_FORMULA)
    return f"'{text}" if begins_as_formula or text[0] in "\t\r\n" else text

"""requirements.txt of an archive: whether pip could make sense of it. Nothing is looked up or installed."""

import re

MAX_REQUIREMENTS_BYTES = 1024 * 1024
MAX_LINE_LETTERS = 4096  # longer ones are not looked at: matching must stay quick
PIP_FAULT = "Could not pip install user provided requirements.txt"
NAMED = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\s*"  # name
    r"(\[[^\]]*\]\s*)?"  # extras
    r"(@\s*\S.*"  # a place
    r"|\(?\s*(===|==|~=|!=|<=|>=|<|>)\s*[^\s=<>!~;,]+(\s*,\s*(===|==|~=|!=|<=|>=|<|>)\s*[^\s=<>!~;,]+)*\s*,?\s*\)?\s*)?"
    r"(;.*)?"  # for which Pythons
    r"(\s--[a-z].*)?"  # hashes
)
PLACE = re.compile(r"[./]|[A-Za-z][A-Za-z0-9+.-]*://|[A-Za-z]+\+|.*\.(whl|zip|tar\.gz)$")
COMMENT = re.compile(r"(^|\s)#.*")
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


def unreadable_requirement(content: bytes) -> str | None:
    """The first line that is no requirement at all, None when there is none: `numpy=1.2`, `import numpy`."""
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    text = content.decode(encoding, "replace").replace("\\\r\n", " ").replace("\\\n", " ")
    for line in text.splitlines():
        requirement = " ".join(COMMENT.sub("", line).split())
        if 0 < len(requirement) <= MAX_LINE_LETTERS and not _can_be_one(requirement):
            return requirement
    return None


def _can_be_one(requirement: str) -> bool:
    if requirement.startswith("-"):
        return True  # an option
    return PLACE.match(requirement) is not None or NAMED.fullmatch(requirement) is not None

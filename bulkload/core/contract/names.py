"""Names of models: which rule a name breaks, whose rule that is, and the nearest name that keeps all of them.

The guide allows lower-case ASCII letters, digits and ``-``; the vendor's SDK wants a letter first, no ``-`` at the end
and at most 63 characters. Whoever keeps both can publish by one and look it up by the other.
"""

import re

from bulkload.core.text.words import shown

# The whole of the name.
NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
LONGEST_NAME = 63

_GUIDE = "the registry's guide"
_SDK = "the vendor's SDK"
_BOTH = f"{_GUIDE} and {_SDK}"
# What is wrong, what the rule says, whose it is; in the order in which a reader sees it.
_RULES = (
    (re.compile(r"[\r\n]"), "no line end belongs to it", f"{_GUIDE}; {_SDK} lets one at the end through"),
    (re.compile(r"[A-Z]"), "lower-case letters only", f"{_GUIDE}; {_SDK} takes upper case"),
    (re.compile(r"_"), "no _", _BOTH),
    (re.compile(r"\."), "no .", _BOTH),
    (re.compile(r"[^\x00-\x7f]"), "ASCII only", _BOTH),
    (re.compile(r"[^a-zA-Z0-9._\r\n\x80-\U0010ffff-]"), "letters, digits and - only", _BOTH),
    (re.compile(r"\A[0-9]"), "a letter first", f"{_SDK}; {_GUIDE} allows a digit"),
    (re.compile(r"\A-"), "a letter first", f"{_SDK}; {_GUIDE} allows -"),
    (re.compile(r"-\Z"), "no - at the end", f"{_SDK}; {_GUIDE} allows it"),
    (re.compile(rf"\A.{{{LONGEST_NAME + 1}}}", re.DOTALL), f"up to {LONGEST_NAME} characters", _SDK),
)


def wrong_name(name: str) -> tuple[str, str] | None:
    """What is wrong with a model's name, and the remedy; None for one that everybody takes."""
    if NAME.fullmatch(name) is not None:
        return None
    broken = [f"{rule} ({whose})" for pattern, rule, whose in _RULES if pattern.search(name)]
    fitting = suggested_name(name)
    remedy = f'write it as "{fitting}"' if fitting else "use lower-case letters, digits and -"
    return f"{shown(name)} is no model name: {', '.join(broken)}", remedy


def suggested_name(name: str) -> str:
    """The nearest name that the registry takes; empty where there is none.

    Nothing that tells two names apart is taken away: ``2d-net`` and ``3d-net`` stay two.
    """
    lowered = re.sub(r"[^a-z0-9]+", "-", name[:1000].lower()).strip("-")
    led = f"m-{lowered}" if lowered[:1].isdigit() else lowered
    return led[:LONGEST_NAME].rstrip("-")

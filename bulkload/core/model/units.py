"""Rates, sizes and durations as people write and read them."""

import re

from bulkload.core.model.errors import UsageError

_AMOUNT = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([a-zA-Z]*)\s*")
_DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZES = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


def parse_duration(text: str) -> float:
    """``500ms``, ``30s``, ``20m``, ``2h`` or bare seconds, in seconds."""
    number, unit = _amount(text)
    factor = _DURATIONS.get(unit or "s")
    if number is None or factor is None:
        raise UsageError(f"{text!r} is not a duration; write it as 500ms, 30s, 20m, 2h or 1d")
    return number * factor


def parse_duration_range(text: str) -> tuple[float, float]:
    """``1s..30s``: the shortest and the longest, in seconds."""
    first, separator, longest = text.partition("..")
    if not separator:
        raise UsageError(f"{text!r} is not a range of durations; write it as 1s..30s")
    shortest, upper = parse_duration(first), parse_duration(longest)
    if not 0 < shortest <= upper:
        raise UsageError(f"{text!r}: the first duration must be above zero and not above the second")
    return shortest, upper


def parse_rate(text: str) -> float:
    """``10/s``, ``600/m`` or ``3600/h``, in units a second."""
    amount, _, period = text.partition("/")
    number, unit = _amount(amount)
    seconds = _DURATIONS.get(period.strip())
    if not number or unit or seconds is None:
        raise UsageError(f"{text!r} is not a rate; write it as 10/s, 600/m or 3600/h")
    return number / seconds


def parse_bandwidth(text: str) -> float:
    """``50MB/s``, ``8MiB/s``, in bytes a second."""
    amount, _, period = text.partition("/")
    number, unit = _amount(amount)
    factor = _SIZES.get(unit.lower())
    if not number or factor is None or period.strip() != "s":
        raise UsageError(f"{text!r} is not a bandwidth; write it as 50MB/s or 8MiB/s")
    return number * factor


def _amount(text: str) -> tuple[float | None, str]:
    """The number and the unit behind it; None where the text is neither."""
    match = _AMOUNT.fullmatch(text)
    return (float(match[1]), match[2]) if match else (None, "")


def show_bytes(size: float) -> str:
    """``1.9 kB``: decimal units, two or three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.5 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def show_duration(seconds: float) -> str:
    """``0.4s``, ``12s``, ``3m20s``, ``1h05m``."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"

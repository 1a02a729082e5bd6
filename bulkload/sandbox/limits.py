"""Request limits of the sandbox: `upload=20/s` answers 429 above it. Pure: the clock comes in as an argument."""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

CALLS = ("upload", "poll", "list", "token", "any")
UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
LIMIT_PATTERN = re.compile(r"(?P<call>[a-z]+)=(?P<count>[1-9][0-9]*)/(?P<unit>[smh])")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` requests of `call` within any `seconds`."""

    call: str
    count: int
    seconds: float


def parse_limit(text: str) -> Limit:
    """Read `CALL=N/s`, `N/m` or `N/h`; anything else is a ValueError that says what would be right."""
    match = LIMIT_PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"limit {text!r}: expected CALL=RATE such as upload=20/s or poll=600/m")
    if match["call"] not in CALLS:
        raise ValueError(f"limit {text!r}: unknown call {match['call']!r}, expected one of {', '.join(CALLS)}")
    return Limit(match["call"], int(match["count"]), UNIT_SECONDS[match["unit"]])


class RequestLimits:
    """Sliding windows, one a limit. A refused request takes no place in any of them."""

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._windows: list[tuple[Limit, deque[float]]] = [(limit, deque()) for limit in limits]

    def admit(self, call: str, now: float) -> float | None:
        """None when a request of `call` may pass at `now` (seconds), else the seconds until one may."""
        windows = [(limit, times) for limit, times in self._windows if limit.call in {call, "any"}]
        wait_seconds = 0.0
        for limit, times in windows:
            while times and times[0] <= now - limit.seconds:
                times.popleft()
            if len(times) >= limit.count:
                wait_seconds = max(wait_seconds, times[0] + limit.seconds - now)
        if wait_seconds > 0.0:
            return wait_seconds
        for _, times in windows:
            times.append(now)
        return None

"""What is simulated: registries, what is sent to them, and what happens meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.simulation.durations import MIXED, NATIVE
from benchmarks.simulation.registry import Allowed, Others, Trouble
from bulkload.core.model.settings import Settings
from bulkload.sandbox.limits import parse_limit

MINUTE, HOUR = 60.0, 3600.0
DOWN_AT = 300.0
MINUTE_DOWN = (DOWN_AT, DOWN_AT + MINUTE)
HOUR_DOWN = (0.5 * HOUR, 1.5 * HOUR)
CONVERT_AT_ONCE = "uploads/s, all convert at once"


def settings(*, concurrency: int = 16, max_converting: int | None = None, poll_rate: float | None = None) -> Settings:
    """What ``bulkload run`` is told; all else as it is when nobody says anything."""
    limits = {"concurrency": concurrency, "max_converting": max_converting, "poll_rate": poll_rate}
    return Settings(manifest="", endpoint="", ledger=Path(), **limits)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One row of the table."""

    name: str
    entries: int
    # The registry, in words.
    allows: str
    allowed: Allowed
    settings: Settings = field(default_factory=settings)
    kinds: Mapping[str, float] = field(default_factory=lambda: {NATIVE: 1.0})
    # A run that did not end with 0 is begun again at the next multiple of so many seconds.
    every: float | None = None
    # It is the one in the picture.
    drawn: bool = False


def uploads(rate: str, *troubles: Trouble, others: Others | None = None) -> Allowed:
    """A registry that takes so many uploads a second, answers in 50 ms, and has its troubles."""
    return Allowed(limits=(parse_limit(f"upload={rate}"),), troubles=troubles, others=others)


def native(entries: int, allows: str, allowed: Allowed, concurrency: int = 16) -> Scenario:
    """Models that are ready at once."""
    name = "native" if concurrency == 16 else f"native, --concurrency {concurrency}"
    chosen = settings(concurrency=concurrency)
    return Scenario(name=name, entries=entries, allows=allows, allowed=allowed, settings=chosen)


def converting(entries: int, allows: str, allowed: Allowed, flags: str = "", **changes: int | float) -> Scenario:
    """Models that the registry converts."""
    chosen, every = settings(**changes), HOUR if entries == 100_000 else None  # type: ignore[arg-type]
    name = f"converting{flags}"
    return Scenario(
        name=name, entries=entries, allows=allows, allowed=allowed, settings=chosen, kinds=MIXED, every=every
    )


def troubled(name: str, rate: int, trouble: Trouble, *, hourly: bool = False, drawn: bool = False) -> Scenario:
    """Native models, and a time in which something is wrong."""
    entries = 60_000 if trouble.end - trouble.begin == HOUR else 100_000 if rate == 200 else 15_000
    allowed, every = uploads(f"{rate}/s", trouble), HOUR if hourly else None
    return Scenario(name=name, entries=entries, allows=f"{rate} uploads/s", allowed=allowed, every=every, drawn=drawn)


def refusing(status: int, share: float, call: str | None, rate: int = 20) -> Scenario:
    """A minute in which a share of the requests is refused at random."""
    name = f"{status} to {share:.0%} of {call + 's' if call else 'all'} for a minute"
    return troubled(name, rate, Trouble(*MINUTE_DOWN, status, share, call), hourly=True)


NATIVE_ROWS = (
    native(1_000_000, "20 uploads/s", uploads("20/s")),
    native(100_000, "200 uploads/s", uploads("200/s")),
    native(100_000, "no limit, 50 ms an answer", Allowed()),
    native(100_000, "no limit, 50 ms an answer", Allowed(), 256),
    native(100_000, "64 requests at a time, 50 ms each", Allowed(workers=64), 256),
    native(100_000, "32 uploads at a time (503)", Allowed(uploads_at_a_time=32), 256),
)
CONVERTING = (
    converting(20_000, "4 conversions at a time", Allowed(converters=4), ", --max-converting 8", max_converting=8),
    converting(
        20_000, "256 conversions at a time", Allowed(converters=256), ", --max-converting 512", max_converting=512
    ),
    converting(20_000, f"5 {CONVERT_AT_ONCE}", uploads("5/s")),
    converting(20_000, f"20 {CONVERT_AT_ONCE}", uploads("20/s")),
    converting(100_000, f"200 {CONVERT_AT_ONCE}", uploads("200/s")),
    converting(50_000, f"200 {CONVERT_AT_ONCE}", uploads("200/s"), ", --poll-rate 1000/s", poll_rate=1000.0),
)
TROUBLED = (
    troubled("down for a minute (503)", 20, Trouble(*MINUTE_DOWN, 503), drawn=True),
    troubled("down for a minute (503)", 200, Trouble(*MINUTE_DOWN, 503)),
    troubled("down for a minute (no connection)", 20, Trouble(*MINUTE_DOWN, None)),
    troubled("down for a minute (no connection)", 200, Trouble(*MINUTE_DOWN, None)),
    troubled("down for an hour (503), hourly", 20, Trouble(*HOUR_DOWN, 503), hourly=True),
    troubled("down for an hour (no connection), hourly", 20, Trouble(*HOUR_DOWN, None), hourly=True),
    *(refusing(429, 0.5, "upload", rate) for rate in (20, 200)),
    refusing(429, 0.1, "upload"),
    refusing(429, 0.5, None),
    refusing(429, 0.1, None),
    refusing(503, 0.5, "upload"),
    refusing(503, 0.1, "upload"),
    Scenario(
        name="others take half for five minutes",
        entries=20_000,
        allows="20 uploads/s",
        allowed=uploads("20/s", others=Others(DOWN_AT, 2 * DOWN_AT, 10.0)),
    ),
)
SCENARIOS = NATIVE_ROWS + CONVERTING + TROUBLED

"""What is simulated: registries, what is sent to them, and what happens meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.simulation.durations import MIXED, NATIVE
from benchmarks.simulation.registry import Allowed, Others, Trouble
from bulkload.core.model.settings import Settings
from bulkload.sandbox.limits import parse_limit

MINUTE, HOUR = 60.0, 3600.0


def settings(*, concurrency: int = 16, max_converting: int | None = None, poll_rate: float | None = None) -> Settings:
    """What ``bulkload run`` is told; all else as it is when nobody says anything."""
    return Settings(
        manifest="",
        endpoint="",
        ledger=Path(),
        concurrency=concurrency,
        max_converting=max_converting,
        poll_rate=poll_rate,
    )


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


DOWN_AT = 600.0
MINUTE_DOWN = (DOWN_AT, DOWN_AT + MINUTE)
HALF_HOUR = 0.5 * HOUR

MILLION = (
    Scenario(name="native", entries=1_000_000, allows="20 uploads/s", allowed=uploads("20/s")),
    Scenario(name="native", entries=1_000_000, allows="200 uploads/s", allowed=uploads("200/s")),
    Scenario(name="native", entries=1_000_000, allows="no limit, 50 ms an answer", allowed=Allowed()),
    Scenario(
        name="native, --concurrency 256",
        entries=200_000,
        allows="no limit, 50 ms an answer",
        allowed=Allowed(),
        settings=settings(concurrency=256),
    ),
    Scenario(
        name="native, --concurrency 256",
        entries=200_000,
        allows="64 requests at a time, 50 ms each",
        allowed=Allowed(workers=64),
        settings=settings(concurrency=256),
    ),
    Scenario(
        name="native, --concurrency 256",
        entries=200_000,
        allows="32 uploads at a time (503)",
        allowed=Allowed(uploads_at_a_time=32),
        settings=settings(concurrency=256),
    ),
)

CONVERTING = (
    Scenario(
        name="converting, --max-converting 8",
        entries=100_000,
        allows="4 conversions at a time",
        allowed=Allowed(converters=4),
        settings=settings(max_converting=8),
        kinds=MIXED,
    ),
    Scenario(
        name="converting, --max-converting 512",
        entries=100_000,
        allows="256 conversions at a time",
        allowed=Allowed(converters=256),
        settings=settings(max_converting=512),
        kinds=MIXED,
    ),
    Scenario(
        name="converting",
        entries=100_000,
        allows="5 uploads/s, all convert at once",
        allowed=uploads("5/s"),
        kinds=MIXED,
    ),
    Scenario(
        name="converting",
        entries=100_000,
        allows="20 uploads/s, all convert at once",
        allowed=uploads("20/s"),
        kinds=MIXED,
    ),
    Scenario(
        name="converting",
        entries=1_000_000,
        allows="200 uploads/s, all convert at once",
        allowed=uploads("200/s"),
        kinds=MIXED,
        every=HOUR,
    ),
    Scenario(
        name="converting, --poll-rate 1000/s",
        entries=200_000,
        allows="200 uploads/s, all convert at once",
        allowed=uploads("200/s"),
        settings=settings(poll_rate=1000.0),
        kinds=MIXED,
    ),
)

TROUBLED = (
    Scenario(
        name="down for a minute (503)",
        entries=30_000,
        allows="20 uploads/s",
        allowed=uploads("20/s", Trouble(*MINUTE_DOWN, 503)),
        drawn=True,
    ),
    Scenario(
        name="down for a minute (503)",
        entries=200_000,
        allows="200 uploads/s",
        allowed=uploads("200/s", Trouble(*MINUTE_DOWN, 503)),
    ),
    Scenario(
        name="down for a minute (no connection)",
        entries=30_000,
        allows="20 uploads/s",
        allowed=uploads("20/s", Trouble(*MINUTE_DOWN, None)),
    ),
    Scenario(
        name="down for a minute (no connection)",
        entries=200_000,
        allows="200 uploads/s",
        allowed=uploads("200/s", Trouble(*MINUTE_DOWN, None)),
    ),
    Scenario(
        name="down for an hour (503), hourly",
        entries=200_000,
        allows="20 uploads/s",
        allowed=uploads("20/s", Trouble(HALF_HOUR, HALF_HOUR + HOUR, 503)),
        every=HOUR,
    ),
    Scenario(
        name="down for an hour (no connection), hourly",
        entries=200_000,
        allows="20 uploads/s",
        allowed=uploads("20/s", Trouble(HALF_HOUR, HALF_HOUR + HOUR, None)),
        every=HOUR,
    ),
    *(
        Scenario(
            name=f"{status} to {share:.0%} of {'all' if call is None else call + 's'} for a minute",
            entries=30_000 if rate == "20/s" else 200_000,
            allows=f"{rate.removesuffix('/s')} uploads/s",
            allowed=uploads(rate, Trouble(*MINUTE_DOWN, status, share, call)),
            every=HOUR,
        )
        for status, share, call, rate in (
            (429, 0.5, "upload", "20/s"),
            (429, 0.5, "upload", "200/s"),
            (429, 0.1, "upload", "20/s"),
            (429, 0.5, None, "20/s"),
            (429, 0.1, None, "20/s"),
            (503, 0.5, "upload", "20/s"),
            (503, 0.1, "upload", "20/s"),
        )
    ),
    Scenario(
        name="others take half for ten minutes",
        entries=60_000,
        allows="20 uploads/s",
        allowed=uploads("20/s", others=Others(DOWN_AT, 2 * DOWN_AT, 10.0)),
    ),
)

SCENARIOS = MILLION + CONVERTING + TROUBLED

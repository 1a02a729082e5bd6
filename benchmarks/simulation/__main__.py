"""``python -m benchmarks.simulation``: plays all scenarios, prints a table, draws a picture."""

import argparse
import math
import random
import sys
from pathlib import Path

from benchmarks.simulation.measures import Played, play
from benchmarks.simulation.picture import picture
from benchmarks.simulation.registry import rate_of
from benchmarks.simulation.scenarios import SCENARIOS
from bulkload.core.model.units import show_duration

HEADINGS = (
    "entries", "the registry", "it takes", "uploads / polls / lists", "sent again", "refused", "of the limit",
    "full speed after", "polls a version", "known after", "exit codes", "CPU",
)  # fmt: skip


def row(played: Played) -> str:
    """What the table says of a scenario."""
    scenario, requests, recovery = played.scenario, played.registry.requests, played.recovery_seconds
    seconds = played.seconds
    columns = (
        f"{scenario.entries:,} {scenario.name}",
        scenario.allows,
        show_duration(seconds) if seconds < 48 * 3600 else f"{seconds / 86_400:.1f} days",
        f"{requests['upload']:,} / {requests['poll']:,} / {requests['list']:,}",
        f"{played.repeats:,}",
        f"{played.refused_share:.2%}",
        percent(played.limit_share),
        "" if recovery is None else "never" if math.isinf(recovery) else show_duration(recovery),
        f"{played.polls_a_version:.1f}",
        percent(played.delay_share),
        ", ".join(str(int(code)) for _, _, code in played.runs),
        f"{played.cpu_seconds:.0f} s",
    )
    return "| " + " | ".join(columns) + " |"


def percent(share: float | None) -> str:
    """``96.7 %``, or nothing."""
    return "" if share is None else f"{100 * share:.1f} %" if share < 10 else f"{share:.0f} times"


def main() -> None:
    """Play them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))  # noqa: S311 - a simulation
    parser.add_argument("--picture", type=Path, help="draw the minute without a registry into this file")
    parser.add_argument("--only", default="", help="rows with these words")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", file=sys.stderr)
    print("| " + " | ".join(HEADINGS) + " |\n|" + "---|" * len(HEADINGS))
    for scenario in SCENARIOS:
        if arguments.only in f"{scenario.name}, {scenario.allows}":
            played = play(scenario, arguments.seed)
            print(row(played), flush=True)
            limit = rate_of(scenario.allowed.limits, "upload")
            if scenario.drawn and limit is not None and arguments.picture is not None:
                arguments.picture.write_text(picture(played, limit))


if __name__ == "__main__":
    main()

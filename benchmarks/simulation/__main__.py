"""``python -m benchmarks.simulation``: plays all scenarios and prints a table."""

import argparse
import random
import sys

from benchmarks.simulation.measures import Played, play
from benchmarks.simulation.scenarios import SCENARIOS
from bulkload.core.units import show_duration

HEADINGS = (
    "what", "entries", "the registry allows", "takes", "uploads", "sent again", "polls", "lists", "refused",
    "of the limit", "full speed after", "polls a version", "known after", "exit codes", "CPU",
)  # fmt: skip


def row(played: Played) -> tuple[str, ...]:
    scenario, registry = played.scenario, played.registry
    recovery = played.recovery_seconds
    return (
        scenario.name,
        f"{scenario.entries:,}",
        scenario.allows,
        show_duration(played.seconds),
        f"{registry.requests['upload']:,}",
        f"{played.repeats:,}",
        f"{registry.requests['poll']:,}",
        f"{registry.requests['list']:,}",
        f"{played.refused_share:.2%}",
        percent(played.limit_share),
        "" if recovery is None else f"{recovery:.0f} s",
        f"{played.polls_a_version:.2f}",
        percent(played.delay_share),
        ", ".join(str(int(code)) for _, _, code in played.runs),
        f"{played.cpu_seconds:.0f} s",
    )


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))  # noqa: S311 - a simulation
    parser.add_argument("--only", default="", help="scenarios whose row has these words")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", file=sys.stderr)
    print("| " + " | ".join(HEADINGS) + " |")
    print("|" + "---|" * len(HEADINGS))
    for number, scenario in enumerate(SCENARIOS, 1):
        if arguments.only not in f"{scenario.name} {scenario.allows}":
            continue
        played = play(scenario, arguments.seed)
        cells = row(played)
        print(f"{number}/{len(SCENARIOS)} {cells[0]}, {cells[2]}: {cells[-1]}", file=sys.stderr)
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

"""``python -m benchmarks [--quick] [ROW ...]``: run the measurements, print the table, write it down."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import limits, speed
from benchmarks.chart import chart
from benchmarks.machine import machine
from benchmarks.measuring import Bench
from benchmarks.processes import BenchmarkFailed
from benchmarks.results import Result, table
from benchmarks.work import work_folder

HERE = Path(__file__).parent
# What can be asked for by name; some of them fill several lines of the table.
MEASUREMENTS: dict[str, Callable[[Bench], list[Result]]] = {
    "large-file": speed.large_file,
    "large-files": speed.large_files,
    "small-files": speed.small_files,
    "slow-server": speed.slow_server,
    "medium-files": speed.medium_files,
    "many-large-files": limits.many_large_files,
    "million": limits.million,
    "long-wait": limits.long_wait,
    "help": limits.help_page,
}


def main() -> int:
    """Measure; 0 also where a target is missed, which the table says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"default: all of {', '.join(MEASUREMENTS)}")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds")
    parser.add_argument("--folder", type=Path, default=HERE / "build", help="where to work: on a real disk")
    asked = parser.parse_args()
    if unknown := set(asked.rows) - set(MEASUREMENTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        measure(asked.rows or list(MEASUREMENTS), quick=asked.quick, folder=asked.folder)
    except BenchmarkFailed as failed:
        print(f"benchmark failed: {failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def measure(names: list[str], *, quick: bool, folder: Path) -> None:
    """Run the measurements of these names."""
    facts, began = machine(), time.monotonic()
    results: list[Result] = []
    for name in names:
        print(name, file=sys.stderr, flush=True)
        with work_folder(folder) as work:
            results += MEASUREMENTS[name](Bench(work, quick))
    seconds = time.monotonic() - began
    print(table(results))
    print("\n" + ", ".join(f"{key} {value}" for key, value in facts.items()))
    print(f"{sum(result.is_met for result in results)} of {len(results)} targets met, in {seconds:.0f} s")
    if quick:
        print("Quick sizes: what a process costs to start weighs more than in the full run, whose targets these are.")
    # The full run is the record; anything less is for whoever ran it.
    write(results, facts, "latest" if not quick and set(names) == set(MEASUREMENTS) else "partial")


def write(results: list[Result], facts: dict[str, str], name: str) -> None:
    """The results file and the chart."""
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"measured_at": measured_at, "machine": facts, "rows": [result.as_json() for result in results]}
    (folder / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    footer = f"{facts['processor']}, {facts['cores']} cores, {facts['kernel']}, Python {facts['python']}"
    (folder / ("chart.svg" if name == "latest" else f"{name}.svg")).write_text(chart(results, footer))


if __name__ == "__main__":
    sys.exit(main())

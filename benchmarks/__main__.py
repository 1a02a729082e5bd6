"""``python -m benchmarks [--quick] [ROW ...]``: run the measurements, print the table, write it down."""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import limits, page, speed
from benchmarks.bars import bars_of
from benchmarks.bulkload_runs import OLDER
from benchmarks.chart import draw
from benchmarks.machine import machine
from benchmarks.measuring import Bench
from benchmarks.processes import BenchmarkFailed
from benchmarks.record import LATEST, RESULTS, Record, save, source_here
from benchmarks.results import Result, table
from benchmarks.work import work_folder

HERE = Path(__file__).parent
# What can be asked for by name; some of them fill several lines of the table.
MEASUREMENTS: dict[str, Callable[[Bench], list[Result]]] = {
    "small-files": speed.small_files,
    "slow-server": speed.slow_server,
    "medium-files": speed.medium_files,
    "large-file": speed.large_file,
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
    facts, source, began = machine(), source_here(), time.monotonic()
    results: list[Result] = []
    for number, name in enumerate(names, start=1):
        minutes = (time.monotonic() - began) / 60
        print(f"{name} ({number} of {len(names)}, after {minutes:.1f} min)", file=sys.stderr, flush=True)
        with work_folder(folder) as work:
            results += MEASUREMENTS[name](Bench(work, quick))
    if source_here() != source:
        raise BenchmarkFailed("a module of bulkload was changed meanwhile: these are results of neither state")
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    record = Record(measured_at, source, round(time.monotonic() - began, 1), facts, results)
    show(record, quick=quick)
    write(record, is_full=not quick and set(names) == set(MEASUREMENTS))


def show(record: Record, *, quick: bool) -> None:
    """Print the table."""
    results = record.results
    print(table(results))
    print("\n" + ", ".join(f"{key} {value}" for key, value in record.machine.items()))
    print(f"{sum(result.is_met for result in results)} of {len(results)} targets met, in {record.seconds:.0f} s")
    if quick:
        print("Quick sizes: what a process costs to start weighs more than in the full run, whose targets these are.")
    if not OLDER.exists():
        print("Not measured: CPU against bulkload 0.1.0, which `make older` builds.")


def write(record: Record, *, is_full: bool) -> None:
    """The results, the chart and the page: the full run is the record, anything less is for whoever ran it."""
    if is_full:
        save(record, LATEST)
        page.publish(record)
        return
    save(record, RESULTS / "partial.json")
    if bars_of(record):
        (RESULTS / "partial.svg").write_text(draw(record))


if __name__ == "__main__":
    sys.exit(main())

"""``python -m benchmarks.page``: the chart and docs/performance.md, made anew from the results of the last full run."""

import sys

from benchmarks.chart import draw
from benchmarks.record import CHART, LATEST, PAGE, Record, StaleResults, load, refuse_stale, source_here
from benchmarks.section import with_results


def main() -> int:
    """Make both; 1 where the results are not those of the bulkload that is here."""
    try:
        record = load(LATEST)
        refuse_stale(record, source_here())
    except StaleResults as stale:
        print(f"stale: {stale}", file=sys.stderr)
        return 1
    publish(record)
    return 0


def publish(record: Record) -> None:
    """Write chart and page."""
    CHART.write_text(draw(record))
    PAGE.write_text(with_results(PAGE.read_text(), record))


if __name__ == "__main__":
    sys.exit(main())

"""What the chart shows: the seconds that each tool takes for the same work."""

import statistics

from benchmarks.record import Record

# One for each tool, told apart also by those who see no red or green.
COLOURS = {
    "bulkload": "#0072b2",
    "bulkload 0.1.0": "#8cc5e3",
    "curl": "#e69f00",
    "requests": "#009e73",
    "vendor's SDK": "#cc79a7",
}

# Work -> bars: tool, scheme, seconds.
Bars = dict[str, list[tuple[str, str, float]]]


def bars_of(record: Record) -> Bars:
    """What is drawn: the median of each tool's rounds, once, however many rows it counts for."""
    found: Bars = {}
    for result in record.results:
        if (timed := result.seconds) is None:
            continue
        bars = found.setdefault(timed.work, [])
        for tool, seconds in timed.by_tool.items():
            if (tool, timed.scheme) not in {(other, scheme) for other, scheme, _ in bars}:
                bars.append((tool, timed.scheme, statistics.median(seconds)))
    return {work: sorted(bars, key=lambda bar: bar[1]) for work, bars in found.items()}


def colour_of(tool: str) -> str:
    """A tool that has another one beside it is still that tool."""
    return COLOURS.get(tool) or COLOURS[tool.partition(" and ")[0]]

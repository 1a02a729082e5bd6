"""The results as a picture: how many seconds each tool takes for the same work."""

import io

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.bars import bars_of, colour_of
from benchmarks.record import Record

TITLE = "Seconds for the same work (shorter is better)"
BAR_INCHES, HEAD_INCHES, WIDTH_INCHES = 0.27, 0.75, 8.6


def draw(record: Record) -> str:
    """SVG, on white: it is read on light and on dark pages."""
    works = bars_of(record)
    heights = [HEAD_INCHES + BAR_INCHES * len(bars) for bars in works.values()]
    # Words stay words, and the same results make the same file.
    settings = {"svg.fonttype": "none", "svg.hashsalt": "bulkload", "font.family": "sans-serif", "font.size": 9}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 0.9), layout="constrained", facecolor="white")
        figure.suptitle(TITLE, fontsize=13, fontweight="bold")
        axes = figure.subplots(len(works), 1, squeeze=False, height_ratios=[len(bars) for bars in works.values()])[:, 0]
        for place, (work, bars) in zip(axes, works.items(), strict=True):
            _draw_work(place, work, bars)
        machine = record.machine
        figure.supxlabel(
            f"bulkload {record.source.version}, {record.measured_at[:10]}, {machine['processor']},"
            f" {machine['cores']} cores, {machine['kernel']}. The registry beside it discards what it is sent.",
            fontsize=7,
            color="#555555",
        )
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Title": TITLE})
    return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines()) + "\n"


def _draw_work(place: Axes, work: str, bars: list[tuple[str, str, float]]) -> None:
    longest = max(seconds for _, _, seconds in bars)
    names = [f"{tool}, {scheme}" for tool, scheme, _ in bars]
    drawn = place.barh(
        names, [seconds for _, _, seconds in bars], color=[colour_of(tool) for tool, _, _ in bars], height=0.72
    )
    place.bar_label(drawn, labels=[f"{seconds:.1f} s" for _, _, seconds in bars], padding=3)
    place.set_title(work, loc="left", fontsize=10, fontweight="bold")
    place.set_xlabel("seconds", fontsize=8, loc="right")
    place.set_xlim(0, 1.12 * longest)
    place.invert_yaxis()
    place.tick_params(axis="y", length=0)
    place.tick_params(axis="x", labelsize=8)
    place.spines[["top", "right", "left"]].set_visible(False)

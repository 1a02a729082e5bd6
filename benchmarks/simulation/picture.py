"""A minute without a registry, as a picture: uploads a second, before it and after it."""

from xml.sax.saxutils import escape

from benchmarks.simulation.measures import Played

WIDTH, HEIGHT = 860, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 844, 40, 252
FONT = 'font-family="-apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13"'
# Seconds that are shown before the trouble and after its end.
BEFORE, AFTER = 40, 80
# Readable on white and on near-black: the page's theme is not always the browser's.
TEXT, FAINT, ACCEPTED, REFUSED = "#7a828c", "#7a828c26", "#2da44e", "#d4762c"
LEGEND = f'<tspan fill="{ACCEPTED}">accepted</tspan>, <tspan fill="{REFUSED}">refused</tspan>'


def picture(played: Played, limit: float) -> str:
    """SVG, without a background. ``limit``: uploads a second that the registry takes."""
    trouble = played.scenario.allowed.troubles[0]
    first, last = int(trouble.begin) - BEFORE, int(trouble.end) + AFTER
    accepted, arrived = played.registry.accepted, played.registry.arrived
    highest = 1.2 * max(limit, *(arrived[second] for second in range(first, last)))

    def x(second: float) -> float:
        return LEFT + (RIGHT - LEFT) * (second - first) / (last - first)

    def y(uploads: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * uploads / highest

    bar = x(first + 1) - x(first) - 0.6
    bars = [
        _bar(x(second), y(arrived[second]), bar, y(accepted[second]) - y(arrived[second]), REFUSED)
        + _bar(x(second), y(accepted[second]), bar, BOTTOM - y(accepted[second]), ACCEPTED)
        for second in range(first, last)
    ]
    ticks = [
        _text(
            x(second), BOTTOM + 18, f"{second - int(trouble.end):+d} s" if second != int(trouble.end) else "it is back"
        )
        for second in range(int(trouble.end) - 90, last + 1, 30)
    ]
    full = played.recovery_seconds or 0.0
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" {FONT}>',
            "<title>Uploads a second around a minute without a registry</title>",
            _bar(x(trouble.begin), TOP, x(trouble.end) - x(trouble.begin), BOTTOM - TOP, FAINT),
            _text(x((trouble.begin + trouble.end) / 2), TOP + 18, "the registry answers 503"),
            *bars,
            _line(LEFT, BOTTOM, RIGHT, BOTTOM, ""),
            _line(LEFT, y(limit), RIGHT, y(limit), ' stroke-dasharray="4 3"'),
            _text(LEFT - 6, y(limit) + 4, f"{limit:g}/s", anchor="end"),
            f'<text x="{LEFT}" y="{TOP - 18}" fill="{TEXT}">uploads in each second: {LEGEND}</text>',
            _text(RIGHT, TOP - 18, f"full speed {full:.0f} s after it is back", anchor="end"),
            *ticks,
            "</svg>\n",
        ]
    )


def _bar(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>' if height else ""


def _line(x1: float, y1: float, x2: float, y2: float, looks: str) -> str:
    return f'<line x1="{x1}" y1="{y1:.1f}" x2="{x2}" y2="{y2:.1f}" stroke="{TEXT}"{looks}/>'


def _text(x: float, y: float, words: str, *, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{TEXT}">{escape(words)}</text>'

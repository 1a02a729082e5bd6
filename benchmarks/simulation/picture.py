"""A minute without a registry, as a picture: uploads a second, before it and after it."""

from benchmarks.simulation.measures import Played

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 300, 48, 844, 40, 252
FONT = 'font-family="-apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13"'
# Seconds that are shown before the trouble and after its end.
BEFORE, AFTER = 40, 80
# Readable on white and on near-black: the page's theme is not always the browser's.
TEXT, FAINT, ACCEPTED, REFUSED = "#7a828c", "#7a828c26", "#2da44e", "#d4762c"
LEGEND = f'<tspan fill="{ACCEPTED}">accepted</tspan>, <tspan fill="{REFUSED}">refused</tspan>'


def picture(played: Played, limit: float) -> str:
    """SVG, without a background. ``limit``: uploads a second that the registry takes."""
    trouble = played.scenario.allowed.troubles[0]
    first, last, back = int(trouble.begin) - BEFORE, int(trouble.end) + AFTER, int(trouble.end)
    accepted, arrived = played.registry.accepted, played.registry.arrived
    highest = 1.2 * max(limit, *(arrived[second] for second in range(first, last)))

    def x(second: float) -> float:
        return LEFT + (RIGHT - LEFT) * (second - first) / (last - first)

    def y(uploads: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * uploads / highest

    def bar(second: float, seconds: float, low: float, high: float, fill: str) -> str:
        shape = f'x="{x(second):.1f}" y="{y(high):.1f}" height="{y(low) - y(high):.1f}"'
        return f'<rect {shape} width="{x(second + seconds) - x(second):.1f}" fill="{fill}"/>' if high > low else ""

    def line(uploads: float, looks: str) -> str:
        height = f'y1="{y(uploads):.1f}" y2="{y(uploads):.1f}"'
        return f'<line x1="{LEFT}" x2="{RIGHT}" {height} stroke="{TEXT}"{looks}/>'

    def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{TEXT}">{words}</text>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" {FONT}>',
        "<title>Uploads a second around a minute without a registry</title>",
        bar(trouble.begin, trouble.end - trouble.begin, 0, highest, FAINT),
        text(x((trouble.begin + trouble.end) / 2), TOP + 18, "the registry answers 503"),
        *(bar(second, 0.9, accepted[second], arrived[second], REFUSED) for second in range(first, last)),
        *(bar(second, 0.9, 0, accepted[second], ACCEPTED) for second in range(first, last)),
        line(0, ""),
        line(limit, ' stroke-dasharray="4 3"'),
        text(LEFT - 6, y(limit) + 4, f"{limit:g}/s", "end"),
        text(LEFT, TOP - 18, f"uploads in each second: {LEGEND}", "start"),
        text(RIGHT, TOP - 18, f"full speed {played.recovery_seconds or 0.0:.0f} s after it is back", "end"),
        *(
            text(x(back + later), BOTTOM + 18, f"{later:+d} s" if later else "it is back")
            for later in (-90, -60, -30, 0, 30, 60)
        ),
    ]
    return "\n".join([part for part in parts if part] + ["</svg>\n"])

"""The results as a picture: a bar a row, how much of what its target allows is used up."""

from xml.sax.saxutils import escape

from benchmarks.results import Result

WIDTH, ROW_HEIGHT, HEAD, FOOT = 880, 38, 44, 34
LABELS_END, TARGET, BARS_END = 340, 580, 670
# Readable on white and on near-black: the page's theme is not always the browser's.
TEXT, FAINT, MET, NOT_MET = "#7a828c", "#7a828c66", "#2da44e", "#d4762c"


def chart(results: list[Result], footer: str) -> str:
    """SVG, without a background."""
    height = HEAD + ROW_HEIGHT * len(results) + FOOT
    bottom = HEAD + ROW_HEIGHT * len(results)
    rows = "".join(_row(result, HEAD + ROW_HEIGHT * number) for number, result in enumerate(results))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' font-family="-apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13" fill="{TEXT}">\n'
        f"<title>bulkload against its peers</title>\n"
        f"{_text(LABELS_END + 8, 18, 'bulkload; shorter is better', size=12)}"
        f"{_text(TARGET, 18, 'target', anchor='middle', size=12)}"
        f"{rows}"
        f'<line x1="{TARGET}" y1="26" x2="{TARGET}" y2="{bottom}" stroke="{TEXT}" stroke-dasharray="4 3"/>\n'
        f"{_text(WIDTH - 8, height - 10, footer, anchor='end', size=11)}"
        "</svg>\n"
    )


def _row(result: Result, top: int) -> str:
    row, full = result.row, TARGET - LABELS_END - 8
    length = max(2.0, min(result.share * full, BARS_END - LABELS_END - 8))
    middle, colour = top + ROW_HEIGHT / 2, MET if result.is_met else NOT_MET
    target = f"{'at least' if row.at_least else 'at most'} {row.show_target()}"
    against = f"against {row.peer}" if row.peer else ""
    words = [
        _text(LABELS_END, middle - (3 if against else -4), row.work, anchor="end"),
        _text(LABELS_END, middle + 12, against, anchor="end", size=11) if against else "",
        f'<rect x="{LABELS_END + 8}" y="{middle - 9}" width="{length:.1f}" height="18" rx="2" fill="{colour}"/>\n',
        # A bar that is longer than there is room for is cut.
        _text(BARS_END - 12, middle + 4, "»", anchor="middle", fill="#ffffff") if result.share * full > length else "",
        _text(BARS_END + 12, middle - 3, row.show(result.median), weight="600"),
        _text(BARS_END + 12, middle + 12, target, size=11),
        f'<line x1="8" y1="{top}" x2="{WIDTH - 8}" y2="{top}" stroke="{FAINT}"/>\n',
    ]
    return "".join(words)


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 13, weight: str = "400", fill: str = TEXT
) -> str:
    looks = f'text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{fill}"'
    return f'<text x="{x}" y="{y}" {looks}>{escape(words)}</text>\n'

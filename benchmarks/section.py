"""What docs/performance.md says of the results."""

from benchmarks.record import PAGE, Record
from benchmarks.results import cells

BEGIN = "<!-- From here on, `make bench` writes. -->"
END = "<!-- From here on, people write. -->"


def with_results(page: str, record: Record) -> str:
    """The page, with these results in place of others. Raises ``ValueError`` for one that has no place for them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no place for the results, between {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{section(record)}\n{END}{after}"


def section(record: Record) -> str:
    """All that is measured, in words and as a table."""
    machine = record.machine
    versions = ", ".join(f"{name} {machine[name]}" for name in ("aiohttp", "uvloop", "curl", "openssl"))
    met = sum(result.is_met for result in record.results)
    lines = [
        "![Seconds for the same work, bulkload and others](../benchmarks/results/chart.svg)",
        "",
        f"Measured on {record.measured_at[:10]} in {record.seconds / 60:.0f} minutes: bulkload {record.source.version}",
        f"(modules {record.source.digest}) on {machine['processor']}, {machine['cores']} cores, {machine['memory']},",
        f"{machine['kernel']}, load before it began {machine['load before']}; Python {machine['python']}, {versions}.",
        f"{met} of {len(record.results)} targets are met. What counts is the median; beside it, least and largest.",
        "",
        "| work | against | measured | target | |",
        "|---|---|---|---|---|",
    ]
    for result in record.results:
        work, peer, measured, target, _ = cells(result)
        lines.append(f"| {work} | {peer} | {measured} | {target} | {'met' if result.is_met else '**missed**'} |")
    return "\n".join((*lines, ""))

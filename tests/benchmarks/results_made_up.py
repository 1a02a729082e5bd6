"""A record as a run of the benchmarks leaves it, with numbers that nobody measured."""

from benchmarks.record import Record, Source
from benchmarks.results import Result, Row, Seconds

WORK = "200 files of 5 MB, 16 at a time"
FAST = Row("medium-files", f"{WORK}, http", "curl and sha256sum", 1.15, "x as long")
PLAIN = Seconds(WORK, "http", {"bulkload": [2.0, 3.0, 2.5], "curl and sha256sum": [2.0, 2.0, 2.0]})
TLS = Seconds(WORK, "https", {"bulkload": [4.0], "curl and sha256sum": [5.0]})
MACHINE = {
    "processor": "A processor",
    "cores": "2",
    "memory": "24 GiB",
    "kernel": "Linux 6.18",
    "python": "3.11.7",
    "aiohttp": "3.14.5",
    "uvloop": "0.23.0",
    "curl": "7.88.1",
    "openssl": "3.0.19",
    "load before": "0.03",
}


SOURCE = Source("1.2.3", "0123456789abcdef")


def record_of(*results: Result, source: Source = SOURCE) -> Record:
    """Of these results; else of three, the second of which misses its target."""
    made_up = (
        Result(FAST, [1.0, 1.5, 1.25], PLAIN),
        Result(Row("requests", f"{WORK}, http", "requests", 6, "x as fast", at_least=True), [7.0], PLAIN),
        Result(Row("memory", "memory: 1 file of 8 GiB", "", 150, "MB", decimals=0), [59.4], measured={"MB": [59.4]}),
    )
    return Record("2026-11-28T16:00:00+00:00", source, 600.0, MACHINE, list(results or made_up))

"""One run of the measurements as a file, and whether it still is about the bulkload that is here."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

import bulkload
from benchmarks.results import Result

PACKAGE = Path(bulkload.__file__).parent
RESULTS = Path(__file__).parent / "results"
LATEST, CHART = RESULTS / "latest.json", RESULTS / "chart.svg"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


class StaleResults(Exception):
    """The results are not those of the bulkload that is here."""


@dataclass(frozen=True)
class Source:
    """Which bulkload it is."""

    version: str
    # A digest of all of its modules.
    digest: str


@dataclass(frozen=True)
class Record:
    """What one run found."""

    measured_at: str
    source: Source
    seconds: float
    machine: dict[str, str]
    results: list[Result]


def source_here(package: Path = PACKAGE) -> Source:
    """The bulkload that is installed, as it lies here now."""
    digest = hashlib.sha256()
    for module in sorted(package.rglob("*.py")):
        digest.update(f"{module.relative_to(package).as_posix()}\0".encode())
        digest.update(hashlib.sha256(module.read_bytes()).digest())
    return Source(bulkload.__version__, digest.hexdigest()[:16])


def refuse_stale(record: Record, here: Source) -> None:
    """Raise ``StaleResults`` unless they were measured with just this bulkload."""
    if record.source.version != here.version:
        raise StaleResults(
            f"the results are those of bulkload {record.source.version}, this is {here.version}: run `make bench`"
        )
    if record.source.digest != here.digest:
        raise StaleResults(
            f"the results were measured on {record.measured_at} with other modules of bulkload"
            f" (digest {record.source.digest}, here {here.digest}): run `make bench`"
        )


def save(record: Record, path: Path) -> None:
    """Write it down, for people to read, too."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def load(path: Path) -> Record:
    """Read it. Raises ``StaleResults`` for a file of another form."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError) as error:
        raise StaleResults(f"{path} has no results of this bench ({error}): run `make bench`") from None

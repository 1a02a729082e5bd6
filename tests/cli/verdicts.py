"""What became of a manifest, by what the registry stores and its request log says, never by the client's belief."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bulkload.sandbox import LogRecord, StoredVersion, read_request_log, stored_versions
from tests.cli.ledgers import LedgerRow
from tests.conftest import Rows


@dataclass(slots=True)
class Judgement:
    """What was counted, and every violation in words."""

    entries: int
    versions: int
    lost: int = 0
    duplicate: int = 0
    wrong_digest: int = 0
    violations: list[str] = field(default_factory=list)


def judge(rows: Rows, data: Path, ledger: tuple[LedgerRow, ...], summary: dict[str, Any]) -> Judgement:
    """Each entry is one version with its bytes, in manifest order, and ledger and summary say so."""
    stored = sorted(stored_versions(data), key=lambda version: version.id)
    found = Judgement(entries=len(rows), versions=len(stored))
    wanted = [(row["name"], hashlib.sha256(row["content"]).hexdigest()) for row in rows]
    _count(found, wanted, stored)
    _compare_order(found, wanted, stored)
    _read_log(found, data, {version.id for version in stored})
    _read_ledger(found, wanted, {version.id: version for version in stored}, ledger)
    states = {state: number for state, number in summary.get("states", {}).items() if number}
    if states != {"ready": len(rows)} or summary["entries"] != len(rows) or summary["duplicates"] != 0:
        found.violations.append(f"the summary says {summary}")
    return found


def _count(found: Judgement, wanted: list[tuple[str, str]], stored: list[StoredVersion]) -> None:
    digests = {version.id: hashlib.sha256(version.path.read_bytes()).hexdigest() for version in stored}
    asked = Counter(wanted)
    held = Counter((version.name, digests[version.id]) for version in stored)
    for version in stored:
        key = (version.name, digests[version.id])
        if version.sha256 != digests[version.id] or key not in asked:
            found.wrong_digest += 1
            found.violations.append(f"wrong digest: version {version.id} of {version.name} ({version.file_name})")
    for (name, digest), number in asked.items():
        surplus = held[name, digest] - number
        if surplus < 0:
            found.lost -= surplus
            found.violations.append(f"lost: {name} {digest[:8]} is stored {held[name, digest]} times, not {number}")
        elif surplus > 0:
            found.duplicate += surplus
            times = [(v.id, round(v.created_at, 3)) for v in stored if (v.name, digests[v.id]) == (name, digest)]
            found.violations.append(f"duplicate: {name} {digest[:8]} is stored as {times}, not {number} times")


def _compare_order(found: Judgement, wanted: list[tuple[str, str]], stored: list[StoredVersion]) -> None:
    orders: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for name, digest in wanted:
        orders[name][0].append(digest)
    for version in stored:
        orders[version.name][1].append(version.sha256)
    for name, (asked, held) in orders.items():
        if asked != held and Counter(asked) == Counter(held):
            found.violations.append(f"out of order: {name} is stored as {held}, not {asked}")


def is_upload(record: LogRecord) -> bool:
    """Whether the request was to make a version."""
    return record.path.rpartition("/models/")[2] in ("upload", "upload_and_convert")


def _read_log(found: Judgement, data: Path, stored: set[int]) -> None:
    """No version without a request, none that two requests made. (What lands late is not in the log under its id.)"""
    uploads = [record for record in read_request_log(data / "requests.jsonl") if is_upload(record)]
    made = Counter(record.version_id for record in uploads if record.version_id is not None)
    late = sum(record.fate == "late" for record in uploads)
    if made.keys() - stored or max(made.values(), default=1) > 1 or len(stored - made.keys()) > late:
        found.violations.append(f"the request log tells of versions {sorted(made)}, stored are {sorted(stored)}")


def _read_ledger(
    found: Judgement, wanted: list[tuple[str, str]], stored: dict[int, StoredVersion], ledger: tuple[LedgerRow, ...]
) -> None:
    said = [(row.name, row.sha256) for row in ledger]
    if said != wanted:
        found.violations.append("the ledger's entries are not the manifest's")
    if len({row.version_id for row in ledger}) < len(ledger):
        found.violations.append("the ledger gives two entries one version")
    for row in ledger:
        version = stored.get(row.version_id or 0)
        if row.state != "ready" or version is None or (version.name, version.sha256) != (row.name, row.sha256):
            held = version and (version.name, version.sha256)
            found.violations.append(f"the ledger says {row}; its version is {held}")

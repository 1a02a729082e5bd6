"""Whether a version equal to what is about to be sent is there already: in the listing, or of this ledger's making."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from bulkload.core.contract.times import registry_time
from bulkload.core.identity.content import content_of_entry
from bulkload.core.identity.reconcile import ExistingDecision, choose_existing, is_stuck
from bulkload.core.model.records import Entry, RegistryVersion
from bulkload.core.model.states import State


class Sought(msgspec.Struct, frozen=True):
    """What is about to be sent."""

    entry: Entry
    workspace_id: int
    sha256: str
    # Planned anew by --retry-failed: an equal version that ended in error does not count.
    retry_requested: bool


class Sibling(msgspec.Struct, frozen=True):
    """Another entry of the same model, whose upload of the same bytes became a version."""

    entry: Entry
    version_id: int
    is_ready: bool


class Present(msgspec.Struct, frozen=True):
    """What is there of the model."""

    # As the registry showed them when it was asked.
    listed: Sequence[RegistryVersion]
    siblings: Iterable[Sibling]
    # Versions that other entries of the ledger hold or held: version id -> label of the entry.
    claimed: Mapping[int, str | None]


def find_equal(
    sought: Sought, present: Present, default_arch: str | None, wait_timeout: float, now: datetime | None
) -> ExistingDecision | None:
    """An equal version that is there already, and the state that it gives the entry; None where there is none.

    ``now`` is the registry's own clock, ``wait_timeout`` after how many seconds a native version that still converts
    counts as stuck.
    """
    entry = sought.entry
    content = content_of_entry(entry, sought.workspace_id, default_arch)
    for sibling in present.siblings:
        same = content_of_entry(sibling.entry, sought.workspace_id, default_arch) == content
        if same and sibling.entry.version == entry.version:
            found = RegistryVersion(
                version_id=sibling.version_id, name=entry.name, workspace_id=sought.workspace_id, sha256=sought.sha256
            )
            # Skipped means that it is there for sure; one that still converts is polled.
            return ExistingDecision(state=State.SKIPPED if sibling.is_ready else State.UPLOADED, version=found)
    # A version that carries another label in this ledger is another version, equal or not.
    free = [v for v in present.listed if present.claimed.get(v.version_id, entry.version) == entry.version]
    stuck = _stuck(free, wait_timeout, now)
    return choose_existing(content, sought.sha256, free, default_arch, stuck, retry_requested=sought.retry_requested)


def _stuck(versions: Iterable[RegistryVersion], wait_timeout: float, now: datetime | None) -> frozenset[int]:
    """Versions that never end, by the registry's own clock."""
    if now is None:
        return frozenset()
    found = set()
    for version in versions:
        created = registry_time(version.created_at)
        if created is not None and is_stuck(version, (now - created).total_seconds(), wait_timeout):
            found.add(version.version_id)
    return frozenset(found)

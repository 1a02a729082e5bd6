"""What to do about an upload whose answer was lost, and about a version that is there already."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from enum import Enum

import msgspec

from bulkload.core.contract.frameworks import FRAMEWORKS
from bulkload.core.identity.content import Content, Match, could_be_ours, same_content
from bulkload.core.model.records import RegistryVersion
from bulkload.core.model.states import REGISTRY_TERMINAL, State

# A body still on its way lands at this speed at the slowest (bytes a second).
SLOWEST_LANDING_RATE = 20_000_000


class Reconciliation(Enum):
    """What became of an upload whose answer was lost."""

    ADOPT = "adopt"
    # It never landed: it may be sent again.
    ABSENT = "absent"
    # Something is there that may be ours or not: a person decides.
    UNDECIDED = "undecided"


class ReconcileDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of ``reconcile``, with the version to adopt and a note for the results."""

    outcome: Reconciliation
    version: RegistryVersion | None = None
    note: str | None = None


def settle_seconds(settle: float, size: int) -> float:
    """How long a lost upload of ``size`` bytes may still land, from the moment its connection was lost."""
    return max(settle, size / SLOWEST_LANDING_RATE)


def reconcile(
    content: Content,
    sha256: str,
    file_name: str,
    fence: AbstractSet[int],
    candidates: Iterable[RegistryVersion],
    claimed: AbstractSet[int],
    default_arch: str | None,
) -> ReconcileDecision:
    """Decide after the settle time: ``candidates`` are the model's versions now, ``claimed`` those of other entries."""
    exact: list[RegistryVersion] = []
    near: list[RegistryVersion] = []
    for version in candidates:
        if version.version_id in claimed:
            continue
        match = could_be_ours(content, sha256, file_name, fence, version, default_arch)
        if match is Match.EXACT:
            exact.append(version)
        elif match is Match.NEAR:
            near.append(version)
    if exact:
        return _adopt(exact, "adopted after a lost answer")
    if len(near) == 1:
        return _adopt(near, "adopted after a lost answer; the registry shows its conversion differently")
    if near:
        ids = ", ".join(str(version.version_id) for version in sorted(near, key=lambda version: version.version_id))
        return ReconcileDecision(
            outcome=Reconciliation.UNDECIDED, note=f"versions {ids} have the same bytes but another conversion"
        )
    return ReconcileDecision(outcome=Reconciliation.ABSENT)


def _adopt(versions: list[RegistryVersion], note: str) -> ReconcileDecision:
    lowest, *others = sorted(versions, key=lambda version: version.version_id)
    if others:
        note += "; also there: " + ", ".join(str(version.version_id) for version in others)
    return ReconcileDecision(outcome=Reconciliation.ADOPT, version=lowest, note=note)


def duplicates_of(
    content: Content,
    sha256: str,
    file_name: str,
    fence: AbstractSet[int],
    candidates: Iterable[RegistryVersion],
    claimed: AbstractSet[int],
    default_arch: str | None,
) -> list[int]:
    """Version ids that an entry's uploads may have made and that nobody claims: what should not be there."""
    return sorted(
        version.version_id
        for version in candidates
        if version.version_id not in claimed
        and could_be_ours(content, sha256, file_name, fence, version, default_arch) is not Match.NO
    )


class ExistingDecision(msgspec.Struct, frozen=True, kw_only=True):
    """An equal version that is there already, and the state it gives the entry."""

    state: State
    version: RegistryVersion


def choose_existing(
    content: Content,
    sha256: str,
    versions: Iterable[RegistryVersion],
    default_arch: str | None,
    stuck: AbstractSet[int] = frozenset(),
    *,
    retry_requested: bool = False,
) -> ExistingDecision | None:
    """Of the equal versions that are there: the highest ready one, else the youngest converting, else one in error.

    ``stuck`` holds ids of versions that will never end (see ``is_stuck``); they count as not there.
    ``retry_requested``: the entry is tried anew although such a version ended in error (--retry-failed), so none in
    error counts.
    """
    found = [
        ExistingDecision(state=_state_of_existing(version), version=version)
        for version in versions
        if version.version_id not in stuck and same_content(content, sha256, version, default_arch)
    ]
    ranks = (
        {State.UPLOADED: 1, State.SKIPPED: 2}
        if retry_requested
        else {State.ERROR: 0, State.UPLOADED: 1, State.SKIPPED: 2}
    )
    counted = [decision for decision in found if decision.state in ranks]
    return max(counted, key=lambda decision: (ranks[decision.state], decision.version.version_id), default=None)


def _state_of_existing(version: RegistryVersion) -> State:
    verdict = REGISTRY_TERMINAL.get(version.status or "", State.UPLOADED)
    return State.SKIPPED if verdict is State.READY else verdict


def is_stuck(version: RegistryVersion, age_seconds: float, wait_timeout: float) -> bool:
    """Whether a version of a natively served framework has been converting for longer than anyone waits.

    On real instances an onnx model sent to ``upload_and_convert`` stayed in ``attempting_load_container`` for days.
    """
    rule = FRAMEWORKS.get(version.conversion.framework) if version.conversion is not None else None
    return (
        rule is not None
        and rule.native_route
        and version.status not in REGISTRY_TERMINAL
        and age_seconds > wait_timeout
    )

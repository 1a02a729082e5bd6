"""Whether a version of the registry is what the ledger says it is."""

import msgspec

from bulkload.core.records import RegistryVersion


class PublishedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger says about a version that it holds."""

    # NULL: no longer in the manifest.
    line: int | None
    name: str
    workspace_id: int
    version_id: int
    sha256: str | None
    state: str
    status: str | None


def differences(published: PublishedVersion, version: RegistryVersion | None) -> list[str]:
    """What the ledger and the registry do not agree on; empty when they do."""
    if version is None:
        return [f"the registry has no version {published.version_id}"]
    found = []
    if version.name != published.name:
        found.append(f"its name is {version.name}")
    if version.workspace_id != published.workspace_id:
        found.append(f"it is in workspace {version.workspace_id}, not {published.workspace_id}")
    # A registry that shows no digest cannot be compared, and results say "unverified".
    if None not in (version.sha256, published.sha256) and version.sha256 != published.sha256:
        found.append(f"its sha256 is {version.sha256}, not {published.sha256}")
    # A version that the ledger still waits for may have moved on.
    if published.state != "uploaded" and published.status is not None and version.status != published.status:
        found.append(f"its status is {version.status}, not {published.status}")
    return found

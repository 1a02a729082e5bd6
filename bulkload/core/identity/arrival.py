"""Whether a version that the registry shows under an id is what was sent under it."""

from collections.abc import Set as AbstractSet
from enum import Enum

from bulkload.core.model.records import RegistryVersion


class Arrival(Enum):
    """What a version is to the entry that holds its id."""

    OURS = "ours"
    # Another name or workspace, or one that was there before the send.
    NOT_OURS = "not ours"
    OTHER_BYTES = "other bytes"
    # The right bytes, but from a file of another name: an equal upload of this model may have made it.
    OTHER_FILE = "other file"


def judge_arrival(
    workspace_id: int,
    name: str,
    sha256: str | None,
    file_name: str | None,
    fence: AbstractSet[int],
    version: RegistryVersion,
) -> Arrival:
    """The answer's id is checked, not believed: the real insert names the newest version of the model.

    ``fence``: ids that were there before the send. It is empty, and ``file_name`` None, for a version that was found,
    not made.
    """
    if (version.workspace_id, version.name) != (workspace_id, name) or version.version_id in fence:
        return Arrival.NOT_OURS
    if version.sha256 is not None and sha256 is not None and version.sha256 != sha256:
        return Arrival.OTHER_BYTES
    if None not in (version.file_name, file_name) and version.file_name != file_name:
        return Arrival.OTHER_FILE
    return Arrival.OURS

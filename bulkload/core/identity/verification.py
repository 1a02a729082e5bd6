"""Whether the registry has what the ledger says."""

import msgspec

from bulkload.core.model.records import RegistryVersion
from bulkload.core.model.states import TERMINAL, State

# What the registry must call a version of an entry that is in this state.
_STATUS_OF = {State.READY: "ready", State.SKIPPED: "ready", State.ERROR: "error"}
# Why an entry is failed although it has a version.
GONE, WRONG_DIGEST = "version_gone", "wrong_digest"


class LedgerWord(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger says about an entry, and about the version that it holds."""

    # NULL: no longer in the manifest.
    line: int | None
    name: str
    workspace_id: int
    path: str
    # NULL: it holds none.
    version_id: int | None
    sha256: str | None
    state: str
    status: str | None
    cause: str | None

    @property
    def said(self) -> str:
        """The state, with its reason."""
        return f"{self.state} ({self.cause})" if self.cause else self.state


class Unowned(msgspec.Struct, frozen=True, kw_only=True):
    """A version of one of the ledger's models that no entry of it holds or held."""

    name: str
    workspace_id: int
    version_id: int
    sha256: str | None
    status: str | None
    # The entry whose bytes it has, where it was not there before that one was sent.
    entry: LedgerWord | None

    @property
    def differs(self) -> bool:
        """Whether it belies the ledger: it is published once more, or although the ledger says that it is not."""
        return self.entry is not None and State(self.entry.state) in TERMINAL


def differences(word: LedgerWord, version: RegistryVersion | None) -> list[str]:
    """What the ledger and the registry do not agree on, of an entry with a version; empty when they do."""
    gone = word.state == State.FAILED and word.cause == GONE
    if version is None:
        return [] if gone else [f"the registry has no version {word.version_id}, the ledger says {word.said}"]
    found = []
    if version.name != word.name:
        found.append(f"its name is {version.name}")
    if version.workspace_id != word.workspace_id:
        found.append(f"it is in workspace {version.workspace_id}, not {word.workspace_id}")
    found += _other_bytes(word, version)
    if gone:
        found.append(f"the registry has it ({version.status}), the ledger says {word.said}")
    expected = _STATUS_OF.get(State(word.state))
    if expected is not None:
        statuses = dict.fromkeys((word.status or expected, expected))
        found += [f"its status is {version.status}, not {status}" for status in statuses if version.status != status]
    return found


def _other_bytes(word: LedgerWord, version: RegistryVersion) -> list[str]:
    # A registry that shows no digest cannot be compared, and results say "unverified".
    if None in (version.sha256, word.sha256):
        return []
    same = version.sha256 == word.sha256
    if word.state == State.FAILED and word.cause == WRONG_DIGEST:
        return [f"it has the bytes that were sent, the ledger says {word.said}"] if same else []
    return [] if same else [f"its sha256 is {version.sha256}, not {word.sha256}"]

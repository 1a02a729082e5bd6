"""A registry in memory: what it stores, what it shows of it and when, and what becomes of an upload's answer.

It outlives the processes that publish to it, as a registry does. Its clock is the world's.
"""

import hashlib
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from bulkload.core.contract.frameworks import FRAMEWORKS
from bulkload.core.model.records import Conversion, RegistryVersion

WORKSPACE = 7
# Seconds that a throttled upload is asked to wait.
RETRY_AFTER = 5.0
# When the world began, by the registry's own clock.
EPOCH = datetime(2026, 1, 6, tzinfo=UTC)


class Fate(StrEnum):
    """What becomes of an upload whose whole body was sent."""

    ANSWERED = "answered"
    # Stored, but the connection breaks before the answer.
    LOST = "lost"
    # The connection breaks, and it was never stored.
    NEVER = "never"
    # The connection breaks, and it is stored a good while later, within the settle time.
    LATE = "late"
    # The same, but after the settle time: the promise does not cover it, the report does.
    TOO_LATE = "too late"
    # The connection breaks in the middle of the body.
    BROKEN = "broken"
    # Refused for now, with a Retry-After.
    THROTTLED = "throttled"


class Answers(StrEnum):
    """Which version the answer to an upload names."""

    OWN = "own"
    # The real insert names the newest version of the model, whoever made it.
    NEWEST = "newest"
    # The newest one before this one, where there is one.
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An upload is refused, whatever it is."""

    status: int
    # Seconds, as its Retry-After says; None: it has none.
    retry_after: float | None = None


@dataclass(slots=True)
class Overload:
    """Between two moments a share of all uploads is refused; ``chance`` decides which."""

    begins: float
    ends: float
    share: float
    refusal: Refusal
    chance: random.Random

    def __call__(self, now: float) -> Refusal | None:
        """What an upload meets now."""
        met = self.begins <= now < self.ends and self.chance.random() < self.share
        return self.refusal if met else None


class SlidingWindow:
    """So many uploads in any second; who is refused takes no place."""

    def __init__(self, most: int, refusal: Refusal) -> None:
        self._most = most
        self._refusal = refusal
        self._taken: deque[float] = deque()

    def __call__(self, now: float) -> Refusal | None:
        """What an upload meets now."""
        while self._taken and self._taken[0] <= now - 1.0:
            self._taken.popleft()
        if len(self._taken) >= self._most:
            return self._refusal
        self._taken.append(now)
        return None


@dataclass(slots=True)
class StoredVersion:
    """A version, or one that is on its way: it exists from ``lands_at`` on, and listings show it a while later."""

    version_id: int
    metadata: dict[str, Any]
    file_name: str
    data: bytes
    lands_at: float
    ours: bool
    fate: Fate
    # A status that it never leaves.
    stuck_in: str | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        name: str = self.metadata["name"]
        return name

    @property
    def sha256(self) -> str:
        """The digest of the stored bytes."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(slots=True)
class RegistryModel:
    """The registry's side. ``clock`` gives seconds."""

    clock: Callable[[], float]
    # Of the uploads in the order in which their bodies were complete; beyond the end all are answered.
    fates: tuple[Fate, ...] = ()
    settle: float = 30.0
    # How long listings do not show a version that exists.
    listing_lag: float = 0.0
    conversion_seconds: float = 5.0
    # Names of models whose conversion fails.
    in_error: frozenset[str] = frozenset()
    # The conversion is shown in another form than it was sent.
    rewrites: bool = False
    answers: Answers = Answers.OWN
    # How long a piece of a body is on its way, and from the last one to the answer; stored just before that.
    piece_seconds: float = 0.01
    answer_seconds: float = 0.1
    # What others do while a body of ours is on its way, and right after it was stored.
    during_upload: Callable[["RegistryModel"], None] = lambda _: None
    after_landing: Callable[["RegistryModel"], None] = lambda _: None
    # Why an upload that begins at a moment is refused once its body was received, as far as that depends on the moment.
    refuses: Callable[[float], Refusal | None] = lambda _: None

    versions: list[StoredVersion] = field(default_factory=list)
    # When each upload began, and when one was refused because of the moment.
    began: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    # Until when this process was asked to send nothing, and by how many seconds it did all the same.
    held_until: float = 0.0
    impatience: float = 0.0
    _on_their_way: list[StoredVersion] = field(default_factory=list)
    _last_id: int = 0

    def next_fate(self) -> Fate:
        """What becomes of the next upload."""
        number = len(self.began)
        fate = self.fates[number] if number < len(self.fates) else Fate.ANSWERED
        self.began.append(self.clock())
        self.impatience = max(self.impatience, self.held_until - self.clock())
        return fate

    def refusal(self) -> Refusal | None:
        """Whether the upload whose body was just received is refused because of the moment."""
        refusal = self.refuses(self.clock())
        if refusal is not None:
            self.refused.append(self.clock())
            if refusal.retry_after is not None:
                self.held_until = max(self.held_until, self.clock() + refusal.retry_after)
        return refusal

    def throttle(self) -> float:
        """Ask for a pause; returns its seconds."""
        self.held_until = self.clock() + RETRY_AFTER
        return RETRY_AFTER

    def lose_connections(self) -> None:
        """The sender is dead: what it sent whole lands within the settle time."""
        self.held_until = 0.0
        for version in self._on_their_way:
            if version.fate is not Fate.TOO_LATE:
                version.lands_at = min(version.lands_at, self.clock() + 0.7 * self.settle)

    def receive(
        self, metadata: dict[str, Any], file_name: str, data: bytes, fate: Fate = Fate.ANSWERED, *, ours: bool = True
    ) -> StoredVersion:
        """The whole body of an upload has arrived: it becomes a version, sooner or later."""
        delay = {Fate.LATE: 0.7 * self.settle, Fate.TOO_LATE: self.settle + 0.5}.get(fate, self.answer_seconds / 2)
        version = StoredVersion(0, metadata, file_name, data, self.clock() + (delay if ours else 0.0), ours, fate)
        self._on_their_way.append(version)
        self.advance()
        return version

    @property
    def changes(self) -> tuple[int, int]:
        """What tells one state of the registry from another: versions stored, and those on their way."""
        return len(self.versions), len(self._on_their_way)

    def advance(self) -> None:
        """Store what has landed by now: ids are given in that order."""
        now = self.clock()
        while due := [version for version in self._on_their_way if version.lands_at <= now]:
            version = min(due, key=lambda one: one.lands_at)
            self._on_their_way.remove(version)
            self._last_id += 1
            version.version_id = self._last_id
            self.versions.append(version)
            if version.ours:
                self.after_landing(self)

    def answer_to(self, stored: StoredVersion) -> int:
        """The id that the answer names."""
        self.advance()
        of_model = [version.version_id for version in self.versions if version.name == stored.name]
        if self.answers is Answers.NEWEST:
            return max(of_model)
        before = [id_ for id_ in of_model if id_ < stored.version_id]
        return max(before) if self.answers is Answers.STALE and before else stored.version_id

    @property
    def date(self) -> datetime:
        """What its answers say in their Date."""
        return EPOCH + timedelta(seconds=self.clock())

    def listed(self, name: str | None = None) -> list[RegistryVersion]:
        """What listings show now, of one model or of all."""
        self.advance()
        seen = self.clock() - self.listing_lag
        return [
            self.shown(version)
            for version in self.versions
            if version.lands_at <= seen and name in (None, version.name)
        ]

    def version(self, version_id: int) -> RegistryVersion | None:
        """What ``get_version_by_id`` shows."""
        self.advance()
        found = [version for version in self.versions if version.version_id == version_id]
        return self.shown(found[0]) if found else None

    def shown(self, version: StoredVersion) -> RegistryVersion:
        """A version as the API shows it."""
        conversion = msgspec.convert(version.metadata["conversion"], Conversion)
        native = FRAMEWORKS[conversion.framework].native_route
        done = self.clock() >= version.lands_at + (0.0 if native else self.conversion_seconds)
        status = version.stuck_in or "pending_load_native"
        if done and version.stuck_in is None:
            status = "error" if version.name in self.in_error else "ready"
        if self.rewrites:
            conversion = msgspec.structs.replace(conversion, accel="cuda")
        return RegistryVersion(
            version_id=version.version_id,
            name=version.name,
            workspace_id=version.metadata["workspace_id"],
            visibility=version.metadata["visibility"],
            conversion=conversion,
            input_schema=version.metadata["input_schema"],
            output_schema=version.metadata["output_schema"],
            status=status,
            sha256=version.sha256,
            size=len(version.data),
            file_name=version.file_name,
            uuid=f"uuid-{version.version_id}",
            error_summary="it does not convert" if status == "error" else None,
            created_at=(EPOCH + timedelta(seconds=version.lands_at)).isoformat(),
        )

"""What a run has to do with outside: five doors, and what stands behind each of them where nobody says otherwise."""

import os
from dataclasses import dataclass
from random import Random

from bulkload.core.model.settings import Settings
from bulkload.engine.clock import Clock, LoopClock
from bulkload.ledger import Ledger as LedgerFile
from bulkload.ledger.interface import Ledger
from bulkload.registry import Registry as HttpRegistry
from bulkload.registry.interface import Registry
from bulkload.source import LocalSource, Sources


@dataclass(frozen=True, slots=True)
class Doors:
    """What ``publish`` was given, and what it takes for the rest. Nothing is open yet: a run opens what it uses."""

    registry: Registry
    ledger: Ledger
    sources: Sources
    clock: Clock
    # Jitter, and the run's id: no secret.
    random: Random


@dataclass(frozen=True, slots=True)
class GivenDoors:
    """What ``publish`` was given; None: today's own."""

    registry: Registry | None = None
    ledger: Ledger | None = None
    sources: Sources | None = None
    clock: Clock | None = None
    random: Random | None = None

    def completed(self, settings: Settings) -> Doors:
        """All five. Raises ``UsageError`` for an endpoint that is no address."""
        clock = LoopClock() if self.clock is None else self.clock
        return Doors(
            registry=_registry(settings) if self.registry is None else self.registry,
            ledger=LedgerFile(settings.ledger, clock.utc_now()) if self.ledger is None else self.ledger,
            sources=_sources(settings) if self.sources is None else self.sources,
            clock=clock,
            random=Random() if self.random is None else self.random,  # noqa: S311 - see above
        )


def _registry(settings: Settings) -> Registry:
    return HttpRegistry(
        settings.endpoint, settings.credentials, settings.connection, answer_timeout=settings.answer_timeout
    )


def _sources(settings: Settings) -> Sources:
    # Nothing outside it is read; its links are resolved.
    return LocalSource(None if settings.root is None else os.path.realpath(settings.root))

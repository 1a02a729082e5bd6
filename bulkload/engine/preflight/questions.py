"""The first questions to a registry: is it one, who am I there, what has it."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

from bulkload.core.limits.adapting import Departed
from bulkload.core.limits.outage import Outage, Prospect
from bulkload.core.model.errors import ForeignAnswer, NotAuthorised, RegistryUnavailable
from bulkload.core.model.events import OutageEnded
from bulkload.core.verdicts import (
    PASSING_STATUSES,
    CallFailed,
    Failure,
    FailureKind,
    Verdict,
    read_verdict,
    tells_of_trouble,
)
from bulkload.engine.backoff import Backoff
from bulkload.engine.calls import Condition, TriedEnough, never, note_retry, repeat
from bulkload.engine.events import Events
from bulkload.registry.interface import KeycloakMissing, Registry

T = TypeVar("T")

# As events of an outage name these calls.
KIND = "question"


class Questions:
    """Once a registry has answered one of them, trouble is waited out; before, few tries are all.

    So somebody who misspelt an address is told at once, and a gateway in a bad moment ends no run.
    """

    def __init__(
        self, registry: Registry, backoff: Backoff, patience: float, events: Events, *, published_to: bool = False
    ) -> None:
        """``published_to``: an earlier run has published to this address, so that a registry is there."""
        self._registry = registry
        self._patience = patience
        self._events = events
        self._backoff = backoff
        self._outage = Outage()
        # So many, one after the other.
        self._asked = 0
        self._published_to = published_to
        self._answered = False

    async def config(self) -> dict[str, Any]:
        """The first question of all: is this a registry? Raises as ``ask`` does."""
        config = await self.ask(self._registry.config)
        # Any JSON is an answer, but not a proof.
        self._answered = _is_whole(config)
        return config

    async def whole(self, config: dict[str, Any]) -> dict[str, Any]:
        """``config`` as the registry answers it: asked again where it names no default_arch, as a gateway's does not.

        By it a ledger knows its entries and its registry: another answer would make all of them new. A registry that
        goes on to say nothing of it has none. Raises as ``ask`` does.
        """

        async def asked() -> dict[str, Any]:
            again = await self._registry.config()
            if not _is_whole(again):
                raise CallFailed(Failure(call="config", kind=FailureKind.UNREADABLE, message="no default_arch"))
            return again

        if _is_whole(config):
            return config
        try:
            return await self.ask(asked, few_tries=lambda failure: failure.kind is FailureKind.UNREADABLE)
        except ForeignAnswer:
            return config

    async def token(self) -> None:
        """Get in. Raises as ``ask`` does; Keycloak may be elsewhere, by another address that may be misspelt."""
        # A token, too, is no proof of a registry: it may be at hand, or come from elsewhere.
        answered = self._answered

        async def token() -> None:
            try:
                await self._registry.token()
            except KeycloakMissing as missing:
                raise CallFailed(msgspec.structs.replace(missing.failure, kind=FailureKind.NO_CONNECTION)) from missing

        try:
            await self.ask(token, few_tries=_is_no_server_in_trouble)
        except TriedEnough as error:
            missing = error.__cause__ and error.__cause__.__cause__
            if isinstance(missing, KeycloakMissing):
                raise missing from None
            raise
        self._answered = answered

    async def ask(self, operation: Callable[[], Awaitable[T]], few_tries: Condition = never) -> T:
        """Raises ``NotAuthorised`` and ``RegistryUnavailable``."""

        async def observed() -> T:
            self._asked += 1
            sent = Departed(self._backoff.clock.now(), self._asked)
            try:
                result = await operation()
            except CallFailed as failed:
                if read_verdict(failed.failure) is Verdict.NOT_ACCEPTED:
                    self._outage.failed(self._backoff.clock.now(), sent, self._asked)
                raise
            was_out = self._outage.is_on
            self._outage.succeeded(sent)
            if was_out and not self._outage.is_on:
                self._events(OutageEnded(KIND))
            return result

        try:
            result = await repeat(
                observed,
                self._backoff,
                self._wait,
                lambda failure: Prospect.NO_OUTAGE if few_tries(failure) else self._prospect(failure),
            )
        except CallFailed as failed:
            if failed.failure.refusal == HTTPStatus.FORBIDDEN:
                raise NotAuthorised(f"{failed}: this account may not do that; use another token") from None
            if self._answered:
                raise RegistryUnavailable(f"{failed}: the registry refuses what is needed here") from None
            raise self._no_registry(failed.failure) from None
        except TriedEnough as error:
            failed_for = error.__cause__
            if (
                self._answered
                or self._published_to
                or not isinstance(failed_for, CallFailed)
                or not _is_foreign(failed_for.failure)
            ):
                raise
            raise self._no_registry(failed_for.failure) from None
        self._answered = True
        self._events.phase("asking the registry")
        return result

    def _prospect(self, failure: Failure) -> Prospect:
        # Nobody waits for a machine that is off before anything was begun.
        is_there = self._answered or (self._published_to and failure.status is not None)
        if not is_there or not tells_of_trouble(failure):
            return Prospect.NO_OUTAGE
        return self._outage.prospect(self._backoff.clock.now(), self._patience)

    def _wait(self, failure: Failure, backoff: float) -> None:
        note_retry(self._events, failure)
        self._events.phase("waiting for the registry")
        outage = self._outage.told(KIND, self._backoff.clock.now(), failure, backoff, self._patience)
        if outage is not None:
            self._events(outage)

    def _no_registry(self, failure: Failure) -> ForeignAnswer:
        return ForeignAnswer(f"{failure}; is {self._registry.endpoint} the address of a Wallaroo registry?")


def _is_whole(config: dict[str, Any]) -> bool:
    return isinstance(config.get("default_arch"), str)


def _is_no_server_in_trouble(failure: Failure) -> bool:
    """Whether nobody answered at all, or without a word of being busy or away."""
    return failure.status is None or (
        failure.status < HTTPStatus.INTERNAL_SERVER_ERROR and failure.status not in PASSING_STATUSES
    )


def _is_foreign(failure: Failure) -> bool:
    """Whether it is somebody else's answer, and none that a gateway gives in front of a registry that is away."""
    return failure.kind is FailureKind.FOREIGN and (failure.status or 0) < HTTPStatus.INTERNAL_SERVER_ERROR

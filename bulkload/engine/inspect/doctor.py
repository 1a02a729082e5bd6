"""Can models be published from here? Each step by itself, from the address to the ledger's folder; nothing is sent."""

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from bulkload.core.model.errors import (
    BulkloadError,
    ExitCode,
    ForeignAnswer,
    LedgerError,
    NotAuthorised,
    RegistryUnavailable,
    UsageError,
)
from bulkload.core.model.records import Workspace
from bulkload.core.model.units import show_bytes, show_duration
from bulkload.core.verdicts import CallFailed, Failure, FailureKind, Verdict, read_verdict
from bulkload.engine.calls import not_authorised_message, unavailable_message
from bulkload.engine.inspect.catalog import find_workspace
from bulkload.ledger import LedgerReader, refuse_network_file_system
from bulkload.registry import Registry
from bulkload.registry.endpoint import is_loopback

T = TypeVar("T")

# A run does not look at the clock; certificates and people do.
CLOCK_SECONDS = 60.0
# With less, and nothing to renew it, a token does not last a long run.
SHORT_TOKEN_SECONDS = 3600.0
# A ledger takes about a kilobyte an entry.
LITTLE_SPACE_BYTES = 100 << 20


class Finding(StrEnum):
    """How a step went."""

    OK = "ok"
    # Nothing is wrong, but somebody should know.
    NOTE = "note"
    FAILED = "failed"
    # An earlier step failed.
    SKIPPED = "skipped"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One step."""

    step: str
    finding: Finding
    # What was found; of a trouble also what to do.
    words: str
    exit_code: int = ExitCode.OK


class Diagnosis:
    """Looks at one step after the other and tells at once what it finds."""

    def __init__(self, tell: Callable[[Check], None]) -> None:
        # That of the first trouble.
        self.exit_code = ExitCode.OK
        self._tell = tell

    def no_address(self, error: BulkloadError) -> None:
        """There is nothing to begin with."""
        self._failed("address", error)
        self._skip("tls", "registry", "clock", "token", "workspace", "upload")

    async def registry(
        self, registry: Registry, *, no_credentials: BulkloadError | None, renewable: bool, workspace: str | None
    ) -> None:
        """All that the registry is asked.

        ``no_credentials``: why there are none; ``renewable``: something renews the token; ``workspace``: id or name.
        """
        if not await self._answers(registry):
            self._skip("clock", "token", "workspace", "upload")
            return
        self._look_at_clock(registry)
        if no_credentials is not None:
            self._failed("token", no_credentials)
        elif await self._token_serves(registry, renewable=renewable):
            await self._look_at_workspaces(registry, workspace)
            return
        self._skip("workspace", "upload")

    def ledger(self, path: Path) -> None:
        """The ledger, or the folder where it is to be made."""
        folder = path.absolute().parent
        try:
            refuse_network_file_system(path)
            with tempfile.TemporaryFile(dir=folder):
                free = shutil.disk_usage(folder).free
            if path.exists():
                with LedgerReader(path) as reader:
                    reader.counts()
        except OSError as error:
            reason = f"{folder}: nothing can be written there ({error.strerror}); name another place with --ledger"
            self._failed("ledger", LedgerError(reason))
        except BulkloadError as error:
            self._failed("ledger", error)
        else:
            little = "; make room before a large run" if free < LITTLE_SPACE_BYTES else ""
            self._say("ledger", f"{folder} can be written, {show_bytes(free)} free{little}", note=bool(little))

    async def _answers(self, registry: Registry) -> bool:
        """Address, TLS, and whether it is a registry that answers."""
        failure = await _failure_of(registry.config)
        unreached = failure is not None and failure.kind is FailureKind.NO_CONNECTION
        secure = registry.endpoint.startswith("https:")
        # Behind a connection that was not made there may be one that TLS, or a proxy, broke off.
        if failure is not None and unreached and not (secure and await registry.is_reached()):
            self._failed("address", _error(failure))
            self._skip("tls", "registry")
            return False
        proxy = urlsplit(registry.proxy or "")
        by = f", by the proxy {proxy.hostname}:{proxy.port or 80}" if proxy.hostname else ""
        self._say("address", f"{registry.endpoint} can be reached{by}")
        if failure is not None and unreached:
            self._failed("tls", _error(failure))
            self._skip("registry")
            return False
        if secure:
            self._say("tls", "the certificate is trusted and made out to this host")
        elif is_loopback(urlsplit(registry.endpoint).hostname or ""):
            self._say("tls", "none, and none is needed: the registry is on this machine")
        else:
            try:
                registry.refuse_clear_text()
            except UsageError as error:
                self._failed("tls", error)
                self._skip("registry")
                return False
            self._say("tls", "none: who listens on the way gets token and models; give an https:// address", note=True)
        if failure is not None:
            self._failed("registry", _error(failure))
            return False
        self._say("registry", "answers as a registry does")
        return True

    def _look_at_clock(self, registry: Registry) -> None:
        if registry.answered_at is None:
            self._say("clock", "the registry does not say its time", note=True)
            return
        ahead = (datetime.now(UTC) - registry.answered_at).total_seconds()
        if abs(ahead) < CLOCK_SECONDS:
            self._say("clock", "agrees with the registry's")
            return
        way = "ahead of" if ahead > 0 else "behind"
        self._say(
            "clock", f"is {show_duration(abs(ahead))} {way} the registry's; set the clock that is wrong", note=True
        )

    async def _token_serves(self, registry: Registry, *, renewable: bool) -> bool:
        try:
            await registry.token()
            failure = await _failure_of(registry.workspaces)
            # After an answer: by the registry's clock.
            facts = await registry.token_facts()
        except CallFailed as failed:
            self._failed("token", _error(failed.failure))
            return False
        except BulkloadError as error:
            self._failed("token", error)
            return False
        if failure is not None:
            self._failed("token", _error(failure))
            return False
        who = f"accepted, {facts.username}" if facts.username else "accepted"
        left = facts.seconds_left
        if left is None:
            self._say("token", f"{who}; it does not say how long it serves")
        elif renewable or left >= SHORT_TOKEN_SECONDS:
            self._say("token", f"{who}; serves for {show_duration(left)}{', then it is renewed' if renewable else ''}")
        else:
            self._say(
                "token",
                f"{who}; serves for {show_duration(left)}, and nothing renews it; for a longer run use"
                " `bulkload login`, --username or --token-command",
                note=True,
            )
        return True

    async def _look_at_workspaces(self, registry: Registry, wanted: str | None) -> None:
        known = await registry.workspaces()
        if wanted is None:
            self._say("workspace", f"this account sees {len(known):,}; --workspace looks at one")
            self._say("upload", "known for a workspace alone, as far as it can be; give --workspace", note=True)
            return
        try:
            workspace = find_workspace(wanted, known)
        except BulkloadError as error:
            self._failed("workspace", error)
            self._skip("upload")
            return
        self._say("workspace", f"{workspace.name!r}, id {workspace.workspace_id}")
        await self._look_at_rights(registry, workspace)

    async def _look_at_rights(self, registry: Registry, workspace: Workspace) -> None:
        """As far as can be known without sending a model: an upload that is refused would say more."""
        facts = await registry.token_facts()
        try:
            roles = await registry.workspace_roles(workspace.workspace_id)
        except CallFailed:
            self._say("upload", "the registry does not tell; the first upload will", note=True)
            return
        role = roles.get(facts.user_id or "") or roles.get(facts.username or "")
        if role is None:
            words = f"this account is no member of {workspace.name!r}, which may do for administrators alone"
            self._say("upload", f"{words}; have its owner add the account", note=True)
        else:
            self._say("upload", f"this account is {role} of {workspace.name!r}")

    def _say(self, step: str, words: str, *, note: bool = False) -> None:
        self._tell(Check(step=step, finding=Finding.NOTE if note else Finding.OK, words=words))

    def _failed(self, step: str, error: BulkloadError) -> None:
        self.exit_code = self.exit_code or error.exit_code
        self._tell(Check(step=step, finding=Finding.FAILED, words=str(error), exit_code=error.exit_code))

    def _skip(self, *steps: str) -> None:
        for step in steps:
            self._tell(Check(step=step, finding=Finding.SKIPPED, words="not looked at"))


async def _failure_of(operation: Callable[[], Awaitable[T]]) -> Failure | None:
    try:
        await operation()
    except CallFailed as failed:
        return failed.failure
    return None


def _error(failure: Failure) -> BulkloadError:
    """What a run would make of a call that failed and goes on failing."""
    verdict = read_verdict(failure)
    if verdict is Verdict.UNAUTHORISED:
        return NotAuthorised(not_authorised_message(failure))
    if failure.refusal == HTTPStatus.FORBIDDEN:
        return NotAuthorised(f"{failure}: this account may not do that; use another one")
    if verdict is Verdict.PERMANENT or failure.kind in (FailureKind.FOREIGN, FailureKind.UNREADABLE):
        return ForeignAnswer(f"{failure}; give the address of a Wallaroo registry as the endpoint")
    return RegistryUnavailable(unavailable_message(failure))

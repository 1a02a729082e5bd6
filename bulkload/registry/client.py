"""The registry's API, a method a call. Each sends one request: only ``engine`` tries again."""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from typing import Any, Self, TypeVar

import msgspec

from bulkload.core.bounds import ANSWER_SECONDS, LONGEST_TEXT_CHARACTERS
from bulkload.core.formats.json_bounds import BeyondBounds
from bulkload.core.model.records import RegistryVersion, Workspace
from bulkload.core.model.settings import Connection, Credentials
from bulkload.core.tokens import claims_of, seconds_left, user_of
from bulkload.core.verdicts import CallFailed, Failure
from bulkload.registry import answers
from bulkload.registry.auth.keycloak import Keycloak
from bulkload.registry.form import Form
from bulkload.registry.http.connections import is_reached
from bulkload.registry.http.transport import Transport
from bulkload.registry.listing import NO_LISTING, ListingParser, Pace
from bulkload.registry.redaction import Secrets
from bulkload.registry.upload import Upload, uploaded

T = TypeVar("T")


class TokenFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the current token says; None for what it does not."""

    username: str | None
    user_id: str | None
    seconds_left: float | None


class Registry:
    """The registry at one endpoint. Every method sends one request and raises ``CallFailed`` when it fails."""

    def __init__(
        self,
        endpoint: str,
        credentials: Credentials,
        connection: Connection | None = None,
        *,
        answer_timeout: float = 1200.0,
        connect_timeout: float = 10.0,
        progress_timeout: float = 60.0,
        read_timeout: float = ANSWER_SECONDS,
    ) -> None:
        """Nothing is sent yet. All timeouts are seconds.

        ``answer_timeout``: longest wait for an upload's whole answer after its last byte. ``progress_timeout``: a body
        under way, or an answer to a read, that does not move for so long is cut. ``read_timeout``: longest time for a
        read from its beginning to its end, and for the beginning of a listing. Raises ``UsageError`` for an endpoint
        that is no http(s) address.
        """
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._transport = Transport(
            endpoint,
            credentials,
            connection or Connection(),
            connect_timeout=connect_timeout,
            progress_timeout=progress_timeout,
            answer_timeout=answer_timeout,
            read_timeout=read_timeout,
        )

    async def __aenter__(self) -> Self:
        """Make the connection pool."""
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self._transport.__aexit__()

    @property
    def endpoint(self) -> str:
        """The registry's address, normalised."""
        return self._transport.endpoint

    @property
    def requests(self) -> Counter[str]:
        """Requests so far, by kind: upload, poll, list, auth, other."""
        return self._transport.requests

    @property
    def answered_at(self) -> datetime | None:
        """The registry's own clock, from its last answer."""
        return self._transport.judge.answered_at

    def refuse_clear_text(self) -> None:
        """Raise ``UsageError`` where a token would go to another machine without encryption; calls do so, too."""
        self._transport.refuse_clear_text(self.endpoint)

    def pace_logins(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Have ``wait`` awaited before each request to Keycloak, which other calls make when they need a token."""
        self._transport.before_login = wait

    async def token(self, *, large: bool = False) -> str:
        """The token that the next request will carry, if it is made soon. Raises ``NotAuthorised`` and ``CallFailed``.

        ``large``: ahead of a large body, which takes its time.
        """
        return await self._transport.tokens.current(large=large, ahead=True)

    def has_token(self, *, large: bool = False) -> bool:
        """Whether the next request has a token, so that ``token`` need not be awaited before it."""
        return self._transport.tokens.serves(large=large, ahead=True)

    async def is_reached(self) -> bool:
        """Whether something takes connections where requests go first: the host, or the proxy before it."""
        return await is_reached(self.proxy or self.endpoint, self._connect_timeout)

    async def token_facts(self) -> TokenFacts:
        """What that token says about itself. Raises as ``token`` does."""
        word = await self.token()
        now = self.answered_at
        # Their time against their clock.
        left = None if now is None else seconds_left(word, now.timestamp())
        return TokenFacts(username=user_of(word), user_id=claims_of(word).get("sub"), seconds_left=left)

    @property
    def keycloak(self) -> Keycloak:
        """Where this registry's users log in."""
        return self._transport.keycloak

    @property
    def proxy(self) -> str | None:
        """The proxy on the way to the registry; it may hold a password."""
        return self._transport.proxy

    @property
    def _secrets(self) -> Secrets:
        return self._transport.secrets

    # The instance.

    async def config(self) -> dict[str, Any]:
        """``GET config``: ``{"default_arch": "x86"}``. Needs no token."""
        answer = await self._transport.json("other", "config", None, method="GET", token=False)
        known = answers.without_secrets(answer, self._secrets) if isinstance(answer, dict) else None
        return self._understood("config", answer, known)

    async def workspaces(self) -> list[Workspace]:
        """The workspaces that this account sees, without archived ones."""
        answer = await self._call("other", "workspaces/list", {})
        return self._understood("workspaces/list", answer, answers.workspaces_from(answer, self._secrets))

    async def workspace_roles(self, workspace_id: int) -> dict[str, str]:
        """The users of a workspace, by their ids: ``OWNER`` or ``COLLABORATOR``."""
        answer = await self._call("other", "workspaces/list_users", {"workspace_id": workspace_id})
        return self._understood("workspaces/list_users", answer, answers.workspace_roles(answer))

    async def create_workspace(self, name: str) -> int:
        """Make a workspace and return its id."""
        answer = await self._call("other", "workspaces/create", {"workspace_name": name})
        return self._understood("workspaces/create", answer, answers.created_workspace_id(answer))

    # Reading models.

    async def version(self, version_id: int) -> RegistryVersion:
        """One version by its id (``get_version_by_id``)."""
        call = "models/get_version_by_id"
        answer = await self._transport.ask("poll", call, {"model_version_id": version_id})
        version = answers.polled_version(answer.body, self._secrets)
        if version is not None and version.version_id == version_id:
            self._transport.judge.has_worked(call)
            return version
        decoded = self._transport.judge.decoded(call, answer)
        version = answers.version_from(
            decoded.get("model_version") if isinstance(decoded, dict) else None, self._secrets
        )
        # An answer about another version is none: something on the way keeps answers, or mixes them up.
        found = version if version is not None and version.version_id == version_id else None
        return self._understood(call, decoded, found)

    async def list_workspace(self, workspace_id: int) -> AsyncGenerator[list[RegistryVersion]]:
        """All versions of a workspace, some at a time, parsed while the answer arrives.

        The answer is unpaged: about 1.5 kB a version. Raises ``CallFailed`` also where it breaks off, or holds no
        list of models: an error told with status 200 must not look like an empty workspace.
        """
        call = "models/list"
        body = {"workspace_id": workspace_id, "workspace_name": None}
        parser, pace = ListingParser(self._transport.secrets), Pace(self._read_timeout)
        async with self._transport.stream("list", call, body) as request:
            while piece := await pace.next_piece(request.body):
                if pace.trouble is not None:
                    raise self._transport.judge.cut(call, pace.trouble)
                try:
                    versions = parser.feed(piece)
                except NO_LISTING as error:
                    raise self._no_listing(call, error, request.head.code) from None
                if versions:
                    yield versions
            try:
                parser.close()
            except NO_LISTING as error:
                raise self._no_listing(call, error, request.head.code) from None
            if not parser.is_list:
                raise self._transport.judge.unreadable(call, "no list of models", request.head.code)
        self._transport.judge.has_worked(call)

    def _no_listing(self, call: str, error: Exception, status: int) -> CallFailed:
        if isinstance(error, BeyondBounds):
            return self._transport.judge.unreadable(call, str(error), status)
        return self._transport.judge.foreign(call, str(error).partition("\n")[0], status)

    async def list_versions(self, name: str) -> list[answers.ListedVersion]:
        """Versions of every model of this name, in all workspaces and of all owners (``list_versions``).

        Sent with the name alone: the registry matches name OR model id, and another id drags in another model.
        """
        answer = await self._call("list", "models/list_versions", {"model_id": name})
        return self._understood("models/list_versions", answer, answers.listed_versions(answer, self._secrets))

    async def list_versions_for_model(self, name: str, workspace_id: int) -> list[RegistryVersion]:
        """Versions of one model (``list_versions_for_model``), in either of the two forms that are documented."""
        call = "models/list_versions_for_model"
        answer = await self._call("list", call, {"model_id": name, "workspace_id": workspace_id})
        return self._understood(call, answer, answers.versions_of_one_model(answer, self._secrets))

    async def version_config(self, version_id: int) -> dict[str, Any] | None:
        """The newest config row of a version; None when there is none."""
        # The request's key is called model_id and means the version's id.
        answer = await self._call("other", "models/get_config_by_id", {"model_id": version_id})
        known = answer if isinstance(answer, dict) and "model_config" in answer else None
        config = self._understood("models/get_config_by_id", answer, known).get("model_config")
        return answers.without_secrets(config, self._secrets) if isinstance(config, dict) else None

    async def upload_logs(self, version_id: int, lines: int | None = None) -> list[str]:
        """The conversion's log lines, the newest ``lines`` of them; often empty."""
        answer = await self._call("other", "models/get_upload_logs", {"model_version_id": version_id, "lines": lines})
        known = answer if isinstance(answer, dict) and "logs" in answer else None
        logs = self._understood("models/get_upload_logs", answer, known).get("logs")
        texts = [line for line in logs if isinstance(line, str)] if isinstance(logs, list) else []
        # Whatever was asked for: some registries answer with all there is. The newest stand at the end.
        newest = texts if lines is None else texts[-lines:]
        return [self._secrets.words(line)[:LONGEST_TEXT_CHARACTERS] for line in newest]

    # Uploading.

    def uploading(self, call: str, form: Form, size: int) -> Upload:
        """An upload of a file of ``size`` bytes, to be pushed piece by piece.

        ``call`` is ``models/upload`` or ``models/upload_and_convert``.
        """
        return Upload(self._transport, call, form, size)

    async def send_small(
        self, call: str, form: Form, content: bytes, *, on_first_byte: Callable[[], None] = lambda: None
    ) -> int:
        """Send a small file at once, and return the id that the answer names: the cheapest way.

        ``on_first_byte`` is called when the first byte is about to be handed to the socket. Where it was not called,
        however this ends, nothing can have arrived. Afterwards nothing of the upload is under way.
        """
        parts = form.head, content, form.tail
        answer = await self._transport.send(call, form.content_type, parts, on_first_byte)
        return uploaded(call, answer, self._transport.judge)

    def has_answered(self, call: str) -> bool:
        """Whether a call was answered well: the registry has it."""
        return self._transport.judge.knows(call)

    async def look_for(self, call: str) -> Failure | None:
        """Ask a call without anything to do, to see whether the registry has it; what it fails with.

        Of an upload nothing can come of that: a body that is no form has no file.
        """
        try:
            await self._call("other", call, {})
        except CallFailed as failed:
            return failed.failure
        return None

    async def _call(self, kind: str, call: str, body: dict[str, Any]) -> Any:
        return await self._transport.json(kind, call, body)

    def _understood(self, call: str, answer: object, found: T | None) -> T:
        """What an answer was understood as. Raises ``CallFailed`` where that is nothing."""
        if found is None:
            raise self._transport.judge.not_understood(call, answer)
        self._transport.judge.has_worked(call)
        return found

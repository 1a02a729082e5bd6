"""One client for the registry's API, on aiohttp. It sends each request once: only ``engine`` tries again."""

import math
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import anyio
import ijson
import msgspec

from bulkload import __version__
from bulkload.core.errors import UsageError
from bulkload.core.records import RegistryVersion, Workspace
from bulkload.core.settings import Credentials
from bulkload.core.verdicts import CallFailed, Failure, FailureKind
from bulkload.registry import answers
from bulkload.registry.auth import TokenSource
from bulkload.registry.form import Form

CONNECT_SECONDS = 10.0
# A body under way, or an answer being read, that does not move for this long is cut.
PROGRESS_SECONDS = 60.0
# An error answer is read up to here.
LARGEST_ERROR_BODY = 65_536


def normalised_endpoint(endpoint: str) -> str:
    """The endpoint without what makes no difference. Raises ``UsageError`` where it is no http(s) address."""
    parts = urlsplit(endpoint.strip())
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or parts.query or parts.fragment:
        raise UsageError(f"{endpoint!r} is not the address of a registry; write it as https://registry.example.com")
    if parts.username is not None:
        raise UsageError("an endpoint holds no user name or password; use --token-file or --token-command")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port is not None and port != {"http": 80, "https": 443}[parts.scheme]:
        host = f"{host}:{port}"
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


class Registry:
    """The registry at one endpoint. Every method sends one request and raises ``CallFailed`` when it fails."""

    def __init__(self, endpoint: str, credentials: Credentials, *, answer_timeout: float = 1200.0) -> None:
        """``answer_timeout``: seconds to wait for an upload's answer after its last byte."""
        self.endpoint = normalised_endpoint(endpoint)
        # Requests sent so far, by kind: upload, poll, list, auth, other.
        self.requests: Counter[str] = Counter()
        # The registry's own clock, from its last answer.
        self.answered_at: datetime | None = None
        self._answer_timeout = answer_timeout
        self._tokens = TokenSource(credentials)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Make the connection pool; nothing is sent yet."""
        self._session = aiohttp.ClientSession(
            # The engine bounds how many requests are under way; a second bound here would only hide it.
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=PROGRESS_SECONDS),
            headers={"User-Agent": f"bulkload/{__version__}"},
            # HTTPS_PROXY and NO_PROXY, as every tool of the field honours them.
            trust_env=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def token(self) -> str:
        """The token that the next request would carry."""
        return await self._tokens.current()

    async def renew_token(self, refused: str) -> bool:
        """Get a new token after a 401; False when there is no other."""
        return await self._tokens.renew(refused)

    # The instance.

    async def config(self) -> dict[str, Any]:
        """``GET config``: ``{"default_arch": "x86"}``. Needs no token."""
        async with self._request("other", "GET", "config", token=False) as response:
            answer = await self._json(response, "config")
        if not isinstance(answer, dict):
            raise self._unreadable("config", response.status)
        return answer

    async def workspaces(self) -> list[Workspace]:
        """The workspaces that this account sees, without archived ones."""
        found = answers.workspaces_from(await self._call("other", "workspaces/list", {}))
        if found is None:
            raise self._unreadable("workspaces/list", 200)
        return found

    async def create_workspace(self, name: str) -> int:
        """Make a workspace and return its id."""
        answer = await self._call("other", "workspaces/create", {"workspace_name": name})
        if not isinstance(answer, dict) or not isinstance(answer.get("workspace_id"), int):
            raise self._unreadable("workspaces/create", 200)
        workspace_id: int = answer["workspace_id"]
        return workspace_id

    # Reading models.

    async def version(self, version_id: int) -> RegistryVersion:
        """One version by its id (``get_version_by_id``)."""
        call = "models/get_version_by_id"
        answer = await self._call("poll", call, {"model_version_id": version_id})
        node = answer.get("model_version") if isinstance(answer, dict) else None
        found = answers.version_from(node)
        if found is None:
            raise self._unreadable(call, 200)
        return found

    async def list_workspace(self, workspace_id: int) -> AsyncGenerator[list[RegistryVersion]]:
        """All versions of a workspace, one model at a time, parsed while the answer arrives.

        The answer is unpaged: about 1.5 kB a version. Raises ``CallFailed`` also where it breaks off.
        """
        call = "models/list"
        body = {"workspace_id": workspace_id, "workspace_name": None}
        async with self._request("list", "POST", call, body) as response:
            models = ijson.sendable_list()
            parser = ijson.items_coro(models, "models.item", use_float=True)
            try:
                async for chunk in response.content.iter_any():
                    parser.send(chunk)
                    for model in models:
                        yield answers.versions_of_model(model)
                    models.clear()
                parser.close()
            except (ijson.JSONError, UnicodeDecodeError):
                raise self._unreadable(call, response.status) from None

    async def list_versions(self, name: str) -> list[answers.ListedVersion]:
        """Versions of every model of this name, in all workspaces and of all owners (``list_versions``).

        Sent with the name alone: the registry matches name OR model id, and another id drags in another model.
        """
        found = answers.listed_versions(await self._call("list", "models/list_versions", {"model_id": name}))
        if found is None:
            raise self._unreadable("models/list_versions", 200)
        return found

    async def list_versions_for_model(self, name: str, workspace_id: int) -> list[RegistryVersion]:
        """Versions of one model (``list_versions_for_model``), in either of the two forms that are documented."""
        call = "models/list_versions_for_model"
        answer = await self._call("list", call, {"model_id": name, "workspace_id": workspace_id})
        if isinstance(answer, dict) and isinstance(answer.get("models"), list):
            return [version for model in answer["models"] for version in answers.versions_of_model(model)]
        if isinstance(answer, dict) and isinstance(answer.get("model_versions"), list):
            return answers.versions_of_model(answer)
        raise self._unreadable(call, 200)

    async def version_config(self, version_id: int) -> dict[str, Any] | None:
        """The newest config row of a version; None when there is none."""
        # The request's key is called model_id and means the version's id.
        answer = await self._call("other", "models/get_config_by_id", {"model_id": version_id})
        config = answer.get("model_config") if isinstance(answer, dict) else None
        return config if isinstance(config, dict) else None

    async def upload_logs(self, version_id: int, lines: int | None = None) -> list[str]:
        """The conversion's log lines, the newest ``lines`` of them; often empty."""
        answer = await self._call("other", "models/get_upload_logs", {"model_version_id": version_id, "lines": lines})
        logs = answer.get("logs") if isinstance(answer, dict) else None
        return [line for line in logs if isinstance(line, str)] if isinstance(logs, list) else []

    # Uploading.

    async def upload(self, call: str, form: Form, file_size: int, body: bytes | AsyncIterator[bytes]) -> int:
        """Send one upload and return the id that the answer names.

        ``call`` is ``models/upload`` or ``models/upload_and_convert``. ``body`` is the whole form, or its pieces, of
        which the last is asked for when all others have left. What the iterator raises is raised here, and the
        upload is then broken off. Cut after 60 s without progress; the answer may take the answer timeout.
        """
        headers = {"Content-Type": form.content_type, "Content-Length": str(form.content_length(file_size))}
        with anyio.CancelScope() as scope:
            watched = _WatchedBody(body, scope, self._answer_timeout)
            try:
                async with self._request(
                    "upload", "POST", call, watched.data, headers=headers, answer_timeout=None
                ) as response:
                    answer = await self._json(response, call)
            except CallFailed:
                if watched.broken_by is not None:
                    raise watched.broken_by from None
                raise
            version_id = answers.uploaded_version_id(answer)
            if version_id is None:
                raise self._unreadable(call, response.status)
            return version_id
        raise CallFailed(
            Failure(call=call, kind=FailureKind.CUT, message=f"nothing moved for {watched.patience_seconds:g} s")
        )

    # One request.

    async def _call(self, kind: str, call: str, body: dict[str, Any]) -> Any:
        async with self._request(kind, "POST", call, body) as response:
            return await self._json(response, call)

    @asynccontextmanager
    async def _request(
        self,
        kind: str,
        method: str,
        call: str,
        body: object = None,
        *,
        token: bool = True,
        headers: dict[str, str] | None = None,
        answer_timeout: float | None = PROGRESS_SECONDS,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send one request; the answer is a success. Foreign exceptions end here, as ``CallFailed``."""
        if self._session is None:
            raise RuntimeError("the registry is not open")
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = f"Bearer {await self._tokens.current()}"
        if isinstance(body, dict):
            body = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        self.requests[kind] += 1
        try:
            async with self._session.request(
                method,
                f"{self.endpoint}/v1/api/{call}",
                data=body,
                headers=headers,
                # A redirect would turn an upload into a GET, or carry file and token elsewhere.
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=answer_timeout),
            ) as response:
                self.answered_at = answers.http_date(response.headers.get("Date")) or self.answered_at
                if not 200 <= response.status < 300:
                    raise CallFailed(await self._refusal(response, call))
                yield response
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise CallFailed(
                Failure(call=call, kind=FailureKind.NO_CONNECTION, message=_connection_message(error))
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            raise CallFailed(Failure(call=call, kind=FailureKind.CUT, message=words)) from None

    async def _json(self, response: aiohttp.ClientResponse, call: str) -> Any:
        try:
            return msgspec.json.decode(await response.read())
        except msgspec.MsgspecError:
            raise self._unreadable(call, response.status) from None

    async def _refusal(self, response: aiohttp.ClientResponse, call: str) -> Failure:
        try:
            body = await response.content.read(LARGEST_ERROR_BODY)
        except (aiohttp.ClientError, TimeoutError, OSError):
            # The status has arrived, and it is what counts.
            body = b""
        message = answers.error_message(body, response.headers.get("Content-Type", ""))
        if 300 <= response.status < 400:
            message = f"redirects to {response.headers.get('Location', 'nowhere')}; give that address as the endpoint"
        return Failure(
            call=call,
            kind=FailureKind.STATUS,
            status=response.status,
            message=message,
            retry_after=answers.retry_after_seconds(response.headers.get("Retry-After"), response.headers.get("Date")),
        )

    def _unreadable(self, call: str, status: int) -> CallFailed:
        message = "the answer is not what a registry answers"
        return CallFailed(Failure(call=call, kind=FailureKind.UNREADABLE, status=status, message=message))


class _WatchedBody:
    """An upload's body that moves its scope's deadline with every piece, and remembers what broke it."""

    def __init__(self, body: bytes | AsyncIterator[bytes], scope: anyio.CancelScope, answer_timeout: float) -> None:
        self.broken_by: Exception | None = None
        self.patience_seconds = 0.0
        self._scope = scope
        self._answer_timeout = answer_timeout
        self.data: bytes | AsyncIterator[bytes] = body if isinstance(body, bytes) else self._pieces(body)
        self._wait_for(answer_timeout if isinstance(body, bytes) else PROGRESS_SECONDS + CONNECT_SECONDS)

    def _wait_for(self, seconds: float) -> None:
        self.patience_seconds = seconds
        self._scope.deadline = anyio.current_time() + seconds

    async def _pieces(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        while True:
            # Our own time (reading, pacing, the seal's commit) is not the registry's lack of progress.
            self._scope.deadline = math.inf
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                break
            except Exception as error:
                self.broken_by = error
                raise
            self._wait_for(PROGRESS_SECONDS)
            yield piece
        self._wait_for(self._answer_timeout)


def _connection_message(error: Exception) -> str:
    """Whose fault a failed connection is, in one sentence."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the host name {error.host} is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        cause = error.__cause__ or error
        reason = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or str(cause)
        return f"no trusted TLS connection to {error.host}: {reason}"
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror if error.os_error is not None else ""
        return f"no connection to {error.host}:{error.port}: {reason or error}"
    return f"no connection within {CONNECT_SECONDS:g} s"

"""One request, one answer, one typed error: HTTP as the registry speaks it, on aiohttp. Nothing is tried twice."""

from base64 import b64encode
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any, Self

import aiohttp
import anyio
import msgspec
from aiohttp import hdrs

from bulkload import __version__
from bulkload.core.bounds import (
    ANSWER_SECONDS,
    ERROR_ANSWER_SECONDS,
    KEYCLOAK_SECONDS,
    LARGEST_ANSWER_BYTES,
    LARGEST_HEAD_BYTES,
    LARGEST_SMALL_ANSWER_BYTES,
    MOST_HEAD_LINES,
)
from bulkload.core.formats.json_bounds import BeyondBounds, check_json
from bulkload.core.model.errors import BulkloadError, UsageError
from bulkload.core.model.settings import Connection, Credentials
from bulkload.core.verdicts import PASSING_STATUSES, CallFailed, Failure, FailureKind
from bulkload.registry import answers
from bulkload.registry.auth.keycloak import Keycloak
from bulkload.registry.auth.tokens import TokenSource
from bulkload.registry.endpoint import normalised_endpoint, proxy_for, refuse_clear_text, secrets_in
from bulkload.registry.http.body import JsonBody, UploadBody
from bulkload.registry.http.connecting import LeaveForBody, loss, new_socket, tls_context
from bulkload.registry.http.connections import Connector
from bulkload.registry.interface import KeycloakMissing
from bulkload.registry.redaction import Secrets

# With a reason in its own form; other statuses are somebody else's.
KEYCLOAK_REFUSES = frozenset({400, 401, 403})
# What must not be shown of what Keycloak is sent.
SECRET_FIELDS = ("password", "refresh_token", "device_code")

# Time-outs are OSErrors.
_LOST = (aiohttp.ClientError, OSError)
# InvalidURL is one of them, too, but another's fault.
_FOREIGN = (*_LOST, UnicodeError)


class Transport:
    """Connections to one registry. Every request is sent once and raises ``CallFailed`` when it fails."""

    def __init__(
        self,
        endpoint: str,
        credentials: Credentials,
        connection: Connection,
        *,
        connect_timeout: float,
        progress_timeout: float,
        read_timeout: float = ANSWER_SECONDS,
    ) -> None:
        self.endpoint = normalised_endpoint(endpoint)
        self.keycloak = Keycloak(self.endpoint, credentials, self._post_form, insecure_http=connection.insecure_http)
        self.tokens = TokenSource(credentials, self.keycloak)
        self.secrets = Secrets(self.tokens.words)
        self.secrets.hide(credentials.token or "", credentials.password or "", credentials.client_secret or "")
        # Requests so far, by kind: upload, poll, list, auth, other.
        self.requests: Counter[str] = Counter()
        # Awaited before each request to Keycloak.
        self.before_login: Callable[[], Awaitable[None]] | None = None
        self._connection = connection
        self._leave = LeaveForBody()
        self._proxies: dict[str, str | None] = {}
        # Addresses that secrets may go to.
        self._protected: set[str] = set()
        self._date: str | None = None
        # Calls that were answered as the registry answers them.
        self._known: set[str] = set()
        self._read_timeout = read_timeout
        self._reading = aiohttp.ClientTimeout(total=read_timeout, connect=connect_timeout, sock_read=progress_timeout)
        # What is parsed while it arrives may take longer: whoever reads it looks at its pace.
        self._streaming = aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_read=progress_timeout)
        # Its body knows when its time is over.
        self._uploading = aiohttp.ClientTimeout(total=None, connect=connect_timeout)
        self._asking_keycloak = aiohttp.ClientTimeout(
            total=min(KEYCLOAK_SECONDS, read_timeout), connect=connect_timeout
        )
        self._session: aiohttp.ClientSession | None = None
        self._stack = AsyncExitStack()

    @property
    def answered_at(self) -> datetime | None:
        """The registry's own clock, from its last answer."""
        return answers.http_date(self._date)

    @property
    def proxy(self) -> str | None:
        """The proxy on the way to the registry; it may hold a password."""
        return proxy_for(self.endpoint, self._connection.proxies)

    def refuse_clear_text(self, address: str) -> None:
        """Every request with a secret passes here. Raises ``UsageError`` where others could read it on the way."""
        if address not in self._protected:
            refuse_clear_text(address, insecure_http=self._connection.insecure_http)
            self._protected.add(address)

    async def __aenter__(self) -> Self:
        """Make the connection pool; nothing is sent yet. Raises ``UsageError`` for a bad proxy or certificate file."""
        secure = any(address.startswith("https:") for address in (self.endpoint, self.keycloak.realm))
        connector = Connector(
            # The engine bounds how many requests are under way; a second bound here would only hide it.
            limit=0,
            ssl=tls_context(self._connection) if secure else True,
            socket_factory=new_socket,
        )
        self._proxies = {
            address: proxy_for(address, self._connection.proxies) for address in (self.endpoint, self.keycloak.realm)
        }
        for proxy in self._proxies.values():
            self.secrets.hide(*secrets_in(proxy or ""))
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=connector,
                headers={"User-Agent": f"bulkload/{__version__}", "Accept-Encoding": "gzip"},
                # A load balancer's cookies would tie all uploads to one server, and outlive the token.
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=LARGEST_HEAD_BYTES,
                max_field_size=LARGEST_HEAD_BYTES,
                max_headers=MOST_HEAD_LINES,
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        self._session = None
        await self._stack.aclose()

    async def json(
        self,
        kind: str,
        method: str,
        call: str,
        body: dict[str, Any] | UploadBody | None,
        *,
        token: bool = True,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Ask, and decode the whole answer from JSON."""
        async with self.request(kind, method, call, body, token=token, headers=headers) as response:
            return await self._decoded(response, call)

    async def _decoded(self, response: aiohttp.ClientResponse, call: str) -> Any:
        length = response.content_length
        if length is not None and length <= LARGEST_ANSWER_BYTES and hdrs.CONTENT_ENCODING not in response.headers:
            body: bytes | bytearray = await response.read()
        else:
            body = await _read_up_to(response, LARGEST_ANSWER_BYTES, bytearray())
        if len(body) > LARGEST_ANSWER_BYTES:
            raise self.unreadable(call, f"more than {LARGEST_ANSWER_BYTES:,} bytes", response.status)
        try:
            check_json(body)
            return msgspec.json.decode(body)
        except BeyondBounds as beyond:
            raise self.unreadable(call, str(beyond), response.status) from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self.foreign(call, self._words_of(body), response.status) from None

    @asynccontextmanager
    async def stream(self, kind: str, call: str, body: dict[str, Any]) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Ask for what is read as it arrives; only its beginning has a time here."""
        async with AsyncExitStack() as stack:
            request = self.request(kind, "POST", call, body, timeout=self._streaming)
            try:
                with anyio.fail_after(self._read_timeout):
                    response = await stack.enter_async_context(request)
            except TimeoutError:
                raise self.cut(call, f"no answer within {self._read_timeout:g} s") from None
            yield response

    @asynccontextmanager
    async def request(
        self,
        kind: str,
        method: str,
        call: str,
        body: dict[str, Any] | UploadBody | None = None,
        *,
        token: bool = True,
        headers: dict[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,  # noqa: ASYNC109 - aiohttp's
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send one request; the answer is a success. Foreign exceptions end here, as ``CallFailed``."""
        headers = dict(headers or {})
        word, large = "", isinstance(body, UploadBody) and body.is_large
        if token:
            self.refuse_clear_text(self.endpoint)
            word = await self.tokens.current(large=large)
            headers["Authorization"] = f"Bearer {word}"
        if isinstance(body, dict):
            headers["Content-Type"] = "application/json"
        # A token that is refused costs the head of the request, not gigabytes of body.
        asks_leave = large and self._leave.is_given
        sent = _json_body(body) if isinstance(body, dict) else body
        if isinstance(sent, UploadBody):
            sent.follows_head = asks_leave
        options: dict[str, Any] = {
            "data": sent,
            "headers": headers,
            "timeout": timeout or (self._uploading if isinstance(body, UploadBody) else self._reading),
            "expect100": asks_leave,
            "middlewares": (self._leave if asks_leave else _send_once if sent is None else sent.send,),
        }
        try:
            async with self._begun(kind, method, f"{self.endpoint}/v1/api/{call}", self.endpoint, options) as response:
                self._date = response.headers.get("Date", self._date)
                if not 200 <= response.status < 300:
                    refusal = self._refusal(response, call, await self._small_body(response))
                    if refusal.status == HTTPStatus.UNAUTHORIZED and token:
                        self.tokens.refuse(word, str(refusal))
                    if refusal.status == HTTPStatus.EXPECTATION_FAILED and asks_leave:
                        # The question was refused, not the upload, of which nothing was sent. It is not asked again.
                        self._leave.is_given = False
                        refusal = msgspec.structs.replace(refusal, kind=FailureKind.NO_CONNECTION)
                    raise CallFailed(refusal)
                yield response
        except _FOREIGN as error:
            raise self._named(error, call, self.endpoint, options) from None

    def _begun(
        self, kind: str, method: str, url: str, address: str, options: dict[str, Any]
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """One request and its answer, whatever its status. ``address``: what stands in the settings."""
        if self._session is None:
            raise RuntimeError("the registry is not open")
        self.requests[kind] += 1
        # A redirect would turn an upload into a GET, or carry file and token elsewhere.
        return self._session.request(method, url, allow_redirects=False, proxy=self._proxies[address], **options)

    def _named(self, error: Exception, call: str, address: str, options: dict[str, Any]) -> BulkloadError:
        """One of _FOREIGN in our own words."""
        if isinstance(error, aiohttp.InvalidURL | UnicodeError):
            return UsageError(f"{address} is not an address that can be asked: {error}")
        # All other words are our own.
        if isinstance(error, aiohttp.ClientResponseError):
            error.message = self.secrets.words(error.message)
        return CallFailed(loss(call, error, options["timeout"]))

    async def _post_form(self, url: str, form: dict[str, str], basic: tuple[str, str] | None) -> tuple[int, Any]:
        """Ask Keycloak: the status and the answer of what it accepts or refuses.

        All else is ``CallFailed`` of the kind that says that nothing was sent: no request goes out without a token.
        Raises ``KeycloakMissing``.
        """
        self.refuse_clear_text(self.keycloak.realm)
        for key, words in (*form.items(), *zip(("client_id", "client_secret"), basic or (), strict=False)):
            if any("\ud800" <= sign <= "\udfff" for sign in words):
                raise UsageError(f"the {key.replace('_', ' ')} is no text in UTF-8; check where it comes from")
        options: dict[str, Any] = {"data": form, "headers": {}, "timeout": self._asking_keycloak}
        self.secrets.hide(*(form[key] for key in SECRET_FIELDS if key in form))
        if basic is not None:
            words = b64encode(":".join(basic).encode()).decode()
            options["headers"] = {"Authorization": f"Basic {words}"}
            self.secrets.hide(basic[1], words)
        call = f"log in at {self.keycloak.realm}"
        if self.before_login is not None:
            await self.before_login()
        try:
            async with self._begun("auth", "POST", url, self.keycloak.realm, options) as response:
                body = await self._small_body(response)
                accepted = 200 <= response.status < 300
                answer = _object(body)
                refused = response.status in KEYCLOAK_REFUSES and answers.is_keycloaks_refusal(body)
                if answer is not None and (accepted or refused):
                    return response.status, answer if accepted else answers.shown_texts(answer, self.secrets)
                failure = self._refusal(response, call, body)
                if accepted:
                    failure = self.foreign(call, self._words_of(body), response.status).failure
        except _FOREIGN as error:
            named = self._named(error, call, self.keycloak.realm, options)
            if not isinstance(named, CallFailed):
                raise named from None
            failure = named.failure
        # One that has let somebody in is there: whoever answers in its place will pass.
        elsewhere = failure.status is not None and 300 <= failure.status < 500
        if elsewhere and failure.status not in PASSING_STATUSES and not self.keycloak.has_granted:
            raise KeycloakMissing(failure)
        raise CallFailed(msgspec.structs.replace(failure, kind=FailureKind.NO_CONNECTION))

    def has_worked(self, call: str) -> None:
        """A call was answered as the registry answers it: it exists."""
        self._known.add(call)

    def knows(self, call: str) -> bool:
        """Whether a call has been answered so."""
        return call in self._known

    def unreadable(
        self, call: str, words: str, status: int | None = None, kind: FailureKind = FailureKind.UNREADABLE
    ) -> CallFailed:
        """A success without the content that belongs to it; ``words`` is the beginning of what came instead."""
        message = f"not what a registry answers: {answers.one_line(self.secrets.words(words))}"
        return CallFailed(Failure(call=call, kind=kind, status=status, message=message, known=self.knows(call)))

    def cut(self, call: str, words: str) -> CallFailed:
        """An answer that takes too long, or too much."""
        return CallFailed(Failure(call=call, kind=FailureKind.CUT, message=words, known=self.knows(call)))

    def foreign(self, call: str, words: str, status: int | None = None) -> CallFailed:
        """The same for what is no JSON at all."""
        return self.unreadable(call, words or "nothing", status, FailureKind.FOREIGN)

    async def _small_body(self, response: aiohttp.ClientResponse) -> bytearray:
        """An answer that is short where it is right; of another one its beginning, or what came before it broke off."""
        body = bytearray()
        with anyio.move_on_after(ERROR_ANSWER_SECONDS), suppress(*_LOST):
            await _read_up_to(response, LARGEST_SMALL_ANSWER_BYTES, body)
        del body[LARGEST_SMALL_ANSWER_BYTES:]
        return body

    def _refusal(self, response: aiohttp.ClientResponse, call: str, body: bytearray) -> Failure:
        message = self._words_of(body) or _phrase(response.status)
        if 300 <= response.status < 400:
            location = answers.one_line(self.secrets.words(response.headers.get("Location", "nowhere")))
            message = f"redirects to {location}; give that address as the endpoint"
        is_own = answers.is_registrys_refusal(response.status, body)
        return Failure(
            call=call,
            kind=FailureKind.STATUS if is_own else FailureKind.FOREIGN,
            status=response.status,
            message=message,
            empty=not body,
            known=self.knows(call),
            retry_after=answers.retry_after_seconds(response.headers.get("Retry-After"), response.headers.get("Date")),
        )

    def _words_of(self, body: bytes | bytearray) -> str:
        return answers.error_message(body[:LARGEST_SMALL_ANSWER_BYTES], self.secrets)


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending again: it repeats a GET after these errors, and only after these."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


async def _read_up_to(response: aiohttp.ClientResponse, most: int, into: bytearray) -> bytearray:
    """Read the body, or so much of it that it is over ``most`` bytes; what came before a break is in ``into``."""
    async for chunk in response.content.iter_any():
        into += chunk
        if len(into) > most:
            break
    return into


def _object(body: bytes | bytearray) -> dict[str, Any] | None:
    """The JSON object in a body, an empty one for an empty body; None where it is something else."""
    try:
        answer = msgspec.json.decode(body or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _phrase(status: int) -> str:
    """What a status means by itself, for an answer without words."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _json_body(body: dict[str, Any]) -> JsonBody:
    try:
        return JsonBody(msgspec.json.encode(body))
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{error.object!r}: is no text in UTF-8, so that no registry has it; check its spelling"
        ) from None

"""One request, one answer, one typed error: HTTP as the registry speaks it, on aiohttp. Nothing is tried twice."""

import os
import socket
import struct
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any, Self

import aiohttp
import anyio
import msgspec

from bulkload import __version__
from bulkload.core.errors import UsageError
from bulkload.core.settings import Credentials
from bulkload.core.verdicts import CallFailed, Failure, FailureKind
from bulkload.registry import answers
from bulkload.registry.auth import TokenSource
from bulkload.registry.body import UploadBody
from bulkload.registry.endpoint import environment_proxy, normalised_endpoint

# An error answer is read up to here, and for so long: its status has arrived, and that is what counts.
LARGEST_ERROR_BODY = 65_536
ERROR_BODY_SECONDS = 10.0
# An answer that is read whole is a version, a page of logs, the versions of one name: far below this.
LARGEST_ANSWER = 64 << 20

# Time-outs are OSErrors.
_LOST = (aiohttp.ClientError, OSError)


class Transport:
    """Connections to one registry. Every request is sent once and raises ``CallFailed`` when it fails."""

    def __init__(
        self,
        endpoint: str,
        credentials: Credentials,
        *,
        connect_timeout: float,
        progress_timeout: float,
        answer_timeout: float,
    ) -> None:
        self.endpoint = normalised_endpoint(endpoint)
        self.tokens = TokenSource(credentials)
        # Requests so far, by kind: upload, poll, list, auth, other.
        self.requests: Counter[str] = Counter()
        self._date: str | None = None
        # The wait for an answer begins when the request's last byte has been handed over.
        self._reading = aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_read=progress_timeout)
        self._uploading = aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_read=answer_timeout)
        self._session: aiohttp.ClientSession | None = None
        self._stack = AsyncExitStack()

    @property
    def answered_at(self) -> datetime | None:
        """The registry's own clock, from its last answer."""
        return answers.http_date(self._date)

    async def __aenter__(self) -> Self:
        """Make the connection pool; nothing is sent yet."""
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                # The engine bounds how many requests are under way; a second bound here would only hide it.
                connector=aiohttp.TCPConnector(limit=0, socket_factory=_new_socket),
                headers={"User-Agent": f"bulkload/{__version__}", "Accept-Encoding": "gzip"},
                # A load balancer's cookies would tie all uploads to one server, and outlive the token.
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=environment_proxy(self.endpoint),
                middlewares=(_send_once,),
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        self._session = None
        await self._stack.aclose()

    async def json(self, kind: str, method: str, call: str, body: dict[str, Any] | None, *, token: bool = True) -> Any:
        """Ask, and decode the whole answer."""
        async with self.request(kind, method, call, body, token=token) as response:
            return await self.decoded(response, call)

    async def decoded(self, response: aiohttp.ClientResponse, call: str) -> Any:
        """The whole answer, decoded from JSON."""
        body = await _read_up_to(response, LARGEST_ANSWER, bytearray())
        if len(body) > LARGEST_ANSWER:
            raise self.unreadable(call, f"an answer of more than {LARGEST_ANSWER} bytes", response.status)
        try:
            return msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self.unreadable(call, self._words_of(body), response.status) from None

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
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send one request; the answer is a success. Foreign exceptions end here, as ``CallFailed``."""
        if self._session is None:
            raise RuntimeError("the registry is not open")
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = f"Bearer {await self.tokens.current()}"
        timeout = self._uploading if isinstance(body, UploadBody) else self._reading
        if isinstance(body, dict):
            headers["Content-Type"] = "application/json"
        self.requests[kind] += 1
        try:
            async with self._session.request(
                method,
                f"{self.endpoint}/v1/api/{call}",
                data=msgspec.json.encode(body) if isinstance(body, dict) else body,
                headers=headers,
                # A redirect would turn an upload into a GET, or carry file and token elsewhere.
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                self._date = response.headers.get("Date", self._date)
                if not 200 <= response.status < 300:
                    raise CallFailed(await self._refusal(response, call))
                yield response
        except (aiohttp.InvalidURL, UnicodeError) as error:
            raise UsageError(f"{self.endpoint} is not an address that can be asked: {error}") from None
        except _LOST as error:
            raise CallFailed(_loss(call, error, timeout)) from None

    def unreadable(self, call: str, words: str, status: int | None = None) -> CallFailed:
        """A success without the content that belongs to it; ``words`` is the beginning of what came instead."""
        message = f"not what a registry answers: {answers.one_line(self._without_token(words))}"
        return CallFailed(Failure(call=call, kind=FailureKind.UNREADABLE, status=status, message=message))

    async def _refusal(self, response: aiohttp.ClientResponse, call: str) -> Failure:
        body = bytearray()
        with anyio.move_on_after(ERROR_BODY_SECONDS), suppress(*_LOST):
            await _read_up_to(response, LARGEST_ERROR_BODY, body)
        message = self._words_of(body) or _phrase(response.status)
        if 300 <= response.status < 400:
            location = answers.one_line(self._without_token(response.headers.get("Location", "nowhere")))
            message = f"redirects to {location}; give that address as the endpoint"
        return Failure(
            call=call,
            kind=FailureKind.STATUS,
            status=response.status,
            message=message,
            retry_after=answers.retry_after_seconds(response.headers.get("Retry-After"), response.headers.get("Date")),
        )

    def _words_of(self, body: bytearray) -> str:
        return answers.error_message(self._without_token(body[:LARGEST_ERROR_BODY].decode("latin-1")).encode("latin-1"))

    def _without_token(self, words: str) -> str:
        """What others say, without our secret: some gateways show a refused request's headers in their answer.

        Before it is cut to a readable length, lest half of a token stay.
        """
        token = self.tokens.held
        return words.replace(token, "(the token)") if token else words


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending again: it repeats a GET after these errors, and only after these."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


def _new_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket whose end is certain.

    Closed or killed, it sends nothing more: what the kernel still holds of an upload is dropped and the connection
    reset, so that no version lands after we stopped waiting for it. And it finds out when a gateway on the way has
    forgotten a connection that was silent while the registry worked.
    """
    family, kind, protocol, _, _ = address
    connection = socket.socket(family, kind, protocol)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
        # Not every system has all of them.
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection


async def _read_up_to(response: aiohttp.ClientResponse, most: int, into: bytearray) -> bytearray:
    """Read the body, or so much of it that it is over ``most`` bytes; what came before a break is in ``into``."""
    async for chunk in response.content.iter_any():
        into += chunk
        if len(into) > most:
            break
    return into


def _loss(call: str, error: Exception, timeout: aiohttp.ClientTimeout) -> Failure:
    """What became of a request without a whole answer."""
    kind, words = FailureKind.CUT, answers.one_line(str(error)) or type(error).__name__
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        kind, words = FailureKind.NO_CONNECTION, f"none within {timeout.connect:g} s"
    elif isinstance(error, aiohttp.SocketTimeoutError):
        words = f"nothing came for {timeout.sock_read:g} s"
    elif isinstance(error, aiohttp.ClientConnectorError):
        kind, words = FailureKind.NO_CONNECTION, _connection_message(error)
    elif isinstance(error, aiohttp.ClientHttpProxyError):
        kind, words = FailureKind.NO_CONNECTION, f"the proxy refuses: {error.status} {answers.one_line(error.message)}"
    elif isinstance(error, aiohttp.ClientResponseError):
        kind, words = FailureKind.UNREADABLE, f"not HTTP: {answers.one_line(error.message)}"
    return Failure(call=call, kind=kind, message=words)


def _connection_message(error: aiohttp.ClientConnectorError) -> str:
    """Whose fault a failed connection is, in one sentence."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the host name {error.host} is not known"
    if isinstance(error, aiohttp.ClientSSLError):
        cause = error.__cause__ or error
        reason = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or str(cause)
        if reason == "WRONG_VERSION_NUMBER":
            return f"{error.host}:{error.port} does not speak TLS; is its address http://{error.host}:{error.port}?"
        return f"no trusted TLS connection to {error.host}: {reason}"
    place = f"{error.host}:{error.port}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        place = f"the proxy {place}"
    number = error.os_error.errno
    return f"no connection to {place}: {os.strerror(number) if number else error.os_error}"


def _phrase(status: int) -> str:
    """What a status means by itself, for an answer without words."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""

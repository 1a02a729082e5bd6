"""Connections: how they are made, and in plain words why there is none, whose fault that is and what to do."""

import asyncio
import os
import socket
import ssl
import struct
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp
import anyio
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from bulkload.core.model.errors import UsageError
from bulkload.core.model.settings import Connection
from bulkload.core.verdicts import WANTS, Failure, FailureKind
from bulkload.registry.answers import one_line
from bulkload.registry.http.body import NothingSent
from bulkload.registry.http.connections import HEAD_BOUNDS, HeadTooLarge
from bulkload.system.secrets import refuse_irregular

# OpenSSL's numbers for what is wrong with a certificate (openssl-verification-options(1)).
_OUT_OF_DATE = frozenset({9, 10})
_NOBODY_VOUCHES = frozenset({2, 18, 19, 20, 21})
_OTHER_NAME = frozenset({62, 64})

_PORTS = {"http": 80, "https": 443}

# How long leave for a large body is waited for; curl waits as long.
LEAVE_SECONDS = 1.0


def tls_context(connection: Connection) -> ssl.SSLContext:
    """Certificates and names are always checked. Raises ``UsageError`` for a file that is not what it should be."""
    for file, what in (
        (connection.ca_file, "certificates"),
        (connection.client_cert, "a certificate"),
        (connection.client_key, "its key"),
    ):
        refuse_irregular(file, what)
    try:
        context = ssl.create_default_context(cafile=connection.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{connection.ca_file}: no certificates can be read from it ({_reason(error)})") from None
    if connection.client_cert is None:
        if connection.client_key is not None:
            raise UsageError("--client-key goes with --client-cert: give both, or one file with both as --client-cert")
        return context
    try:
        # Without a password, OpenSSL would ask the terminal for one.
        context.load_cert_chain(connection.client_cert, connection.client_key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        files = " and ".join(str(file) for file in (connection.client_cert, connection.client_key) if file is not None)
        raise UsageError(
            f"{files}: no client certificate with its key, both PEM and without a password ({_reason(error)})"
        ) from None
    return context


def _no_password() -> bytes:
    return b""


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)


def new_socket(address: aiohttp.AddrInfoType) -> socket.socket:
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


async def is_reached(address: str, seconds: float) -> bool:
    """Whether something takes connections at an address: of a failed one, this tells the network from TLS."""
    parts = urlsplit(address)
    try:
        with anyio.fail_after(seconds):
            async with await anyio.connect_tcp(parts.hostname or "", parts.port or _PORTS[parts.scheme]):
                return True
    except OSError:
        return False


class LeaveForBody:
    """Middleware that bounds the wait for ``100 Continue``: RFC 9110 lets a client send the body without it."""

    def __init__(self) -> None:
        # Whether this registry, or a gateway before it, gives leave. One that did not in time is not asked again.
        self.is_given = True

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Pass a request on, and begin its body when it was waited for long enough."""
        # aiohttp has no setting for this; it waits on this future for ever.
        leave: asyncio.Future[bool] | None = getattr(request, "_continue", None)
        if leave is None:
            return await handler(request)
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer
            # Set when the head has left; the library says that it is always None.
            if getattr(request, "response", None) is None:
                # Not connected until now: the time begins here.
                timer = loop.call_later(LEAVE_SECONDS, look)
            elif not leave.done():
                self.is_given = False
                leave.set_result(True)

        timer = loop.call_later(LEAVE_SECONDS, look)
        try:
            return await handler(request)
        finally:
            # An answer is there, and it may be a refusal: the body then stays where it is.
            timer.cancel()


def loss(call: str, error: Exception, timeout: aiohttp.ClientTimeout) -> Failure:
    """What became of a request without a whole answer."""
    words = one_line(str(error)) or type(error).__name__
    if isinstance(error, NothingSent):
        kind = FailureKind.NO_CONNECTION
    elif isinstance(error, HeadTooLarge):
        kind = FailureKind.FOREIGN
    elif isinstance(error, aiohttp.ClientConnectorError):
        kind, words = FailureKind.NO_CONNECTION, _connection_message(error)
    elif isinstance(error, aiohttp.ClientHttpProxyError):
        kind, words = FailureKind.NO_CONNECTION, _proxy_message(error)
    elif isinstance(error, aiohttp.ClientResponseError):
        kind = FailureKind.FOREIGN
        words = HEAD_BOUNDS if _is_too_large(error) else f"not HTTP: {one_line(error.message)}"
    elif "CERTIFICATE_REQUIRED" in words:
        # TLS 1.3 says so only after the handshake; nothing of the request was looked at.
        kind, words = FailureKind.NO_CONNECTION, "the registry wants a client certificate; give --client-cert"
    else:
        kind, words = _too_late(error, timeout) or (FailureKind.CUT, words)
    return Failure(call=call, kind=kind, message=words)


def _too_late(error: Exception, timeout: aiohttp.ClientTimeout) -> tuple[FailureKind, str] | None:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        words = f"no connection within {timeout.connect:g} s; is a firewall between, or a VPN off?"
        return FailureKind.NO_CONNECTION, words
    if isinstance(error, aiohttp.SocketTimeoutError):
        return FailureKind.CUT, f"nothing came for {timeout.sock_read:g} s"
    if isinstance(error, TimeoutError) and timeout.total is not None:
        return FailureKind.CUT, f"no whole answer within {timeout.total:g} s"
    return None


def _is_too_large(error: BaseException | None) -> bool:
    """Whether aiohttp's parser gave up at a bound that it was given."""
    while error is not None and not isinstance(error, LineTooLong):
        if isinstance(error, BadHttpMessage) and error.message.startswith("Too many headers"):
            break
        error = error.__cause__
    return error is not None


def _connection_message(error: aiohttp.ClientConnectorError) -> str:
    if (want := WANTS.get(error.os_error.errno or 0)) is not None:
        return f"no connection to {error.host}:{error.port}: {want}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the host name {error.host} is not known; check its spelling, and the network or VPN of this machine"
    if isinstance(error, aiohttp.ClientSSLError):
        return _tls_message(error)
    number = error.os_error.errno
    reason = os.strerror(number) if number else str(error.os_error)
    place = f"{error.host}:{error.port}"
    if not reason:
        return (
            f"{place} breaks the connection off while TLS is set up; does it want a client certificate (--client-cert)?"
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"no connection to the proxy {place}: {reason}; mend HTTPS_PROXY, or go round it with NO_PROXY"
    return f"no connection to {place}: {reason}; check host and port, and that the registry runs"


def _tls_message(error: aiohttp.ClientSSLError) -> str:
    cause = error.__cause__ or error
    # Of a certificate with a wrong name, Python's own words.
    reason = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or str(cause)
    code = getattr(cause, "verify_code", 0)
    if reason == "WRONG_VERSION_NUMBER":
        return f"{error.host}:{error.port} does not speak TLS; is its address http://{error.host}:{error.port}?"
    remedy = "its operator must mend it"
    if code in _NOBODY_VOUCHES:
        remedy = "give the certificate of the authority behind it with --ca-file"
    elif code in _OUT_OF_DATE:
        remedy = "its operator must renew it, unless the clock of this machine is wrong"
    elif "ALERT" in reason:
        remedy = "the registry breaks it off; does it want a client certificate (--client-cert)?"
    elif code in _OTHER_NAME:
        remedy = "give the name that stands in its certificate as the endpoint"
    return f"no trusted TLS connection to {error.host}: {one_line(reason)}; {remedy}"


def _proxy_message(error: aiohttp.ClientHttpProxyError) -> str:
    words = f"the proxy refuses: {error.status} {one_line(error.message)}".rstrip()
    if error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return f"{words}; put user and password into HTTPS_PROXY=http://user:password@host:port"
    return f"{words}; ask its operator to let the registry through, or go round it with NO_PROXY"

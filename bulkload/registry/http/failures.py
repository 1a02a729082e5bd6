"""Why there is no connection, or no whole answer, in plain words: whose fault that is and what to do."""

import os
from http import HTTPStatus

import aiohttp
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong

from bulkload.core.bounds import LARGEST_HEAD_BYTES, MOST_HEAD_LINES
from bulkload.core.verdicts import WANTS, Failure, FailureKind
from bulkload.registry.answers import one_line
from bulkload.registry.http.connections import HEAD_REMEDY, HeadTooLarge
from bulkload.registry.http.exchange import Limits, NothingSent

# OpenSSL's numbers for what is wrong with a certificate (openssl-verification-options(1)).
_OUT_OF_DATE = frozenset({9, 10})
_NOBODY_VOUCHES = frozenset({2, 18, 19, 20, 21})
_OTHER_NAME = frozenset({62, 64})

# aiohttp's own words name neither bound.
_HEAD_BOUNDS = (
    f"its answer has a head of more than {LARGEST_HEAD_BYTES:,} bytes or {MOST_HEAD_LINES:,} lines; {HEAD_REMEDY}"
)


def loss(call: str, error: Exception, limits: Limits) -> Failure:
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
    elif isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        kind = FailureKind.FOREIGN
        words = _HEAD_BOUNDS if _is_too_large(error) else f"not HTTP: {one_line(error.message)}"
    elif "CERTIFICATE_REQUIRED" in words:
        # TLS 1.3 says so only after the handshake; nothing of the request was looked at.
        kind, words = FailureKind.NO_CONNECTION, "the registry wants a client certificate; give --client-cert"
    else:
        kind, words = _too_late(error, limits) or (FailureKind.CUT, words)
    return Failure(call=call, kind=kind, message=words)


def _too_late(error: Exception, limits: Limits) -> tuple[FailureKind, str] | None:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        words = f"no connection within {limits.connect:g} s; is a firewall between, or a VPN off?"
        return FailureKind.NO_CONNECTION, words
    if isinstance(error, aiohttp.SocketTimeoutError):
        return FailureKind.CUT, f"nothing came for {limits.silence:g} s"
    if isinstance(error, TimeoutError) and limits.total is not None:
        return FailureKind.CUT, f"no whole answer within {limits.total:g} s"
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

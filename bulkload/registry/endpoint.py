"""The registry's address, and the proxy that leads there."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from bulkload.core.errors import UsageError

_PORTS = {"http": 80, "https": 443}
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]+\]|[^\[\]:]+)(:[0-9]*)?")
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")


def normalised_endpoint(endpoint: str) -> str:
    """The endpoint without what makes no difference. Raises ``UsageError`` where it is no http(s) address."""
    # Before anything is shown: what stands in front of the @ is a secret.
    if "@" in endpoint:
        raise UsageError("an endpoint holds no user name or password; use --token-file or --token-command")
    try:
        parts, host, port = _parts(endpoint.strip())
    except ValueError:
        raise UsageError(
            f"{endpoint!r} is not the address of a registry; write it as https://registry.example.com"
        ) from None
    # The API's own path is added to each call; people copy it along with the address.
    path = parts.path.rstrip("/").removesuffix("/v1/api")
    authority = host if port in (None, _PORTS[parts.scheme]) else f"{host}:{port}"
    return urlunsplit((parts.scheme, authority, path, "", ""))


def _parts(address: str) -> tuple[SplitResult, str, int | None]:
    # urlsplit drops line breaks and tabs without a word.
    if not address.isprintable() or " " in address:
        raise ValueError(address)
    parts = urlsplit(address)
    # What follows an IPv6 address is not looked at either.
    host_alone = _HOST_AND_PORT.fullmatch(parts.netloc) is not None
    if parts.scheme not in _PORTS or parts.query or parts.fragment or parts.port == 0 or not host_alone:
        raise ValueError(address)
    return parts, _host(parts.hostname or ""), parts.port


def _host(name: str) -> str:
    """The host as it stands in an address. Raises ``ValueError`` where it cannot be one."""
    if ":" in name and "%" not in name:
        return f"[{ipaddress.IPv6Address(name)}]"
    # Numbers alone are an IPv4 address: 127.1 and 2130706433 mean different hosts to different programs.
    if name.replace(".", "").isdecimal():
        return str(ipaddress.IPv4Address(name))
    ascii_name = name.encode("idna").decode("ascii").lower()
    if _HOST_NAME.fullmatch(ascii_name) is None:
        raise ValueError(name)
    return ascii_name


def environment_proxy(endpoint: str) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY set for this endpoint, as curl reads them.

    Read once: the HTTP library would read them, and ~/.netrc, for each request anew, in a thread. And the library takes
    a password out of ~/.netrc for the registry, which has no place beside a bearer token.
    """
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if _is_loopback(host) or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    try:
        found = urlsplit(proxy)
        usable = found.scheme in _PORTS and bool(found.hostname) and found.port != 0
    except ValueError:
        usable = False
    if not usable:
        # Not shown: it may hold a password.
        raise UsageError("the proxy in the environment is no http:// address; mend HTTPS_PROXY or set NO_PROXY")
    return proxy


def _is_loopback(host: str) -> bool:
    """Whether the host is this machine, which no proxy can reach: a sandbox works wherever a proxy is set."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

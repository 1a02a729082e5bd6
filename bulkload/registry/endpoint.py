"""The registry's address, Keycloak's, and the proxy that leads there."""

import ipaddress
import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from bulkload.core.model.errors import UsageError

# Of the one realm that Wallaroo uses.
REALM_PATH = "/auth/realms/master"

_PORTS = {"http": 80, "https": 443}
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]+\]|[^\[\]:]+)(:[0-9]*)?")
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")


def normalised_endpoint(endpoint: str) -> str:
    """The endpoint without what makes no difference. Raises ``UsageError`` where it is no http(s) address."""
    # Before anything is shown: what stands in front of the @ is a secret.
    if "@" in endpoint:
        raise UsageError(
            "an endpoint holds no user name or password; use --username and --password-file, or --token-file"
        )
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


def refuse_clear_text(address: str, *, insecure_http: bool) -> None:
    """Raise ``UsageError`` where what is sent to an address could be read, and changed, by everybody on the way.

    This machine's own addresses are fine; a name that merely leads there today is not.
    """
    parts = urlsplit(address)
    if parts.scheme == "https" or insecure_http or is_loopback(parts.hostname or ""):
        return
    raise UsageError(
        f"{address}: tokens and passwords would go there without encryption; write it with https://, or give"
        " --insecure-http where everybody on the way may have them"
    )


def realm_address(endpoint: str, auth_url: str | None, *, insecure_http: bool = False) -> str:
    """Keycloak's realm: of ``auth_url`` where given, else realm master on the endpoint's own host.

    No other host is guessed: that is where passwords go. Raises ``UsageError``.
    """
    parts = urlsplit(endpoint)
    if auth_url is None:
        return f"{parts.scheme}://{parts.netloc}{REALM_PATH}"
    realm = normalised_endpoint(auth_url)
    if parts.scheme == "https":
        refuse_clear_text(realm, insecure_http=insecure_http)
    return realm if "/realms/" in realm else f"{realm.removesuffix('/auth')}{REALM_PATH}"


def proxy_for(address: str, proxies: Mapping[str, str]) -> str | None:
    """The proxy that leads to an address, as curl reads HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.

    Not left to the HTTP library: it would read them, and ~/.netrc, for each request anew, in a thread. And it takes
    a password out of ~/.netrc for the registry, which has no place beside a bearer token.
    """
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    if is_loopback(host) or without_proxy(host, port, proxies.get("no", "")):
        return None
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


def secrets_in(proxy: str) -> list[str]:
    """What of a proxy's address must not be shown: its password, and how it is sent."""
    parts = urlsplit(proxy)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return (
        [password, parts.password or "", b64encode(f"{user}:{password}".encode(errors="replace")).decode()]
        if password
        else []
    )


def without_proxy(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY exempts a host, as curl 8 reads it (``proxy_check_noproxy`` in its lib/proxy.c).

    ``*`` alone is all hosts. Else it is a list, by commas or blanks, of domains (with everything below them; a dot
    before or behind makes no difference), addresses and networks (``10.0.0.0/8``, ``fd00::/8``). What curl does not
    read and others do: ``host:port``, which holds for that port alone, and an IPv6 address in its brackets.
    """
    if no_proxy == "*":
        return True
    host = host.removesuffix(".").lower()
    for entry in no_proxy.replace(",", " ").split():
        found = _NO_PROXY_ENTRY.fullmatch(entry)
        if found is None or found["port"] not in (None, str(port)):
            continue
        name = found["address"] or found["name"]
        if _is_in_network(host, name) if _is_address(host) else _is_in_domain(host, name.lower()):
            return True
    return False


# [address]:port, name:port, or anything else.
_NO_PROXY_ENTRY = re.compile(
    r"(?:\[(?P<address>[^\[\]]*)\]|(?P<name>[^:]*|[^:]*:[^:]*:.*))(?::(?P<port>[0-9]+))?", re.DOTALL
)


def _is_in_domain(host: str, domain: str) -> bool:
    domain = domain.removesuffix(".").removeprefix(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _is_in_network(host: str, entry: str) -> bool:
    network, slash, bits = entry.partition("/")
    if slash and not (bits.isascii() and bits.isdecimal()):
        return False
    try:
        # curl takes no bits at all for all bits.
        return ipaddress.ip_address(host) in ipaddress.ip_network(
            f"{network}/{int(bits)}" if int(bits or 0) else network, strict=False
        )
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, which no proxy can reach: a sandbox works wherever a proxy is set."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

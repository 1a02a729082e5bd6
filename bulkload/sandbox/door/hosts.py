"""Which names a sandbox answers to.

A page of anybody's can make a browser on this machine ask `http://its.own.name:PORT/`, and have that name lead to
127.0.0.1 afterwards (DNS rebinding): for the browser it then has the same origin as the sandbox. Such a request names
its host; addresses and `localhost` cannot be bent that way. Pure.
"""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

HOST_PATTERN = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]?#\\]+)(?::[0-9]{0,5})?")
NAME_PATTERN = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?", re.IGNORECASE)


class AllowedHosts:
    """The hosts that a request may name, with any port: it may have come through a tunnel.

    `listening` is the address that the sandbox listens on: where it is of the loopback, only addresses of the loopback
    are allowed; elsewhere all, since which of them lead here is known to others. `names` are allowed everywhere.
    """

    def __init__(self, listening: str, names: Iterable[str]) -> None:
        self._local_only = is_loopback(listening) is True
        self._names = {"localhost", "127.0.0.1", "[::1]", *map(_plain, names)}
        self._remembered = lru_cache(maxsize=64)(self._allows)  # clients name the same one again and again

    def allows(self, host: str) -> bool:
        """Whether a request may be answered that names this host, as in its `Host` header."""
        return self._remembered(host)

    def _allows(self, host: str) -> bool:
        match = HOST_PATTERN.fullmatch(host)
        if match is None:
            return False
        name = _plain(match["name"])
        if name in self._names:
            return True
        loopback = is_loopback(name.strip("[]"))
        return loopback is True or (loopback is False and not self._local_only)


def is_loopback(address: str) -> bool | None:
    """Whether an IP address is one of the loopback; None for what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    inner = getattr(parsed, "ipv4_mapped", None)  # ::ffff:127.0.0.1
    return bool((inner or parsed).is_loopback)


def check_name(name: str) -> None:
    """Raises ValueError for what can be no host's name."""
    if NAME_PATTERN.fullmatch(name.removesuffix(".")) is None:
        raise ValueError(f"allowed host {name!r}: expected a name such as sandbox.example.com, without a port")


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")

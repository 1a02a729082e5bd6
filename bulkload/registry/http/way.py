"""Where requests go, and the heads that they have there."""

import asyncio
import re
from base64 import b64encode
from typing import Any

import aiohttp
from aiohttp import hdrs
from yarl import URL

from bulkload import __version__
from bulkload.core.model.errors import UsageError

# What ends a line of a head, or is no text in UTF-8.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_MOST_HEADS = 64


class Way:
    """Where requests go: an address, by the proxy that leads there."""

    def __init__(self, address: str, proxy: str | None) -> None:
        """Raises ``ValueError`` for what is no address. ``proxy`` may hold a password."""
        self.address = address
        url, through = URL(address), None if proxy is None else URL(proxy)
        # For the pool alone, which writes the proxy's password into it: it is never sent.
        self.template = aiohttp.ClientRequest(hdrs.METH_GET, url, proxy=through, loop=asyncio.get_running_loop())
        self._fields = f"Host: {url.host_port_subcomponent}\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n"
        self._fields += f"User-Agent: bulkload/{__version__}\r\n"
        # With TLS a proxy is asked to CONNECT, and sees nothing else.
        self._names_all = through is not None and url.scheme == "http"
        if through is not None and self._names_all and through.user is not None:
            # As aiohttp writes it for CONNECT.
            words = f"{through.user}:{through.password or ''}".encode("latin1")
            self._fields += f"Proxy-Authorization: Basic {b64encode(words).decode()}\r\n"
        self._heads: dict[Any, bytes] = {}

    def head(self, method: str, url: str, length: int | None, *fields: tuple[str, str]) -> bytes:
        """A request's head, made once for each call. Raises ``UsageError`` where a field cannot be sent."""
        key = method, url, fields
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) >= _MOST_HEADS:
                # Tokens come and go.
                self._heads.clear()
            head = self._heads[key] = self._new_head(method, url, fields)
        return head + b"\r\n" if length is None else b"%bContent-Length: %d\r\n\r\n" % (head, length)

    def _new_head(self, method: str, url: str, fields: tuple[tuple[str, str], ...]) -> bytes:
        parsed = URL(url)
        target = str(parsed) if self._names_all else parsed.raw_path_qs
        for name, value in (("the address", target), *fields):
            if _CONTROL.search(value):
                raise UsageError(f"{name}: holds a line's end or another control character; check where it comes from")
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"{method} {target} HTTP/1.1\r\n{self._fields}{lines}".encode()

"""Whether a body on its way out moves."""

import asyncio
import socket
import struct
from contextlib import suppress

import aiohttp

from bulkload.registry.http.connections import Line

# How often progress is looked at within the time that it may take.
CHECKS = 4


class Stalled(aiohttp.ClientConnectionError):
    """The other side takes nothing of a body for too long."""


class Watch:
    """Breaks a connection off that moves nothing for so many seconds, while there is something to move."""

    def __init__(self, line: Line, seconds: float) -> None:
        self._line = line
        self._seconds = seconds
        self._quiet = 0
        self._acknowledged = -1
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(seconds / CHECKS, self._check)

    def end(self) -> None:
        """Watch no longer."""
        self._timer.cancel()

    def _check(self) -> None:
        if self._line.transport is None:
            return
        now = _acknowledged(self._line.transport)
        self._quiet = self._quiet + 1 if now == self._acknowledged else 0
        self._acknowledged = now
        if self._quiet == CHECKS:
            self._line.fail(Stalled(f"nothing moved for {self._seconds:g} s"))
        else:
            self._timer = self._loop.call_later(self._seconds / CHECKS, self._check)


def _acknowledged(transport: asyncio.WriteTransport) -> int:
    """A number that changes when the other side takes something.

    Where the system tells, the bytes that it has acknowledged. The transport's own buffer is a poor measure: with TLS
    it moves by half a mebibyte at a time, which a slow line takes minutes for.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and hasattr(socket, "TCP_INFO"):
        with suppress(OSError, struct.error):
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            # tcpi_bytes_acked of Linux's struct tcp_info.
            return int(struct.unpack_from("=Q", info, 120)[0])
    return transport.get_write_buffer_size()

"""One request on its way through the sandbox: its body as it arrives, and the way its answer will go."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import anyio
import msgspec
from aiohttp import web

from bulkload.core.bounds import LARGEST_REQUEST_BYTES
from bulkload.sandbox.api.metadata import RefusalError, bad_request
from bulkload.sandbox.door.decoding import MalformedError, decode
from bulkload.sandbox.faults import Fault
from bulkload.sandbox.store.records import TRAITS

UNKNOWN_LENGTH_CUT_BYTES = 64 * 1024
JSON = "application/json"
Wanted = TypeVar("Wanted")


class Delivery(Enum):
    """How the answer travels."""

    ANSWER = "it is given"
    DROP = "the connection is closed instead"
    RESET = "the connection is reset instead"
    STALL = "nothing happens for a long time, then the connection is closed"
    HALF = "half of it, then the connection is closed"


class InterruptedExchangeError(Exception):
    """Nothing more is to be done for this request; its connection ends as `delivery` says."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__(delivery.value)
        self.delivery = delivery


class ClientGoneError(Exception):
    """The client closed its connection before its request was complete."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(value: Any, status: int = 200) -> Reply:
    """Compact JSON without a newline at its end, as the real registry sends it."""
    return Reply(status, msgspec.json.encode(value))


def error_reply(status: int, message: str) -> Reply:
    """The registry's own error body: `{"msg", "code"}`."""
    return json_reply({"msg": message, "code": status}, status)


def late(reason: str) -> RefusalError:
    """408: somebody takes too long."""
    return RefusalError(408, f"Request Timeout: {reason}")


def too_large(most_bytes: int) -> RefusalError:
    """400: more than anybody needs."""
    return bad_request(f"the body has more than {most_bytes:,} bytes")


@dataclass(slots=True)
class Exchange:
    """A request with what the sandbox knows of it. `version_id` is noted for the request log.

    `body_seconds` and `pause_seconds` bound how long it is waited for, see SandboxSettings. `path_values` are the parts
    of the path that its route leaves open.
    """

    request: web.BaseRequest
    fault: Fault | None
    body_seconds: float
    pause_seconds: float
    version_id: int | None = None
    leave_given: bool = False
    path_values: dict[str, str] = field(default_factory=dict)

    def meets(self, name: str) -> bool:
        """Whether this request meets the fault of that name."""
        return self.fault is not None and self.fault.name == name

    @property
    def traits(self) -> dict[str, float]:
        """The fault as a trait of versions: of the one uploaded, or of those in the answer."""
        if self.fault is None or self.fault.name not in TRAITS:
            return {}
        return {self.fault.name: self.fault.number(TRAITS[self.fault.name])}

    @property
    def bytes_arrived(self) -> int:
        """How much of the body has arrived."""
        return self.request.content.total_bytes

    def header(self, name: str) -> str | None:
        """A header's value as text: bytes that are no UTF-8, which aiohttp keeps as surrogates, are replaced."""
        value = self.request.headers.get(name)
        if value is None or value.isascii():
            return value
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    @property
    def host(self) -> str:
        """What the request calls this host; in HTTP/1.0 it need not: then the address that it came to."""
        host = self.header("Host")
        if host is None:
            address, port, *_ = self.request.get_extra_info("sockname", ("localhost", 80))
            host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        return host

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises ClientGoneError, InterruptedExchangeError where a fault cuts it, and
        RefusalError when it is malformed or nothing comes for too long.
        """
        cut_at = self._cut_at()
        arrived = 0
        await self._give_leave()
        while True:
            if cut_at is not None and arrived >= cut_at:
                raise InterruptedExchangeError(Delivery.RESET if self.meets("reset") else Delivery.STALL)
            piece = await self._piece()
            if not piece:
                return
            arrived += len(piece)
            yield piece

    async def body(self, most_bytes: int = LARGEST_REQUEST_BYTES) -> bytes:
        """The whole body of a small request. Raises RefusalError when it is too large or late, else as `pieces`."""
        if (self.request.content_length or 0) > most_bytes:
            raise too_large(most_bytes)
        collected = bytearray()
        try:
            with self._patience(self.body_seconds):
                async for piece in self.pieces():
                    collected += piece
                    if len(collected) > most_bytes:
                        raise too_large(most_bytes)
        except TimeoutError:
            raise late(f"the body was not there after {self.body_seconds:g} s") from None
        return bytes(collected)

    async def json(self, kind: type[Wanted]) -> Wanted:
        """The JSON body as a record. Raises RefusalError (400) when it is not one."""
        try:
            return decode(await self.body() or b"{}", kind)
        except MalformedError as error:
            raise bad_request(str(error)) from None

    async def _piece(self) -> bytes:
        try:
            with self._patience(self.pause_seconds):
                return await self.request.content.readany()
        except TimeoutError:
            raise late(f"nothing of the body came for {self.pause_seconds:g} s") from None
        except web.RequestPayloadError as error:
            raise bad_request(f"malformed body: {error}") from None
        except (ConnectionError, RuntimeError) as error:
            # aiohttp says RuntimeError when the connection was gone before the read began.
            raise ClientGoneError from error

    def _patience(self, seconds: float) -> AbstractContextManager[object]:
        """A bound on waiting for the body; none where all of it is here: that would cost more than the reading."""
        return nullcontext() if self.request.content.is_eof() else anyio.fail_after(seconds)

    async def _give_leave(self) -> None:
        """100 Continue for whoever asked before sending a body: aiohttp's low-level server leaves that to its handler.

        Only now that the body is wanted: who is refused before, by a wrong token, need not send it.
        """
        if (self.header("Expect") or "").lower() == "100-continue" and not self.leave_given:
            self.leave_given = True
            try:
                await self.request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            except ConnectionError as error:
                raise ClientGoneError from error
            # The answer's own head has not been written.
            self.request.writer.output_size = 0

    async def drain(self) -> None:
        """Read the body to its end and forget it."""
        async for _ in self.pieces():
            pass

    def _cut_at(self) -> int | None:
        if self.fault is None or self.fault.name not in {"reset", "stall-body"}:
            return None
        length = self.request.content_length
        half = UNKNOWN_LENGTH_CUT_BYTES if length is None else length // 2
        return int(self.fault.number(half))

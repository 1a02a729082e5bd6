"""What came back as one answer or one typed error, in words that may be shown."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import aiohttp
import anyio
import msgspec
from aiohttp.http import HttpProcessingError

from bulkload.core.bounds import ERROR_ANSWER_SECONDS, LARGEST_ANSWER_BYTES, LARGEST_SMALL_ANSWER_BYTES
from bulkload.core.formats.json_bounds import BeyondBounds, check_json
from bulkload.core.model.errors import BulkloadError, UsageError
from bulkload.core.verdicts import CallFailed, Failure, FailureKind
from bulkload.registry import answers
from bulkload.registry.http.exchange import Limits, Request
from bulkload.registry.http.failures import loss
from bulkload.registry.redaction import Secrets

# Time-outs are OSErrors.
_LOST = (aiohttp.ClientError, HttpProcessingError, OSError)
# InvalidURL is one of them, too, but another's fault.
FOREIGN = (*_LOST, UnicodeError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A success, whole, as it came."""

    status: int
    body: bytes | bytearray
    # The whole request had left before it came.
    to_all: bool


class Judge:
    """Makes answers of what came back, without our secrets."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        # Calls that were answered as the registry answers them.
        self._known: set[str] = set()
        # Of its last answer.
        self.date: str | None = None

    @property
    def answered_at(self) -> datetime | None:
        """The registry's own clock, from its last answer."""
        return answers.http_date(self.date)

    def has_worked(self, call: str) -> None:
        """A call was answered as the registry answers it: it exists."""
        self._known.add(call)

    def knows(self, call: str) -> bool:
        """Whether a call has been answered so."""
        return call in self._known

    def accepts(self, request: Request) -> bool:
        """Whether the answer that has begun is a success."""
        head = request.head
        self.date = head.headers.get("Date", self.date)
        return 200 <= head.code < 300

    async def refused(self, request: Request, call: str) -> CallFailed:
        """What an answer that is none says."""
        return CallFailed(self.refusal(request, call, await small_body(request)))

    async def answer(self, request: Request, call: str) -> Answer:
        """The whole of an answer that is a success. Raises ``CallFailed`` for what is too large."""
        body = request.whole_body or await request.read(LARGEST_ANSWER_BYTES)
        if len(body) > LARGEST_ANSWER_BYTES:
            raise self.unreadable(call, f"more than {LARGEST_ANSWER_BYTES:,} bytes", request.head.code)
        return Answer(request.head.code, body, request.is_whole and request.line.had_left)

    def decoded(self, call: str, answer: Answer) -> Any:
        """An answer's JSON."""
        try:
            check_json(answer.body)
            return msgspec.json.decode(answer.body)
        except BeyondBounds as beyond:
            raise self.unreadable(call, str(beyond), answer.status) from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self.foreign(call, self.words_of(answer.body), answer.status) from None

    def not_understood(self, call: str, decoded: object) -> CallFailed:
        """JSON, but not that of this call."""
        text = msgspec.json.encode(decoded)
        return self.unreadable(call, text[:LARGEST_SMALL_ANSWER_BYTES].decode(errors="replace"))

    def unreadable(
        self, call: str, words: str, status: int | None = None, kind: FailureKind = FailureKind.UNREADABLE
    ) -> CallFailed:
        """A success without the content that belongs to it; ``words`` is the beginning of what came instead."""
        message = f"not what a registry answers: {answers.one_line(self._secrets.words(words))}"
        return CallFailed(Failure(call=call, kind=kind, status=status, message=message, known=self.knows(call)))

    def foreign(self, call: str, words: str, status: int | None = None) -> CallFailed:
        """The same for what is no JSON at all."""
        return self.unreadable(call, words or "nothing", status, FailureKind.FOREIGN)

    def cut(self, call: str, words: str) -> CallFailed:
        """An answer that takes too long, or too much."""
        return CallFailed(Failure(call=call, kind=FailureKind.CUT, message=words, known=self.knows(call)))

    def refusal(self, request: Request, call: str, body: bytes | bytearray) -> Failure:
        """What is no success."""
        status, headers = request.head.code, request.head.headers
        message = self.words_of(body) or _phrase(status)
        if 300 <= status < 400:
            location = answers.one_line(self._secrets.words(headers.get("Location", "nowhere")))
            message = f"redirects to {location}; give that address as the endpoint"
        return Failure(
            call=call,
            kind=FailureKind.STATUS if answers.is_registrys_refusal(status, body) else FailureKind.FOREIGN,
            status=status,
            message=message,
            empty=not body,
            known=self.knows(call),
            retry_after=answers.retry_after_seconds(headers.get("Retry-After"), headers.get("Date")),
        )

    def words_of(self, body: bytes | bytearray) -> str:
        """The words of an answer that is an error."""
        return answers.error_message(body[:LARGEST_SMALL_ANSWER_BYTES], self._secrets)

    def named(self, error: Exception, call: str, address: str, limits: Limits) -> BulkloadError:
        """One of FOREIGN in our own words. ``address``: what stands in the settings."""
        if isinstance(error, aiohttp.InvalidURL | UnicodeError):
            return UsageError(f"{address} is not an address that can be asked: {error}")
        # All other words are our own.
        if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
            error.message = self._secrets.words(error.message)
        return CallFailed(loss(call, error, limits))


async def small_body(request: Request) -> bytes | bytearray:
    """An answer that is short where it is right; of another one its beginning, or what came before it broke off."""
    body = bytearray()
    with anyio.move_on_after(ERROR_ANSWER_SECONDS), suppress(*_LOST):
        await request.read(LARGEST_SMALL_ANSWER_BYTES, body)
    return body[:LARGEST_SMALL_ANSWER_BYTES]


def _phrase(status: int) -> str:
    """What a status means by itself, for an answer without words."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""

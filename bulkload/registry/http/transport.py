"""One request, one answer, one typed error: HTTP as the registry speaks it. Nothing is tried twice."""

from base64 import b64encode
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import anyio
import msgspec

from bulkload.core.bounds import ANSWER_SECONDS, KEYCLOAK_SECONDS
from bulkload.core.model.errors import UsageError
from bulkload.core.model.settings import Connection, Credentials
from bulkload.core.verdicts import PASSING_STATUSES, CallFailed, Failure, FailureKind
from bulkload.registry import answers
from bulkload.registry.auth.keycloak import Keycloak
from bulkload.registry.auth.tokens import TokenSource
from bulkload.registry.endpoint import normalised_endpoint, proxy_for, refuse_clear_text, secrets_in
from bulkload.registry.http.connections import new_socket
from bulkload.registry.http.exchange import Exchange, Limits, Request
from bulkload.registry.http.judging import FOREIGN, Answer, Judge, small_body
from bulkload.registry.http.tls import tls_context
from bulkload.registry.http.way import Way
from bulkload.registry.interface import KeycloakMissing
from bulkload.registry.redaction import Secrets

# With a reason in its own form; other statuses are somebody else's.
KEYCLOAK_REFUSES = frozenset({400, 401, 403})
# What must not be shown of what Keycloak is sent.
SECRET_FIELDS = ("password", "refresh_token", "device_code")

# How long leave for a large body is waited for: RFC 9110 lets it be sent without. curl waits as long.
LEAVE_SECONDS = 1.0

_JSON = ("Content-Type", "application/json")
_FORM = ("Content-Type", "application/x-www-form-urlencoded")
_WITH_LEAVE = ("Expect", "100-continue")


class Transport:
    """Connections to one registry. Every request is sent once and raises ``CallFailed`` when it fails."""

    def __init__(
        self,
        endpoint: str,
        credentials: Credentials,
        connection: Connection,
        *,
        connect_timeout: float,
        progress_timeout: float,
        answer_timeout: float,
        read_timeout: float = ANSWER_SECONDS,
    ) -> None:
        self.endpoint = normalised_endpoint(endpoint)
        self.keycloak = Keycloak(self.endpoint, credentials, self._post_form, insecure_http=connection.insecure_http)
        self.tokens = TokenSource(credentials, self.keycloak)
        self.secrets = Secrets(self.tokens.words)
        self.secrets.hide(credentials.token or "", credentials.password or "", credentials.client_secret or "")
        self.judge = Judge(self.secrets)
        # Requests so far, by kind: upload, poll, list, auth, other.
        self.requests: Counter[str] = Counter()
        # Whether this registry, or a gateway before it, gives leave. One that did not in time is not asked again.
        self.asks_leave = True
        self.leave_timeout = LEAVE_SECONDS
        # Awaited before each request to Keycloak.
        self.before_login: Callable[[], Awaitable[None]] | None = None
        self._connection = connection
        # Addresses that secrets may go to.
        self._protected: set[str] = set()
        self._read_timeout = read_timeout
        silence = progress_timeout if progress_timeout < read_timeout else None
        self.reading = Limits(min(connect_timeout, read_timeout), read_timeout, silence)
        # What is parsed while it arrives may take longer: whoever reads it looks at its pace.
        self._streaming = Limits(connect_timeout, None, progress_timeout)
        self.uploading = Limits(connect_timeout, answer_timeout, progress=progress_timeout)
        seconds = min(KEYCLOAK_SECONDS, read_timeout)
        self._asking_keycloak = Limits(min(connect_timeout, seconds), seconds)
        self._exchange: Exchange | None = None
        self._ways: dict[str, Way] = {}

    @property
    def proxy(self) -> str | None:
        """The proxy on the way to the registry; it may hold a password."""
        return proxy_for(self.endpoint, self._connection.proxies)

    def refuse_clear_text(self, address: str) -> None:
        """Every request with a secret passes here. Raises ``UsageError`` where others could read it on the way."""
        if address not in self._protected:
            refuse_clear_text(address, insecure_http=self._connection.insecure_http)
            self._protected.add(address)

    async def __aenter__(self) -> Self:
        """Make the connection pool; nothing is sent yet. Raises ``UsageError`` for a bad proxy or certificate file."""
        addresses = (self.endpoint, self.keycloak.realm)
        for address in addresses:
            self.secrets.hide(*secrets_in(proxy_for(address, self._connection.proxies) or ""))
        secure = any(address.startswith("https:") for address in addresses)
        self._exchange = Exchange(
            # The engine bounds how many requests are under way; a second bound here would only hide it.
            limit=0,
            ssl=tls_context(self._connection) if secure else True,
            socket_factory=new_socket,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.close()

    async def token(self, *, large: bool = False) -> str:
        """The token for a request that begins now. Raises as ``TokenSource.current`` does, and ``UsageError``."""
        self.refuse_clear_text(self.endpoint)
        return self.tokens.at_hand(large=large) or await self.tokens.current(large=large)

    @property
    def _token_at_hand(self) -> str | None:
        return self.tokens.at_hand() if self.endpoint in self._protected else None

    async def ask(
        self, kind: str, call: str, question: dict[str, Any] | None, *, method: str = "POST", token: bool = True
    ) -> Answer:
        """Ask, and read the whole answer, a success."""
        word = self._token_at_hand or await self.token() if token else ""
        exchange, way = self._begun(kind)
        head = self._head(way, method, call, word, question)
        try:
            request = await exchange.ask(way, head, self.reading)
            try:
                return await self.judged(request, call, word)
            finally:
                request.end()
        except FOREIGN as error:
            raise self.judge.named(error, call, self.endpoint, self.reading) from None

    async def json(
        self, kind: str, call: str, question: dict[str, Any] | None, *, method: str = "POST", token: bool = True
    ) -> Any:
        """Ask, and decode the whole answer from JSON."""
        return self.judge.decoded(call, await self.ask(kind, call, question, method=method, token=token))

    async def send(
        self, call: str, content_type: str, parts: tuple[bytes, ...], on_first_byte: Callable[[], None]
    ) -> Answer:
        """Send an upload whose body is there as a whole, as one buffer."""
        word = self._token_at_hand or await self.token()
        exchange, way = self._begun("upload")
        head = self.upload_head(call, content_type, sum(map(len, parts)), word, ask_leave=False)
        try:
            request = await exchange.send(way, b"".join((head, *parts)), self.uploading, on_first_byte)
            try:
                return await self.judged(request, call, word)
            finally:
                request.end()
        except FOREIGN as error:
            raise self.judge.named(error, call, self.endpoint, self.uploading) from None

    @asynccontextmanager
    async def stream(self, kind: str, call: str, question: dict[str, Any]) -> AsyncGenerator[Request]:
        """Ask for what is read as it arrives; only its beginning has a time here."""
        request: Request | None = None
        try:
            try:
                with anyio.fail_after(self._read_timeout):
                    word = await self.token()
                    exchange, way = self._begun(kind)
                    with self.naming(call, self._streaming):
                        request = await exchange.ask(
                            way, self._head(way, "POST", call, word, question), self._streaming
                        )
                        if not self.judge.accepts(request):
                            raise await self._refused(request, call, word)
            except TimeoutError:
                raise self.judge.cut(call, f"no answer within {self._read_timeout:g} s") from None
            with self.naming(call, self._streaming):
                yield request
        finally:
            if request is not None:
                request.end()

    # An upload that is pushed: see body.

    def new_request(self, kind: str, limits: Limits) -> tuple[Request, Way]:
        """A request that has no connection yet, and where it goes."""
        exchange, way = self._begun(kind)
        return Request(exchange, limits), way

    def upload_head(self, call: str, content_type: str, length: int, word: str, *, ask_leave: bool) -> bytes:
        """The head of an upload of so many bytes. ``ask_leave``: before its body is sent."""
        fields = [("Authorization", f"Bearer {word}"), ("Content-Type", content_type)]
        if ask_leave:
            fields.append(_WITH_LEAVE)
        return self._way(self.endpoint).head("POST", f"{self.endpoint}/v1/api/{call}", length, *fields)

    async def judged(self, request: Request, call: str, word: str = "", *, asked_leave: bool = False) -> Answer:
        """The whole answer, a success. ``word``: the token that was sent."""
        if not self.judge.accepts(request):
            raise await self._refused(request, call, word, asked_leave=asked_leave)
        return await self.judge.answer(request, call)

    async def _refused(self, request: Request, call: str, word: str, *, asked_leave: bool = False) -> CallFailed:
        failed = await self.judge.refused(request, call)
        status = failed.failure.status
        if status == HTTPStatus.UNAUTHORIZED and word:
            self.tokens.refuse(word, str(failed.failure))
        if status == HTTPStatus.EXPECTATION_FAILED and asked_leave:
            # The question was refused, not the upload, of which nothing was sent. It is not asked again.
            self.asks_leave = False
            return CallFailed(msgspec.structs.replace(failed.failure, kind=FailureKind.NO_CONNECTION))
        return failed

    @contextmanager
    def naming(self, call: str, limits: Limits) -> Iterator[None]:
        """Foreign exceptions end here."""
        try:
            yield
        except FOREIGN as error:
            raise self.judge.named(error, call, self.endpoint, limits) from None

    def _begun(self, kind: str, address: str | None = None) -> tuple[Exchange, Way]:
        if self._exchange is None:
            raise RuntimeError("the registry is not open")
        self.requests[kind] += 1
        return self._exchange, self._way(address or self.endpoint)

    def _way(self, address: str) -> Way:
        way = self._ways.get(address)
        if way is None:
            try:
                way = Way(address, proxy_for(address, self._connection.proxies))
            except (ValueError, aiohttp.InvalidURL) as error:
                raise UsageError(f"{address} is not an address that can be asked: {error}") from None
            self._ways[address] = way
        return way

    def _head(self, way: Way, method: str, call: str, word: str, question: dict[str, Any] | None) -> bytes:
        """A whole request."""
        fields = (("Authorization", f"Bearer {word}"),) if word else ()
        url = f"{self.endpoint}/v1/api/{call}"
        if question is None:
            return way.head(method, url, None, *fields)
        body = _encoded(question)
        return way.head(method, url, len(body), *fields, _JSON) + body

    async def _post_form(self, url: str, form: dict[str, str], basic: tuple[str, str] | None) -> tuple[int, Any]:
        """Ask Keycloak: the status and the answer of what it accepts or refuses.

        All else is ``CallFailed`` of the kind that says that nothing was sent: no request goes out without a token.
        Raises ``KeycloakMissing``.
        """
        realm = self.keycloak.realm
        self.refuse_clear_text(realm)
        for key, words in (*form.items(), *zip(("client_id", "client_secret"), basic or (), strict=False)):
            if any("\ud800" <= sign <= "\udfff" for sign in words):
                raise UsageError(f"the {key.replace('_', ' ')} is no text in UTF-8; check where it comes from")
        fields = [_FORM]
        self.secrets.hide(*(form[key] for key in SECRET_FIELDS if key in form))
        if basic is not None:
            words = b64encode(":".join(basic).encode()).decode()
            fields.append(("Authorization", f"Basic {words}"))
            self.secrets.hide(basic[1], words)
        call = f"log in at {realm}"
        if self.before_login is not None:
            await self.before_login()
        exchange, way = self._begun("auth", realm)
        body = urlencode(form).encode()
        try:
            question = way.head("POST", url, len(body), *fields) + body
            request = await exchange.ask(way, question, self._asking_keycloak)
            try:
                found = self._grant_or_refusal(request, call, await small_body(request))
            finally:
                request.end()
        except FOREIGN as error:
            named = self.judge.named(error, call, realm, self._asking_keycloak)
            if not isinstance(named, CallFailed):
                raise named from None
            found = named.failure
        if not isinstance(found, Failure):
            return found
        # One that has let somebody in is there: whoever answers in its place will pass.
        elsewhere = found.status is not None and 300 <= found.status < 500
        if elsewhere and found.status not in PASSING_STATUSES and not self.keycloak.has_granted:
            raise KeycloakMissing(found)
        raise CallFailed(msgspec.structs.replace(found, kind=FailureKind.NO_CONNECTION))

    def _grant_or_refusal(self, request: Request, call: str, body: bytes | bytearray) -> tuple[int, Any] | Failure:
        """What Keycloak answers, or why that is nobody's answer."""
        status = request.head.code
        accepted = 200 <= status < 300
        answer = _object(body)
        if answer is not None and (accepted or (status in KEYCLOAK_REFUSES and answers.is_keycloaks_refusal(body))):
            return status, answer if accepted else answers.shown_texts(answer, self.secrets)
        if accepted:
            return self.judge.foreign(call, self.judge.words_of(body), status).failure
        return self.judge.refusal(request, call, body)


def _object(body: bytes | bytearray) -> dict[str, Any] | None:
    """The JSON object in a body, an empty one for an empty body; None where it is something else."""
    try:
        answer = msgspec.json.decode(body or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _encoded(question: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(question)
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{error.object!r}: is no text in UTF-8, so that no registry has it; check its spelling"
        ) from None

"""The bearer token: where it comes from, how long it serves, and the next one, got once for everybody who waits."""

import asyncio
import time
from collections import deque
from typing import Protocol

import anyio

from bulkload.core.bounds import SECRET_COMMAND_SECONDS
from bulkload.core.model.errors import NotAuthorised, UsageError
from bulkload.core.model.settings import Credentials
from bulkload.core.tokens import Token, life_of, user_of
from bulkload.core.verdicts import CallFailed
from bulkload.registry.auth.keycloak import Grant, GrantRefused, Keycloak, secret_of
from bulkload.registry.auth.login_store import Login, LoginStore, sdk_cached_token
from bulkload.registry.interface import KeycloakMissing
from bulkload.system.secrets import read_secret_file, secret_line, secret_of_command

# A source that gave the same token again is not asked at every request.
SHORTEST_PAUSE_SECONDS = 1.0
# Late answers may still show one that was replaced.
TOKENS_REMEMBERED = 16

NEVER = float("inf")

HOW_TO_GET_IN = (
    "run `bulkload login`, set BULKLOAD_TOKEN, or BULKLOAD_USERNAME and BULKLOAD_PASSWORD,"
    " or give --token-file or --token-command"
)


class Source(Protocol):
    """Where tokens come from."""

    async def token(self) -> Token:
        """The token to use from now on. Raises ``NotAuthorised``, ``UsageError`` and ``CallFailed``."""


class TokenSource:
    """Holds the current token and gets the next one: early, and when the registry refuses it. Never shows it.

    Ages are measured on the monotonic clock.
    """

    def __init__(
        self,
        credentials: Credentials,
        keycloak: Keycloak | None = None,
        *,
        command_timeout: float = SECRET_COMMAND_SECONDS,
    ) -> None:
        self._source = _source(credentials, keycloak, command_timeout)
        self._lock = anyio.Lock()
        self._token: Token | None = None
        # When the current token is to be renewed: for any request, and for a large body.
        self._due = self._due_for_large = NEVER
        self._expires = NEVER
        # So much earlier it is renewed for what is sent later.
        self._ahead = 0.0
        # Why the registry does not accept the current token.
        self._refused: str | None = None
        # Why there will be no other. Said to everybody: to ask Keycloak again and again locks an account.
        self._end: str | None = None
        # The tokens of late: for keeping them out of what is shown.
        self.words: deque[str] = deque(maxlen=TOKENS_REMEMBERED)

    async def current(self, *, large: bool = False, ahead: bool = False) -> str:
        """The token to send; ``large``: ahead of a large body. Raises ``NotAuthorised``, ``CallFailed``.

        ``ahead``: it is to serve for a while yet, so that what is sent a little later need not wait for another one.
        """
        if not self.serves(large=large, ahead=ahead):
            async with self._lock:
                if not self.serves(large=large, ahead=ahead):
                    await self._renew()
        if self._token is None:
            raise AssertionError("renewed, or raised")
        return self._token.word

    def refuse(self, word: str, reason: str) -> None:
        """The registry does not accept a token: the next request gets another one, or ``NotAuthorised``."""
        if self._token is not None and self._token.word == word:
            self._refused = reason

    def at_hand(self, *, large: bool = False) -> str | None:
        """The token, where it may be sent now as it is."""
        return self._token.word if self._token is not None and self.serves(large=large) else None

    def serves(self, *, large: bool = False, ahead: bool = False) -> bool:
        """Whether the token at hand may be sent; ``large`` and ``ahead`` as for ``current``."""
        if self._token is None or self._refused is not None:
            return False
        due = self._due_for_large if large else self._due
        # One that never runs out needs no look at the clock.
        return due == NEVER or _now() < (due - self._ahead if ahead else due)

    async def _renew(self) -> None:
        if self._end is not None:
            raise NotAuthorised(self._end)
        before = self._token
        try:
            token = await self._source.token()
        except CallFailed:
            now = _now()
            if before is None or self._refused is not None or now >= self._expires:
                raise
            # It still serves for a while: ask again half-way to its end.
            self._due = self._due_for_large = now + max(SHORTEST_PAUSE_SECONDS, (self._expires - now) / 2)
            self._ahead = 0.0
            return
        except KeycloakMissing:
            # Nobody has refused anything.
            raise
        except NotAuthorised as error:
            self._end = str(error)
            raise
        except UsageError as error:
            if before is None:
                raise
            # The file was there when the run began.
            raise NotAuthorised(str(error)) from None
        if self._refused is not None and before is not None and before.word == token.word:
            self._end = f"{self._refused}: the registry does not accept the token, and there is no other; get a new one"
            raise NotAuthorised(self._end)
        self._take(token, known=before is not None and before.word == token.word)

    def _take(self, token: Token, *, known: bool) -> None:
        now, self._refused = _now(), None
        if known:
            # A file or a command that has no other yet.
            self._due = self._due_for_large = now + SHORTEST_PAUSE_SECONDS
            self._ahead = 0.0
            return
        self._token = token
        self.words.append(token.word)
        ages = (token.renewal_age(), token.renewal_age(large=True), token.life)
        self._due, self._due_for_large, self._expires = (NEVER if age is None else now + age for age in ages)
        self._ahead = 0.0 if token.life is None else (self._expires - self._due) / 2


def _now() -> float:
    """The event loop's clock, asked without detours: each request looks at it."""
    return asyncio.get_running_loop().time()


def _source(credentials: Credentials, keycloak: Keycloak | None, command_timeout: float) -> Source:
    """The one way in that the credentials name."""
    if keycloak is not None and credentials.logins is not None:
        return _Stored(keycloak, LoginStore(credentials.logins), credentials.username)
    if keycloak is not None and credentials.username is not None:
        return _Password(keycloak, credentials)
    return _Given(credentials, command_timeout)


class _Given:
    """A token as it is, in a file, or printed by a command."""

    def __init__(self, credentials: Credentials, command_timeout: float) -> None:
        self._credentials = credentials
        self._command_timeout = command_timeout

    async def token(self) -> Token:
        credentials = self._credentials
        if credentials.sdk_cache is not None:
            word, left = sdk_cached_token(credentials.sdk_cache, time.time())
            return Token(checked(word), left)
        if credentials.token_file is not None:
            # In a thread: it may lie where reading takes its time.
            words = await anyio.to_thread.run_sync(read_secret_file, credentials.token_file, "the token")
        elif credentials.token_command is not None:
            # One that asks somebody, who is not there, must not hold up a run for ever.
            words = await secret_of_command(credentials.token_command, "--token-command", self._command_timeout)
        else:
            words = credentials.token or ""
        word = checked(words)
        # Only a file or a command can have another one when this has run out.
        return Token(word, None if credentials.token is not None else life_of(word))


class _Password:
    """A user's password; in between, the refresh tokens that it brings."""

    def __init__(self, keycloak: Keycloak, credentials: Credentials) -> None:
        self._keycloak = keycloak
        self._credentials = credentials
        self._refresh_token: str | None = None
        self._refresh_until = 0.0

    async def token(self) -> Token:
        grant = await self._refreshed() or await self._logged_in()
        self._refresh_token = grant.refresh_token
        # It may live shorter than the access token; then the password serves again.
        self._refresh_until = _now() + (grant.refresh_expires_in or NEVER)
        return _token_of(grant)

    async def _refreshed(self) -> Grant | None:
        token, self._refresh_token = self._refresh_token, None
        if token is None or _now() >= self._refresh_until:
            return None
        try:
            return await self._keycloak.refresh(token)
        except GrantRefused:
            return None

    async def _logged_in(self) -> Grant:
        username = secret_line(self._credentials.username or "")
        password = secret_of(self._credentials.password, self._credentials.password_file, "the password")
        try:
            return await self._keycloak.log_in(username, password or "")
        except GrantRefused as refused:
            raise NotAuthorised(
                f"Keycloak does not let {username} in: {refused}; check user and password,"
                " or --client-id and its secret"
            ) from None


class _Stored:
    """What ``bulkload login`` stored: refreshed by whichever process comes first, for all of them."""

    def __init__(self, keycloak: Keycloak, store: LoginStore, username: str | None) -> None:
        self._keycloak = keycloak
        self._store = store
        self._username = username
        self._held: str | None = None

    async def token(self) -> Token:
        async with self._store.locked():
            # Once begun it is seen through: a refresh whose outcome is not stored may have spent the refresh token.
            with anyio.CancelScope(shield=True):
                token = await self._token()
        return token

    async def _token(self) -> Token:
        endpoint = self._keycloak.endpoint
        login = self._store.find(endpoint, self._username)
        again = f"run `bulkload login --endpoint {endpoint}`"
        if login is None:
            raise NotAuthorised(f"nobody is logged in to {endpoint} any more; {again}")
        # This login was given out by it.
        self._keycloak.has_granted = True
        now = time.time()
        token = _stored_token(login, now)
        due = token.renewal_age()
        # Another process may have refreshed it. What this one holds it wants to replace.
        if login.access_token == self._held or (due is not None and due <= 0):
            if login.refresh_token is None or login.refresh_left(now) == 0:
                raise NotAuthorised(f"the login of {login.username} has run out; {again}")
            try:
                grant = await self._keycloak.refresh(login.refresh_token)
            except GrantRefused as refused:
                raise NotAuthorised(f"the login of {login.username} has ended: {refused}; {again}") from None
            login = login_of(grant, login.endpoint, login.realm, login.client_id, login.username)
            self._store.put(login)
            token = _stored_token(login, login.received_at)
        self._held = token.word
        return token


def login_of(grant: Grant, endpoint: str, realm: str, client_id: str, username: str | None = None) -> Login:
    """A login of just now."""
    return Login(
        endpoint=endpoint,
        username=username or user_of(grant.access_token) or "unknown",
        realm=realm,
        client_id=client_id,
        access_token=grant.access_token,
        refresh_token=grant.refresh_token,
        received_at=time.time(),
        access_life=_token_of(grant).life,
        refresh_life=grant.refresh_expires_in or None,
    )


def _stored_token(login: Login, now: float) -> Token:
    # Where the refresh token lives shorter, it is the one that must not be let die: nobody is there to log in again.
    lives = [login.access_left(now), login.refresh_left(now) or None]
    return Token(checked(login.access_token), min((left for left in lives if left is not None), default=None))


def _token_of(grant: Grant) -> Token:
    word = checked(grant.access_token)
    return Token(word, grant.expires_in or life_of(word))


def checked(words: str) -> str:
    """A token without the white space, or the byte order mark, around it. Raises ``NotAuthorised`` where it is none."""
    token = words.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}").strip()
    if not token:
        raise NotAuthorised(f"no token; {HOW_TO_GET_IN}")
    # Anything else cannot stand in a header, and is more likely a page or a message than a token.
    if not token.isascii() or not token.isprintable() or " " in token:
        raise NotAuthorised("the token is not one word of ASCII; check where it comes from")
    return token

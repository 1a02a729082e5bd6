"""Tokens kept between commands: those of ``bulkload login``, and, only to read, those of the vendor's SDK."""

import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec

from bulkload.core.bounds import LARGEST_DOCUMENT_BYTES
from bulkload.core.model.errors import NotAuthorised, UsageError
from bulkload.system.private import make_private_folder, open_private, read_private
from bulkload.system.replacing import replaced
from bulkload.system.secrets import read_secret_file

# A refresh takes well under a second; who holds the lock for longer hangs.
LONGEST_LOCK_SECONDS = 30.0
LOCK_CHECK_SECONDS = 0.05


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """One user's tokens for one registry. Lives are seconds from ``received_at``; None: no end is known."""

    endpoint: str
    username: str
    # Keycloak's realm and the client: a refresh token serves there alone.
    realm: str
    client_id: str
    access_token: str
    refresh_token: str | None
    # Unix time, by this machine's clock. It is compared with that clock only.
    received_at: float
    access_life: float | None
    refresh_life: float | None

    def __repr__(self) -> str:
        """Without the tokens."""
        return f"Login(endpoint={self.endpoint!r}, username={self.username!r})"

    def access_left(self, now: float) -> float | None:
        """Seconds for which the access token still serves; None: it does not say."""
        return _left(self.access_life, now - self.received_at)

    def refresh_left(self, now: float) -> float | None:
        """Seconds for which the refresh token still serves; None: without end."""
        return 0.0 if self.refresh_token is None else _left(self.refresh_life, now - self.received_at)


def _left(life: float | None, age: float) -> float | None:
    # A clock that was set back says nothing.
    return life if life is None else max(0.0, life - age) if age >= 0 else 0.0


class LoginStore:
    """The file of logins: one a registry and user, for its owner's eyes only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[Login]:
        """Every login. Raises ``UsageError`` where the file is not this user's alone, or holds no logins."""
        try:
            content, mode = read_private(self.path, LARGEST_DOCUMENT_BYTES)
            if mode & 0o077:
                raise UsageError(
                    f"{self.path}: others can read it (mode {mode:o}); take that away with `chmod 600`,"
                    " and log in anew if that was not meant"
                )
            return msgspec.json.decode(content, type=list[Login])
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise UsageError(f"{self.path}: the stored logins cannot be read ({error.strerror})") from None
        except msgspec.MsgspecError:
            raise UsageError(f"{self.path}: holds no logins; remove it and run `bulkload login` again") from None

    def find(self, endpoint: str, username: str | None) -> Login | None:
        """The login for a registry. Raises ``UsageError`` where there are several and no name says which."""
        found = [each for each in self.all() if each.endpoint == endpoint and username in (None, each.username)]
        if len(found) > 1:
            names = ", ".join(each.username for each in found)
            raise UsageError(f"several users are logged in to {endpoint} ({names}); say which with --username")
        return found[0] if found else None

    def put(self, login: Login) -> None:
        """Keep a login in place of an earlier one of the same registry and user."""
        self._write([*self._others(login), login])

    def remove(self, login: Login) -> None:
        """Forget a login."""
        self._write(self._others(login))

    @asynccontextmanager
    async def locked(self) -> AsyncGenerator[None]:
        """For as long as the block, no other process changes the file. Raises ``UsageError``."""
        path = self.path.with_name(self.path.name + ".lock")
        try:
            make_private_folder(path.parent)
            descriptor = open_private(path)
        except OSError as error:
            raise UsageError(f"{path}: cannot be made ({error.strerror}); set XDG_STATE_HOME to a folder") from None
        try:
            await _take(descriptor, path)
            yield
        finally:
            os.close(descriptor)

    def _others(self, login: Login) -> list[Login]:
        key = (login.endpoint, login.username)
        return [each for each in self.all() if (each.endpoint, each.username) != key]

    def _write(self, logins: list[Login]) -> None:
        try:
            # A refresh token may be spent by the refresh whose outcome is written here: it is on the disk, or not.
            with replaced(self.path, private=True) as draft:
                draft.write_bytes(msgspec.json.encode(logins))
        except OSError as error:
            raise UsageError(f"{self.path}: the login cannot be kept ({error.strerror})") from None


async def _take(descriptor: int, path: Path) -> None:
    with anyio.move_on_after(LONGEST_LOCK_SECONDS):
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await anyio.sleep(LOCK_CHECK_SECONDS)
            else:
                return
    raise UsageError(f"{path}: another process has held it for {LONGEST_LOCK_SECONDS:g} s; end that one and run again")


class _SdkCache(msgspec.Struct, frozen=True):
    access_token: str
    # Unix time, by the clock of the machine that wrote it, which is this one.
    expiry: float


def sdk_cached_token(path: Path, now: float) -> tuple[str, float]:
    """The access token in the cache of the vendor's SDK, and the seconds for which it still serves.

    Its refresh token is left alone: to use it may spend it, and would log the SDK out. Raises ``NotAuthorised`` where
    there is no token that still serves.
    """
    try:
        cached = msgspec.json.decode(read_secret_file(path, "the token"), type=_SdkCache)
    except (UsageError, msgspec.MsgspecError):
        raise NotAuthorised(f"{path}: holds no token of the vendor's SDK; run `bulkload login`") from None
    if cached.expiry <= now:
        raise NotAuthorised(f"{path}: the token of the vendor's SDK has run out; run `bulkload login`")
    return cached.access_token, cached.expiry - now

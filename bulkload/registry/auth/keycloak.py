"""Keycloak's endpoints of one realm, a method a request. Answers become records; nothing is tried twice."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from bulkload.core.model.errors import BulkloadError, UsageError
from bulkload.core.model.settings import Credentials
from bulkload.core.verdicts import CallFailed, Failure, FailureKind
from bulkload.registry.answers import one_line
from bulkload.registry.endpoint import realm_address
from bulkload.registry.interface import KeycloakMissing
from bulkload.system.secrets import read_secret_file, secret_line

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"

# Sends a form and gives back status and decoded answer of what Keycloak accepts or refuses; all else is CallFailed.
# The last argument is (user, password) for HTTP Basic.
Post = Callable[[str, dict[str, str], tuple[str, str] | None], Awaitable[tuple[int, Any]]]


class Grant(msgspec.Struct, frozen=True):
    """Tokens that were given out. Lives are seconds from when they were received."""

    access_token: str
    expires_in: float | None = None
    refresh_token: str | None = None
    # 0: it does not run out.
    refresh_expires_in: float | None = None

    def __repr__(self) -> str:
        """Without the tokens."""
        return f"Grant(expires_in={self.expires_in}, refresh_expires_in={self.refresh_expires_in})"


class DeviceCode(msgspec.Struct, frozen=True):
    """What a person is shown, and what is asked with meanwhile. Seconds."""

    device_code: str
    user_code: str
    verification_uri: str
    expires_in: float
    interval: float = 5.0
    verification_uri_complete: str | None = None

    def __repr__(self) -> str:
        """Without the code that fetches the tokens."""
        return f"DeviceCode(user_code={self.user_code!r})"


class GrantRefused(Exception):
    """Keycloak refuses: ``error`` is its code, such as ``invalid_grant``; the text is for people."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(one_line(f"{description} ({error})" if description else error))
        self.error = error


class Keycloak:
    """One realm, by one client. Besides what is said, all raise ``GrantRefused`` and ``CallFailed``."""

    def __init__(self, endpoint: str, credentials: Credentials, post: Post, *, insecure_http: bool = False) -> None:
        """``endpoint``: the registry's, normalised. Raises ``UsageError`` for an ``auth_url`` that cannot be."""
        self.endpoint = endpoint
        self.realm = realm_address(endpoint, credentials.auth_url, insecure_http=insecure_http)
        # It is there: an answer that is not Keycloak's comes from somebody on the way, and passes.
        self.has_granted = False
        self._credentials = credentials
        self._post = post

    async def log_in(self, username: str, password: str) -> Grant:
        """Tokens for a user's password."""
        return await self._grant({"grant_type": "password", "username": username, "password": password})

    async def refresh(self, refresh_token: str) -> Grant:
        """Tokens for a refresh token, which may be spent by it."""
        return await self._grant({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def start_device(self) -> DeviceCode:
        """A code for a person to confirm."""
        answer = await self._ask("auth/device", {})
        try:
            return msgspec.convert(answer, DeviceCode, strict=False)
        except msgspec.ValidationError:
            raise self._foreign("no device code") from None

    async def finish_device(self, device_code: str) -> Grant:
        """Its tokens. ``GrantRefused`` with ``authorization_pending`` or ``slow_down`` until it is confirmed."""
        return await self._grant({"grant_type": DEVICE_GRANT, "device_code": device_code})

    async def log_out(self, refresh_token: str) -> None:
        """End the session that a refresh token belongs to."""
        await self._ask("logout", {"refresh_token": refresh_token})

    async def _grant(self, form: dict[str, str]) -> Grant:
        answer = await self._ask("token", form)
        try:
            grant = msgspec.convert(answer, Grant, strict=False)
        except msgspec.ValidationError:
            raise self._foreign("no token") from None
        self.has_granted = True
        return grant

    async def _ask(self, path: str, form: dict[str, str]) -> Any:
        client, secret = (
            self._credentials.client_id,
            secret_of(self._credentials.client_secret, self._credentials.client_secret_file, "the client's secret"),
        )
        # A confidential client names itself in the header, a public one in the form.
        basic = None if secret is None else (client, secret)
        if basic is None:
            form = {"client_id": client, **form}
        status, answer = await self._post(f"{self.realm}/protocol/openid-connect/{path}", form, basic)
        if 200 <= status < 300:
            return answer
        found = answer if isinstance(answer, dict) else {}
        raise GrantRefused(
            str(found.get("error") or status), str(found.get("error_description") or found.get("msg") or "")
        )

    def _foreign(self, what: str) -> BulkloadError:
        failure = Failure(
            call=f"log in at {self.realm}", kind=FailureKind.NO_CONNECTION, message=f"answers, but with {what}"
        )
        return CallFailed(failure) if self.has_granted else KeycloakMissing(failure)


def secret_of(given: str | None, file: Path | None, what: str) -> str | None:
    """A secret: given, or in its file, which is read now; of either the first line. Raises ``UsageError``."""
    if file is None:
        return given if given is None else secret_line(given)
    secret = secret_line(read_secret_file(file, what))
    if not secret:
        raise UsageError(f"{file}: is empty; {what} belongs there")
    return secret

"""Keycloak's realm for the one account: grants, sessions, device codes. The clock comes in as an argument.

Two clients, as on the real registry (fact 5.3): `sdk-client` is public, `api-client` confidential. What is given out
and ended is in memory; tokens are signed, so those of an earlier run of the sandbox still serve.
"""

import base64
import secrets
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from bulkload.core.bounds import MOST_DEVICE_LOGINS
from bulkload.sandbox.accounts.accounts import Account, TokenError, sign, verify

PUBLIC_CLIENT = "sdk-client"
CONFIDENTIAL_CLIENT = "api-client"
SERVICE_ACCOUNT = f"service-account-{CONFIDENTIAL_CLIENT}"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
# No digits or letters that look alike, no vowels that make words.
USER_CODE_LETTERS = "".join(sorted(set(string.ascii_uppercase) - set("AEIOUYL")))


class GrantError(Exception):
    """A request is refused in Keycloak's form: `status`, `{"error", "error_description"}`."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """How long things live, in seconds, and how they are used up.

    `device_interval` is the shortest time between two polls of one device code. `device_approval`: a device code is
    approved by itself that long after it was given out; None: by its page only. `refresh_once`: a refresh token serves
    once, its successor comes in the answer.
    """

    token: float
    refresh_token: float
    device_code: float
    device_interval: float
    device_approval: float | None
    refresh_once: bool


class Client(NamedTuple):
    """Who asks: a client that has proved what it has to."""

    name: str
    confidential: bool


@dataclass(slots=True, kw_only=True)
class Device:
    """One device login. `approved` is None until a person has decided."""

    client: Client
    user_code: str
    scope: str
    started_at: float
    polled_at: float | None = None
    approved: bool | None = None


class Keycloak:
    """The realm. `account` is asked anew each time: its password can change while the sandbox runs."""

    def __init__(self, account: Callable[[], Account], lives: Lives) -> None:
        self._account = account
        self._lives = lives
        self._devices: dict[str, Device] = {}  # by device code
        self._ended_sessions: set[str] = set()
        self._spent_refresh_tokens: set[str] = set()  # by `jti`

    def grant(self, form: dict[str, str], authorization: str | None, *, issuer: str, now: float) -> dict[str, Any]:
        """The token endpoint's answer to a form. Raises GrantError."""
        client, scope = self._client(form, authorization), form.get("scope", "")
        session = str(uuid.uuid4())
        kind = form.get("grant_type", "")
        if kind == "password":
            self._check_password(form)
        elif kind == "refresh_token":
            claims = self._check_refresh_token(form.get("refresh_token", ""), client, now)
            session, scope = claims["session_state"], claims.get("scope", scope)
        elif kind == DEVICE_GRANT:
            scope = self._take_device(form.get("device_code", ""), client, now).scope
        elif kind == "client_credentials":
            if not client.confidential:
                reason = "Public client not allowed to retrieve service account"
                raise GrantError(401, "unauthorized_client", reason)
            return self._service_answer(client, issuer, now)
        else:
            raise GrantError(400, "unsupported_grant_type", "Unsupported grant_type")
        return self._user_answer(client, session, issuer, now, scope)

    def start_device(
        self, form: dict[str, str], authorization: str | None, *, issuer: str, now: float
    ) -> dict[str, Any]:
        """The device authorization endpoint's answer to a form. Raises GrantError."""
        client = self._client(form, authorization)
        if client.confidential:
            reason = "Client is not allowed to initiate OAuth 2.0 Device Authorization Grant."
            raise GrantError(400, "unauthorized_client", reason)
        code = secrets.token_urlsafe(32)
        letters = "".join(secrets.choice(USER_CODE_LETTERS) for _ in range(8))
        device = Device(
            client=client, user_code=f"{letters[:4]}-{letters[4:]}", scope=form.get("scope", ""), started_at=now
        )
        while len(self._devices) >= MOST_DEVICE_LOGINS:  # anybody may ask for a code
            del self._devices[next(iter(self._devices))]  # the oldest
        self._devices[code] = device
        page = f"{issuer}/device"
        return {
            "device_code": code,
            "user_code": device.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={device.user_code}",
            "expires_in": int(self._lives.device_code),
            "interval": int(self._lives.device_interval),
        }

    def is_password(self, password: str) -> bool:
        """Whether the account has this password."""
        return secrets.compare_digest(password.encode(), self._account().password.encode())

    def decide_device(self, user_code: str, now: float, *, approved: bool) -> bool:
        """A person's decision about a user code; False when there is no such code, or no longer."""
        for device in self._devices.values():
            if device.user_code == user_code.strip().upper() and device.approved is None:
                if self._is_expired(device, now):
                    return False
                device.approved = approved
                return True
        return False

    def end_session(self, form: dict[str, str], authorization: str | None, *, now: float) -> None:
        """Log out: no refresh token of that session serves any more. Raises GrantError."""
        client = self._client(form, authorization)
        self._ended_sessions.add(self._check_refresh_token(form.get("refresh_token", ""), client, now)["session_state"])

    def _client(self, form: dict[str, str], authorization: str | None) -> Client:
        name, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, credentials = (authorization or "").partition(" ")
        if scheme.lower() == "basic":
            # Both are form-encoded before they are joined (RFC 6749, 2.3.1).
            encoded_name, _, encoded_secret = _decoded(credentials).partition(":")
            name, secret = unquote_plus(encoded_name), unquote_plus(encoded_secret)
        confidential = name == CONFIDENTIAL_CLIENT and secrets.compare_digest(
            secret.encode(), self._account().client_secret.encode()
        )
        if name != PUBLIC_CLIENT and not confidential:
            raise GrantError(401, "invalid_client", "Invalid client or Invalid client credentials")
        return Client(name, confidential)

    def _check_password(self, form: dict[str, str]) -> None:
        account = self._account()
        if form.get("username") != account.email or not self.is_password(form.get("password", "")):
            raise GrantError(401, "invalid_grant", "Invalid user credentials")

    def _check_refresh_token(self, token: str, client: Client, now: float) -> dict[str, Any]:
        try:
            claims = verify(token, self._account().signing_key, now)
        except TokenError:
            raise GrantError(400, "invalid_grant", "Token is not active") from None
        if claims.get("typ") not in {"Refresh", "Offline"} or claims.get("azp") != client.name:
            raise GrantError(400, "invalid_grant", "Invalid refresh token")
        if claims["session_state"] in self._ended_sessions:
            raise GrantError(400, "invalid_grant", "Session not active")
        if self._lives.refresh_once:
            if claims["jti"] in self._spent_refresh_tokens:
                raise GrantError(400, "invalid_grant", "Maximum allowed refresh token reuse exceeded")
            self._spent_refresh_tokens.add(claims["jti"])
        return claims

    def _take_device(self, code: str, client: Client, now: float) -> Device:
        device = self._devices.get(code)
        if device is None or device.client != client:
            raise GrantError(400, "invalid_grant", "Device code not valid")
        if self._is_expired(device, now):
            del self._devices[code]
            raise GrantError(400, "expired_token", "Device code is expired")
        polled_at, device.polled_at = device.polled_at, now
        if polled_at is not None and now - polled_at < self._lives.device_interval:
            raise GrantError(400, "slow_down", "Slow down")
        if device.approved is None and not self._is_approved_by_itself(device, now):
            raise GrantError(400, "authorization_pending", "The authorization request is still pending")
        del self._devices[code]
        if device.approved is False:
            raise GrantError(400, "access_denied", "The end user denied the authorization request")
        return device

    def _is_expired(self, device: Device, now: float) -> bool:
        return now >= device.started_at + self._lives.device_code

    def _is_approved_by_itself(self, device: Device, now: float) -> bool:
        return self._lives.device_approval is not None and now >= device.started_at + self._lives.device_approval

    def _user_answer(self, client: Client, session: str, issuer: str, now: float, scope: str) -> dict[str, Any]:
        account = self._account()
        offline = "offline_access" in scope.split()
        shared = _shared_claims(client, account.user_id, issuer, now) | {"session_state": session}
        access = shared | {
            "exp": now + self._lives.token,
            "typ": "Bearer",
            "aud": ["master-realm", "account"],
            "email": account.email,
            "preferred_username": account.email,
            "https://hasura.io/jwt/claims": {
                "x-hasura-user-id": account.user_id,
                "x-hasura-default-role": "user",
                "x-hasura-allowed-roles": ["user"],
                "x-hasura-user-groups": "{}",
            },
        }
        refresh = shared | {"jti": str(uuid.uuid4()), "typ": "Offline" if offline else "Refresh", "scope": scope}
        if not offline:  # an offline token runs out never
            refresh["exp"] = now + self._lives.refresh_token
        return {
            "access_token": sign(access, account.signing_key),
            "expires_in": int(self._lives.token),
            "refresh_expires_in": 0 if offline else int(self._lives.refresh_token),
            "refresh_token": sign(refresh, account.signing_key),
            "token_type": "Bearer",
            "not-before-policy": 0,
            "session_state": session,
            "scope": scope or "email profile",
        }

    def _service_answer(self, client: Client, issuer: str, now: float) -> dict[str, Any]:
        account = self._account()
        subject = str(uuid.uuid5(uuid.UUID(account.sandbox_id), SERVICE_ACCOUNT))
        claims = _shared_claims(client, subject, issuer, now) | {
            "exp": now + self._lives.token,
            "typ": "Bearer",
            "aud": "account",
            "clientId": client.name,
            "preferred_username": SERVICE_ACCOUNT,  # and no email (fact 5.3)
        }
        return {
            "access_token": sign(claims, account.signing_key),
            "expires_in": int(self._lives.token),
            "refresh_expires_in": 0,
            "token_type": "Bearer",
            "not-before-policy": 0,
            "scope": "email profile",
        }


def _shared_claims(client: Client, subject: str, issuer: str, now: float) -> dict[str, Any]:
    return {"iat": int(now), "iss": issuer, "sub": subject, "azp": client.name, "jti": str(uuid.uuid4())}


def _decoded(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode()
    except ValueError:
        return ""

"""The sandbox's one account and its tokens. Everything secret is in `account.json` of the data folder, mode 0600."""

import base64
import hashlib
import hmac
import os
import secrets
import uuid
from pathlib import Path
from typing import Any

import msgspec

EMAIL = "user@example.com"
REALM_PATH = "/auth/realms/master"
PUBLIC_CLIENT = "sdk-client"
CONFIDENTIAL_CLIENT = "api-client"


class Account(msgspec.Struct, frozen=True):
    """The one account of a data folder. `token` is a bearer token that never expires."""

    sandbox_id: str
    user_id: str
    email: str
    password: str
    client_secret: str
    signing_key: str
    token: str


class TokenError(Exception):
    """A bearer token is not accepted; the text is the gateway's."""


class GrantError(Exception):
    """A token request is refused in Keycloak's form: `status`, `{"error", "error_description"}`."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.description = description


def open_account(data: Path) -> Account:
    """The account kept in a data folder, made when there is none."""
    path = data / "account.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Account)
    key, user_id = secrets.token_hex(32), str(uuid.uuid4())
    claims = {"sub": user_id, "email": EMAIL, "preferred_username": EMAIL, "typ": "Bearer", "jti": str(uuid.uuid4())}
    account = Account(
        sandbox_id=str(uuid.uuid4()),
        user_id=user_id,
        email=EMAIL,
        password=secrets.token_urlsafe(12),
        client_secret=secrets.token_urlsafe(24),
        signing_key=key,
        token=sign(claims, key),
    )
    # Written beside and renamed: a killed sandbox leaves no half account.
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(account))
    draft.rename(path)
    return account


def sign(claims: dict[str, Any], key: str) -> str:
    """A JSON Web Token. HS256: the real ones are RS256, which would need a library for nothing."""
    head = _encode(b'{"alg":"HS256","typ":"JWT"}') + "." + _encode(msgspec.json.encode(claims))
    return head + "." + _encode(hmac.digest(key.encode(), head.encode(), hashlib.sha256))


def verify(token: str, key: str, now: float) -> dict[str, Any]:
    """The claims of a token signed with `key`. Raises TokenError in the gateway's words."""
    head, _, signature = token.rpartition(".")
    expected = _encode(hmac.digest(key.encode(), head.encode(), hashlib.sha256))
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        raise TokenError("Jwt verification fails")
    claims: dict[str, Any] = msgspec.json.decode(_decode(head.partition(".")[2]))
    if claims.get("exp", now + 1) <= now:
        raise TokenError("Jwt is expired")
    return claims


def check_authorization(header: str | None, account: Account, now: float) -> None:
    """Check the Authorization header of a call. Raises TokenError with the text of the gateway's 401 (fact 1.15)."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise TokenError("Jwt is missing")
    if verify(token.strip(), account.signing_key, now).get("typ") != "Bearer":
        raise TokenError("Jwt verification fails")


class TokenEndpoint:
    """Keycloak's token endpoint for the one account: grants `password` and `refresh_token`. Lifetimes in seconds."""

    def __init__(self, account: Account, *, token_seconds: float, refresh_token_seconds: float) -> None:
        self._account = account
        self._token_seconds = token_seconds
        self._refresh_token_seconds = refresh_token_seconds

    def grant(self, form: dict[str, str], authorization: str | None, *, issuer: str, now: float) -> dict[str, Any]:
        """The token answer to a form. Raises GrantError."""
        client = self._client(form, authorization)
        kind = form.get("grant_type", "")
        if kind == "password":
            known = (self._account.email, self._account.password)
            if (form.get("username"), form.get("password")) != known:
                raise GrantError(401, "invalid_grant", "Invalid user credentials")
        elif kind == "refresh_token":
            self._check_refresh_token(form.get("refresh_token", ""), client, now)
        else:
            raise GrantError(400, "unsupported_grant_type", "Unsupported grant_type")
        return self._answer(client, issuer, now, form.get("scope", ""))

    def _client(self, form: dict[str, str], authorization: str | None) -> str:
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, credentials = (authorization or "").partition(" ")
        if scheme.lower() == "basic":
            client, _, secret = _decode(credentials).decode("utf-8", "replace").partition(":")
        confidential = client == CONFIDENTIAL_CLIENT and secret == self._account.client_secret
        if client != PUBLIC_CLIENT and not confidential:
            raise GrantError(401, "invalid_client", "Invalid client or Invalid client credentials")
        return client

    def _check_refresh_token(self, token: str, client: str, now: float) -> None:
        try:
            claims = verify(token, self._account.signing_key, now)
        except TokenError:
            raise GrantError(400, "invalid_grant", "Token is not active") from None
        if claims.get("typ") != "Refresh" or claims.get("azp") != client:
            raise GrantError(400, "invalid_grant", "Invalid refresh token")

    def _answer(self, client: str, issuer: str, now: float, scope: str) -> dict[str, Any]:
        account, session = self._account, str(uuid.uuid4())
        shared = {"iat": int(now), "iss": issuer, "sub": account.user_id, "azp": client, "session_state": session}
        access = shared | {
            "exp": now + self._token_seconds,
            "jti": str(uuid.uuid4()),
            "aud": ["master-realm", "account"],
            "typ": "Bearer",
            "email": account.email,
            "preferred_username": account.email,
            "https://hasura.io/jwt/claims": {
                "x-hasura-user-id": account.user_id,
                "x-hasura-default-role": "user",
                "x-hasura-allowed-roles": ["user"],
                "x-hasura-user-groups": "{}",
            },
        }
        refresh = shared | {"exp": now + self._refresh_token_seconds, "jti": str(uuid.uuid4()), "typ": "Refresh"}
        return {
            "access_token": sign(access, account.signing_key),
            "expires_in": int(self._token_seconds),
            "refresh_expires_in": int(self._refresh_token_seconds),
            "refresh_token": sign(refresh, account.signing_key),
            "token_type": "Bearer",
            "not-before-policy": 0,
            "session_state": session,
            "scope": scope or "email profile",
        }


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))

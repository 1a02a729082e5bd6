"""The sandbox's one account, and its tokens. Everything secret is in `account.json` of the data folder, mode 0600."""

import base64
import hashlib
import hmac
import secrets
import uuid
from pathlib import Path
from typing import Any

import msgspec

from bulkload.system.private import make_private
from bulkload.system.replacing import replaced

EMAIL = "user@example.com"


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


def open_account(data: Path) -> Account:
    """The account kept in a data folder, made when there is none."""
    path = data / "account.json"
    if path.exists():
        make_private(path)
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
    save_account(data, account)
    return account


def save_account(data: Path, account: Account) -> None:
    """Keep the account in its data folder. Written beside and renamed: a killed sandbox leaves no half account."""
    with replaced(data / "account.json", private=True) as draft:
        draft.write_bytes(msgspec.json.encode(account))


def sign(claims: dict[str, Any], key: str) -> str:
    """A JSON Web Token. HS256: the real ones are RS256, which would need a library for nothing."""
    head = _encode(b'{"alg":"HS256","typ":"JWT"}') + "." + _encode(msgspec.json.encode(claims))
    return head + "." + _encode(hmac.digest(key.encode(), head.encode(), hashlib.sha256))


def verify(token: str, key: str, now: float) -> dict[str, Any]:
    """The claims of a token signed with `key`. Raises TokenError in the gateway's words."""
    head, _, signature = token.rpartition(".")
    expected = _encode(hmac.digest(key.encode(), head.encode("utf-8", "replace"), hashlib.sha256))
    if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
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


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))

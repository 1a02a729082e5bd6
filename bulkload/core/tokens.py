"""How long a bearer token serves, and what it says about itself. Clocks come in as arguments."""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import msgspec

# The part of its life at whose beginning a token is renewed, and the longest such time: a life of 3 s is renewed after
# 2.4 s, one of an hour 30 s before its end.
RESERVE = 0.2
LONGEST_RESERVE_SECONDS = 30.0
# A large body is sent under a token with more life before it: a refusal behind the body would cost the whole of it.
LARGE_RESERVE = 0.5
LONGEST_LARGE_RESERVE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token. Its ``repr`` does not show it."""

    word: str = field(repr=False)
    # Seconds for which it serves from when it was received; None: it does not say.
    life: float | None = None

    def renewal_age(self, *, large: bool = False) -> float | None:
        """The age, in seconds, at which it is to be renewed; ``large``: before a large body. None: never by age."""
        if self.life is None:
            return None
        part, longest = (LARGE_RESERVE, LONGEST_LARGE_RESERVE_SECONDS) if large else (RESERVE, LONGEST_RESERVE_SECONDS)
        return self.life - min(self.life * part, longest)


def claims_of(word: str) -> dict[str, Any]:
    """What a JSON Web Token says, unverified: that is the registry's to do. Empty for a token of another kind."""
    parts = word.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def life_of(word: str) -> float | None:
    """Seconds between a token's ``iat`` and ``exp``, both on its issuer's clock; None where it does not say.

    From when it was received it serves for so long at the most. Its ``exp`` alone would be their clock against ours.
    """
    claims = claims_of(word)
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or not isinstance(expires, int | float) or expires <= issued:
        return None
    return float(expires - issued)


def user_of(word: str) -> str | None:
    """The user's name in a token: tokens of service accounts have no email."""
    claims = claims_of(word)
    names = (claims.get(key) for key in ("preferred_username", "email", "sub"))
    return next((name for name in names if isinstance(name, str) and name), None)


def seconds_left(word: str, now: float) -> float | None:
    """Seconds until a token's ``exp``; ``now`` is Unix time by its issuer's clock. None where it does not say."""
    expires = claims_of(word).get("exp")
    return expires - now if isinstance(expires, int | float) else None

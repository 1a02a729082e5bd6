"""What others say, without our secrets: some gateways show a refused request's headers in their answer."""

import base64
import html
import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, quote_plus

HIDDEN = "(a secret)"
WITHHELD = "(withheld: a secret is in it)"
SECRETS_REMEMBERED = 32
# A shorter one is found everywhere.
SHORTEST_DISGUISED = 8
# Of one with so many letters and digits, these alone are looked for, whatever stands between them.
FEWEST_SIGNS = 16
# A name, a status or a digest is compared, not only shown: nothing that a shorter secret may be part of is touched.
SHORTEST_IN_NAMES = 16

# Escapes within escapes, so deep.
_ROUNDS = 8
_ESCAPE = re.compile(
    r"""(?:\\u|\\U0000|%u)([0-9a-fA-F]{4}) | \\u\{0*([0-9a-fA-F]{1,4})\} | (?:\\x|%)([0-9a-fA-F]{2})
    | \\([0-3][0-7]{2}) | \\(.)""",
    re.DOTALL | re.VERBOSE,
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_TAG = re.compile(r"<[^<>]*>")
_NO_SIGN = re.compile(r"[\W_]+")
# Of bytes: what begins an escape, a tag or a colour; what is no letter or digit; and small letters.
_ESCAPING = (b"\\", b"%", b"&", b"<", b"\x1b")
_NO_SIGNS = bytes(sign for sign in range(256) if not (sign < 128 and chr(sign).isalnum()))
_SMALL = bytes(range(256)).lower()


class Secrets:
    """Our secrets, and words without them."""

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        """``tokens``: those of late; they may change."""
        self._tokens = tokens
        self._others: deque[str] = deque(maxlen=SECRETS_REMEMBERED)
        # What is looked for in whole texts, and the secrets that it belongs to.
        self._sought_for: tuple[str, ...] = ()
        self._sought: tuple[bytes, ...] | None = ()

    def hide(self, *secrets: str) -> None:
        """Words that must never be shown from now on."""
        for secret in secrets:
            if secret and secret not in self._others:
                self._others.append(secret)

    def words(self, words: str) -> str:
        """Words for people. A secret that is only found by reading between its signs takes the words with it."""
        # Where they are shown, colours are taken away.
        plain = _COLOUR.sub("", words) if "\x1b" in words else words
        found = self._without(plain, 1)
        return words if found == plain else found

    def name(self, name: str) -> str:
        """A text that is compared as well."""
        return self._without(name, SHORTEST_IN_NAMES)

    def are_absent_from(self, text: bytes | bytearray) -> bool:
        """Whether no secret can be in any part of a text, however it is read: one look, that may err on the safe side.

        Where nothing is escaped, and all is ASCII, every reading of a part keeps its letters and digits in their order.
        """
        secrets = (*self._tokens, *self._others)
        if secrets != self._sought_for:
            self._sought_for, self._sought = secrets, _sought(secrets)
        if not secrets:
            return True
        if self._sought is None or not text.isascii():
            return False
        for sign in _ESCAPING:
            if sign in text:
                return False
        signs = text.translate(_SMALL, _NO_SIGNS)
        for each in self._sought:  # noqa: SIM110 - this is asked of every answer, and a generator costs as much again
            if each in signs:
                return False
        return True

    def _without(self, words: str, shortest: int) -> str:
        secrets = [secret for secret in (*self._tokens, *self._others) if shortest <= len(secret) <= len(words)]
        if not secrets:
            return words
        forms = [_forms(secret) for secret in secrets]
        words = _pattern(tuple(form for plain, _ in forms for form in plain)).sub(HIDDEN, words)
        if _can_be_read([others for _, others in forms], words):
            return WITHHELD
        return words


@dataclass(frozen=True, slots=True)
class _Disguises:
    """What is left of a secret by readings of words."""

    # Its signs without blanks and what is not seen.
    squeezed: str
    # Its letters and digits, in small letters; those of its forms in base 64 and 16.
    signs: tuple[str, ...]


def _can_be_read(disguises: list[_Disguises], words: str) -> bool:
    """Whether somebody could read one of the secrets out of the words."""
    squeezed = [each.squeezed for each in disguises if each.squeezed]
    signs = [sign for each in disguises for sign in each.signs]
    if not squeezed:
        return False
    for reading in _undisguised(words):
        plain, letters = _squeezed(reading), _signs(reading)
        without_tags = _signs(_TAG.sub("", reading)) if "<" in reading else ""
        if any(each in plain for each in squeezed) or any(each in letters or each in without_tags for each in signs):
            return True
    return False


@lru_cache(maxsize=4 * SECRETS_REMEMBERED)
def _forms(secret: str) -> tuple[tuple[str, ...], _Disguises]:
    """How a secret stands in words, the longest form first; and how else it may be read out of them."""
    forms = {secret, quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")}
    squeezed, signs = _squeezed(secret), _signs(secret)
    if len(squeezed) < SHORTEST_DISGUISED:
        squeezed, found = "", []
    else:
        found = [signs] if len(signs) >= FEWEST_SIGNS else []
        found += [each for each in _encoded(secret) if len(each) >= SHORTEST_DISGUISED]
    return tuple(sorted(forms, key=len, reverse=True)), _Disguises(squeezed, tuple(found))


def _sought(secrets: tuple[str, ...]) -> tuple[bytes, ...] | None:
    """Letters and digits, one of which is in every text that holds a secret; None where a secret has none."""
    found: set[str] = set()
    for secret in secrets:
        signs = _signs(secret)
        if not signs:
            return None
        found |= {signs, *_forms(secret)[1].signs}
    return tuple(each.encode() for each in found)


def _encoded(secret: str) -> Iterator[str]:
    """In base 16 and, after any other bytes, as in ``user:password``, in base 64: letters and digits."""
    data = secret.encode(errors="replace")
    yield data.hex()
    for before, mixed in ((0, 0), (1, 2), (2, 3)):
        text = base64.b64encode(bytes(before) + data).decode()
        yield _signs(text[mixed : (before + len(data)) * 8 // 6])


@lru_cache(maxsize=SECRETS_REMEMBERED)
def _pattern(forms: tuple[str, ...]) -> re.Pattern[str]:
    """All forms at once, the longest first: what stands in a secret's place may hold a short one, such as "secret"."""
    return re.compile("|".join(map(re.escape, sorted(set(forms), key=len, reverse=True))))


def _undisguised(words: str) -> Iterator[str]:
    """The words as they would be read by somebody who undoes their escapes."""
    for _ in range(_ROUNDS + 1):
        yield words
        plain = html.unescape(_ESCAPE.sub(_unescaped, words))
        if plain == words:
            return
        words = plain


def _unescaped(found: re.Match[str]) -> str:
    code, octal, sign = found[1] or found[2] or found[3], found[4], found[5]
    return chr(int(code, 16)) if code else chr(int(octal, 8)) if octal else "" if sign in "nrtbf0" else sign


def _squeezed(words: str) -> str:
    """Without blanks, controls, and signs of no width."""
    if words.isascii() and words.isprintable() and " " not in words:
        return words
    return "".join(sign for sign in words if sign.isprintable() and not sign.isspace())


def _signs(words: str) -> str:
    """The letters and digits, in small letters and their usual width."""
    if not words.isascii():
        words = "".join(sign for sign in unicodedata.normalize("NFKD", words) if sign.isascii())
    return _NO_SIGN.sub("", words).lower()


NO_SECRETS = Secrets()

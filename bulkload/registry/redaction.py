"""What others say, without our secrets: some gateways show a refused request's headers in their answer."""

import html
import re
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

HIDDEN = "(a secret)"
WITHHELD = "(withheld: a secret is in it)"
SECRETS_REMEMBERED = 32
# A shorter one is found everywhere.
SHORTEST_DISGUISED = 8
# A name, a status or a digest is compared, not only shown: nothing that a shorter secret may be part of is touched.
SHORTEST_IN_NAMES = 16

# Escapes within escapes, so deep.
_ROUNDS = 3
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|(?:\\x|%)([0-9a-fA-F]{2})|\\(.)", re.DOTALL)
# What can hide a secret from a plain search: an escape, an entity, or a sign between its signs.
_SUSPICIOUS = re.compile(r"[\\%&]|[^\x21-\x7e]")


class Secrets:
    """Our secrets, and words without them."""

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        """``tokens``: those of late; they may change."""
        self._tokens = tokens
        self._others: deque[str] = deque(maxlen=SECRETS_REMEMBERED)

    def hide(self, *secrets: str) -> None:
        """Words that must never be shown from now on."""
        for secret in secrets:
            if secret and secret not in self._others:
                self._others.append(secret)

    def words(self, words: str) -> str:
        """Words for people. A secret that is only found by reading between its signs takes the words with it."""
        return self._without(words, 1)

    def name(self, name: str) -> str:
        """A text that is compared as well."""
        return self._without(name, SHORTEST_IN_NAMES)

    def _without(self, words: str, shortest: int) -> str:
        secrets = [secret for secret in (*self._tokens, *self._others) if shortest <= len(secret) <= len(words)]
        if not secrets:
            return words
        forms = [_forms(secret) for secret in secrets]
        words = _pattern(tuple(form for plain, _ in forms for form in plain)).sub(HIDDEN, words)
        disguised = [squeezed for _, squeezed in forms if len(squeezed) >= SHORTEST_DISGUISED]
        if disguised and _SUSPICIOUS.search(words):
            for reading in _undisguised(words):
                if any(secret in reading for secret in disguised):
                    return WITHHELD
        return words


@lru_cache(maxsize=4 * SECRETS_REMEMBERED)
def _forms(secret: str) -> tuple[tuple[str, ...], str]:
    """How a secret stands in words, the longest form first; and its signs alone."""
    forms = {secret, quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")}
    return tuple(sorted(forms, key=len, reverse=True)), _squeezed(secret)


@lru_cache(maxsize=SECRETS_REMEMBERED)
def _pattern(forms: tuple[str, ...]) -> re.Pattern[str]:
    """All forms at once, the longest first: what stands in a secret's place may hold a short one, such as "secret"."""
    return re.compile("|".join(map(re.escape, sorted(set(forms), key=len, reverse=True))))


def _undisguised(words: str) -> Iterator[str]:
    """The words as they would be read by somebody who undoes their escapes."""
    for _ in range(_ROUNDS + 1):
        yield _squeezed(words)
        plain = html.unescape(_ESCAPE.sub(_unescaped, words))
        if plain == words:
            return
        words = plain


def _unescaped(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    return chr(int(code, 16)) if code else "" if found[3] in "nrtbf0" else str(found[3])


def _squeezed(words: str) -> str:
    """Without blanks, controls, and signs of no width."""
    if words.isascii() and words.isprintable() and " " not in words:
        return words
    return "".join(sign for sign in words if sign.isprintable() and not sign.isspace())


NO_SECRETS = Secrets()

"""Secrets in what others say: found however they are written, before anything is cut, kept or shown."""

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

from bulkload.registry.redaction import HIDDEN, NO_SECRETS, WITHHELD, Secrets

TOKEN = "eyJhbGciOi+JSUz/I1NiJ9.eyJzdWIi=OiJ1c2Vy.c2lnbmF0dXJl=="
PASSWORD = "correct horse+battery"


def escaped(words: str, form: str = "\\u{:04x}") -> str:
    """Each sign as an escape."""
    return "".join(form.format(ord(sign)) for sign in words)


DISGUISES = {
    "as it is": TOKEN,
    "JSON escapes for some signs": TOKEN.replace("=", "\\u003d").replace("/", "\\/"),
    "JSON escapes for all": escaped(TOKEN),
    "in capitals": escaped(TOKEN, "\\u{:04X}"),
    "bytes of Python": escaped(TOKEN, "\\x{:02x}"),
    "percent": quote(TOKEN, safe=""),
    "percent in small letters": escaped(TOKEN, "%{:02x}"),
    "percent for all": escaped(TOKEN, "%{:02X}"),
    "entities": escaped(TOKEN, "&#{};"),
    "entities in hexadecimal": escaped(TOKEN, "&#x{:x};"),
    "escaped twice": json.dumps(escaped(TOKEN)),
    "percent twice": quote(quote(TOKEN, safe=""), safe=""),
    "split by a NUL": "\0".join(TOKEN),
    "split by an escaped NUL": "\\u0000".join(TOKEN),
    "split by colours": "\x1b".join(TOKEN),
    "split by signs of no width": "\u200b".join(TOKEN),
    "in lines": "\n".join(TOKEN[start : start + 10] for start in range(0, len(TOKEN), 10)),
    "split by whole colours": "\x1b[31m".join(TOKEN),
    "split by accents": "\u0301".join(TOKEN),
    "split by fillers": "\u3164".join(TOKEN),
    "split by tags": "<b>".join(TOKEN),
    "a list of its signs": json.dumps(list(TOKEN)),
    "pieces of Python": "' '".join(TOKEN[start : start + 10] for start in range(0, len(TOKEN), 10)),
    "in wide letters": "".join(chr(ord(sign) + 0xFEE0) for sign in TOKEN),
    "in small letters": TOKEN.lower(),
    "JavaScript": escaped(TOKEN, "\\u{{{:x}}}"),
    "long escapes": escaped(TOKEN, "\\U{:08x}"),
    "octal": escaped(TOKEN, "\\{:03o}"),
    "percent with u": escaped(TOKEN, "%u{:04x}"),
    "percent six times": quote(quote(quote(quote(quote(quote(TOKEN, safe="")))))),
    "base 64": b64encode(TOKEN.encode()).decode(),
    "base 64 behind a user": b64encode(f"user:{TOKEN}".encode()).decode(),
    "base 64 in the middle": b64encode(f"u:{TOKEN}, and more".encode()).decode(),
    "base 64 for addresses": urlsafe_b64encode(TOKEN.encode()).decode(),
    "base 16": TOKEN.encode().hex(),
    "a dump": TOKEN.encode().hex(" ").upper(),
    "in lines of a dump": "\\n".join(TOKEN[start : start + 10] for start in range(0, len(TOKEN), 10)),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize(
    "around", ["{}", "refused: Bearer {} is no good", '{{"headers":["authorization: Bearer {}"]}}']
)
def test_a_secret_is_not_shown(disguise: str, around: str) -> None:
    """Taken out where it stands, or with the words that hide it."""
    shown = Secrets([TOKEN]).words(around.format(DISGUISES[disguise]))
    assert HIDDEN in shown or shown == WITHHELD
    assert "eyJhbGciOi" not in "".join(shown.split())


@pytest.mark.parametrize(
    "words",
    [
        "",
        "Not a valid ZIP file.",
        "a\\b %zz &amp; \\u12 ü\0\x1b[31m",
        "the token eyJhbGciOi is no good",
        TOKEN[:-1],
        "é" * 200,
    ],
)
def test_other_words_stay(words: str) -> None:
    """Nothing is taken out of what holds no secret."""
    secrets = Secrets([TOKEN])
    secrets.hide(PASSWORD)
    assert secrets.words(words) == secrets.name(words) == words


def test_other_secrets_are_hidden_too() -> None:
    """Passwords, refresh tokens, what was sent to Keycloak; also as they stand in a form."""
    secrets = Secrets()
    secrets.hide(PASSWORD, "")
    assert secrets.words(f"user=me&password={PASSWORD}") == f"user=me&password={HIDDEN}"
    assert secrets.words("password=correct+horse%2Bbattery") == f"password={HIDDEN}"
    assert secrets.words("password=correct horse\\u002bbattery") == WITHHELD


@pytest.mark.parametrize("secret", ["a", "secret", "cre"])
def test_what_stands_in_a_secrets_place_is_not_taken_for_one(secret: str) -> None:
    """Also for one that is known as a token and a password."""
    secrets = Secrets([secret])
    secrets.hide(secret, "secret")
    assert secrets.words(f"<{secret}>") == f"<{HIDDEN}>"


def test_a_name_keeps_what_only_looks_like_a_short_secret() -> None:
    """Names, states and digests are compared: a password that is part of a file's name changes nothing."""
    secrets = Secrets()
    secrets.hide("ready", "model")
    assert secrets.name("model.onnx") == "model.onnx"
    assert secrets.name("ready") == "ready"
    assert secrets.words("no model") == f"no {HIDDEN}"
    assert Secrets([TOKEN]).name(f"{TOKEN}.onnx") == f"{HIDDEN}.onnx"


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("around", ['{{"name":"{}"}}', '{{"a":["x","{}y"],"b":1}}'])
def test_no_text_with_a_secret_in_it_passes_at_a_glance(disguise: str, around: str) -> None:
    """The one look at a whole answer errs on the safe side: whatever the closer look finds in a part, it finds."""
    secrets = Secrets([TOKEN])
    said = around.format(DISGUISES[disguise])
    assert secrets.words(said) != said
    assert not secrets.are_absent_from(said.encode())
    assert not secrets.are_absent_from(json.dumps({"name": DISGUISES[disguise]}).encode())


def test_a_text_without_secrets_passes_at_a_glance() -> None:
    """Or each answer of a poll would be looked at field by field; new secrets are known at once."""
    tokens = [TOKEN]
    secrets = Secrets(tokens)
    answer = b'{"model_version":{"id":5,"name":"m-5","conversion":{"framework":"onnx"},"created_by":"me@example.com"}}'
    assert secrets.are_absent_from(answer)
    secrets.hide("m-5")
    assert not secrets.are_absent_from(answer)
    tokens.append("onnx")
    assert not Secrets(tokens).are_absent_from(answer)
    assert NO_SECRETS.are_absent_from('é \\ "'.encode())


@pytest.mark.parametrize("secret", ["!!!", "-", "…"])
def test_a_secret_without_letters_lets_nothing_pass_at_a_glance(secret: str) -> None:
    """What is looked for are letters and digits."""
    secrets = Secrets([TOKEN])
    secrets.hide(secret)
    assert not secrets.are_absent_from(b"{}")

"""How long a token serves, and what it says about itself."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.tokens import Token, claims_of, life_of, seconds_left, user_of


def word_of(claims: Any) -> str:
    """A JSON Web Token that says this."""
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.c2ln"


@pytest.mark.parametrize(
    ("life", "age", "large_age"),
    [(3.0, 2.4, 1.5), (60.0, 48.0, 30.0), (3600.0, 3570.0, 3300.0), (7200.0, 7170.0, 6900.0)],
)
def test_a_token_is_renewed_before_its_end(life: float, age: float, large_age: float) -> None:
    """By a fifth of a short life, by half a minute of a long one; earlier ahead of a large body."""
    token = Token("word", life)
    assert token.renewal_age() == pytest.approx(age)
    assert token.renewal_age(large=True) == pytest.approx(large_age)
    assert "word" not in repr(token)


@given(st.floats(min_value=1e-3, max_value=1e6))
def test_it_is_used_for_most_of_its_life(life: float) -> None:
    """So that there is no storm of requests for tokens, however short it lives."""
    for large, part in ((False, 0.8), (True, 0.5)):
        age = Token("word", life).renewal_age(large=large)
        assert age is not None
        assert life * part * 0.999 <= age < life


def test_a_token_that_does_not_say_how_long_is_never_renewed_by_age() -> None:
    """Only when it is refused."""
    assert Token("word").renewal_age() is None
    assert Token("word").renewal_age(large=True) is None


@pytest.mark.parametrize(
    ("claims", "life"),
    [
        ({"iat": 1000, "exp": 1060}, 60.0),
        ({"iat": 4_000_000_000, "exp": 4_000_000_003}, 3.0),
        ({"iat": 1000.5, "exp": 1001.0}, 0.5),
        ({"exp": 1060}, None),
        ({"iat": 1000}, None),
        ({"iat": 1000, "exp": 1000}, None),
        ({"iat": "1000", "exp": "1060"}, None),
        ([], None),
    ],
)
def test_a_life_is_the_time_between_its_own_two_ends(claims: Any, life: float | None) -> None:
    """Whatever day it is on either clock."""
    assert life_of(word_of(claims)) == life


@given(st.text(max_size=200))
def test_any_word_may_be_a_token(word: str) -> None:
    """Opaque ones say nothing, and raise nothing."""
    assert isinstance(claims_of(word), dict)
    assert isinstance(claims_of(f"a.{word}.c"), dict)
    assert (life_of("opaque"), user_of("opaque"), seconds_left("opaque", 0.0)) == (None, None, None)


@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({"preferred_username": "me", "email": "me@example.com", "sub": "1"}, "me"),
        ({"email": "me@example.com", "sub": "1"}, "me@example.com"),
        ({"sub": "1", "clientId": "api-client"}, "1"),
        ({"preferred_username": ""}, None),
        ({}, None),
    ],
)
def test_a_user_by_the_first_name_that_is_there(claims: Any, user: str | None) -> None:
    """Tokens of service accounts have no email."""
    assert user_of(word_of(claims)) == user


def test_what_is_left_is_by_their_clock() -> None:
    """The caller says what time it is there."""
    assert seconds_left(word_of({"exp": 1060}), 1000.0) == 60
    assert seconds_left(word_of({"exp": 1060}), 1100.0) == -40

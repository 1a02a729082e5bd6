"""Heads of requests: what may stand in them, and what of a proxy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.model.errors import UsageError
from bulkload.registry.http.way import Way

pytestmark = pytest.mark.anyio


def lines_of(head: bytes) -> list[str]:
    """A head's lines."""
    assert head.endswith(b"\r\n\r\n")
    return head.decode()[:-4].split("\r\n")


async def test_a_head_names_what_is_asked_for() -> None:
    """Without a default port; a path's odd signs are escaped."""
    way = Way("https://registry.example.com/odd path", None)
    lines = lines_of(way.head("POST", "https://registry.example.com/odd path/v1/api/x", 12, ("A", "b")))
    assert lines[0] == "POST /odd%20path/v1/api/x HTTP/1.1"
    assert lines[1] == "Host: registry.example.com"
    assert lines[-2:] == ["A: b", "Content-Length: 12"]
    other = Way("http://[::1]:8080", None)
    assert lines_of(other.head("GET", "http://[::1]:8080/v1/api/config", None))[:2] == [
        "GET /v1/api/config HTTP/1.1",
        "Host: [::1]:8080",
    ]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_is_told_all_without_tls_and_nothing_with_it(scheme: str) -> None:
    """With TLS it is asked to CONNECT, and its password has no place in what the registry reads."""
    way = Way(f"{scheme}://registry.example.com", "http://me:p%40ss@proxy:3128")
    lines = lines_of(way.head("GET", f"{scheme}://registry.example.com/v1/api/config", None))
    if scheme == "http":
        assert lines[0] == "GET http://registry.example.com/v1/api/config HTTP/1.1"
        assert "Proxy-Authorization: Basic bWU6cEBzcw==" in lines
    else:
        assert lines[0] == "GET /v1/api/config HTTP/1.1"
        assert not [line for line in lines if "proxy" in line.lower()]
    plain = Way(f"{scheme}://registry.example.com", "http://proxy:3128")
    assert "Proxy" not in plain.head("GET", f"{scheme}://registry.example.com/v1/api/config", None).decode()


@given(value=st.text())
def test_no_line_can_be_smuggled_into_a_head(value: str) -> None:
    """Line's ends and NULs are refused, in every field."""
    import asyncio

    async def head() -> bytes:
        return Way("http://127.0.0.1", None).head("GET", "http://127.0.0.1/x", None, ("Authorization", value))

    try:
        lines = lines_of(asyncio.run(head()))
    except UsageError:
        assert any(sign < " " or sign == "\x7f" or "\ud800" <= sign <= "\udfff" for sign in value)
    else:
        assert len(lines) == 6
        assert lines[-1] == f"Authorization: {value}"


@pytest.mark.parametrize("sign", ["\r", "\n", "\0", "\r\nX: y", "\x7f", "\t", "\ud800"])
async def test_control_characters_are_refused(sign: str) -> None:
    """Each of them; the message does not show what may be a secret."""
    way = Way("http://127.0.0.1", None)
    with pytest.raises(
        UsageError, match=r"^Authorization: holds a line's end or another control character; check where it comes from$"
    ):
        way.head("GET", "http://127.0.0.1/x", None, ("Authorization", f"Bearer {sign}"))


async def test_heads_are_made_once_and_not_kept_for_ever() -> None:
    """Tokens come and go."""
    way = Way("http://127.0.0.1", None)
    for number in range(200):
        for length in (5, 6):
            head = way.head("POST", "http://127.0.0.1/x", length, ("Authorization", f"Bearer {number}"))
            assert lines_of(head)[-2:] == [f"Authorization: Bearer {number}", f"Content-Length: {length}"]
    assert len(way._heads) <= 64

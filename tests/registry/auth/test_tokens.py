"""The bearer token: where it comes from, when it is renewed, and that nobody sees it."""

import base64
import itertools
import json
import logging
from pathlib import Path
from typing import Any

import anyio
import pytest

from bulkload.core.model.errors import BulkloadError, NotAuthorised, UsageError
from bulkload.core.model.settings import Credentials
from bulkload.core.verdicts import CallFailed
from bulkload.registry.auth.tokens import TokenSource

pytestmark = pytest.mark.anyio


def word_of(**claims: Any) -> str:
    """A JSON Web Token that says this; nobody checks its signature here."""
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.signature-{next(_NUMBERS)}"


_NUMBERS = itertools.count()


async def test_a_given_token_is_sent_and_has_no_successor() -> None:
    """White space around it is none of it. Refused, it is not sent again."""
    tokens = TokenSource(Credentials(token=" abc\n"))
    assert await tokens.current() == "abc"
    tokens.refuse("abc", "models/list: 401 Jwt is expired")
    for _ in range(2):
        with pytest.raises(NotAuthorised, match="401 Jwt is expired: the registry does not accept the token"):
            await tokens.current()


async def test_a_file_is_read_anew_when_its_token_is_refused(tmp_path: Path) -> None:
    """Not before: one read serves all requests."""
    file = tmp_path / "token"
    file.write_text("first\n")
    tokens = TokenSource(Credentials(token_file=file))
    assert await tokens.current() == "first"
    file.write_text("second\n")
    assert await tokens.current() == "first"
    tokens.refuse("first", "401")
    assert await tokens.current() == "second"
    tokens.refuse("second", "401")
    with pytest.raises(NotAuthorised, match="there is no other"):
        await tokens.current()


async def test_a_file_that_goes_away_in_mid_run_is_no_fault_of_the_command(tmp_path: Path) -> None:
    """The run ends as one without a token does, and can be resumed."""
    file = tmp_path / "token"
    file.write_text("first\n")
    tokens = TokenSource(Credentials(token_file=file))
    await tokens.current()
    file.unlink()
    tokens.refuse("first", "401")
    with pytest.raises(NotAuthorised, match="the token cannot be read"):
        await tokens.current()


async def test_a_command_is_run_once_for_all_who_wait(tmp_path: Path) -> None:
    """At the start and at each renewal, however many requests were refused."""
    tokens = TokenSource(
        Credentials(token_command=f"echo run >> '{tmp_path}/runs'; echo token-$(wc -l < '{tmp_path}/runs')")
    )
    refused = await tokens.current()
    seen = []

    async def one() -> None:
        tokens.refuse(refused, "401")
        seen.append(await tokens.current())

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(one)
    assert seen == ["token-2"] * 20
    assert (tmp_path / "runs").read_text() == "run\n" * 2


async def test_a_token_renewed_meanwhile_is_not_renewed_again(tmp_path: Path) -> None:
    """A request refused with an older token just takes the present one."""
    tokens = TokenSource(Credentials(token_command=f"echo run >> '{tmp_path}/runs'; wc -l < '{tmp_path}/runs'"))
    assert await tokens.current() == "1"
    tokens.refuse("an older one", "401")
    assert await tokens.current() == "1"


async def test_a_command_that_fails_is_not_run_again(tmp_path: Path) -> None:
    """What it says is said to everybody: it may lock an account by trying."""
    tokens = TokenSource(Credentials(token_command=f"echo run >> '{tmp_path}/runs'; echo locked >&2; exit 1"))
    for _ in range(5):
        with pytest.raises(NotAuthorised, match="ended with 1: locked"):
            await tokens.current()
    assert (tmp_path / "runs").read_text() == "run\n"


async def test_a_token_that_says_how_long_it_lives_is_renewed_before_its_end(tmp_path: Path) -> None:
    """By the time between its own iat and exp: what the two clocks say about today makes no difference."""
    file = tmp_path / "token"
    first, second = (word_of(iat=4_000_000_000, exp=4_000_000_000.3) for _ in range(2))
    file.write_text(first)
    tokens = TokenSource(Credentials(token_file=file))
    assert await tokens.current() == first
    file.write_text(second)
    assert await tokens.current() == first
    await anyio.sleep(0.25)
    assert await tokens.current() == second


async def test_ahead_of_a_large_body_a_token_has_more_life_before_it(tmp_path: Path) -> None:
    """A refusal behind the body would cost the whole of it."""
    file = tmp_path / "token"
    first, second = (word_of(iat=0, exp=1.0) for _ in range(2))
    file.write_text(first)
    tokens = TokenSource(Credentials(token_file=file))
    assert await tokens.current(large=True) == first
    file.write_text(second)
    await anyio.sleep(0.55)
    assert await tokens.current() == first
    assert await tokens.current(large=True) == second


async def test_ahead_of_what_is_sent_later_a_token_is_renewed_a_little_earlier(tmp_path: Path) -> None:
    """What was let go with it need not wait for another one on its way, with all others that wait."""
    file = tmp_path / "token"
    first, second = (word_of(iat=0, exp=2.0) for _ in range(2))
    file.write_text(first)
    tokens = TokenSource(Credentials(token_file=file))
    assert await tokens.current(ahead=True) == first
    file.write_text(second)
    await anyio.sleep(1.45)
    assert await tokens.current() == first
    assert await tokens.current(ahead=True) == second


async def test_a_source_that_has_no_other_token_yet_is_not_asked_at_every_request(tmp_path: Path) -> None:
    """A command with a cache of its own: the token serves until it is refused."""
    word = word_of(iat=0, exp=0.1)
    tokens = TokenSource(Credentials(token_command=f"echo run >> '{tmp_path}/runs'; echo {word}"))
    assert await tokens.current() == word
    await anyio.sleep(0.1)
    for _ in range(20):
        assert await tokens.current() == word
    assert (tmp_path / "runs").read_text() == "run\n" * 2


@pytest.mark.parametrize("token", [None, "", "  \n"])
async def test_no_token_says_how_to_give_one(token: str | None) -> None:
    """All ways."""
    with pytest.raises(NotAuthorised, match=r"bulkload login.*BULKLOAD_TOKEN.*BULKLOAD_PASSWORD.*--token-command"):
        await TokenSource(Credentials(token=token)).current()


@pytest.mark.parametrize("token", ["two words", "two\nlines", "a\x00b", "a\x1bb", "tökén", "a\tb"])
async def test_what_cannot_stand_in_a_header_is_no_token(token: str) -> None:
    """A page or a message was taken for one; it is not shown."""
    with pytest.raises(NotAuthorised, match="one word of ASCII") as raised:
        await TokenSource(Credentials(token=token)).current()
    assert token not in str(raised.value)


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, a folder, no text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "binary"):
        with pytest.raises(UsageError, match="cannot be read") as raised:
            await TokenSource(Credentials(token_file=path)).current()
        assert str(path) in str(raised.value)


async def test_a_command_that_fails_says_why() -> None:
    """With its exit code and its own words, not with what it printed as a token."""
    tokens = TokenSource(Credentials(token_command="echo half-a-token; echo 'log in first' >&2; exit 3"))
    with pytest.raises(NotAuthorised, match="ended with 3: log in first") as raised:
        await tokens.current()
    assert "half-a-token" not in str(raised.value)


async def test_a_command_that_waits_for_somebody_is_ended() -> None:
    """It gets no input, and not for ever."""
    tokens = TokenSource(Credentials(token_command="cat; echo token"))
    assert await tokens.current() == "token"
    tokens = TokenSource(Credentials(token_command="exec sleep 1000"), command_timeout=0.05)
    with anyio.fail_after(60), pytest.raises(NotAuthorised, match="no token within"):
        await tokens.current()


async def test_a_refused_token_is_renewed_by_the_client(start: Any, bench: Any, tmp_path: Path) -> None:
    """The registry says 401; with the new token the same call is served."""
    file = tmp_path / "token"
    file.write_text("expired")
    async with (
        start() as (sandbox, _),
        bench.registry(sandbox.endpoint, credentials=Credentials(token_file=file)) as registry,
    ):
        with pytest.raises(CallFailed) as raised:
            await registry.workspaces()
        assert raised.value.failure.status == 401
        file.write_text(sandbox.token)
        assert await registry.workspaces()


@pytest.mark.parametrize("before", range(480, 500, 5))
async def test_no_half_of_the_token_is_seen_either(bench: Any, before: int) -> None:
    """A long message is cut where the token stands."""
    async with bench.replying(bench.answer(500, b"x" * before + bench.token.encode() + b"y" * 500)) as (_, registry):
        with pytest.raises(CallFailed) as raised:
            await registry.workspaces()
    assert bench.token[:5] not in str(raised.value)


async def test_nor_where_the_answer_is_no_http(bench: Any) -> None:
    """The library shows what it could not read."""
    async with bench.replying(b"you sent " + bench.token.encode() + b"\r\n\r\n") as (_, registry):
        with pytest.raises(CallFailed, match=r"you sent \(a secret\)"):
            await registry.workspaces()


async def test_nobody_sees_the_token(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a repr, an error or a log, also where a gateway shows the request's headers in its answer."""
    caplog.set_level(logging.DEBUG)
    seen = []

    async def echo(connection: Any) -> None:
        request = await connection.request()
        shown = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        status = {"/v1/api/workspaces/list": 200, "/v1/api/workspaces/create": 307}.get(request.path, 500)
        location = f"/login?was={request.headers['authorization']}"
        await connection.send(bench.answer(status, shown.encode(), "text/plain", location=location))

    async with bench.before(echo) as (wire, registry):
        for call in (
            registry.workspaces(),
            registry.create_workspace("w"),
            registry.version(1),
            bench.upload(registry),
        ):
            with pytest.raises(BulkloadError) as raised:
                await call
            seen += [str(raised.value), repr(raised.value), repr(raised.value.__cause__)]
        seen += [repr(registry), repr(Credentials(token=bench.token)), caplog.text]
    assert all(request.headers["authorization"] == f"Bearer {bench.token}" for request in wire.requests)
    assert "(a secret)" in "".join(seen)
    assert not [words for words in seen if bench.token in words]

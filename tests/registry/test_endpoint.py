"""The registry's address, and the proxy that leads there."""

from typing import Any

import pytest

from bulkload.core.errors import UsageError
from bulkload.core.verdicts import CallFailed, FailureKind
from bulkload.registry.endpoint import environment_proxy, normalised_endpoint

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is set where the tests run."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("https://registry.example.com", "https://registry.example.com"),
        (" https://registry.example.com/ \n", "https://registry.example.com"),
        ("HTTPS://Registry.Example.COM:443//", "https://registry.example.com"),
        ("http://registry:80", "http://registry"),
        ("http://registry:443", "http://registry:443"),
        ("http://api-lb:8080", "http://api-lb:8080"),
        ("https://example.com/wallaroo/", "https://example.com/wallaroo"),
        ("https://example.com/v1/api/", "https://example.com"),
        ("https://example.com/wallaroo/v1/api", "https://example.com/wallaroo"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://my_registry.example.com.", "https://my_registry.example.com."),
    ],
)
def test_one_registry_has_one_address(written: str, normal: str) -> None:
    """What makes no difference is taken away: a ledger belongs to the address."""
    assert normalised_endpoint(written) == normal
    assert normalised_endpoint(normal) == normal


@pytest.mark.parametrize(
    "written",
    [
        "",
        "registry.example.com",
        "localhost:8080",
        "ftp://registry.example.com",
        "https://",
        "https:///path",
        "https://:443",
        "http://registry:port",
        "http://registry:70000",
        "http://registry:-1",
        "http://registry:0",
        "http://exa mple.com",
        "http://exam\nple.com",
        "http://exam\x00ple.com",
        "http://exa%20mple.com",
        "http://a..b",
        "http://.example.com",
        "http://-a.com",
        f"http://{'a' * 64}.com",
        "http://[::1",
        "http://[not-an-address]",
        "http://[fe80::1%25eth0]x",
        "http://127.1",
        "http://2130706433",
        "http://256.1.1.1",
        "http://exa<mple>.com",
        "https://example.com/?query",
        "https://example.com/#part",
        "https://℀.example",
    ],
)
def test_what_is_no_address_is_refused(written: str) -> None:
    """At once and as a mistake in the setting, not as a registry that cannot be reached."""
    with pytest.raises(UsageError, match="write it as https://"):
        normalised_endpoint(written)


@pytest.mark.parametrize(
    "written", ["https://me:secret@example.com", "ftp://me:secret@example.com", "me:secret@x", "https://me:secret@[::1"]
)
def test_a_password_in_an_address_is_refused_and_not_shown(written: str) -> None:
    """Addresses end up in ledgers and reports."""
    with pytest.raises(UsageError, match="no user name or password") as raised:
        normalised_endpoint(written)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "http://me:pw@proxy:3128"}, "http://me:pw@proxy:3128"),
        ({"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ({"ALL_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "example.com"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "other.com"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": ""}, None),
    ],
)
def test_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], proxy: str | None
) -> None:
    """As every tool of the field honours it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment_proxy("https://registry.example.com") == proxy


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:5000", "http://localhost:5000", "http://[::1]:5000"])
def test_no_proxy_leads_to_this_machine(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """A sandbox works wherever a proxy is set."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    assert environment_proxy(endpoint) is None


@pytest.mark.parametrize("proxy", ["socks5://me:secret@proxy:1080", "http://", "http://me:secret@proxy:port"])
def test_a_proxy_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """Going round it would be worse; its password is not shown."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(UsageError, match="proxy in the environment") as raised:
        environment_proxy("https://registry.example.com")
    assert "secret" not in str(raised.value)


@pytest.mark.anyio
async def test_requests_go_through_the_proxy(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the proxy's own password for the proxy, and the token for the registry."""

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(bench.answer(body={"workspaces": []}))

    async with bench.playing(play) as wire:
        monkeypatch.setenv("HTTP_PROXY", wire.endpoint.replace("//", "//me:pw@"))
        async with bench.registry("http://registry.invalid") as registry:
            assert await registry.workspaces() == []
    assert wire.requests[0].path == "http://registry.invalid/v1/api/workspaces/list"
    assert wire.requests[0].headers["proxy-authorization"] == "Basic bWU6cHc="
    assert wire.requests[0].headers["authorization"] == f"Bearer {bench.token}"


@pytest.mark.anyio
async def test_a_proxy_that_refuses_made_no_connection(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can have arrived: it may be sent again."""
    async with bench.playing(lambda connection: refuse(connection, bench)) as wire:
        monkeypatch.setenv("HTTPS_PROXY", wire.endpoint)
        async with bench.registry("https://registry.invalid") as registry:
            with pytest.raises(CallFailed, match="the proxy refuses: 407") as raised:
                await registry.workspaces()
    assert raised.value.failure.kind is FailureKind.NO_CONNECTION
    assert wire.requests[0].method == "CONNECT"
    assert "authorization" not in wire.requests[0].headers


async def refuse(connection: Any, bench: Any) -> None:
    """Answer as a proxy that wants a password."""
    await connection.request()
    await connection.send(bench.answer(407))

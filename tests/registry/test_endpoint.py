"""The registry's address, Keycloak's, and the proxy that leads there."""

from typing import Any

import pytest

from bulkload.core.model.errors import UsageError
from bulkload.core.model.settings import Connection, Credentials
from bulkload.core.verdicts import CallFailed, FailureKind
from bulkload.registry.endpoint import normalised_endpoint, proxy_for, realm_address, refuse_clear_text


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
    ("auth_url", "realm"),
    [
        (None, "https://r.example.com:8443/auth/realms/master"),
        ("https://prefix.keycloak.example.com", "https://prefix.keycloak.example.com/auth/realms/master"),
        ("https://kc.example.com/auth/", "https://kc.example.com/auth/realms/master"),
        ("https://kc.example.com/realms/models", "https://kc.example.com/realms/models"),
        ("https://kc.example.com/auth/realms/master/", "https://kc.example.com/auth/realms/master"),
    ],
)
def test_keycloak_is_on_the_endpoints_host_or_where_it_is_said_to_be(auth_url: str | None, realm: str) -> None:
    """No other host is guessed: passwords go there."""
    assert realm_address("https://r.example.com:8443/wallaroo", auth_url) == realm


@pytest.mark.parametrize("auth_url", ["http://kc.example.com", "kc.example.com", "https://me:secret@kc.example.com"])
def test_a_keycloak_that_cannot_be_is_refused(auth_url: str) -> None:
    """Nor does a password leave TLS when the registry has it."""
    with pytest.raises(UsageError) as raised:
        realm_address("https://r.example.com", auth_url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:1", "http://127.255.0.9", "http://[::1]", "http://localhost:8080", "https://r.example.com"],
)
def test_secrets_may_go_to_this_machine_and_where_tls_leads(address: str) -> None:
    refuse_clear_text(address, insecure_http=False)


@pytest.mark.parametrize(
    "address",
    [
        "http://registry", "http://10.0.0.1", "http://0.0.0.0", "http://[::ffff:10.0.0.1]", "http://[fe80::1]",
        "http://localhost.example.com", "http://127.0.0.1.nip.io", "http://localhost.",
    ],
)  # fmt: skip
def test_secrets_go_nowhere_else_in_clear(address: str) -> None:
    """Neither to names that merely lead to this machine today."""
    with pytest.raises(UsageError, match="--insecure-http"):
        refuse_clear_text(address, insecure_http=False)
    refuse_clear_text(address, insecure_http=True)


@pytest.mark.anyio
async def test_a_request_with_a_token_is_not_sent_in_clear(bench: Any) -> None:
    """From Python, too, and whatever is asked; what needs no token may be asked."""
    async with bench.replying(bench.answer(200, {})) as (wire, _):
        to_wire = Connection(proxies={"http": wire.endpoint})
        async with bench.registry("http://registry.invalid", connection=to_wire) as registry:
            for asked in (registry.workspaces, lambda: bench.upload(registry)):
                with pytest.raises(UsageError, match="without encryption"):
                    await asked()
            assert wire.requests == []


@pytest.mark.anyio
async def test_nor_is_a_password(bench: Any) -> None:
    async with bench.replying(bench.answer(200, {})) as (wire, _):
        to_wire = Connection(proxies={"http": wire.endpoint})
        held = Credentials(username="me", password="p", auth_url="http://keycloak.invalid")
        async with bench.registry("http://127.0.0.1:9", connection=to_wire, credentials=held) as registry:
            with pytest.raises(UsageError, match=r"keycloak\.invalid.*without encryption"):
                await registry.token()
            assert wire.requests == []


@pytest.mark.parametrize(
    ("proxies", "proxy"),
    [
        ({}, None),
        ({"https": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https": "http://me:pw@proxy:3128"}, "http://me:pw@proxy:3128"),
        ({"https": "proxy:3128"}, "http://proxy:3128"),
        ({"all": "http://proxy:3128"}, "http://proxy:3128"),
        ({"http": "http://proxy:3128"}, None),
        ({"https": "http://proxy:3128", "no": "example.com"}, None),
        ({"https": "http://proxy:3128", "no": "*"}, None),
        ({"https": "http://proxy:3128", "no": "other.com"}, "http://proxy:3128"),
        ({"https": ""}, None),
    ],
)
def test_the_proxy_for_an_address(proxies: dict[str, str], proxy: str | None) -> None:
    """As every tool of the field reads the settings."""
    assert proxy_for("https://registry.example.com", proxies) == proxy


def test_the_environment_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not in the settings is not there: only the command line reads variables."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "*")
    assert proxy_for("https://registry.example.com", {}) is None
    assert proxy_for("https://registry.example.com", {"https": "http://p:1"}) == "http://p:1"


HOSTS = {
    "name": "https://registry.example.com",
    "port": "https://registry.example.com:8443",
    "dot": "https://registry.example.com.",
    "v4": "https://10.1.2.3",
    "v6": "https://[fd00::1]:8443",
}
# Which of those go without a proxy.
NO_PROXY = [
    ("*", "name port dot v4 v6"),
    # curl takes the star for itself alone, and knows no other pattern.
    ("*,other.com", ""),
    ("*.example.com", ""),
    ("registry.example.com", "name port dot"),
    ("example.com", "name port dot"),
    (".example.com", "name port dot"),
    ("example.com.", "name port dot"),
    ("EXAMPLE.Com", "name port dot"),
    ("com", "name port dot"),
    ("xample.com", ""),
    (".", ""),
    ("other.com, example.com", "name port dot"),
    ("other.com,,example.com,", "name port dot"),
    ("other.com example.com", "name port dot"),
    ("other.com\t example.com ", "name port dot"),
    ("example.com/8", ""),
    ("registry.example.com:8443", "port"),
    ("registry.example.com:443", "name dot"),
    ("example.com:8443", "port"),
    ("10.1.2.3", "v4"),
    ("10.1.2.3:443", "v4"),
    ("10.1.2.3:80", ""),
    ("10.1", ""),
    ("1.2.3", ""),
    ("010.001.002.003", ""),
    ("10.0.0.0/8", "v4"),
    ("10.255.0.0/8", "v4"),
    ("10.1.2.0/31", ""),
    ("10.1.2.2/31", "v4"),
    ("10.1.2.3/32", "v4"),
    ("11.0.0.0/8", ""),
    # curl: no bits are all bits.
    ("0.0.0.0/0", ""),
    ("10.1.2.3/0", "v4"),
    ("10.0.0.0/33", ""),
    ("10.0.0.0/x", ""),
    ("10.0.0.0/", ""),
    ("fd00::1", "v6"),
    ("FD00:0:0::1", "v6"),
    ("fd00::/8", "v6"),
    ("fd00::/7", "v6"),
    ("fd00::/128", ""),
    ("fd00::/129", ""),
    ("::/0", ""),
    ("[fd00::1]", "v6"),
    ("[fd00::1]:8443", "v6"),
    ("[fd00::1]:443", ""),
    ("[fd00::1", ""),
    ("example.com, 10.0.0.0/8 fd00::/8", "name port dot v4 v6"),
    ("", ""),
    (" ", ""),
]


@pytest.mark.parametrize(("no_proxy", "direct"), NO_PROXY)
def test_who_goes_without_a_proxy(no_proxy: str, direct: str) -> None:
    """As curl 8 reads NO_PROXY, and ports and brackets as other programs do."""
    proxies = {"https": "http://proxy:3128", "no": no_proxy}
    assert [name for name, host in HOSTS.items() if proxy_for(host, proxies) is None] == direct.split()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:5000", "http://localhost:5000", "http://[::1]:5000"])
def test_no_proxy_leads_to_this_machine(endpoint: str) -> None:
    """A sandbox works wherever a proxy is set."""
    assert proxy_for(endpoint, {"http": "http://proxy:3128"}) is None


@pytest.mark.parametrize("proxy", ["socks5://me:secret@proxy:1080", "http://", "http://me:secret@proxy:port"])
def test_a_proxy_that_cannot_be_used_is_refused(proxy: str) -> None:
    """Going round it would be worse; its password is not shown."""
    with pytest.raises(UsageError, match="proxy in the environment") as raised:
        proxy_for("https://registry.example.com", {"https": proxy})
    assert "secret" not in str(raised.value)


@pytest.mark.anyio
async def test_requests_go_through_the_proxy(bench: Any) -> None:
    """With the proxy's own password for the proxy, and the token for the registry."""

    async def play(connection: Any) -> None:
        await connection.request()
        await connection.send(bench.answer(body={"workspaces": []}))

    async with bench.playing(play) as wire:
        connection = Connection(proxies={"http": wire.endpoint.replace("//", "//me:pw@")}, insecure_http=True)
        async with bench.registry("http://registry.invalid", connection=connection) as registry:
            assert await registry.workspaces() == []
    assert wire.requests[0].path == "http://registry.invalid/v1/api/workspaces/list"
    assert wire.requests[0].headers["proxy-authorization"] == "Basic bWU6cHc="
    assert wire.requests[0].headers["authorization"] == f"Bearer {bench.token}"
    assert "pw" not in repr(connection)


@pytest.mark.anyio
@pytest.mark.parametrize(("status", "remedy"), [(407, "user and password into HTTPS_PROXY"), (403, "NO_PROXY")])
async def test_a_proxy_that_refuses_made_no_connection(bench: Any, status: int, remedy: str) -> None:
    """Nothing can have arrived: it may be sent again. The message says what the proxy wants."""
    async with bench.playing(lambda connection: refuse(connection, bench, status)) as wire:
        connection = Connection(proxies={"https": wire.endpoint})
        async with bench.registry("https://registry.invalid", connection=connection) as registry:
            with pytest.raises(CallFailed, match=f"the proxy refuses: {status}.*{remedy}") as raised:
                await registry.workspaces()
    assert raised.value.failure.kind is FailureKind.NO_CONNECTION
    assert wire.requests[0].method == "CONNECT"
    assert "authorization" not in wire.requests[0].headers


@pytest.mark.anyio
async def test_a_proxy_does_not_show_its_password(bench: Any) -> None:
    """One whose refusal says what it was sent."""

    async def show(connection: Any) -> None:
        credentials = (await connection.request()).headers["proxy-authorization"]
        await connection.send(f"HTTP/1.1 403 not with {credentials}, me:p%40ss or p@ss\r\n\r\n".encode())

    async with bench.playing(show) as wire:
        connection = Connection(proxies={"https": wire.endpoint.replace("//", "//me:p%40ss@")})
        async with bench.registry("https://registry.invalid", connection=connection) as registry:
            with pytest.raises(CallFailed, match="the proxy refuses: 403 not with Basic") as raised:
                await registry.workspaces()
    assert not any(words in str(raised.value) for words in ("p%40ss", "p@ss", "bWU6cEBzcw"))


@pytest.mark.anyio
async def test_a_proxy_that_is_not_there_is_named(bench: Any) -> None:
    """It is the proxy that is wrong, not the registry."""
    async with bench.playing(lambda connection: refuse(connection, bench, 407)) as wire:
        gone = wire.endpoint
    async with bench.registry("https://registry.invalid", connection=Connection(proxies={"all": gone})) as registry:
        with pytest.raises(CallFailed, match=r"no connection to the proxy 127\.0\.0\.1:\d+: .*HTTPS_PROXY"):
            await registry.workspaces()


async def refuse(connection: Any, bench: Any, status: int) -> None:
    """Answer as a proxy that lets nobody through."""
    await connection.request()
    await connection.send(bench.answer(status))

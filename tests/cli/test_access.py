"""Which of the ways in is taken: flag, variable, config file, the SDK's variables, a stored login, the SDK's cache."""

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from bulkload.cli.access import connection, credentials
from bulkload.cli.options import connection_options
from bulkload.core.model.errors import UsageError
from bulkload.core.model.settings import Credentials
from bulkload.registry.auth.login_store import Login, LoginStore

ENDPOINT = "https://r.example.com"
REALM = f"{ENDPOINT}/auth/realms/master"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without anything of this machine."""
    for name in os.environ:
        if name.upper().startswith(("BULKLOAD_", "WALLAROO_", "XDG_", "SSL_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def way_in(*words: str, config: dict[str, str] | None = None, **environment: str) -> tuple[Credentials, str]:
    """What a command with these flags, variables and config file would get in by."""
    found: list[tuple[Credentials, str]] = []

    @click.command()
    @connection_options
    def probe(**flags: Any) -> None:
        found.append(credentials(flags, ENDPOINT))

    result = CliRunner().invoke(probe, list(words), env=environment, default_map=config)
    if result.exception is not None:
        raise result.exception
    return found[0]


def store_login(home: Path, username: str = "me", endpoint: str = ENDPOINT) -> Path:
    """A login as `bulkload login` stores it."""
    path = home / ".local" / "state" / "bulkload" / "logins.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    LoginStore(path).put(
        Login(
            endpoint=endpoint, username=username, realm=f"{endpoint}/realms/x", client_id="its-client",
            access_token="a", refresh_token="r", received_at=time.time(), access_life=60.0, refresh_life=None,
        )
    )  # fmt: skip
    return path


def cache_token(home: Path, issuer: str = REALM) -> Path:
    """A token in the cache of the vendor's SDK."""
    path = home / ".cache" / "wallaroo_sdk" / "auth" / "keycloak.json"
    path.parent.mkdir(parents=True)
    claims = base64.urlsafe_b64encode(json.dumps({"iss": issuer}).encode()).rstrip(b"=").decode()
    path.write_text(json.dumps({"access_token": f"e30.{claims}.s", "expiry": time.time() + 60}))
    return path


def test_a_flag_is_stronger_than_a_variable_and_that_than_the_config_file():
    """Whichever of the ways they name."""
    config = {"token_command": "from-file"}
    assert way_in(config=config)[0].token_command == "from-file"
    found, source = way_in(config=config, BULKLOAD_TOKEN="from-variable")
    assert (found.token, found.token_command, source) == ("from-variable", None, "BULKLOAD_TOKEN")
    found, source = way_in("--token-file", "f", config=config, BULKLOAD_TOKEN="from-variable")
    assert (found.token_file, found.token, source) == (Path("f"), None, "--token-file")
    found, source = way_in("--username", "me", config=config, BULKLOAD_TOKEN="t", BULKLOAD_PASSWORD="p")
    assert (found.username, found.password, found.token, source) == ("me", "p", None, "the password of me")


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (("--token-file", "f", "--token-command", "c"), {}),
        (("--username", "me", "--token-file", "f"), {}),
        ((), {"BULKLOAD_TOKEN": "t", "BULKLOAD_USERNAME": "me"}),
        ((), {"BULKLOAD_TOKEN_FILE": "f", "BULKLOAD_TOKEN_COMMAND": "c"}),
        (("--username", "me"), {"BULKLOAD_PASSWORD": "p", "BULKLOAD_PASSWORD_FILE": "f"}),
    ],
)
def test_two_ways_at_once_are_a_mistake(words, environment):
    """Of one source: nobody can know which was meant."""
    with pytest.raises(UsageError, match="give one of them"):
        way_in(*words, **environment)


def test_a_user_has_a_password_or_a_login(home):
    """The password of a variable or a file; without one, what `bulkload login` stored for this user."""
    assert way_in("--username", "me", BULKLOAD_PASSWORD="p")[0].password == "p"
    found, _ = way_in("--username", "me", "--password-file", "f", BULKLOAD_PASSWORD="p")
    assert (found.password, found.password_file) == (None, Path("f"))
    with pytest.raises(UsageError, match=r"no password for me, .*BULKLOAD_PASSWORD.*--password-file.*bulkload login"):
        way_in("--username", "me")
    path = store_login(home)
    found, source = way_in(BULKLOAD_USERNAME="me")
    assert (found.logins, found.username, source) == (path, "me", "the login of me")
    assert (found.client_id, found.auth_url) == ("its-client", f"{ENDPOINT}/realms/x")


def test_the_client_goes_with_every_way():
    """Its secret stands in a variable or a file, never in a flag."""
    found, _ = way_in(
        "--username", "me", "--client-id", "api-client", "--auth-url", "https://kc.example.com",
        BULKLOAD_PASSWORD="p", BULKLOAD_CLIENT_SECRET="s",
    )  # fmt: skip
    assert (found.client_id, found.client_secret, found.auth_url) == ("api-client", "s", "https://kc.example.com")
    assert way_in(BULKLOAD_TOKEN="t")[0].client_id == "sdk-client"


def test_the_sdks_variables(home):
    """WALLAROO_USER is stronger than the file; both forms of the file are read."""
    found, source = way_in(WALLAROO_USER="u", WALLAROO_PASSWORD="p")
    assert (found.username, found.password, source) == ("u", "p", "the SDK's WALLAROO_ variables")
    file = home / "credentials.json"
    file.write_text('{"username": "in-file", "password": "q"}')
    found, _ = way_in(WALLAROO_SDK_CREDENTIALS=str(file))
    assert (found.username, found.password) == ("in-file", "q")
    found, _ = way_in(WALLAROO_SDK_CREDENTIALS=str(file), WALLAROO_USER="u", WALLAROO_PASSWORD="p")
    assert (found.username, found.password) == ("u", "p")
    file.write_text('{"token": "t", "user_email": "e", "user_id": "i"}')
    found, source = way_in(WALLAROO_SDK_CREDENTIALS=str(file))
    assert (found.token, source) == ("t", "WALLAROO_SDK_CREDENTIALS")
    assert way_in(WALLAROO_SDK_CREDENTIALS=str(file), BULKLOAD_TOKEN="mine")[0].token == "mine"


def test_the_sdks_password_is_for_its_own_registry(home):
    """Not for another one that a flag names."""
    variables: dict[str, Any] = {"WALLAROO_USER": "u", "WALLAROO_PASSWORD": "p"}
    assert way_in(WALLAROO_URL=f"{ENDPOINT}/", **variables)[0].username == "u"
    with pytest.raises(UsageError, match="no token"):
        way_in(WALLAROO_URL="https://elsewhere.example.com", **variables)


@pytest.mark.parametrize("content", [None, "junk", "[]", '{"username": "u"}', '{"token": 1}'])
def test_a_credentials_file_that_holds_none_is_named(home, content):
    """And nothing of what it holds."""
    file = home / "credentials.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=r"WALLAROO_SDK_CREDENTIALS: .*credentials\.json"):
        way_in(WALLAROO_SDK_CREDENTIALS=str(file))


def test_a_stored_login_comes_after_the_variables_and_before_the_sdks_cache(home):
    """The cache only where its token was given out by this registry's Keycloak: it is one file for all hosts."""
    with pytest.raises(UsageError, match=r"no token for https://r\.example\.com; run `bulkload login`"):
        way_in()
    cache = cache_token(home, issuer="https://elsewhere.example.com/auth/realms/master")
    with pytest.raises(UsageError, match="no token"):
        way_in()
    cache.unlink()
    cache.parent.rmdir()
    cache = cache_token(home)
    assert way_in() == (Credentials(sdk_cache=cache), "the token cache of the SDK")
    store_login(home, endpoint="https://elsewhere.example.com")
    assert way_in()[0].sdk_cache == cache
    store_login(home)
    assert way_in()[1] == "the login of me"
    store_login(home, username="you")
    with pytest.raises(UsageError, match="say which with --username"):
        way_in()
    assert way_in("--username", "you")[1] == "the login of you"
    assert way_in(WALLAROO_USER="u", WALLAROO_PASSWORD="p")[0].username == "u"


def test_the_state_folder_may_be_elsewhere(home):
    """XDG_STATE_HOME; a relative one is ignored, as its specification says."""
    moved = home / "elsewhere" / "bulkload"
    path = store_login(home)
    moved.mkdir(parents=True)
    assert way_in(XDG_STATE_HOME="elsewhere")[0].logins == path
    path.rename(moved / "logins.json")
    assert way_in(XDG_STATE_HOME=str(home / "elsewhere"))[0].logins == moved / "logins.json"


def test_the_connection_has_its_flags_and_the_proxies_of_the_environment(monkeypatch):
    """Read here, and nowhere below."""
    found: list[Any] = []

    @click.command()
    @connection_options
    def probe(**flags: Any) -> None:
        found.append(connection(flags))

    environment = {"SSL_CERT_FILE": "ca.pem", "BULKLOAD_CLIENT_CERT": "me.pem", "HTTPS_PROXY": "http://p:1"}
    CliRunner().invoke(probe, ["--client-key", "key.pem"], env=environment)
    assert (found[0].ca_file, found[0].client_cert, found[0].client_key) == (
        Path("ca.pem"), Path("me.pem"), Path("key.pem"),
    )  # fmt: skip
    assert found[0].proxies == {"https": "http://p:1"}

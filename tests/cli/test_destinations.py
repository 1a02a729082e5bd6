"""Where credentials go: where the user says, and nobody else; and to other machines not without encryption."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bulkload.cli import cli
from bulkload.ledger.sqlite.writes import Store
from bulkload.registry.auth.login_store import Login, LoginStore

THEIRS = "https://theirs.example.com"
COMMANDS = {
    "run": ["run", "models.csv"],
    "plan": ["plan", "models.csv"],
    "wait": ["wait", "ledger.db"],
    "verify": ["verify", "ledger.db"],
    "models": ["models", "list"],
    "workspaces": ["workspaces", "create", "fraud"],
    "whoami": ["whoami"],
    "login": ["login"],
}
SECRETS = {
    "token": {"BULKLOAD_TOKEN": "t"},
    "token file": {"BULKLOAD_TOKEN_FILE": "token"},
    "token command": {"BULKLOAD_TOKEN_COMMAND": "touch was-run; echo t"},
    "password": {"BULKLOAD_USERNAME": "me", "BULKLOAD_PASSWORD": "p"},
    "the SDK's variables": {"WALLAROO_USER": "me", "WALLAROO_PASSWORD": "p"},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a ledger that says where it was published to, and no settings of this machine."""
    for name in os.environ:
        if name.upper().startswith(("BULKLOAD_", "WALLAROO_", "XDG_", "SSL_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    ledger = Store(tmp_path / "ledger.db")
    ledger.claim_for(THEIRS, endpoint=THEIRS, manifest="models.csv")
    ledger.close()
    return tmp_path


def command(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, list(words), env=environment)


def log_in(folder: Path, endpoint: str, username: str = "me") -> Path:
    path = folder / "home" / ".local" / "state" / "bulkload" / "logins.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    LoginStore(path).put(
        Login(
            endpoint=endpoint, username=username, realm=f"{endpoint}/realms/x", client_id="its-client",
            access_token="a", refresh_token="r", received_at=time.time(), access_life=600.0, refresh_life=None,
        )
    )  # fmt: skip
    return path


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("name", ["wait", "verify"])
def test_a_ledger_does_not_choose_who_gets_a_secret(name, secret, folder):
    """It names the address that it knows, for the user to confirm."""
    (folder / "token").write_text("t")
    result = command(*COMMANDS[name], **SECRETS[secret])
    assert type(result.exception).__name__ == "UsageError"
    assert f"this ledger was published to {THEIRS}" in str(result.exception)
    assert "--endpoint" in str(result.exception)
    assert not (folder / "was-run").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_has_an_address_that_nobody_gave(name):
    result = command(*COMMANDS[name], BULKLOAD_TOKEN="t")
    assert "no registry" in str(result.exception)


@pytest.mark.parametrize("name", ["wait", "verify"])
def test_of_the_users_logins_a_ledger_may_choose_its_own(name, folder, access_of):
    """It goes where it was made; with another secret at hand, the user has to say."""
    log_in(folder, "https://mine.example.com")
    assert "no registry" in str(command(*COMMANDS[name]).exception)
    path = log_in(folder, THEIRS)
    found = access_of(THEIRS)
    assert (found.endpoint, found.credentials.logins, found.credentials.username) == (THEIRS, path, "me")
    assert (found.credentials.token, found.credentials.password) == (None, None)
    found = access_of(THEIRS, WALLAROO_USER="u", WALLAROO_PASSWORD="p")
    assert (found.credentials.username, found.credentials.password) == ("me", None)
    assert "no registry" in str(command(*COMMANDS[name], BULKLOAD_TOKEN="t").exception)


@pytest.fixture
def access_of() -> Any:
    """What a command that reads a ledger would get in by."""
    import click

    from bulkload.cli.access import registry_access
    from bulkload.cli.options import connection_options

    def found(published_to: str, *words: str, **environment: str) -> Any:
        seen: list[Any] = []

        @click.command()
        @connection_options
        def probe(**flags: Any) -> None:
            with registry_access(flags, sandbox=None, published_to=published_to) as access:
                seen.append(access)

        CliRunner().invoke(probe, list(words), env=environment, catch_exceptions=False)
        return seen[0]

    return found


def test_the_users_word_is_stronger_than_the_ledgers(access_of, folder):
    """Whichever way it was said."""
    log_in(folder, THEIRS)
    mine = "https://mine.example.com"
    assert access_of(THEIRS, "--endpoint", mine, BULKLOAD_TOKEN="t").endpoint == mine
    assert access_of(THEIRS, BULKLOAD_ENDPOINT=mine, BULKLOAD_TOKEN="t").endpoint == mine
    assert access_of(THEIRS, WALLAROO_URL=mine, BULKLOAD_TOKEN="t").endpoint == mine


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "address", ["http://registry.example.com", "http://10.0.0.1:8080", "http://localhost.evil.com"]
)
def test_no_secret_goes_to_another_machine_in_clear(name, address):
    """Nothing is asked before that is said."""
    result = command(*COMMANDS[name], "--endpoint", address, BULKLOAD_TOKEN="t")
    assert type(result.exception).__name__ == "UsageError"
    assert f"{address}: tokens and passwords would go there without encryption" in str(result.exception)
    assert "--insecure-http" in str(result.exception)


@pytest.mark.parametrize("name", COMMANDS)
def test_nor_to_a_keycloak(name):
    for endpoint in ("https://registry.example.com", "http://127.0.0.1:9"):
        words = ["--endpoint", endpoint, "--auth-url", "http://keycloak.example.com"]
        result = command(*COMMANDS[name], *words, BULKLOAD_USERNAME="me", BULKLOAD_PASSWORD="p")
        assert str(result.exception).startswith("http://keycloak.example.com")
        assert "tokens and passwords would go there without encryption" in str(result.exception)


def test_unless_the_user_says_so(access_of):
    """By a flag or a variable; loopback addresses need neither."""
    words = ("--endpoint", "http://registry.example.com")
    assert access_of(THEIRS, *words, "--insecure-http", BULKLOAD_TOKEN="t").connection.insecure_http
    assert access_of(THEIRS, *words, BULKLOAD_INSECURE_HTTP="1", BULKLOAD_TOKEN="t").connection.insecure_http
    for address in ("http://127.0.0.1:1", "http://127.8.9.1", "http://[::1]:1", "http://localhost:1"):
        assert access_of(THEIRS, "--endpoint", address, BULKLOAD_TOKEN="t").endpoint == address

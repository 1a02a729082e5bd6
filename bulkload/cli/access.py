"""Which registry a command talks to, and how it gets in: flags and variables, or a private sandbox.

The one place that knows the order of the ways in; docs/registry.md tells it to people.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import click
import msgspec
from click.core import ParameterSource

from bulkload.cli.folders import sdk_cache_folder, state_folder
from bulkload.cli.options import REGISTRY_FOLDER
from bulkload.core.model.errors import UsageError
from bulkload.core.model.settings import PUBLIC_CLIENT, Connection, Credentials
from bulkload.report.sink import tell

# Flags that make no sense with a private sandbox.
_OF_A_REAL_REGISTRY = (
    "endpoint", "token_file", "token_command", "username", "password_file", "client_id", "client_secret_file",
    "auth_url", "ca_file", "client_cert", "client_key",
)  # fmt: skip
# Below the user's state folder.
LOGINS_FILE = "logins.json"
# Of one source, one of these.
_WAYS = {
    "token": "BULKLOAD_TOKEN",
    "token_file": "--token-file",
    "token_command": "--token-command",
    "username": "--username",
}
_SOURCES = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)


@dataclass(frozen=True, slots=True)
class Access:
    """A registry and the way in."""

    endpoint: str
    credentials: Credentials
    connection: Connection
    # Where the credentials come from, for people: "BULKLOAD_TOKEN".
    source: str


@contextmanager
def registry_access(
    flags: dict[str, Any], *, sandbox: Path | None, published_to: str | None = None
) -> Iterator[Access]:
    """A registry and the way in, for as long as the block.

    ``sandbox``: the folder of a private sandbox that is to be used instead of a real registry; ``published_to``: where
    a ledger says that it was published to. Raises ``UsageError`` where something is missing.
    """
    if sandbox is not None:
        from bulkload.cli.sandboxes import private_sandbox

        with private_sandbox(sandbox / REGISTRY_FOLDER) as private:
            yield Access(private.endpoint, Credentials(token=private.token), Connection(), "the private sandbox")
        return
    if flags["endpoint"] is None and published_to is not None:
        found = _login_of_ledger(flags, published_to)
    else:
        endpoint = registry_endpoint(flags)
        held, source = credentials(flags, endpoint)
        found = Access(endpoint, held, connection(flags), source)
    _refuse_clear_text(found)
    yield found


def client_access(flags: dict[str, Any]) -> Access:
    """A registry and the client that logs in there, without a user. Raises ``UsageError``."""
    found = Access(registry_endpoint(flags), client(flags), connection(flags), "the client")
    _refuse_clear_text(found)
    return found


def registry_endpoint(flags: dict[str, Any]) -> str:
    """The registry's address, normalised: what the user says, and nobody else, for it gets the credentials.

    Raises ``UsageError``.
    """
    from bulkload.registry.endpoint import normalised_endpoint

    if flags["endpoint"] is None:
        if "sandbox" in flags:
            trial = ", or try it with --sandbox"
        elif "sandbox_of" in flags:
            trial = ", or --sandbox MANIFEST for the private sandbox of a manifest"
        else:
            trial = "; `bulkload sandbox` serves one to try"
        raise UsageError(f"no registry; give --endpoint URL (or BULKLOAD_ENDPOINT){trial}")
    return normalised_endpoint(flags["endpoint"])


def _login_of_ledger(flags: dict[str, Any], published_to: str) -> Access:
    """A ledger is a file, which others may have written: it chooses at the most among the logins of the user.

    A login goes where it was made. No other secret goes where the user did not say. Raises ``UsageError``.
    """
    base = client(flags)
    stored = None
    if not any(_source_of(way) is not None for way in _WAYS if way != "username"):
        stored = _stored(base, published_to, flags["username"])
    if stored is None:
        shown = published_to if published_to.isprintable() else "an address that cannot be shown"
        raise UsageError(
            f"no registry; this ledger was published to {shown}: if that is your registry, give it as --endpoint"
            " (or BULKLOAD_ENDPOINT); if it was a private sandbox, add --sandbox. A ledger does not choose who gets"
            " your token"
        )
    return Access(published_to, stored[0], connection(flags), stored[1])


def _refuse_clear_text(access: Access) -> None:
    """Early, and before anything is asked; each request does so, too. Raises ``UsageError``."""
    from bulkload.registry.endpoint import realm_address, refuse_clear_text

    insecure_http = access.connection.insecure_http
    refuse_clear_text(access.endpoint, insecure_http=insecure_http)
    realm = realm_address(access.endpoint, access.credentials.auth_url, insecure_http=insecure_http)
    refuse_clear_text(realm, insecure_http=insecure_http)


def connection(flags: dict[str, Any]) -> Connection:
    """How the registry's host is reached."""
    warn_of_exposed(flags["client_key"])
    return Connection(
        ca_file=flags["ca_file"],
        client_cert=flags["client_cert"],
        client_key=flags["client_key"],
        proxies=getproxies(),
        insecure_http=flags["insecure_http"],
    )


def credentials(flags: dict[str, Any], endpoint: str) -> tuple[Credentials, str]:
    """The way in, and what it was taken from.

    The first that is there: a flag, a variable, the config file (of each one way); the variables of the vendor's SDK;
    the stored login of `bulkload login`; the SDK's token cache. Raises ``UsageError`` where there is none, or two.
    """
    from bulkload.registry.auth.tokens import HOW_TO_GET_IN

    base = client(flags)
    for source in _SOURCES:
        given = [way for way in _WAYS if _source_of(way) is source]
        if len(given) > 1:
            raise UsageError(f"{_WAYS[given[0]]} and {_WAYS[given[1]]}: give one of them")
        if given:
            return _given(given[0], flags, base, endpoint)
    found = (
        _of_vendor_variables(os.environ, base, endpoint)
        or _stored(base, endpoint, None)
        or _of_vendor_cache(base, endpoint)
    )
    if found is None:
        raise UsageError(f"no token for {endpoint}; {HOW_TO_GET_IN}")
    return found


def client(flags: dict[str, Any]) -> Credentials:
    """Keycloak's address and the client that logs in there, without a user."""
    warn_of_exposed(flags["client_secret_file"])
    return Credentials(
        client_id=flags["client_id"] or PUBLIC_CLIENT,
        client_secret=_secret("BULKLOAD_CLIENT_SECRET", "client_secret_file", flags),
        client_secret_file=flags["client_secret_file"],
        auth_url=flags["auth_url"],
    )


def warn_of_exposed(path: Path | None) -> None:
    """Say once of a file with a secret who else may read or change it."""
    from bulkload.system.secrets import exposed_to

    told = click.get_current_context().find_root().meta.setdefault("bulkload.exposed", set())
    who = exposed_to(path) if path is not None and path not in told else None
    if who is not None:
        told.add(path)
        tell(f"bulkload: warning: {path} holds a secret, and {who}; `chmod 600` mends it")


def is_renewable(held: Credentials) -> bool:
    """Whether another token comes when one runs out."""
    return held.token is None and held.sdk_cache is None


def logins_path() -> Path:
    """Where `bulkload login` keeps tokens. Raises ``UsageError`` for a user without a home."""
    folder = state_folder()
    if folder is None:
        raise UsageError("there is no home folder to keep a login in; set HOME, or XDG_STATE_HOME, to a folder")
    return folder / LOGINS_FILE


def refuse_registry_with_sandbox(ctx: click.Context) -> None:
    """``--sandbox`` and flags of a real registry contradict each other; variables are simply not needed."""
    for name in _OF_A_REAL_REGISTRY:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"--sandbox and --{name.replace('_', '-')}: give one of them")


def _source_of(name: str) -> ParameterSource | None:
    """Where a value was given; None where it was not."""
    if name == "token":
        return ParameterSource.ENVIRONMENT if os.environ.get("BULKLOAD_TOKEN") else None
    ctx = click.get_current_context()
    return ctx.get_parameter_source(name) if ctx.params.get(name) is not None else None


def _given(way: str, flags: dict[str, Any], base: Credentials, endpoint: str) -> tuple[Credentials, str]:
    if way == "token":
        return replace(base, token=os.environ["BULKLOAD_TOKEN"]), "BULKLOAD_TOKEN"
    if way != "username":
        warn_of_exposed(flags.get(way) if way == "token_file" else None)
        return replace(base, **{way: flags[way]}), _WAYS[way]
    username = flags["username"]
    password = _secret("BULKLOAD_PASSWORD", "password_file", flags)
    if password is not None or flags["password_file"] is not None:
        warn_of_exposed(flags["password_file"])
        found = replace(base, username=username, password=password, password_file=flags["password_file"])
        return found, f"the password of {username}"
    stored = _stored(base, endpoint, username)
    if stored is None:
        raise UsageError(
            f"no password for {username}, who is not logged in to {endpoint} either; set BULKLOAD_PASSWORD, give"
            " --password-file, or run `bulkload login`"
        )
    return stored


def _secret(variable: str, file_flag: str, flags: dict[str, Any]) -> str | None:
    """A secret out of the environment, unless a file was named. Raises ``UsageError`` where both are in it."""
    from bulkload.system.secrets import secret_line

    secret = secret_line(os.environ.get(variable, ""))
    if not secret or flags[file_flag] is None:
        return secret or None
    if _source_of(file_flag) is ParameterSource.COMMANDLINE:
        return None
    raise UsageError(f"{variable} and --{file_flag.replace('_', '-')}: give one of them")


def _stored(base: Credentials, endpoint: str, username: str | None) -> tuple[Credentials, str] | None:
    """The login that `bulkload login` stored for this registry, and this user where one is named."""
    from bulkload.registry.auth.login_store import LoginStore

    folder = state_folder()
    path = folder / LOGINS_FILE if folder is not None else None
    login = None if path is None else LoginStore(path).find(endpoint, username)
    if login is None:
        return None
    found = replace(base, username=login.username, logins=path, client_id=login.client_id, auth_url=login.realm)
    return found, f"the login of {login.username}"


def _of_vendor_variables(
    environment: Mapping[str, str], base: Credentials, endpoint: str
) -> tuple[Credentials, str] | None:
    """The variables of the vendor's SDK, unless they belong to another registry."""
    from bulkload.registry.endpoint import normalised_endpoint
    from bulkload.system.secrets import secret_line

    url = environment.get("WALLAROO_URL")
    if url and normalised_endpoint(url) != endpoint:
        return None
    file = environment.get("WALLAROO_SDK_CREDENTIALS")
    held = _vendor_file(Path(file)) if file else {}
    username = secret_line(environment.get("WALLAROO_USER", "")) or held.get("username")
    password = secret_line(environment.get("WALLAROO_PASSWORD", "")) or held.get("password")
    if username and password:
        return replace(base, username=username, password=password), "the SDK's WALLAROO_ variables"
    if held.get("token"):
        return replace(base, token=held["token"]), "WALLAROO_SDK_CREDENTIALS"
    return None


def _vendor_file(path: Path) -> dict[str, str]:
    """Both forms: ``{"username", "password"}`` and ``{"token", "user_email", "user_id"}``."""
    from bulkload.system.secrets import read_secret_file

    warn_of_exposed(path)
    try:
        held = msgspec.json.decode(read_secret_file(path, "the SDK's way in"), type=dict[str, Any])
    except UsageError as error:
        raise UsageError(f"WALLAROO_SDK_CREDENTIALS: {error}") from None
    except msgspec.MsgspecError:
        held = {}
    found = {key: value for key, value in held.items() if isinstance(value, str)}
    if not found.keys() >= {"username", "password"} and "token" not in found:
        raise UsageError(f"WALLAROO_SDK_CREDENTIALS: {path} holds neither a token nor username and password")
    return found


def _of_vendor_cache(base: Credentials, endpoint: str) -> tuple[Credentials, str] | None:
    """The token cache of the vendor's SDK, one for all hosts: only where its token was given out by this one."""
    import time

    from bulkload.core.model.errors import NotAuthorised
    from bulkload.core.tokens import claims_of
    from bulkload.registry.auth.login_store import sdk_cached_token
    from bulkload.registry.endpoint import realm_address

    folder = sdk_cache_folder()
    if folder is None:
        return None
    path = folder / "auth" / "keycloak.json"
    try:
        word, _ = sdk_cached_token(path, time.time())
    except NotAuthorised:
        return None
    if claims_of(word).get("iss") != realm_address(endpoint, base.auth_url, insecure_http=True):
        return None
    return replace(base, sdk_cache=path), "the token cache of the SDK"

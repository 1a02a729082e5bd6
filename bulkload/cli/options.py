"""Flags that several commands share. Every flag is also BULKLOAD_<FLAG> and a key of bulkload.toml."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bulkload.cli.flags import F
from bulkload.cli.flags import option as option  # noqa: PLC0414 - commands take it from here
from bulkload.core.model.errors import UsageError
from bulkload.core.model.units import parse_duration


def parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A callback that turns a flag's words into a value, and a bad word into a usage error."""

    def callback(_: click.Context, parameter: click.Parameter, words: str | None) -> Any:
        if words is None:
            return None
        try:
            return parse(words)
        except (UsageError, ValueError) as error:
            raise click.BadParameter(str(error), param=parameter) from None

    return callback


_FILE = click.Path(dir_okay=False, path_type=Path)

_ADDRESS_OPTIONS = (
    option(
        "--endpoint",
        also=("WALLAROO_URL",),
        metavar="URL",
        personal=True,
        help="The registry, such as https://registry.example.com.",
    ),
    option("--auth-url", metavar="URL", personal=True, help="Keycloak, where it is not on the registry's own host."),
    option("--client-id", metavar="NAME", personal=True, help="The client to log in by [default: sdk-client]."),
    option(
        "--client-secret-file",
        type=_FILE,
        help="Its secret, where it has one; BULKLOAD_CLIENT_SECRET is the secret itself.",
    ),
    option("--ca-file", type=_FILE, also=("SSL_CERT_FILE",), help="Certificates to trust in place of the system's."),
    option("--client-cert", type=_FILE, help="This side's own certificate, PEM."),
    option("--client-key", type=_FILE, help="Its key, where that is another file."),
    option(
        "--insecure-http",
        is_flag=True,
        personal=True,
        help="Let tokens and passwords go to another machine over http://.",
    ),
)

_TOKEN_OPTIONS = (
    option("--token-file", type=_FILE, help="A file that holds the bearer token."),
    option(
        "--token-command",
        metavar="COMMAND",
        personal=True,
        help="A command that prints the token; run again when it runs out.",
    ),
    option(
        "--username", metavar="NAME", personal=True, help="A user, with a password or logged in by `bulkload login`."
    ),
    option("--password-file", type=_FILE, help="The user's password; BULKLOAD_PASSWORD is the password itself."),
)


def connection_options(command: F) -> F:
    """Where the registry is and how to get in."""
    for decorator in reversed((_ADDRESS_OPTIONS[0], *_TOKEN_OPTIONS, *_ADDRESS_OPTIONS[1:])):
        command = decorator(command)
    return command


def address_options(command: F) -> F:
    """Where the registry is and how to reach it, for commands that need no token."""
    for decorator in reversed(_ADDRESS_OPTIONS):
        command = decorator(command)
    return command


def _interval(words: str) -> float:
    seconds = parse_duration(words)
    if seconds <= 0:
        raise UsageError(f"{words!r}: must be above zero, such as 30s")
    return seconds


progress_interval_option = option(
    "--progress-interval",
    callback=parsed(_interval),
    default="30s",
    metavar="TIME",
    help="From one line of progress to the next, where no terminal renews them.",
)
_PROGRESS_OPTIONS = (
    option(
        "--progress",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        help="Show how it is getting on, on standard error; auto: unless -q; always: also with -q.",
    ),
    progress_interval_option,
)


def output_options(command: F) -> F:
    """How much is said."""
    decorators = (
        option("--json", "as_json", is_flag=True, help="The summary as one JSON object on standard output."),
        option(
            "--summary-file",
            type=_FILE,
            metavar="PATH",
            help="Write the summary object to this file, whole or not at all, also when the run fails early.",
        ),
        option("--quiet", "-q", is_flag=True, help="Print nothing when all is well, and what failed when not."),
        option("--verbose", "-v", is_flag=True, help="Log what happens, one event a line, to standard error."),
        *_PROGRESS_OPTIONS,
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def program() -> str:
    """How this program can be called from here: ``bulkload`` where it is on the path, else where it lies."""
    called = Path(sys.argv[0])
    if shutil.which("bulkload") is not None or called.name != "bulkload":
        return "bulkload"
    below = os.path.relpath(called)
    # A way up through folders is long, and true in one folder only.
    return os.path.abspath(called) if below.startswith("..") else below  # noqa: PTH100 - links stay as they are


# What a private sandbox's folder holds: the ledger, and the registry's own data.
SANDBOX_LEDGER = "ledger.db"
REGISTRY_FOLDER = "registry"


def default_ledger(manifest: str) -> Path:
    """``quickstart.csv.ledger.db`` beside ``quickstart.csv``."""
    return _beside(manifest, ".ledger.db")


def sandbox_folder(manifest: str) -> Path:
    """``quickstart.csv.sandbox/`` beside ``quickstart.csv``."""
    return _beside(manifest, ".sandbox")


# File systems take 255 bytes a name; what SQLite, the lock and a replacement put after a ledger's name fits beside it.
_LONGEST_STEM_BYTES = 220
_CUT_STEM_BYTES = 180


def _beside(manifest: str, ending: str) -> Path:
    """The manifest's name with an ending.

    Of a name that is too long for one, its beginning and its digest: exactly a byte more than any other may have, so
    that no two manifests get the same.
    """
    folder, name = os.path.split(manifest)
    stem = os.fsencode(name)
    if len(stem) > _LONGEST_STEM_BYTES:
        beginning = stem[:_CUT_STEM_BYTES].decode("utf-8", "ignore").encode()
        digest = hashlib.sha256(stem).hexdigest()
        stem = b"%b-%b" % (beginning, digest[: _LONGEST_STEM_BYTES - len(beginning)].encode())
    return Path(folder, os.fsdecode(stem) + ending)

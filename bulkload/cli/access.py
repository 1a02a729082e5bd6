"""Which registry a command talks to, and how it gets in: flags and variables, or a private sandbox."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bulkload.cli.options import REGISTRY_FOLDER
from bulkload.core.errors import UsageError
from bulkload.core.settings import Credentials

_OF_A_REAL_REGISTRY = ("endpoint", "token_file", "token_command")


@contextmanager
def registry_access(
    flags: dict[str, Any], *, sandbox: Path | None, endpoint: str | None = None
) -> Iterator[tuple[str, Credentials]]:
    """Endpoint and credentials, for as long as the block.

    ``sandbox``: the folder of a private sandbox that is to be used instead of a real registry; ``endpoint``: where the
    ledger was published to, when no flag says otherwise. Raises ``UsageError`` where something is missing.
    """
    if sandbox is not None:
        from bulkload.cli.sandboxes import private_sandbox

        with private_sandbox(sandbox / REGISTRY_FOLDER) as private:
            yield private.endpoint, Credentials(token=private.token)
        return
    endpoint = flags["endpoint"] or endpoint
    if endpoint is None:
        raise UsageError("no registry; give --endpoint URL (or BULKLOAD_ENDPOINT), or try it with --sandbox")
    yield endpoint, credentials(flags["token_file"], flags["token_command"])


def credentials(token_file: Path | None, token_command: str | None) -> Credentials:
    """Where the token comes from. Raises ``UsageError`` when that is said twice, or not at all."""
    if token_file is not None and token_command is not None:
        raise UsageError("--token-file and --token-command: give one of them")
    if token_file is not None or token_command is not None:
        return Credentials(token_file=token_file, token_command=token_command)
    token = os.environ.get("BULKLOAD_TOKEN")
    if not token:
        raise UsageError("no token; set BULKLOAD_TOKEN, or give --token-file or --token-command")
    return Credentials(token=token)


def refuse_registry_with_sandbox(ctx: click.Context) -> None:
    """``--sandbox`` and flags of a real registry contradict each other; variables are simply not needed."""
    for name in _OF_A_REAL_REGISTRY:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"--sandbox and --{name.replace('_', '-')}: give one of them")

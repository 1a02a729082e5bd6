"""What is known about a command beside its flags: how its errors are told, and the signals of its process."""

from dataclasses import dataclass
from typing import Any

import click

from bulkload.system.signals import Signals


@dataclass(slots=True)
class Telling:
    """Asked also after the command has ended."""

    # What the process is told by signals.
    signals: Signals
    # Each problem of a manifest, in place of a line a kind.
    all_problems: bool = False
    # Words are for failures only.
    quiet: bool = False
    # The command line without its command, once it is understood so far.
    root: click.Context | None = None


def _remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    telling = ctx.find_object(Telling)
    if telling is not None:
        telling.all_problems = value


def problems_option(command: Any) -> Any:
    """``--all-problems``, for commands that read a manifest."""
    from bulkload.cli.options import option

    return option(
        "--all-problems",
        is_flag=True,
        expose_value=False,
        callback=_remember,
        help="Show each problem of the manifest, not one line a kind.",
    )(command)

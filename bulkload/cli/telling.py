"""How errors are told: what a command's flags say about it, for whoever prints them when the command is over."""

from dataclasses import dataclass
from typing import Any

import click


@dataclass(slots=True)
class Telling:
    """Flags that are asked after the command has ended."""

    # Each problem of a manifest, in place of a line a kind.
    all_problems: bool = False


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

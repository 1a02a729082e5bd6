"""What is known about a command beside its flags: how its errors are told, and the signals of its process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from bulkload.system.signals import Signals


@dataclass(frozen=True, slots=True)
class Manner:
    """How a command says how it is getting on."""

    quiet: bool = False
    verbose: bool = False
    # "auto": unless it is to be quiet; "always": then, too; "never".
    progress: str = "auto"
    # From one plain line to the next, in seconds.
    interval: float = 30.0

    @property
    def shows_progress(self) -> bool:
        """Whether it is shown how far it came."""
        return self.progress == "always" or (self.progress == "auto" and not self.quiet)


USUAL = Manner()


def manner_of(flags: Mapping[str, Any]) -> Manner:
    """By the flags of ``output_options``."""
    return Manner(flags["quiet"], flags["verbose"], flags["progress"], flags["progress_interval"])


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

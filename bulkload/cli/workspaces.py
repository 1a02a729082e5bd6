"""``bulkload workspaces``: list and create; and what all commands that look into a registry share."""

import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bulkload.cli.access import refuse_registry_with_sandbox, registry_access
from bulkload.cli.ledgers import is_sandbox
from bulkload.cli.options import connection_options, option, parsed, program, sandbox_folder
from bulkload.core.model.errors import UsageError
from bulkload.report.sink import give_json, say, standard_output, tell

if TYPE_CHECKING:
    from bulkload.engine.inspect.catalog import Browser

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def registry_options(function: F) -> F:
    """Which registry is looked into, and the form of what is found."""
    json_option = option("--json", "as_json", is_flag=True, help="JSON: one object a line.")
    # BULKLOAD_SANDBOX, and the key `sandbox`, are a switch of run.
    sandbox_option = option(
        "--sandbox-of",
        "--sandbox",
        "sandbox_of",
        metavar="MANIFEST",
        personal=True,
        no_key="sandbox",
        help="Look into the private sandbox of `run MANIFEST --sandbox`, or of the demo.",
    )
    return connection_options(sandbox_option(json_option(function)))


class RegistryGroup(click.Group):
    """Commands that look into a registry, in the order in which they are written."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """By what one asks first, not by the alphabet."""
        return list(self.commands)


def browse(ctx: click.Context, flags: dict[str, Any], work: "Callable[[Browser], Awaitable[T]]") -> T:
    """Let ``work`` look into the registry that the flags name."""
    from bulkload.cli.running import attended_loop
    from bulkload.cli.telling import Manner
    from bulkload.core.model.events import OnEvent
    from bulkload.engine.inspect.catalog import Browser
    from bulkload.engine.stop import Stop
    from bulkload.registry import Registry

    sandbox = _sandbox_folder(ctx, flags["sandbox_of"])
    with registry_access(flags, sandbox=sandbox) as access:

        async def look(on_event: OnEvent, stop: Stop) -> T:
            async def asked() -> T:
                async with Registry(access.endpoint, access.credentials, access.connection) as registry:
                    return await work(Browser(registry, on_event))

            return await stop.or_end(asked())

        # Lines that stream to a terminal are progress enough, and would mingle with its own.
        return attended_loop(look, manner=Manner(quiet=flags["as_json"] and standard_output().isatty()))


def _sandbox_folder(ctx: click.Context, manifest: str | None) -> Path | None:
    """The folder of the private sandbox to look into. Looking makes none."""
    if manifest is None:
        return None
    refuse_registry_with_sandbox(ctx)
    folder = sandbox_folder(manifest)
    if not is_sandbox(folder):
        named = shlex.quote(manifest)
        raise UsageError(f"{manifest} has no sandbox; `{program()} run {named} --sandbox` makes one")
    return folder


@click.group(cls=RegistryGroup, short_help="Workspaces of a registry: list, create.")
def command() -> None:
    """The workspaces of a registry."""


@command.command("list", short_help="The workspaces that this account sees.")
@registry_options
@click.pass_context
def list_workspaces(ctx: click.Context, /, **flags: Any) -> None:
    """List the workspaces that this account sees, without archived ones.

    --json: one object a line: workspace_id, name.
    """
    from bulkload.report import models as report

    found = browse(ctx, flags, lambda browser: browser.workspaces())
    if not found:
        tell("this account sees no workspace; `bulkload workspaces create NAME` makes one")
    elif flags["as_json"]:
        for workspace in found:
            give_json(report.workspace_object(workspace))
    else:
        report.print_workspaces(found, standard_output())


def _new_name(words: str) -> str:
    if not words.strip():
        raise UsageError("a workspace needs a name")
    if words.isdecimal():
        raise UsageError(f"{words!r} would be taken for an id wherever a workspace is named; put a letter into it")
    return words


@command.command("create", short_help="Make a workspace, unless it is there, and print its id.")
@click.argument("name", callback=parsed(_new_name))
@registry_options
@click.pass_context
def create_workspace(ctx: click.Context, /, name: str, **flags: Any) -> None:
    """Make the workspace NAME and print its id.

    A name that exists already is no error: its id is printed, standard error says so, and the exit code is 0, so that a
    script may simply ask for the workspace that it needs. Names are unique over the whole registry: one that
    belongs to a workspace that this account does not see is refused (exit 2).

    --json: one object: workspace_id, name, created (false where it was there already).
    """
    from bulkload.report import models as report

    workspace, created = browse(ctx, flags, lambda browser: browser.create_workspace(name))
    if flags["as_json"]:
        give_json({**report.workspace_object(workspace), "created": created})
    else:
        say(str(workspace.workspace_id))
    if not created:
        tell(f"workspace {name!r} exists already; nothing was made")

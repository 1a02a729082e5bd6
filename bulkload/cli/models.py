"""``bulkload models``: what a registry holds."""

from typing import TYPE_CHECKING, Any

import click

from bulkload.cli.flags import Whole
from bulkload.cli.options import option, parsed
from bulkload.cli.workspaces import RegistryGroup, browse, registry_options
from bulkload.core.model.errors import UsageError
from bulkload.report.sink import give_json, say, standard_output, tell

if TYPE_CHECKING:
    from datetime import datetime

    from bulkload.core.model.records import RegistryVersion, Workspace
    from bulkload.engine.inspect.catalog import Browser, ModelSummary

workspace_option = option("--workspace", metavar="ID|NAME", help="Only there: all digits an id, else a name.")

# What the registry's database takes for an id.
LARGEST_ID = 2**63 - 1


def _version_id(words: str) -> int:
    if words.isdecimal() and 0 < int(words) <= LARGEST_ID:
        return int(words)
    raise UsageError(f"{words!r} is no version id; `bulkload models versions NAME` shows those of a model")


version_argument = click.argument("version_id", callback=parsed(_version_id))


@click.group(cls=RegistryGroup, short_help="Models of a registry: list, versions, show, config, logs.")
def command() -> None:
    """What a registry holds: models, their versions, and what became of them.

    VERSION_ID is a version's id, as `list`, `versions` and `bulkload results` show it. Ids of models are others, and
    the two overlap: look at the name that is shown.
    """


@command.command("list", short_help="Models, each with its newest version.")
@workspace_option
@registry_options
@click.pass_context
def list_models(ctx: click.Context, /, workspace: str | None, **flags: Any) -> None:
    """List models, each with its newest version, of all workspaces that this account sees, or of one.

    --json: one object a line, while the listing goes on: name, workspace_id, workspace, versions (how many); and of the
    newest one version_id, status, framework, size (bytes), created_at (UTC).
    """
    from bulkload.engine.inspect.catalog import find_workspace
    from bulkload.report import models as report

    async def listed(browser: "Browser") -> "tuple[list[Workspace], list[ModelSummary], int, datetime]":
        asked = await browser.workspaces()
        names = {each.workspace_id: each.name for each in asked}
        if workspace:
            asked = [find_workspace(workspace, asked)]
        kept: list[ModelSummary] = []
        count = 0
        for each in asked:
            models = await browser.models(each)
            count += len(models)
            if flags["as_json"]:
                for model in models:
                    give_json(report.model_object(model, names))
            else:
                kept += models
        return asked, kept, count, browser.now

    asked, kept, count, now = browse(ctx, flags, listed)
    if kept:
        report.print_models(kept, {each.workspace_id: each.name for each in asked}, now, standard_output())
    if not count:
        plural = "" if len(asked) == 1 else "s"
        everywhere = f"the {len(asked):,} workspace{plural} that this account sees"
        place = f"workspace {asked[0].name!r}" if workspace else everywhere
        tell(f"no models in {place}")


@command.command("versions", short_help="The versions of one model, newest first.")
@click.argument("name")
@workspace_option
@registry_options
@click.pass_context
def list_versions(ctx: click.Context, /, name: str, workspace: str | None, **flags: Any) -> None:
    """List the versions of the model NAME, newest first: of that name in all workspaces, or in one.

    --json: one object a line: version_id, version_uuid, name, workspace_id, workspace, visibility, status,
    error_summary, framework, python_version, requirements, arch, accel, framework_config, file_name, size (bytes),
    sha256, created_at (UTC), input_schema and output_schema (base64, as the registry has them). What it does not say
    is null.
    """
    from bulkload.engine.inspect.catalog import find_workspace
    from bulkload.report import models as report

    async def listed(browser: "Browser") -> "tuple[list[RegistryVersion], dict[int, str], datetime]":
        known = await browser.workspaces()
        found = await browser.versions(name, find_workspace(workspace, known) if workspace else None)
        return found, {each.workspace_id: each.name for each in known}, browser.now

    versions, names, now = browse(ctx, flags, listed)
    if not versions:
        place = f" in workspace {workspace!r}" if workspace else ""
        tell(f"there is no model {name!r}{place}; `bulkload models list` shows all")
    elif flags["as_json"]:
        for version in versions:
            give_json(report.version_object(version, names))
    else:
        report.print_versions(versions, names, now, standard_output())


@command.command("show", short_help="Everything about one version.")
@version_argument
@registry_options
@click.pass_context
def show_version(ctx: click.Context, /, version_id: int, **flags: Any) -> None:
    """Show everything about one version; its schemas as `column: type`. A version that is not there is exit 2.

    --json: one object: the keys of `versions --json`, and input_columns and output_columns: the schemas as lists of
    {name, type}, the form that manifests hold (null where there is no schema, or none that can be decoded).
    """
    from bulkload.report import models as report
    from bulkload.report.fitting import print_facts

    async def asked(browser: "Browser") -> "tuple[RegistryVersion, dict[int, str]]":
        version = await browser.version(version_id)
        return version, {each.workspace_id: each.name for each in await browser.workspaces()}

    version, names = browse(ctx, flags, asked)
    if flags["as_json"]:
        give_json(report.version_object_with_columns(version, names))
    else:
        print_facts(report.version_facts(version, names), standard_output())


@command.command("config", short_help="How a version is run, and what was set for it.")
@version_argument
@registry_options
@click.pass_context
def show_config(ctx: click.Context, /, version_id: int, **flags: Any) -> None:
    """Show the newest configuration of a version: how it is run, and what was set for it.

    --json: one object: version_id, name, config_id, runtime, tensor_fields, filter_threshold; or null where there is no
    configuration.
    """
    from bulkload.report import models as report
    from bulkload.report.fitting import print_facts

    version, config = browse(ctx, flags, lambda browser: browser.config(version_id))
    found = None if config is None else report.config_object(version, config)
    if flags["as_json"]:
        give_json(found)
    elif found is not None:
        print_facts(report.config_facts(found), standard_output())
    if found is None:
        tell(f"version {version_id} ({report.printable(version.name)}) has no configuration")


@command.command("logs", short_help="What the conversion of a version printed.")
@version_argument
@option("--lines", type=Whole(min=1), metavar="N", help="Only the newest N.")
@option("--timestamps", is_flag=True, help="Each line as the registry keeps it, with its time and stream.")
@registry_options
@click.pass_context
def show_logs(ctx: click.Context, /, version_id: int, lines: int | None, timestamps: bool, **flags: Any) -> None:
    """Print what the conversion of a version printed, a line each. Models that need no conversion have no logs.

    --json: one object a line: time, stream (stdout or stderr), text; the first two are null for a line of another form.
    """
    from bulkload.report import models as report

    async def asked(browser: "Browser") -> "tuple[list[str], str]":
        found = await browser.logs(version_id, lines)
        return found, "" if found else report.why_no_logs(await browser.version(version_id))

    found, note = browse(ctx, flags, asked)
    for line in found:
        if flags["as_json"]:
            give_json(report.log_object(line))
        else:
            say(report.printable(line) if timestamps else report.log_text(line))
    if note:
        tell(note)

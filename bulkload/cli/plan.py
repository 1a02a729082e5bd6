"""``bulkload plan``: what run would do; nothing is uploaded."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulkload.cli.options import option
from bulkload.cli.run import manifest_options, route_option, settings_from
from bulkload.core.model.errors import ExitCode, UsageError
from bulkload.report.sink import give_json, say, standard_output, tell

if TYPE_CHECKING:
    from bulkload.core.model.settings import Settings
    from bulkload.engine.plan import Step


@click.command(short_help="What run would do; nothing is uploaded.")
@manifest_options
@option("--offline", is_flag=True, help="Only check the manifest and its files; ask nobody.")
@route_option
@option(
    "--curl", is_flag=True, help="What would be uploaded, as curl commands that take the token from BULKLOAD_TOKEN."
)
@option("--all-entries", is_flag=True, help="Show each entry, however many there are.")
@option("--json", "as_json", is_flag=True, help="The totals as one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, offline: bool, curl: bool, all_entries: bool, as_json: bool, **flags: Any) -> int:
    """Check MANIFEST and say what `run` would do with its entries. Uploads nothing and leaves the ledger as it is.

    \b
    Example:  bulkload plan models.csv --workspace fraud
    """
    if curl and (offline or as_json):
        raise UsageError("--curl goes with neither --offline nor --json: it needs the ids of workspaces, and is text")
    from bulkload.cli.running import attended_loop
    from bulkload.engine.plan import foresee
    from bulkload.report.plan import PlanView, plan_lines, plan_object

    view = PlanView(all_entries=all_entries)
    with ExitStack() as stack:
        settings = _offline_settings(flags) if offline else settings_from(ctx, flags, stack)
        take = partial(_show_curl, settings) if curl else view.add
        plan = attended_loop(
            lambda on_event, stop: foresee(settings, offline=offline, on_event=on_event, stop=stop, tell=take)
        )
    if curl:
        for line in plan_lines(plan, offline=offline):
            tell(line)
    elif as_json:
        give_json(plan_object(plan))
    else:
        view.show(plan)
        for line in plan_lines(plan, offline=offline):
            say(line)
    return ExitCode.OK


def _show_curl(settings: "Settings", step: "Step") -> None:
    from bulkload.engine.plan import Action
    from bulkload.report.curl import curl_command

    if step.action is not Action.UPLOAD:
        return
    if step.entry.workspace_id < 0:
        name = step.entry.entry.workspace or settings.workspace
        raise UsageError(f"workspace {name!r} is still to be made: `bulkload workspaces create` does, then plan again")
    script = curl_command(step, settings.endpoint, settings.route, settings.connection)
    # Names of files are bytes: exact ones, whatever the locale.
    standard_output().give(f"{script}\n".encode())


def _offline_settings(flags: dict[str, Any]) -> Any:
    from bulkload.core.model.settings import Settings
    from bulkload.manifest import parse_overrides

    settings = Settings(
        manifest=flags["manifest"],
        endpoint="",
        ledger=Path(),
        workspace=flags["workspace"],
        root=flags["root"],
        overrides=parse_overrides(flags["overrides"]),
    )
    return replace(settings, default_workspace=flags["sandbox"])

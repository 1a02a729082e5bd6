"""``bulkload plan``: what run would do; nothing is uploaded."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bulkload.cli.options import option
from bulkload.cli.run import manifest_options, settings_from
from bulkload.core.errors import ExitCode


@click.command(short_help="What run would do; nothing is uploaded.")
@manifest_options
@option("--offline", is_flag=True, help="Only check the manifest and its files; ask nobody.")
@option("--json", "as_json", is_flag=True, help="The totals as one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, offline: bool, as_json: bool, **flags: Any) -> int:
    """Check MANIFEST and say what `run` would do with every entry. Uploads nothing and leaves the ledger as it is."""
    from bulkload.cli.running import attended_loop
    from bulkload.engine.foreseeing import foresee
    from bulkload.report.plan import PlanTable, plan_lines, plan_object

    table = PlanTable()
    with ExitStack() as stack:
        settings = _offline_settings(flags) if offline else settings_from(ctx, flags, stack)
        plan = attended_loop(
            lambda progress, stop: foresee(settings, offline=offline, progress=progress, stop=stop, tell=table.add)
        )
    if as_json:
        click.echo(plan_object(plan))
    else:
        table.show()
        for line in plan_lines(plan, offline=offline):
            click.echo(line)
    return ExitCode.OK


def _offline_settings(flags: dict[str, Any]) -> Any:
    from bulkload.core.settings import Settings
    from bulkload.manifest import parse_overrides

    settings = Settings(
        manifest=flags["manifest"],
        endpoint="",
        ledger=Path(),
        workspace=flags["workspace"],
        overrides=parse_overrides(flags["overrides"]),
    )
    return replace(settings, default_workspace=flags["sandbox"])

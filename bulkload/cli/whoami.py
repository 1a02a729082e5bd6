"""``bulkload whoami``: who the registry takes this for, and by which of the ways in."""

from typing import Any

import click

from bulkload.cli.access import registry_access
from bulkload.cli.options import connection_options, option
from bulkload.report.sink import give_json, say


@click.command(short_help="Who the registry takes you for, and by what.")
@connection_options
@option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(as_json: bool, **flags: Any) -> None:
    """Say as whom, and by which of the ways in, commands talk to the registry. The registry is asked.

    --json: one object: endpoint, username, source, token_seconds (for which the token still serves; null where it does
    not say), workspaces (how many this account sees).
    """
    from bulkload.cli.running import attended_loop
    from bulkload.core.model.events import OnEvent
    from bulkload.core.model.units import show_duration
    from bulkload.engine.inspect.catalog import Browser
    from bulkload.engine.stop import Stop
    from bulkload.registry import Registry

    with registry_access(flags, sandbox=None) as access:

        async def ask(on_event: OnEvent, stop: Stop) -> dict[str, Any]:
            async def asked() -> dict[str, Any]:
                async with Registry(access.endpoint, access.credentials, access.connection) as registry:
                    workspaces = await Browser(registry, on_event).workspaces()
                    token = await registry.token_facts()
                    return {
                        "endpoint": registry.endpoint,
                        "username": token.username,
                        "source": access.source,
                        "token_seconds": token.seconds_left,
                        "workspaces": len(workspaces),
                    }

            return await stop.or_end(asked())

        found = attended_loop(ask)
    if as_json:
        give_json(found)
        return
    seconds = found["token_seconds"]
    say(f"registry    {found['endpoint']}")
    say(f"user        {found['username'] or 'the token does not say'}")
    say(f"by          {found['source']}")
    say(f"token       {'does not say how long it serves' if seconds is None else show_duration(seconds)}")
    say(f"workspaces  {found['workspaces']:,}")

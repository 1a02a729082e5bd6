"""``bulkload wait``: only poll what is uploaded."""

from pathlib import Path
from typing import Any

import click

from bulkload.cli.access import refuse_registry_with_sandbox, registry_access
from bulkload.cli.ledgers import existing_ledger, sandbox_of_ledger
from bulkload.cli.options import connection_options, option, output_options
from bulkload.cli.run import poll_options, resume_command
from bulkload.cli.telling import manner_of
from bulkload.core.model.settings import Settings


@click.command(short_help="Only poll what is uploaded.")
@click.argument("ledger", type=click.Path(path_type=Path))
@option("--sandbox", is_flag=True, help="The ledger belongs to a private sandbox of `run --sandbox`.")
@connection_options
@poll_options
@output_options
def command(**flags: Any) -> int:
    """Poll the versions that LEDGER's runs uploaded until the registry has judged them. Sends no model."""
    from bulkload.cli.running import run_job
    from bulkload.cli.summaries import summary_places
    from bulkload.engine.publish import wait
    from bulkload.ledger import LedgerReader

    ledger = existing_ledger(flags["ledger"], of_sandbox=flags["sandbox"])
    with LedgerReader(ledger) as reader:
        manifest, published_to = reader.manifest or "", reader.endpoint
    sandbox = None
    if flags["sandbox"]:
        refuse_registry_with_sandbox(click.get_current_context())
        sandbox = sandbox_of_ledger(ledger)
    with registry_access(flags, sandbox=sandbox, published_to=published_to) as access:
        settings = Settings(
            manifest=manifest,
            endpoint=access.endpoint,
            ledger=ledger,
            credentials=access.credentials,
            connection=access.connection,
            poll_rate=flags["poll_rate"],
            poll_interval=flags["poll_interval"],
            wait_timeout=flags["wait_timeout"],
            patience=flags["patience"],
        )
        places = summary_places(flags, ledger, manifest)
        places.refuse_unwritable()
        return run_job(
            wait,
            settings,
            places=places,
            manner=manner_of(flags),
            command=resume_command({"manifest": manifest}),
        )

"""``bulkload wait``: only poll what is uploaded."""

from pathlib import Path
from typing import Any

import click

from bulkload.cli.access import registry_access
from bulkload.cli.ledgers import existing_ledger
from bulkload.cli.options import connection_options, option, output_options, sandbox_folder
from bulkload.cli.run import poll_options, resume_command
from bulkload.core.settings import Settings


@click.command(short_help="Only poll what is uploaded.")
@click.argument("ledger", type=click.Path(path_type=Path))
@option("--sandbox", is_flag=True, help="The ledger belongs to a private sandbox of `run --sandbox`.")
@connection_options
@poll_options
@output_options
def command(**flags: Any) -> int:
    """Poll the versions that LEDGER's runs uploaded until the registry has judged them. Sends no model."""
    from bulkload.cli.running import run_job
    from bulkload.engine.runner import wait
    from bulkload.ledger import LedgerReader

    ledger = existing_ledger(flags["ledger"])
    with LedgerReader(ledger) as reader:
        manifest, published_to = reader.manifest or "", reader.endpoint
    sandbox = _sandbox_of(ledger) if flags["sandbox"] else None
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
        return run_job(
            wait,
            settings,
            as_json=flags["as_json"],
            quiet=flags["quiet"],
            verbose=flags["verbose"],
            command=resume_command({"manifest": manifest}),
        )


def _sandbox_of(ledger: Path) -> Path:
    """Its folder: around the ledger, or beside one that `run --sandbox --ledger` named."""
    beside = sandbox_folder(str(ledger))
    return beside if beside.is_dir() else ledger.parent

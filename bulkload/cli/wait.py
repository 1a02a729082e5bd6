"""``bulkload wait``: only poll what is uploaded."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from bulkload.cli.options import connection_options, credentials, existing_ledger, option, output_options, program
from bulkload.cli.run import poll_options
from bulkload.core.errors import UsageError
from bulkload.core.settings import Credentials, Settings


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
        manifest, endpoint = reader.manifest or "", flags["endpoint"] or reader.endpoint
    with ExitStack() as stack:
        if flags["sandbox"]:
            from bulkload.cli.sandboxes import private_sandbox

            sandbox = stack.enter_context(private_sandbox(ledger.parent / "registry"))
            endpoint, access = sandbox.endpoint, Credentials(token=sandbox.token)
        else:
            access = credentials(os.environ.get("BULKLOAD_TOKEN"), flags["token_file"], flags["token_command"])
        if endpoint is None:
            raise UsageError("no registry; give --endpoint URL (or BULKLOAD_ENDPOINT)")
        settings = Settings(
            manifest=manifest,
            endpoint=endpoint,
            ledger=ledger,
            credentials=access,
            poll_rate=flags["poll_rate"],
            poll_interval=flags["poll_interval"],
            wait_timeout=flags["wait_timeout"],
        )
        return run_job(
            wait,
            settings,
            as_json=flags["as_json"],
            quiet=flags["quiet"],
            verbose=flags["verbose"],
            command=f"{program()} wait {ledger}",
        )

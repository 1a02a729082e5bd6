"""``bulkload status``: counts and progress of a ledger, also of a live run."""

from pathlib import Path

import click

from bulkload.cli.ledgers import existing_ledger
from bulkload.cli.options import option
from bulkload.report.sink import give_json, say


@click.command(short_help="Counts and progress of a ledger, also of a live run.")
@click.argument("ledger", type=click.Path(path_type=Path))
@option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(ledger: Path, as_json: bool) -> None:
    """Say where LEDGER (or the ledger of a manifest) stands. Asks no registry and disturbs no run."""
    from bulkload.ledger import LedgerReader
    from bulkload.report.status import status_lines, status_object

    with LedgerReader(existing_ledger(ledger)) as reader:
        status = status_object(reader)
    if as_json:
        give_json(status)
    else:
        say(*status_lines(status))

"""``bulkload status``: counts and progress of a ledger, also of a live run."""

from pathlib import Path

import click

from bulkload.cli.options import existing_ledger, option


@click.command(short_help="Counts and progress of a ledger, also of a live run.")
@click.argument("ledger", type=click.Path(path_type=Path))
@option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(ledger: Path, as_json: bool) -> None:
    """Say where LEDGER (or the ledger of a manifest) stands. Asks no registry and disturbs no run."""
    import msgspec

    from bulkload.ledger import LedgerReader
    from bulkload.report.status import status_lines, status_object

    with LedgerReader(existing_ledger(ledger)) as reader:
        status = status_object(reader)
    if as_json:
        click.echo(msgspec.json.encode(status).decode())
    else:
        for line in status_lines(status):
            click.echo(line)

"""``bulkload status``: counts and progress of a ledger, also of a live run."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkload.cli.ledgers import existing_ledger
from bulkload.cli.options import option, program, progress_interval_option
from bulkload.core.model.errors import UsageError
from bulkload.report.sink import give_json, say, standard_output

if TYPE_CHECKING:
    from bulkload.ledger import LedgerReader


@click.command(short_help="Counts and progress of a ledger, also of a live run.")
@click.argument("ledger", type=click.Path(path_type=Path))
@option("--watch", is_flag=True, help="Show the live run as its own display does, until it ends; then its end.")
@progress_interval_option
@option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(ledger: Path, watch: bool, progress_interval: float, as_json: bool) -> None:
    """Say where LEDGER (or the ledger of a manifest) stands. Asks no registry and disturbs no run.

    While a run works on it: what its display shows, as it said within the last second.
    """
    from bulkload.ledger import LedgerReader
    from bulkload.report.status import status_lines, status_object

    if watch and as_json:
        raise UsageError("--watch is for people; leave out --watch or --json")
    with LedgerReader(existing_ledger(ledger)) as reader:
        if watch:
            _watch(reader, progress_interval)
        status = status_object(reader)
    if as_json:
        give_json(status)
    else:
        width = standard_output().columns_now
        say(*status_lines(status, width, datetime.now().astimezone()), *_next(ledger, running=bool(status.running)))


def _watch(reader: "LedgerReader", interval: float) -> None:
    """Show the live run on standard output until it ends, or says nothing of itself."""
    import anyio

    from bulkload.report.display import show_progress
    from bulkload.report.heartbeat import live_facts

    async def watching() -> None:
        await show_progress(lambda: live_facts(reader), standard_output(), interval)

    anyio.run(watching)


def _next(ledger: Path, *, running: bool) -> list[str]:
    """The next useful command."""
    import shlex

    named = shlex.quote(str(ledger))
    if running:
        return [f"follow it: {program()} status {named} --watch"]
    return [f"each entry: {program()} results {named}"]

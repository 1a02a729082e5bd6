"""``bulkload verify``: compare ledger and registry."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulkload.cli.access import registry_access
from bulkload.cli.ledgers import existing_ledger
from bulkload.cli.options import connection_options, option
from bulkload.core.errors import ExitCode
from bulkload.report.sink import give_json, say

if TYPE_CHECKING:
    from bulkload.core.verification import PublishedVersion


@click.command(short_help="Compare ledger and registry.")
@click.argument("ledger", type=click.Path(path_type=Path))
@option("--sandbox", is_flag=True, help="The ledger belongs to a private sandbox of `run --sandbox`.")
@connection_options
@option("--json", "as_json", is_flag=True, help="One JSON object a difference, and one with the totals.")
def command(ledger: Path, as_json: bool, **flags: Any) -> int:
    """Ask the registry about every version of LEDGER (or of a manifest's ledger) and list what differs.

    Present, digest, status, name and workspace are compared. Exit code 3 when anything differs. Changes nothing.
    """
    from bulkload.cli.running import attended_loop
    from bulkload.engine.verifying import verify
    from bulkload.ledger import LedgerReader

    def tell(published: "PublishedVersion", wrong: list[str]) -> None:
        if as_json:
            give_json({"version": published, "differences": wrong})
        else:
            line = f"line {published.line}: " if published.line is not None else ""
            say(f"{line}{published.name} version {published.version_id}: {'; '.join(wrong)}")

    with LedgerReader(existing_ledger(ledger)) as reader:
        sandbox = reader.path.parent if flags["sandbox"] else None
        with registry_access(flags, sandbox=sandbox, published_to=reader.endpoint) as access:
            found = attended_loop(
                lambda progress, stop: verify(
                    reader, access.endpoint, access.credentials, access.connection,
                    progress=progress, stop=stop, tell=tell,
                )
            )  # fmt: skip
    if as_json:
        give_json({"versions": found.versions, "differing": found.differing})
    else:
        say(f"{found.versions:,} versions compared, {found.differing:,} differ")
    return ExitCode.SOME_FAILED if found.differing else ExitCode.OK

"""``bulkload verify``: compare ledger and registry."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulkload.cli.access import refuse_registry_with_sandbox, registry_access
from bulkload.cli.ledgers import existing_ledger, sandbox_of_ledger
from bulkload.cli.options import connection_options, option
from bulkload.core.model.errors import ExitCode
from bulkload.report.sink import give_json, say

if TYPE_CHECKING:
    from bulkload.core.identity.verification import LedgerWord, Unowned


@click.command(short_help="Compare ledger and registry.")
@click.argument("ledger", type=click.Path(path_type=Path))
@option("--sandbox", is_flag=True, help="The ledger belongs to a private sandbox of `run --sandbox`.")
@connection_options
@option("--json", "as_json", is_flag=True, help="One JSON object a difference, and one with the totals.")
def command(ledger: Path, as_json: bool, **flags: Any) -> int:
    """Compare every entry of LEDGER (or of a manifest's ledger) with the registry and list what differs.

    Of each version: whether it is there, digest, status, name and workspace; of each entry also its state: one that is
    failed because its version is gone differs when the version is there. Then versions of the ledger's models that no
    entry of it has: they count as differences only where an entry that is done was sent with their bytes. Exit code
    3 when anything differs, 2 when the ledger belongs to another registry. Changes nothing.
    """
    from bulkload.cli.running import attended_loop
    from bulkload.engine.inspect.verify import Tell, verify
    from bulkload.ledger import LedgerReader
    from bulkload.registry import Registry

    def print_difference(word: "LedgerWord", wrong: list[str]) -> None:
        if as_json:
            give_json({"version": word, "differences": wrong})
        else:
            say(f"{_line(word)}{word.name} version {word.version_id}: {'; '.join(wrong)}")

    def print_unowned(unowned: "Unowned") -> None:
        if as_json:
            give_json({"unowned": unowned, "differs": unowned.differs})
        else:
            say(_unowned_line(unowned))

    tell = Tell(print_difference, print_unowned)
    found_ledger = existing_ledger(ledger, of_sandbox=flags["sandbox"])
    sandbox = None
    if flags["sandbox"]:
        refuse_registry_with_sandbox(click.get_current_context())
        sandbox = sandbox_of_ledger(found_ledger)
    with (
        LedgerReader(found_ledger) as reader,
        registry_access(flags, sandbox=sandbox, published_to=reader.endpoint) as access,
    ):
        found = attended_loop(
            lambda on_event, stop: verify(
                reader,
                Registry(access.endpoint, access.credentials, access.connection),
                on_event=on_event,
                stop=stop,
                tell=tell,
            )
        )
    if as_json:
        give_json(found)
    else:
        others = f", {found.unowned:,} in no entry" if found.unowned else ""
        say(f"{found.versions:,} versions compared, {found.differing:,} differ{others}")
    return ExitCode.SOME_FAILED if found.differing or found.duplicates else ExitCode.OK


def _line(word: "LedgerWord") -> str:
    return f"line {word.line}: " if word.line is not None else ""


def _unowned_line(unowned: "Unowned") -> str:
    said = f"{unowned.name} version {unowned.version_id} ({unowned.status}) is in no entry of this ledger"
    word = unowned.entry
    if word is None:
        return said
    whose = f"line {word.line}" if word.line is not None else "an entry no longer in the manifest"
    holds = f" with version {word.version_id}" if word.version_id is not None else ""
    remedy = "" if unowned.differs else "; `bulkload run` settles that"
    return f"{said}; it has the bytes that were sent for {whose}, which is {word.said}{holds}{remedy}"

"""``bulkload results``: one row per entry."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bulkload.cli.flags import Whole
from bulkload.cli.ledgers import existing_ledger, files_of
from bulkload.cli.options import option, parsed
from bulkload.cli.outputs import named_file, written_file
from bulkload.core.model.errors import UsageError
from bulkload.core.model.states import FAILURES, State
from bulkload.core.text.words import nearest, shown
from bulkload.ledger.records import RESULT_COLUMNS
from bulkload.report.sink import Sink, standard_output

if TYPE_CHECKING:
    from bulkload.report.results import Row

Columns = tuple[str, ...]

FORMATS = ("table", "csv", "jsonl", "json", "parquet")
EXTENSIONS = {
    ".txt": "table", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".parquet": "parquet",
}  # fmt: skip


def states_named(words: str) -> tuple[State, ...]:
    """The states of --state. Raises ``UsageError``."""
    return tuple(map(State, _named(words, "state", [state.value for state in State])))


def columns_named(words: str) -> Columns:
    """The columns of --columns. Raises ``UsageError``."""
    return _named(words, "column", RESULT_COLUMNS)


def _named(words: str, noun: str, known: Sequence[str]) -> Columns:
    """Words between commas, each one of the known. Raises ``UsageError``."""
    found = tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    for word in found:
        if word not in known:
            near = nearest(word, known)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(known)}"
            raise UsageError(f"{shown(word)} is no {noun}; {hint}")
    if not found:
        raise UsageError(f"names no {noun}; there are {', '.join(known)}")
    return found


@click.command(short_help="One row per entry: table, csv, jsonl, json or parquet.")
@click.argument("ledger", type=click.Path(path_type=Path))
@option("--format", "form", type=click.Choice(FORMATS), help="[default: by the extension of -o, else table]")
@option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file; .csv, .jsonl, .json, .parquet or .txt chooses the format.",
)
@option(
    "--state",
    "states",
    metavar="STATE,...",
    callback=parsed(states_named),
    help="Only entries in one of these states, such as ready,skipped.",
)
@option("--failed", is_flag=True, help="Only entries that failed: --state failed,error.")
@option(
    "--columns",
    metavar="NAME,...",
    callback=parsed(columns_named),
    help="Only these columns, in this order.",
)
# BULKLOAD_LIMIT, and the key `limit`, are the sandbox's limits.
@option("--limit-rows", "--limit", "limit", type=Whole(0), metavar="N", no_key="limit", help="Only the first N rows.")
@option("--for-spreadsheet", is_flag=True, help="csv in which no text is a formula: such a one gets a ' before it.")
@click.pass_context
def command(
    ctx: click.Context, /, ledger: Path, form: str | None, output: Path | None, for_spreadsheet: bool, **rows: Any
) -> None:
    """Print what became of every entry of LEDGER (or of a manifest's ledger), in manifest order.

    A file is replaced when the new one is whole.

    \b
    Example:  bulkload results models.csv --failed --columns name,state,message
    """
    from bulkload.ledger import LedgerReader

    target = named_file(output)
    explicit = ctx.get_parameter_source("form") is ParameterSource.COMMANDLINE
    form = chosen_format(form, target, explicit=explicit)
    if for_spreadsheet and form != "csv":
        raise UsageError(f"--for-spreadsheet is for csv, and this is {form}; add --format csv")
    if form == "parquet" and target is None and standard_output().isatty():
        raise UsageError("parquet is no text for a terminal; name a file with -o FILE")
    found = existing_ledger(ledger)
    states = (*(rows["states"] or ()), *(FAILURES if rows["failed"] else ()))
    with LedgerReader(found) as reader, ExitStack() as stack:
        sink = (
            stack.enter_context(written_file(target, beside=(ledger, *files_of(found))))
            if target
            else standard_output()
        )
        named: Columns | None = rows["columns"]
        read = partial(reader.results, states=states, limit=rows["limit"])
        _write(read, form, sink, named, for_spreadsheet=for_spreadsheet)


def chosen_format(form: str | None, target: Path | None, *, explicit: bool) -> str:
    """A flag on the command line, else the extension of the file, else what environment and config say, else a table.

    Raises ``UsageError`` for a file whose name says nothing about it.
    """
    if target is None or (form is not None and explicit):
        return form or "table"
    by_extension = EXTENSIONS.get(target.suffix.lower(), form)
    if by_extension is None:
        known = ", ".join(EXTENSIONS)
        raise UsageError(f"{target}: in which format? Give it one of the extensions {known}, or add --format")
    return by_extension


def _write(
    read: "Callable[[Columns], Iterable[Row]]", form: str, sink: Sink, named: Columns | None, *, for_spreadsheet: bool
) -> None:
    from bulkload.report import results

    if form == "table":
        results.print_table(lambda: read(named or results.TABLE_COLUMNS), sink, named)
        return
    columns = named or RESULT_COLUMNS
    rows = read(columns)
    if form == "jsonl":
        results.write_jsonl(rows, sink.binary(), columns)
    elif form == "json":
        results.write_json(rows, sink.binary(), columns)
    elif form == "parquet":
        results.write_parquet(rows, sink.binary(), columns)
    else:
        results.write_csv(rows, sink.binary(), columns, for_spreadsheet=for_spreadsheet)

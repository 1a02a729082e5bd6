"""``bulkload results``: one row per entry."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from bulkload.cli.ledgers import existing_ledger, files_of
from bulkload.cli.options import option
from bulkload.cli.outputs import named_file, written_file
from bulkload.core.model.errors import UsageError
from bulkload.report.sink import Sink, standard_output

if TYPE_CHECKING:
    from bulkload.ledger import LedgerReader

FORMATS = ("table", "csv", "jsonl", "json", "parquet")
EXTENSIONS = {
    ".txt": "table", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".parquet": "parquet",
}  # fmt: skip


@click.command(short_help="One row per entry: table, csv, jsonl, json or parquet.")
@click.argument("ledger", type=click.Path(path_type=Path))
@option("--format", "form", type=click.Choice(FORMATS), help="[default: by the extension of -o, else table]")
@option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file; .csv, .jsonl, .json, .parquet or .txt chooses the format.",
)
@option("--for-spreadsheet", is_flag=True, help="csv in which no text is a formula: such a one gets a ' before it.")
@click.pass_context
def command(ctx: click.Context, /, ledger: Path, form: str | None, output: Path | None, for_spreadsheet: bool) -> None:
    """Print what became of every entry of LEDGER (or of a manifest's ledger), in manifest order.

    A file is replaced when the new one is whole.
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
    with LedgerReader(found) as reader, ExitStack() as stack:
        sink = (
            stack.enter_context(written_file(target, beside=(ledger, *files_of(found))))
            if target
            else standard_output()
        )
        _write(reader, form, sink, for_spreadsheet=for_spreadsheet)


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


def _write(reader: "LedgerReader", form: str, sink: Sink, *, for_spreadsheet: bool) -> None:
    from bulkload.report import results

    rows = reader.results()
    if form == "jsonl":
        results.write_jsonl(rows, sink.binary())
    elif form == "json":
        results.write_json(rows, sink.binary())
    elif form == "parquet":
        results.write_parquet(rows, sink.binary())
    elif form == "csv":
        results.write_csv(rows, sink.binary(), for_spreadsheet=for_spreadsheet)
    else:
        results.print_table(rows, sink)

"""``bulkload results``: one row per entry."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from bulkload.cli.options import existing_ledger, option
from bulkload.core.errors import UsageError

if TYPE_CHECKING:
    from bulkload.ledger import LedgerReader

FORMATS = ("table", "csv", "jsonl", "parquet")


@click.command(short_help="One row per entry: table, csv, jsonl or parquet.")
@click.argument("ledger", type=click.Path(path_type=Path))
@option("--format", "form", type=click.Choice(FORMATS), help="[default: by the extension of -o, else table]")
@option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def command(ledger: Path, form: str | None, output: Path | None) -> None:
    """Print what became of every entry of LEDGER (or of a manifest's ledger), in manifest order."""
    from bulkload.ledger import LedgerReader

    if form is None:
        extension = output.suffix.lstrip(".") if output is not None else ""
        form = extension if extension in FORMATS else "table"
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise UsageError("parquet is no text for a terminal; name a file with -o FILE")
    with LedgerReader(existing_ledger(ledger)) as reader, ExitStack() as stack:
        stream = stack.enter_context(_opened(output)) if output is not None else sys.stdout.buffer
        _write(reader, form, stream)


def _opened(output: Path) -> BinaryIO:
    try:
        return output.open("wb")
    except OSError as error:
        raise UsageError(f"{output}: cannot be written ({error.strerror})") from None


def _write(reader: "LedgerReader", form: str, stream: BinaryIO) -> None:
    import io

    from bulkload.report import results

    if form == "jsonl":
        results.write_jsonl(reader.results(), stream)
    elif form == "parquet":
        results.write_parquet(reader.results(), stream)
    else:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        if form == "csv":
            results.write_csv(reader.results(), text)
        else:
            results.print_table(reader.results(), text)
        text.flush()
        text.detach()

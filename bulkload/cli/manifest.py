"""``bulkload manifest schema | convert``."""

import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

import click

from bulkload.cli.options import option
from bulkload.core.errors import ExitCode, UsageError


@click.group(short_help="Manifests: schema, convert.")
def command() -> None:
    """Describe manifests and turn one format into another."""


@command.command(short_help="A JSON Schema for editors.")
def schema() -> None:
    """Print a JSON Schema of manifests.

    Editors check and complete with it: in YAML write `# yaml-language-server: $schema=FILE` as the first line.
    """
    import json

    from bulkload.manifest.describing import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@command.command(short_help="A manifest in another format, without loss.")
@click.argument("manifest", metavar="MANIFEST")
@option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@option("--format", "form", metavar="FORMAT", help="csv, jsonl, json, yaml, toml, parquet, arrow [default: by -o].")
def convert(manifest: str, output: Path | None, form: str | None) -> int:
    """Write MANIFEST (- for JSON lines on standard input) in another format.

    Relative paths are rewritten where the result lies in another folder. Formats without defaults get them in each row.
    """
    from bulkload.manifest.converting import WRITERS
    from bulkload.manifest.converting import convert as convert_manifest

    extension = f".{form.lower()}" if form else output.suffix.lower() if output is not None else ""
    if extension not in WRITERS:
        known = ", ".join(name.lstrip(".") for name in WRITERS)
        raise UsageError(f"to which format? Give --format or an output file with one of these extensions: {known}")
    if output is None:
        if extension in (".parquet", ".arrow", ".feather") and sys.stdout.isatty():
            raise UsageError(f"{extension[1:]} is no text for a terminal; name a file with -o FILE")
        with tempfile.TemporaryFile() as whole:
            convert_manifest(manifest, extension, whole, None)
            whole.seek(0)
            while piece := whole.read(2**20):
                sys.stdout.buffer.write(piece)
        return ExitCode.OK
    count = _convert_into(manifest, extension, output)
    click.echo(f"{output}: {count:,} entries", err=True)
    return ExitCode.OK


def _convert_into(manifest: str, extension: str, output: Path) -> int:
    """Written beside its place and moved there when it is whole: a conversion may write over its own source."""
    from bulkload.manifest.converting import convert as convert_manifest

    try:
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}-", delete=False) as part:
            partial = Path(part.name)
            try:
                target: BinaryIO = part.file  # type: ignore[assignment]
                count = convert_manifest(manifest, extension, target, output.parent)
            except BaseException:
                partial.unlink()
                raise
        partial.chmod(0o644)
        partial.replace(output)
    except OSError as error:
        raise UsageError(f"{output}: cannot be written ({error.strerror or error})") from None
    return count

"""``bulkload manifest schema | convert``."""

import tempfile
from pathlib import Path

import click

from bulkload.cli.options import option
from bulkload.cli.outputs import named_file, written_file
from bulkload.cli.telling import problems_option
from bulkload.core.model.errors import ExitCode, UsageError
from bulkload.report.sink import standard_output, tell


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

    standard_output().give(json.dumps(json_schema(), indent=2).encode() + b"\n")


@command.command(short_help="A manifest in another format, without loss.")
@click.argument("manifest", metavar="MANIFEST")
@option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@option("--format", "form", metavar="FORMAT", help="csv, jsonl, json, yaml, toml, parquet, arrow [default: by -o].")
@problems_option
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
    target, sink = named_file(output), standard_output()
    if target is not None:
        with written_file(target) as file:
            count = convert_manifest(manifest, extension, file.binary(), target.parent)
        tell(f"{target}: {count:,} entries")
        return ExitCode.OK
    if extension in (".parquet", ".arrow", ".feather") and sink.isatty():
        raise UsageError(f"{extension[1:]} is no text for a terminal; name a file with -o FILE")
    # Whole, or nothing: a manifest that is wrong in its last line prints no half of one.
    with tempfile.TemporaryFile() as whole:
        convert_manifest(manifest, extension, whole, None)
        whole.seek(0)
        while piece := whole.read(2**20):
            sink.give(piece)
    return ExitCode.OK

"""Writes docs/command-line.md from the code: ``python docs/command_line.py > docs/command-line.md``."""

import click

from bulkload.cli import COMMANDS, cli

HEAD = """# The command line

Written from the code by `make docs`. Results and data go to standard output, everything else to standard error.
Every flag is also a variable, `BULKLOAD_<FLAG>`, and a key of `bulkload.toml` in the current folder (or of the file
that `--config` names): flag, then environment, then file, then default. Secrets are never a flag's value:
`BULKLOAD_TOKEN`, `BULKLOAD_PASSWORD` and `BULKLOAD_CLIENT_SECRET` hold them, or files do; [registry.md](registry.md)
has all ways to get in.
"""


def reference() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="bulkload")
    pages = [HEAD]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is not None:
            pages.append(_page(command, click.Context(command, info_name=name, parent=context)))
    return "\n".join(pages)


def _page(command: click.Command, context: click.Context) -> str:
    lines = [f"## {context.command_path}", "", " ".join((command.help or "").split()), ""]
    usage = " ".join(command.collect_usage_pieces(context))
    lines += ["```", f"{context.command_path} {usage}", "```", ""]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                lines.append(_page(inner, click.Context(inner, info_name=name, parent=context)))
        return "\n".join(lines)
    rows = [row for parameter in command.get_params(context) if (row := _row(parameter, context)) is not None]
    if rows:
        lines += ["| flag | meaning | variable |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(parameter: click.Parameter, context: click.Context) -> str | None:
    record = parameter.get_help_record(context)
    if record is None or not isinstance(parameter, click.Option) or "--help" in parameter.opts:
        return None
    flags, meaning = record
    variables = parameter.envvar if isinstance(parameter.envvar, list) else [parameter.envvar or ""]
    shown = ", ".join(f"`{variable}`" for variable in variables if variable)
    return f"| `{flags.replace('|', '&#124;')}` | {meaning.replace('|', '&#124;')} | {shown} |"


if __name__ == "__main__":
    print(reference(), end="")

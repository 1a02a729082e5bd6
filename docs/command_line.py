"""Writes docs/command-line.md from the code: ``python docs/command_line.py > docs/command-line.md``."""

import click

from bulkload.cli import COMMANDS, cli
from bulkload.cli.flags import flags_of

HEAD = """# The command line

Written from the code by `make docs`. Results and data go to standard output, everything else to standard error.
`NO_COLOR=1` leaves out colours.
Every flag is also a variable, `BULKLOAD_<FLAG>`, and a key of a settings file: flag, then environment, then file, then
default. Secrets are never a flag's value: `BULKLOAD_TOKEN`, `BULKLOAD_PASSWORD` and `BULKLOAD_CLIENT_SECRET` hold them,
or files do; [registry.md](registry.md) has all ways to get in.

**Settings files** are TOML with the names of flags as keys: `concurrency = 8`, `no-wait = true`,
`set = {framework = "onnx"}`. Your own is `$XDG_CONFIG_HOME/bulkload/bulkload.toml` (by default
`~/.config/bulkload/bulkload.toml`); it must be yours, and others must not be able to change it. `bulkload.toml` in the
current folder is read after it and is stronger, but it may have come with somebody's manifest: keys that say where
credentials go, what runs, or which files are read or written (AUTH_URL_AND_SO_ON) are exit code 2 there. `--config`
(or `BULKLOAD_CONFIG`) names one file that is read instead of both, with every key. A file that was read because of its
place is named on standard error, with the keys that the command takes from it. A key of a flag that only other
commands have is no mistake.

**Variables.** Several values (`BULKLOAD_SET`) are written one a line, or as a list in JSON:
`BULKLOAD_SET='["framework=onnx", "arch=x86"]'`. A switch is `1` or `0`; its other side is one, too
(`BULKLOAD_NO_WAIT=1`). The line's end that `echo` and editors write is none of a value. A variable `BULKLOAD_...` that
no command knows is warned about; what Kubernetes says of a service called bulkload (`BULKLOAD_SERVICE_HOST`,
`BULKLOAD_PORT=tcp://...`) is left alone.
"""


def reference() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="bulkload")
    pages = [HEAD.replace("AUTH_URL_AND_SO_ON", ", ".join(f"`{key}`" for key in personal_keys(context)))]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is not None:
            pages.append(_page(command, click.Context(command, info_name=name, parent=context)))
    return "\n".join(pages)


def personal_keys(context: click.Context) -> list[str]:
    """Keys that a file of the current folder may not have."""
    commands = [cli.get_command(context, name) for name in COMMANDS]
    leaves = [
        one for each in commands for one in (each.commands.values() if isinstance(each, click.Group) else (each,))
    ]
    flags = [flag for one in leaves if one is not None for flag in flags_of(one)]
    return sorted({key for flag in flags if flag.personal for key in flag.keys})


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

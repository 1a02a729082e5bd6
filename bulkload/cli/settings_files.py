"""Settings in files and variables: which files are read, whose word they are, and what in them nobody understands."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from bulkload.cli.flags import Flag, flags_of, is_service_link
from bulkload.cli.folders import config_folder
from bulkload.cli.telling import Telling
from bulkload.core.bounds import LARGEST_SETTINGS_BYTES
from bulkload.core.model.errors import UsageError
from bulkload.core.text.words import nearest, printable, toml_trouble
from bulkload.report.sink import tell

SETTINGS_FILE = "bulkload.toml"

# Variables that are no flags: secrets are never a flag's value.
SECRETS = ("BULKLOAD_TOKEN", "BULKLOAD_PASSWORD", "BULKLOAD_CLIENT_SECRET")
_OTHERS = (*SECRETS, "BULKLOAD_CONFIG", "BULKLOAD_TRACEBACK")


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A file that was read."""

    path: Path
    # Named by the user, or the user's own: what it says about credentials, programs and files is taken.
    is_own: bool
    values: dict[str, Any]


def read_settings_files(named: str | None) -> list[SettingsFile]:
    """The file that the user named and no other; else the user's own and that of the current folder, which is stronger.

    Raises ``UsageError``.
    """
    if named is not None:
        return [_read(Path(named), is_own=True)]
    folder = config_folder()
    own = folder / SETTINGS_FILE if folder is not None else None
    found = [] if own is None or not _is_there(own) else [_read(own, is_own=True, checked=True)]
    here = Path(SETTINGS_FILE)
    if _is_there(here) and not (found and here.samefile(found[0].path)):
        found.append(_read(here, is_own=False))
    return found


def default_map(files: Sequence[SettingsFile], commands: Mapping[str, click.Command]) -> dict[str, Any]:
    """The files as click wants them: each command gets the keys that it knows. Raises ``UsageError``."""
    everything = [flag for command in commands.values() for one in _leaves(command) for flag in flags_of(one)]
    for file in files:
        _check_keys(file, everything)
    return {name: _values_for(command, files) for name, command in commands.items()}


def used_by(file: SettingsFile, command: click.Command) -> list[str]:
    """The keys of a file that a command, or one of a group, knows."""
    known = {key for one in _leaves(command) for flag in flags_of(one) for key in flag.keys}
    return [key for key in file.values if key in known]


def unknown_variables(environment: Mapping[str, str], flags: Sequence[Flag]) -> list[tuple[str, str | None]]:
    """Variables that look like ours and are not, each with what was probably meant."""
    known = {variable for flag in flags for variable in flag.variables} | set(_OTHERS)
    return [
        (name, nearest(name, [each for each in known if each.startswith("BULKLOAD_")]))
        for name, words in environment.items()
        if name.startswith("BULKLOAD_") and name not in known and not is_service_link(name, words)
    ]


def take_settings(ctx: click.Context, named: str | None, names: Mapping[str, str]) -> None:
    """Give a command its settings, name the files that they came from, and warn of variables that nobody reads.

    ``names``: command -> module below bulkload.cli, imported only where there is something to look up in it.
    """
    invoked = ctx.invoked_subcommand
    files = read_settings_files(named)
    suspects = {name: words for name, words in os.environ.items() if name.startswith("BULKLOAD_")}
    # Most variables are those of the command itself, or of `run`: the others are not imported for them.
    if not files and any(
        not unknown_variables(suspects, _flags_of(names, known)) for known in ((), (invoked,), (invoked, "run"))
    ):
        return
    commands = {name: _command_of(module) for name, module in names.items()}
    flags = [flag for command in commands.values() for one in _leaves(command) for flag in flags_of(one)]
    for name, meant in unknown_variables(suspects, flags):
        hint = f"; did you mean {meant}?" if meant else ""
        tell(f"bulkload: warning: {name} is no variable of bulkload, and is ignored{hint}")
    ctx.default_map = default_map(files, commands)
    telling = ctx.find_object(Telling)
    quiet = telling is not None and telling.quiet
    for file in files:
        keys = used_by(file, commands[invoked]) if invoked in commands and named is None else []
        if keys and not quiet:
            tell(f"bulkload: settings from {file.path!s}: {', '.join(keys)}")


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:
        # In a folder that this user may not look into: it is another's home.
        return False


def _read(path: Path, *, is_own: bool, checked: bool = False) -> SettingsFile:
    try:
        with path.open("rb") as file:
            if checked:
                _refuse_of_others(path, os.fstat(file.fileno()))
            content = file.read(LARGEST_SETTINGS_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > LARGEST_SETTINGS_BYTES:
        raise UsageError(f"{path}: is longer than {LARGEST_SETTINGS_BYTES >> 10} KiB, which no settings are")
    # Here, as most runs have no such file.
    import tomllib

    try:
        values = tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is no TOML ({toml_trouble(error)})") from None
    return SettingsFile(path, is_own, {key.replace("_", "-"): value for key, value in values.items()})


def _refuse_of_others(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in {0, os.geteuid()} or stat.S_IMODE(found.st_mode) & 0o022:
        raise UsageError(
            f"{path}: others can change it, and it may say where your token goes; make it yours alone: `chmod go-w`"
        )


def _check_keys(file: SettingsFile, flags: Sequence[Flag]) -> None:
    """Raise ``UsageError`` for a key that is none, or that a file of the current folder may not hold."""
    by_key: dict[str, list[Flag]] = {}
    for flag in flags:
        for key in flag.keys:
            by_key.setdefault(key, []).append(flag)
    for key in file.values:
        if key not in by_key:
            near = nearest(key, sorted(by_key))
            hint = f"did you mean {near!r}?" if near else "`bulkload run --help` lists the flags"
            raise UsageError(f"{file.path}: unknown key {printable(key)!r}; {hint}")
        if not file.is_own and any(flag.personal for flag in by_key[key]):
            raise UsageError(
                f"{file.path}: {key!r} is not taken from a file that merely lies in the current folder, which may be"
                " somebody else's: it says where credentials go, what runs, or which files are read or written. Give"
                f" it as a flag, put it into {_own_place()}, or name this file with --config {SETTINGS_FILE}"
            )


def _own_place() -> str:
    folder = config_folder()
    return str(folder / SETTINGS_FILE) if folder is not None else "a settings file of your own"


def _values_for(command: click.Command, files: Sequence[SettingsFile]) -> dict[str, Any]:
    if isinstance(command, click.Group):
        return {name: _values_for(each, files) for name, each in command.commands.items()}
    found: dict[str, Any] = {}
    for file in files:
        for flag in flags_of(command):
            for key in flag.keys.keys() & file.values.keys():
                try:
                    found[flag.name or ""] = flag.from_file(key, file.values[key])
                except (UsageError, click.BadParameter) as error:
                    raise UsageError(f"{file.path}: {error}") from None
                except ValueError:
                    raise UsageError(f"{file.path}: {key!r} is longer than a number can be") from None
                except RecursionError:
                    raise UsageError(f"{file.path}: {key!r} is nested too deep") from None
    return found


def _leaves(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from _leaves(each)
    else:
        yield command


def _command_of(module: str) -> click.Command:
    command: click.Command = import_module(f"bulkload.cli.{module}").command
    return command


def _flags_of(names: Mapping[str, str], commands: Iterable[str | None]) -> list[Flag]:
    modules = [names[each] for each in commands if each is not None and each in names]
    return [flag for module in modules for one in _leaves(_command_of(module)) for flag in flags_of(one)]

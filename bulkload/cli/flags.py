"""Flags. Each is also a variable and a key of the settings files: no flag is made in any other way."""

import datetime as dt
import json
import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from bulkload.core.model.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

# What Kubernetes tells every container about a service whose name begins with "bulkload".
_SERVICE_LINK = re.compile(
    r"BULKLOAD_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
# Ours where it is a number.
_SERVICE_PORT = re.compile(r"BULKLOAD_(\w+_)?PORT=(tcp|udp|sctp)://.*")
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


class Whole(click.IntRange):
    """A whole number within bounds, called so in help and messages."""

    name = "integer"


class Flag(click.Option):
    """A flag, its variables ``BULKLOAD_<FLAG>``, and its keys.

    ``personal``: it says where credentials go, which program runs, or which file is read or written. Its key is taken
    from settings of the user's own, never from a file that merely lies in the current folder. What names a path is
    personal unless it is said not to be. ``no_key``: a spelling that is another flag's key.
    """

    def __init__(self, *arguments: Any, personal: bool | None = None, no_key: str = "", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._no_key = no_key
        self.personal = isinstance(self.type, click.Path) if personal is None else personal

    @property
    def keys(self) -> dict[str, bool]:
        """Its keys in a settings file; True: the switch's other side, such as ``no-wait``."""
        names = dict.fromkeys(map(_key, self.opts), False) | dict.fromkeys(map(_key, self.secondary_opts), True)
        # One letter is a short form of the same.
        return {key: negative for key, negative in names.items() if len(key) > 1 and key != self._no_key}

    @property
    def variables(self) -> list[str]:
        """All that are understood."""
        others = [self.envvar] if isinstance(self.envvar, str) else list(self.envvar or ())
        return [*others, *(_variable(key) for key, negative in self.keys.items() if negative)]

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:  # noqa: ARG002
        """The words of the first variable that is set: without the line's end that `echo` and editors write."""
        found = self._first_variable()
        return found[1] if found is not None else None

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """What an error is about: the flag, and where its value stands when it is not on the command line."""
        hint = super().get_error_hint(ctx)
        source = ctx.get_parameter_source(self.name) if ctx is not None and self.name is not None else None
        if source is ParameterSource.DEFAULT_MAP:
            return f"{hint} (from the settings file)"
        found = self._first_variable() if source is ParameterSource.ENVIRONMENT else None
        return f"{hint} (from the variable {found[0]})" if found is not None else hint

    def _first_variable(self) -> tuple[str, str] | None:
        """The first variable that is set, and its words."""
        for variable in self.envvar or ():
            words = os.environ.get(variable, "").removeprefix(_BYTE_ORDER_MARK).strip("\r\n")
            if words and not is_service_link(variable, words):
                return variable, words
        return None

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """Several values stand in several lines, or in a list in JSON."""
        words = self.resolve_envvar_value(ctx)
        if words is None:
            return self._other_side(ctx)
        if self.multiple:
            return self._several(words)
        return super().value_from_envvar(ctx)

    def from_file(self, key: str, value: Any) -> Any:
        """A value of a settings file as click wants it. Raises ``UsageError`` with what it should be."""
        if self.is_flag:
            found = click.BOOL.convert(value, self, None) if isinstance(value, bool | str) else None
            if found is None:
                raise UsageError(f"{key!r} is a switch: true or false")
            return found != self.keys[key]
        if self.multiple:
            if isinstance(value, dict):
                return [f"{field}={_text(content, nested=True)}" for field, content in value.items()]
            values = value if isinstance(value, list) else [value]
            if any(isinstance(each, list | dict) for each in values):
                raise UsageError(f"{key!r} takes a list of texts")
            return [_text(each) for each in values]
        if isinstance(value, list | dict):
            raise UsageError(f"{key!r} takes one value, not several")
        return _text(value)

    def _other_side(self, ctx: click.Context) -> bool | None:
        for key, negative in self.keys.items():
            words = os.environ.get(_variable(key), "").strip() if negative else ""
            if words:
                return not click.BOOL.convert(words, self, ctx)
        return None

    def _several(self, words: str) -> list[str]:
        if not words.lstrip().startswith("["):
            return [line for line in words.splitlines() if line.strip()]
        try:
            found = json.loads(words)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise click.BadParameter('in a variable, write one value a line, or a list in JSON: ["...", "..."]')
        return found


def option(*names: str, also: tuple[str, ...] = (), **settings: Any) -> Callable[[F], F]:
    """A flag with its environment variable; ``also`` names variables of others that are understood."""
    flag = max(names[0].split("/")[0].split(","), key=len)
    settings.setdefault("show_default", settings.get("default") is not None and not settings.get("is_flag"))
    return click.option(*names, cls=Flag, envvar=[_variable(_key(flag)), *also], **settings)


def is_service_link(variable: str, words: str) -> bool:
    """Whether a variable is Kubernetes' word about a service, and none of ours."""
    return bool(_SERVICE_LINK.fullmatch(variable) or _SERVICE_PORT.fullmatch(f"{variable}={words}"))


def flags_of(command: click.Command) -> list[Flag]:
    """The flags of one command that people use."""
    return [each for each in command.params if isinstance(each, Flag) and not each.hidden]


def _key(flag: str) -> str:
    return flag.lstrip("-")


def _variable(key: str) -> str:
    return f"BULKLOAD_{key.upper().replace('-', '_')}"


def _text(value: Any, *, nested: bool = False) -> str:
    """A value of TOML as the words that a flag would have."""
    if isinstance(value, str):
        return value
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bool) or (nested and isinstance(value, list | dict)):
        return json.dumps(value, ensure_ascii=False, default=_text)
    return str(value)

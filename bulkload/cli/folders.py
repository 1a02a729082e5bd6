"""The user's own folders, as the XDG base directory specification has them; some users have none."""

import os
import pwd
import sys
from pathlib import Path


def config_folder() -> Path | None:
    """Where the user's own settings lie; None for a user without a home."""
    return _folder("XDG_CONFIG_HOME", ".config", "bulkload")


def state_folder() -> Path | None:
    """Where `bulkload login` keeps tokens; None for a user without a home."""
    return _folder("XDG_STATE_HOME", ".local/state", "bulkload")


def sdk_cache_folder() -> Path | None:
    """Where the vendor's SDK keeps what it may lose; None for a user without a home."""
    if sys.platform == "darwin":
        home = _home()
        return home / "Library/Caches/wallaroo_sdk" if home is not None else None
    return _folder("XDG_CACHE_HOME", ".cache", "wallaroo_sdk")


def _folder(variable: str, otherwise: str, name: str) -> Path | None:
    given = Path(os.environ.get(variable) or "")
    # A relative one is to be ignored: it would be another one in each folder.
    if given.is_absolute():
        return given / name
    home = _home()
    return home / otherwise / name if home is not None else None


def _home() -> Path | None:
    given = os.environ.get("HOME")
    if not given:
        try:
            given = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            # A container with a user of its own choice.
            return None
    return Path(given) if Path(given).is_absolute() else None

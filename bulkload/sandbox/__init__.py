"""An embedded local registry that speaks the HTTP API of the real one.

    async with Sandbox(SandboxSettings(data=folder)) as sandbox:
        ...  # sandbox.endpoint, sandbox.token; afterwards sandbox.versions(), sandbox.requests()

It is the judge of tests: `stored_versions(folder)` and `read_request_log(path)` say from any process what the registry
holds and what it was asked. Names are imported when they are first used, aiohttp with them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bulkload.sandbox.door.request_log import LogRecord, read_request_log
    from bulkload.sandbox.door.server import Sandbox
    from bulkload.sandbox.settings import SandboxSettings
    from bulkload.sandbox.store.queries import stored_versions
    from bulkload.sandbox.store.records import StoredVersion
    from bulkload.sandbox.store.store import DataFolderInUseError

__all__ = [
    "DataFolderInUseError",
    "LogRecord",
    "Sandbox",
    "SandboxSettings",
    "StoredVersion",
    "read_request_log",
    "stored_versions",
]

_HOMES = {
    "DataFolderInUseError": "store.store",
    "LogRecord": "door.request_log",
    "Sandbox": "door.server",
    "SandboxSettings": "settings",
    "StoredVersion": "store.records",
    "read_request_log": "door.request_log",
    "stored_versions": "store.queries",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

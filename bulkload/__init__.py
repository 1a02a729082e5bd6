"""Publish many ML models to a Wallaroo model registry: fast, safe, resumable.

::

    settings = bulkload.Settings(manifest="models.csv", endpoint=..., ledger=..., credentials=...)
    summary = await bulkload.publish(settings)

A library call prints and logs nothing. ``on_event`` hears what happens, as events of ``bulkload.events``:
``publish(settings, on_event=bulkload.log_events)`` sends them where the program sends its log.

Names are imported when they are first used, so that importing bulkload costs nothing.
"""

# Not even typing is imported here: this module comes before `bulkload.__main__`, which forgets the current folder (a
# typing.py there would be run) and takes the signals.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bulkload.core.model import events
    from bulkload.core.model.errors import (
        BulkloadError,
        ExitCode,
        Interrupted,
        LedgerError,
        LedgerInUse,
        ManifestError,
        NotAuthorised,
        RegistryUnavailable,
        UsageError,
    )
    from bulkload.core.model.settings import Connection, Credentials, Settings
    from bulkload.core.model.summary import RunSummary
    from bulkload.engine.plan import Plan
    from bulkload.engine.plan import foresee as plan
    from bulkload.engine.publish import publish, wait
    from bulkload.ledger import Ledger, LedgerReader
    from bulkload.registry import Registry
    from bulkload.report.log import log_events
    from bulkload.sandbox import Sandbox, SandboxSettings

__version__ = "0.1.0"

_ERRORS = (
    "BulkloadError",
    "ExitCode",
    "Interrupted",
    "LedgerError",
    "LedgerInUse",
    "ManifestError",
    "NotAuthorised",
    "RegistryUnavailable",
    "UsageError",
)
# Public name -> (module, its name there; empty: the module itself).
_HOMES = {
    **{name: ("core.model.errors", name) for name in _ERRORS},
    "Connection": ("core.model.settings", "Connection"),
    "Credentials": ("core.model.settings", "Credentials"),
    "Ledger": ("ledger", "Ledger"),
    "LedgerReader": ("ledger", "LedgerReader"),
    "Plan": ("engine.plan", "Plan"),
    "Registry": ("registry", "Registry"),
    "RunSummary": ("core.model.summary", "RunSummary"),
    "Sandbox": ("sandbox", "Sandbox"),
    "SandboxSettings": ("sandbox", "SandboxSettings"),
    "Settings": ("core.model.settings", "Settings"),
    "events": ("core.model.events", ""),
    "log_events": ("report.log", "log_events"),
    "plan": ("engine.plan", "foresee"),
    "publish": ("engine.publish", "publish"),
    "wait": ("engine.publish", "wait"),
}

__all__ = [
    "BulkloadError",
    "Connection",
    "Credentials",
    "ExitCode",
    "Interrupted",
    "Ledger",
    "LedgerError",
    "LedgerInUse",
    "LedgerReader",
    "ManifestError",
    "NotAuthorised",
    "Plan",
    "Registry",
    "RegistryUnavailable",
    "RunSummary",
    "Sandbox",
    "SandboxSettings",
    "Settings",
    "UsageError",
    "events",
    "log_events",
    "plan",
    "publish",
    "wait",
]


def __getattr__(name: str) -> "Any":
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    home = import_module(f"bulkload.{module}")
    return getattr(home, attribute) if attribute else home

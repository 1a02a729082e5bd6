"""The log of a run: its events as lines with fields, for whoever asks for them."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from bulkload.core.model import events
from bulkload.core.model.events import Event
from bulkload.core.model.states import State
from bulkload.report.sink import Sink, standard_error

Fields = dict[str, Any]
# Level, name, fields.
Line = tuple[str, str, Fields]

# How a line is worth somebody's look.
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING}


class _LogEvents:
    """``bulkload.log_events``, a consumer of events: each goes where the program that uses bulkload sends its log.

    To structlog where that is configured, else to the logger "bulkload" of the standard library.
    """

    @property
    def kinds(self) -> frozenset[type[Event]]:
        """What it listens to."""
        return KINDS

    def __call__(self, event: Event) -> None:
        """One more event."""
        line = log_line(event)
        if line is None:
            return
        level, name, fields = line
        # Who has configured structlog has imported it.
        structlog = sys.modules.get("structlog")
        logger = logging.getLogger("bulkload")
        if structlog is not None and structlog.is_configured():
            getattr(structlog.get_logger("bulkload"), level)(name, **fields)
        elif logger.isEnabledFor(_LEVELS[level]):
            logger.log(_LEVELS[level], "%s", _Words(name, fields), extra={"event": name, "fields": fields})


log_events = _LogEvents()


class _Words:
    """An event in words, for handlers that print any: ``uploaded entry=churn version_id=1215``."""

    def __init__(self, event: str, fields: Fields) -> None:
        self._event = event
        self._fields = fields

    def __str__(self) -> str:
        return " ".join((self._event, *(f"{name}={value!r}" for name, value in self._fields.items())))


class LogLines:
    """A consumer of events: each is a line on standard error, in the place of the display where there is one."""

    def __init__(self) -> None:
        import structlog

        self._logger = structlog.wrap_logger(
            _Lines(standard_error()),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
            ],
            wrapper_class=structlog.BoundLogger,
        )

    @property
    def kinds(self) -> frozenset[type[Event]]:
        """What it listens to: not to what the command line says in words of its own."""
        return KINDS - {events.Noticed, events.ManifestDoubted}

    def __call__(self, event: Event) -> None:
        """One more event."""
        line = log_line(event)
        if line is not None:
            level, name, fields = line
            getattr(self._logger, level)(name, **fields)


class _Lines:
    """What structlog writes to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, line: str) -> None:
        self._sink.say(line)

    info = warning = msg


def log_line(event: Event) -> Line | None:
    """Level, name and fields of an event's line; None where it has none."""
    kind = type(event)
    if kind in _PLAIN:
        level, name, *attributes = _PLAIN[kind]
        return level, name, {_FIELDS.get(each, each): getattr(event, each) for each in attributes}
    return _OTHERS[kind](event) if kind in _OTHERS else None


# Kind of event -> level, name, and the attributes that are fields.
_PLAIN: dict[type[Event], tuple[str, ...]] = {
    events.RunBegan: ("info", "run_started", "run_id", "endpoint", "ledger"),
    events.RunEnded: ("info", "run_ended", "run_id", "exit_code"),
    events.Stopping: ("info", "stopping", "exit_code", "reason"),
    events.ReconcileEnded: ("info", "reconciled", "name", "outcome", "note"),
    events.WaitEnded: ("warning", "wait_ended", "version_id", "status"),
    events.EntryLaidAside: ("warning", "laid_aside", "reason"),
    events.EntryUnread: ("warning", "not_read", "reason"),
    events.ChangeUnread: ("warning", "not_looked_at", "path", "reason"),
    events.Retried: ("info", "retry", "call", "reason", "retry_after"),
    events.Outage: ("warning", "outage", "kind", "call", "reason"),
    events.OutageEnded: ("info", "outage_ended", "kind"),
    events.Noticed: ("warning", "notice", "words"),
    events.ListingRead: ("info", "listed", "workspace_id", "versions"),
    events.NotListed: ("warning", "not_listed", "workspace_id", "reason"),
    events.VersionNotShown: ("info", "not_seen", "version_id", "reason"),
    events.ErrorNotExplained: ("info", "no_error_summary", "version_id"),
}
# Attributes that are called otherwise in a log.
_FIELDS = {"name": "entry"}


def _entry_moved(event: events.EntryMoved) -> Line | None:
    """A line for what the registry or a failure moved; other moves follow from what is told elsewhere."""
    before, after = event.before, event.after
    version: Fields = {"entry": event.name, "version_id": event.version_id}
    if after is State.UPLOADED and event.seconds is not None:
        return "info", "uploaded", version | {"seconds": event.seconds}
    if before is State.UPLOADED and after in (State.READY, State.ERROR):
        said = {} if event.message is None else {"message": event.message}
        return "info", f"version_{after}", version | {"seconds": event.seconds} | said
    if before is State.UPLOADED and event.cause == "wrong_digest":
        return "warning", "wrong_digest", version | {"message": event.message}
    if after is State.FAILED:
        return "warning", "failed", {"entry": event.name, "cause": event.cause, "message": event.message}
    if after is State.IN_DOUBT and before is not State.IN_DOUBT:
        return "warning", "in_doubt", {"entry": event.name, "reason": event.message}
    return None


def _manifest_doubted(event: events.ManifestDoubted) -> Line:
    from bulkload.report.problems import problem_lines

    return "warning", "manifest_doubted", {"problems": list(problem_lines(event.problems, each=False)[0])}


def _limit_changed(event: events.LimitChanged) -> Line:
    fields: Fields = {"before": _limit(event.before), "after": _limit(event.after), "reason": event.reason}
    return "info", event.limit, fields | ({} if event.kind is None else {"call": event.kind})


def _limit(limit: float | None) -> float | str:
    return "none" if limit is None else round(limit, 2)


def _held(event: events.Held) -> Line:
    return "info", "held", {"seconds": round(event.seconds, 3), "reason": "Retry-After"}


def _route_changed(event: events.RouteChanged) -> Line:
    return "warning", "route_changed", {"route": "convert", "reason": event.reason}


def _duplicate_found(event: events.DuplicateFound) -> Line:
    return "warning", "duplicate", {"entry": event.name, "versions": list(event.versions)}


_OTHERS: dict[type[Event], Callable[[Any], Line | None]] = {
    events.EntryMoved: _entry_moved,
    events.ManifestDoubted: _manifest_doubted,
    events.LimitChanged: _limit_changed,
    events.Held: _held,
    events.RouteChanged: _route_changed,
    events.DuplicateFound: _duplicate_found,
}
KINDS = frozenset((*_PLAIN, *_OTHERS))

"""Consumers of a run's events that do something in the middle of it, at the very moment that they are told."""

from collections.abc import Callable

from bulkload.core.model.events import Event
from bulkload.engine.events import OnEvent


def at_each(kind: type[Event], act: Callable[[], object]) -> OnEvent:
    """Does something at each event of a kind."""

    def consumer(event: Event) -> None:
        if isinstance(event, kind):
            act()

    return consumer


def at_first(wanted: Callable[[Event], bool], act: Callable[[], object]) -> OnEvent:
    """Does something once, at the first event that is wanted."""
    was_there = False

    def consumer(event: Event) -> None:
        nonlocal was_there
        if not was_there and wanted(event):
            was_there = True
            act()

    return consumer

"""Why and how a run ends early."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import anyio

from bulkload.core.model.errors import (
    BulkloadError,
    NotAuthorised,
    RegistryUnavailable,
    WindowEnded,
    outranks,
)
from bulkload.core.model.events import Stopping
from bulkload.core.model.settings import Settings
from bulkload.core.model.units import show_duration
from bulkload.core.verdicts import CallFailed, want_behind
from bulkload.engine.clock import Clock
from bulkload.engine.events import Events

T = TypeVar("T")

# How long uploads under way may take to finish once a run is to stop.
GRACE_SECONDS = 10.0


@contextmanager
def lone_errors() -> Iterator[None]:
    """One error comes out of its task groups, so that callers may catch it by its name.

    Of several, one that nobody foresaw; else the one that says the exit code. Wherever this machine lacked a thread,
    memory, or room for an open file, that is ``LocalTrouble``.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        wants = [want for error in errors if (want := want_behind(error)) is not None]
        raise (wants[0] if wants else _one_of(errors)) from None
    except Exception as lone:
        want = want_behind(lone)
        if want is None:
            raise
        raise want from None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _one_of(errors: list[BaseException]) -> BaseException:
    found = errors[0]
    for error in errors[1:]:
        if not isinstance(found, BulkloadError):
            break
        if not isinstance(error, BulkloadError) or outranks(error, found):
            found = error
    return found


def _with_remedy(error: BulkloadError) -> BulkloadError:
    """A call that was refused for good, as an error that says what to do."""
    if not isinstance(error, CallFailed):
        return error
    if error.failure.refusal == HTTPStatus.FORBIDDEN:
        return NotAuthorised(f"{error}: this account may not do that; use another token and run again")
    return RegistryUnavailable(f"{error}; the registry refuses what a run needs: check the endpoint and run again")


class Stop:
    """Whether a run is to take nothing new, and why: one reason, which says the exit code."""

    def __init__(self) -> None:
        # Why; None while nothing asked for it.
        self.error: BulkloadError | None = None
        # Whether the run is to take nothing new.
        self.asked = False
        # When it is asked in any case; None: never.
        self.ends_at: float | None = None
        self._events = Events()
        self._heard_by: list[Callable[[], None]] = []
        self._asked = anyio.Event()
        self._cut = anyio.Event()

    def ask(self, error: BulkloadError) -> None:
        """Take nothing new. Of several reasons the one counts whose exit code comes first."""
        error = _with_remedy(error)
        # Whoever hears of it may count on it.
        if self.error is None or outranks(error, self.error):
            self.error = error
        self.asked = True
        self._asked.set()
        for heard in self._heard_by:
            heard()
        self._tell(error)

    def when_asked(self, heard: Callable[[], None]) -> None:
        """Call ``heard`` when it is asked; at once where it was asked before."""
        self._heard_by.append(heard)
        if self.asked:
            heard()

    def tell(self, events: Events) -> None:
        """From now on, ``events`` hears why; at once where it was asked before."""
        self._events = events
        if self.error is not None:
            self._tell(self.error)

    def _tell(self, error: BulkloadError) -> None:
        self._events(Stopping(int(error.exit_code), str(error), GRACE_SECONDS))

    def raise_if_asked(self) -> None:
        """For work that can be given up here. Raises the reason."""
        if self.error is not None:
            raise self.error

    async def or_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work that may be ended at any moment without loss. Raises the reason once the run is to stop."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._end, group.cancel_scope)
            result = await work
            group.cancel_scope.cancel()
            return result
        self.raise_if_asked()
        raise AssertionError("only a stop ends the work")

    async def _end(self, scope: anyio.CancelScope) -> None:
        await self.wait()
        scope.cancel()

    async def wait(self) -> None:
        """Wait until the run is to stop."""
        await self._asked.wait()

    def cut(self) -> None:
        """Give what is under way no more time."""
        self._cut.set()

    async def wait_for_cut(self) -> None:
        """Wait until what is under way is to be cut."""
        await self._cut.wait()


@asynccontextmanager
async def within_window(settings: Settings, stop: Stop, clock: Clock) -> AsyncIterator[None]:
    """The time of a run, from the start of its command: ``stop`` is asked when it is over, whatever goes on then.

    An error that comes out of the block is the reason that ``stop`` has.
    """
    if settings.max_duration is not None:
        stop.ends_at = clock.now() + settings.max_duration - settings.spent
    try:
        with lone_errors():
            async with anyio.create_task_group() as group:
                if stop.ends_at is not None:
                    group.start_soon(_end_at, stop.ends_at, settings, stop, clock)
                yield
                group.cancel_scope.cancel()
    except BulkloadError as error:
        stop.ask(error)
        raise stop.error or error from None


async def _end_at(moment: float, settings: Settings, stop: Stop, clock: Clock) -> None:
    await clock.sleep(max(0.0, moment - clock.now()))
    stop.ask(window_ended(settings))


def window_ended(settings: Settings) -> WindowEnded:
    """The time is over, or what is left is too short for what is left."""
    return WindowEnded(f"the {show_duration(settings.max_duration or 0)} of --max-duration are over; run again")

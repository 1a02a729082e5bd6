"""Why and how a run ends early."""

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import anyio

from bulkload.core.errors import BulkloadError, Interrupted, LocalTrouble, NotAuthorised, RegistryUnavailable
from bulkload.core.verdicts import TOO_FEW_THREADS, CallFailed, is_want_of_threads

T = TypeVar("T")

# How long uploads under way may take to finish once a run is to stop.
GRACE_SECONDS = 10.0


@contextmanager
def lone_errors() -> Iterator[None]:
    """A lone error comes out of its task groups, so that callers may catch it by its name.

    Wherever this machine gave no thread, that is ``LocalTrouble``.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        if group.subgroup(is_want_of_threads) is not None:
            raise LocalTrouble(TOO_FEW_THREADS) from None
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None
    except RuntimeError as lone:
        if is_want_of_threads(lone):
            raise LocalTrouble(TOO_FEW_THREADS) from None
        raise


def _with_remedy(error: BulkloadError | None) -> BulkloadError | None:
    """A call that was refused for good, as an error that says what to do."""
    if not isinstance(error, CallFailed):
        return error
    if error.failure.status == HTTPStatus.FORBIDDEN:
        return NotAuthorised(f"{error}: this account may not do that; use another token and run again")
    return RegistryUnavailable(f"{error}; the registry refuses what a run needs: check the endpoint and run again")


class Stop:
    """Why a run takes nothing new: a signal, or an error that concerns all entries."""

    def __init__(self) -> None:
        self.error: BulkloadError | None = None
        self.signal: int | None = None
        self._asked = anyio.Event()
        self._cut = anyio.Event()

    def ask(self, *, signal: int | None = None, error: BulkloadError | None = None) -> None:
        """Take nothing new. The first reason counts."""
        if not self._asked.is_set():
            self.signal, self.error = signal, _with_remedy(error)
            self._asked.set()

    @property
    def asked(self) -> bool:
        """Whether the run is to take nothing new."""
        return self._asked.is_set()

    def raise_if_asked(self) -> None:
        """For work in a thread before the first upload. Raises ``Interrupted``."""
        if self.signal is not None:
            raise Interrupted(self.signal)

    async def or_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work that may be ended at any moment without loss. Raises ``Interrupted`` once the run is to stop."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._end, group.cancel_scope)
            result = await work
            group.cancel_scope.cancel()
            return result
        raise Interrupted(self.signal or 0)

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

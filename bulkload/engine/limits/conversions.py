"""``--max-converting``: uploads wait while the registry converts as many versions of this run as it may."""

from collections import deque

import anyio

from bulkload.core.model.events import ConversionPlaces
from bulkload.engine.events import Events
from bulkload.engine.stop import Stop


class Conversions:
    """Places on the registry's conversion queue, given in the order of asking. What is ready at once takes none."""

    def __init__(self, most: int | None, events: Events) -> None:
        """``most``: None for no limit."""
        self._most = most
        self._events = events
        self._taken = 0
        self._waiting: deque[anyio.Event] = deque()

    async def take(self, stop: Stop) -> bool:
        """Wait for a place and take it; False when the run stops meanwhile."""
        if self._is_free and not self._waiting:
            self.hold()
            return True
        turn = anyio.Event()
        self._waiting.append(turn)
        self._tell()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_until_stopped, stop, group.cancel_scope)
                await turn.wait()
                group.cancel_scope.cancel()
        except BaseException:
            self._give_up(turn)
            raise
        if stop.asked:
            self._give_up(turn)
            return False
        return True

    def hold(self) -> None:
        """Take a place without waiting: the version is converting already."""
        self._taken += 1
        self._tell()

    def release(self) -> None:
        """Give a place back: the registry has judged, or the version was waited for long enough."""
        self._taken -= 1
        # Whoever has waited longest, and nobody else, is woken up.
        while self._waiting and self._is_free:
            self._taken += 1
            self._waiting.popleft().set()
        self._tell()

    @property
    def _is_free(self) -> bool:
        return self._most is None or self._taken < self._most

    def _give_up(self, turn: anyio.Event) -> None:
        """A place that is not wanted any more, or the wait for one."""
        if turn.is_set():
            self.release()
        else:
            self._waiting.remove(turn)
            self._tell()

    def _tell(self) -> None:
        if self._most is not None and self._events.hears(ConversionPlaces):
            self._events(ConversionPlaces(self._taken, len(self._waiting)))


async def _until_stopped(stop: Stop, scope: anyio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()

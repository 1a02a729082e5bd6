"""``--max-converting``: uploads wait while the registry converts as many versions of this run as it may."""

from collections import deque

import anyio

from bulkload.engine.stop import Stop


class Conversions:
    """Places on the registry's conversion queue, given in the order of asking. What is ready at once takes none."""

    def __init__(self, most: int | None) -> None:
        """``most``: None for no limit."""
        self._most = most
        self._taken = 0
        self._waiting: deque[anyio.Event] = deque()

    async def take(self, stop: Stop) -> bool:
        """Wait for a place and take it; False when the run stops meanwhile."""
        if self._is_free and not self._waiting:
            self._taken += 1
            return True
        turn = anyio.Event()
        self._waiting.append(turn)
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

    def release(self) -> None:
        """Give a place back: the registry has judged, or the version was waited for long enough."""
        self._taken -= 1
        # Whoever has waited longest, and nobody else, is woken up.
        while self._waiting and self._is_free:
            self._taken += 1
            self._waiting.popleft().set()

    @property
    def _is_free(self) -> bool:
        return self._most is None or self._taken < self._most

    def _give_up(self, turn: anyio.Event) -> None:
        """A place that is not wanted any more, or the wait for one."""
        if turn.is_set():
            self.release()
        else:
            self._waiting.remove(turn)


async def _until_stopped(stop: Stop, scope: anyio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()

"""``--max-converting``: uploads wait while the registry converts as many versions of this run as it may."""

import anyio

from bulkload.engine.stopping import Stop


class Conversions:
    """Places on the registry's conversion queue. What is ready at once takes none."""

    def __init__(self, most: int | None) -> None:
        """``most``: None for no limit."""
        self._most = most
        self._taken = 0
        self._news = anyio.Event()

    async def take(self, stop: Stop) -> bool:
        """Wait for a place and take it; False when the run stops meanwhile."""
        while self._most is not None and self._taken >= self._most:
            news = self._news
            async with anyio.create_task_group() as group:
                group.start_soon(_until_stopped, stop, group.cancel_scope)
                await news.wait()
                group.cancel_scope.cancel()
            if stop.asked:
                return False
        self.hold()
        return True

    def hold(self) -> None:
        """Take a place without waiting: the version is converting already."""
        self._taken += 1

    def release(self) -> None:
        """Give a place back: the registry has judged, or the version was waited for long enough."""
        self._taken -= 1
        self._news.set()
        self._news = anyio.Event()


async def _until_stopped(stop: Stop, scope: anyio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()

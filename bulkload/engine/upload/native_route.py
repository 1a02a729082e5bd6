"""Whether the registry has ``models/upload``: decided once a run, by the registry's own word."""

import anyio

from bulkload.core.contract.routes import NATIVE_CALL
from bulkload.core.limits.permits import Call
from bulkload.core.model.errors import BulkloadError
from bulkload.core.model.settings import Route
from bulkload.core.verdicts import Failure, FailureKind, may_lack_call
from bulkload.engine.context import Run
from bulkload.engine.limits import Stopped

# An empty answer counts when it was given so often, over so many seconds (or the settle time, where that is shorter).
LOOKS = 3
LOOKS_SECONDS = 10.0


class NativeRoute:
    """Turns a run to ``models/upload_and_convert`` where ``models/upload`` is missing.

    A refusal in the registry's own form says so at once. A server says of a path that it does not have 404 or 405
    without a body, and so does many a gateway in a bad moment: that is believed when it goes on while another call,
    which is known to exist, is answered well. A call that has worked in this run is there.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._looking = anyio.Lock()
        self._looks = 0

    async def is_missing(self, failure: Failure) -> bool:
        """Whether an upload by ``models/upload`` failed with ``failure`` because there is no such call."""
        if not may_lack_call(failure):
            return False
        looks = self._looks
        async with self._looking:
            if self._run.route is Route.CONVERT:
                return True
            if self._looks != looks:
                return False  # somebody else has just looked
            self._looks += 1
            if failure.kind is FailureKind.STATUS or await self._goes_on(failure):
                self._run.use_convert_route(failure)
                return True
        return False

    async def _goes_on(self, failure: Failure) -> bool:
        pause = min(LOOKS_SECONDS, self._run.settings.settle) / (LOOKS - 1)
        for number in range(LOOKS):
            if number:
                with self._run.clock.within(pause):
                    await self._run.stop.wait()
            if self._run.stop.asked or not await self._is_the_same_again(failure):
                return False
        return True

    async def _is_the_same_again(self, failure: Failure) -> bool:
        registry = self._run.registry
        try:
            await registry.workspaces()
            await self._run.limits.reserve(Call.PROBE)
            look = await registry.look_for(NATIVE_CALL)
        except (BulkloadError, Stopped):
            return False
        same = look is not None and (look.kind, look.status, look.empty) == (failure.kind, failure.status, True)
        return same and not registry.has_answered(NATIVE_CALL)

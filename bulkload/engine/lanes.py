"""Who sends what when: a lane a model, so that one upload of a model is in flight and its versions keep their order.

A lane holds an upload slot only while it sends; while it settles or backs off, the slot is somebody else's.
"""

import anyio
from anyio.abc import TaskGroup

from bulkload.core.errors import BulkloadError
from bulkload.core.states import State
from bulkload.engine.gates import Stopped
from bulkload.engine.poller import Poller
from bulkload.engine.run import Run
from bulkload.engine.uploader import Upload
from bulkload.ledger.records import LedgerEntry

# Lanes beyond those that send: settling, backing off, or waiting for a slot with their entry already read.
WAITING_LANES = 64
# Entries read from the ledger at a time.
HEADS_A_PAGE = 256


class Lanes:
    """Uploads everything that is planned or in doubt."""

    def __init__(self, run: Run, poller: Poller, lost_at: float) -> None:
        """``lost_at``: no connection of what is in doubt by now was lost later, on the monotonic clock."""
        self._run = run
        self._poller = poller
        self._lost_at = lost_at
        self._places = anyio.Semaphore(run.settings.concurrency + WAITING_LANES)
        # Models with a lane: what the ledger shows as planned may be in a lane's hands.
        self._busy: set[tuple[int, str]] = set()

    async def work(self) -> None:
        """Start lanes until nothing is left to send, or the run stops; return when the last lane ended."""
        async with anyio.create_task_group() as lanes:
            await self._start_in_doubt(lanes)
            await self._start_planned(lanes)

    async def _start_in_doubt(self, lanes: TaskGroup) -> None:
        """What an earlier process left in doubt blocks its model, so it comes first."""
        after = 0
        while page := await self._run.ledger.call(
            lambda store: store.in_state(State.IN_DOUBT, after, HEADS_A_PAGE)  # noqa: B023 - awaited at once
        ):
            for item in page:
                await self._start(lanes, item)
            after = page[-1].id

    async def _start_planned(self, lanes: TaskGroup) -> None:
        line = 0
        while not self._run.stop.asked and (
            page := await self._run.ledger.call(lambda store: store.heads(line, HEADS_A_PAGE))  # noqa: B023
        ):
            for item in page:
                await self._start(lanes, item)
            line = page[-1].entry.line

    async def _start(self, lanes: TaskGroup, item: LedgerEntry) -> None:
        # A model that has a lane is served by it to the end.
        if item.model in self._busy or self._run.stop.asked:
            return
        await self._places.acquire()
        if item.model in self._busy:
            self._places.release()
            return
        self._busy.add(item.model)
        lanes.start_soon(self._lane, item)

    async def _lane(self, first: LedgerEntry) -> None:
        """All entries of one model, one after the other."""
        item: LedgerEntry | None = first
        try:
            while item is not None and not self._run.stop.asked:
                if not await self._publish(item):
                    return
                model = item.model
                item = await self._run.ledger.call(lambda store: store.next_of_model(model))  # noqa: B023
        except Stopped:
            pass
        except BulkloadError as error:
            self._run.stop.ask(error=error)
        finally:
            self._busy.discard(first.model)
            self._places.release()

    async def _publish(self, item: LedgerEntry) -> bool:
        """Publish one entry; False when it must wait for the next run, and later versions of its model with it."""
        current = await self._run.ledger.call(lambda store: store.entry(item.id))
        if current.state not in (State.PLANNED, State.IN_DOUBT):
            return True  # an earlier lane of this model was quicker than the page it was read from
        upload = Upload(self._run, current, self._lost_at)
        await upload.finish()
        if upload.state is State.UPLOADED and upload.version_id is not None:
            if not upload.native and not upload.holds_place:
                self._run.conversions.hold()
            self._poller.add(current, upload.version_id, native=upload.native, fresh=upload.answered)
        return not upload.postponed

"""Who sends what when: a lane a model, so that one upload of a model is in flight and its versions keep their order.

A lane holds an upload slot only while it sends; while it settles or backs off, the slot is somebody else's.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
from anyio.abc import TaskGroup

from bulkload.core.contract.routes import converts
from bulkload.core.model.errors import BulkloadError
from bulkload.core.model.states import State
from bulkload.engine.context import Run
from bulkload.engine.limits.gates import Stopped
from bulkload.engine.poll.poller import Poller
from bulkload.engine.upload.entry import Upload
from bulkload.engine.upload.native_route import NativeRoute
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
        self._route = NativeRoute(run)
        self._most = run.settings.concurrency + WAITING_LANES
        self._count = 0
        # Models with a lane: what the ledger shows as planned may be in a lane's hands.
        self._busy: set[tuple[int, str]] = set()
        self._heads = self._all_heads()
        self._taking = anyio.Lock(fast_acquire=True)

    async def work(self) -> None:
        """Send until nothing is left, or the run stops; return when the last lane ended."""
        async with aclosing(self._heads), anyio.create_task_group() as lanes:
            await self._lane(lanes)

    async def _lane(self, lanes: TaskGroup) -> None:
        """One model after the other; whoever finds one lets another lane look for more."""
        self._count += 1
        while (head := await self._next_head()) is not None:
            if self._count < self._most:
                lanes.start_soon(self._lane, lanes)
            await self._publish_model(head)

    async def _next_head(self) -> LedgerEntry | None:
        """The first entry of a model that has no lane; None when there are no more, or the run stops."""
        async with self._taking:
            async for head in self._heads:
                if self._run.stop.asked:
                    return None
                # A model that has a lane is served by it to the end.
                if head.model not in self._busy:
                    self._busy.add(head.model)
                    return head
        return None

    async def _all_heads(self) -> AsyncGenerator[LedgerEntry]:
        """What an earlier process left in doubt blocks its model, so it comes first."""
        after, line = 0, 0
        while page := await self._run.ledger.call(
            lambda store: store.in_state(State.IN_DOUBT, after, HEADS_A_PAGE)  # noqa: B023 - awaited at once
        ):
            for head in page:
                yield head
            after = page[-1].id
        while page := await self._run.ledger.call(lambda store: store.heads(line, HEADS_A_PAGE)):  # noqa: B023
            for head in page:
                yield head
            line = page[-1].entry.line

    async def _publish_model(self, head: LedgerEntry) -> None:
        """All entries of one model, one after the other."""
        item: LedgerEntry | None = head
        try:
            while item is not None and not self._run.stop.asked:
                if not await self._publish(item) or item.only_version:
                    return
                item = await self._run.ledger.call(lambda store: store.next_of_model(head.model))
        except Stopped:
            pass
        except BulkloadError as error:
            self._run.stop.ask(error)
        finally:
            self._busy.discard(head.model)

    async def _publish(self, item: LedgerEntry) -> bool:
        """Publish one entry; False when it must wait for the next run, and later versions of its model with it."""
        current = item
        if not item.only_version:
            current = await self._run.ledger.call(lambda store: store.entry(item.id))
        if current.state not in (State.PLANNED, State.IN_DOUBT):
            return True  # an earlier lane of this model was quicker than the page it was read from
        upload = Upload(self._run, current, self._lost_at, self._route)
        await upload.finish()
        if upload.state is State.UPLOADED and upload.version_id is not None:
            self._watch(current, upload, upload.version_id)
        return not upload.postponed

    def _watch(self, item: LedgerEntry, upload: Upload, version_id: int) -> None:
        if not self._run.settings.wait:
            return  # nobody will ask about it
        converting = converts(upload.call)
        if converting and not upload.holds_place:
            self._run.conversions.hold()
        self._poller.add(item, version_id, converting=converting, fresh=upload.answered)

"""What is sent next: per-model queues, so that one upload of a model is in flight and its versions keep their order.

A worker serves one model after the other. It holds an upload slot only while it sends; while its entry settles or backs
off, the slot is somebody else's.
"""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
from anyio.abc import TaskGroup

from bulkload.core.contract.routes import converts
from bulkload.core.model.errors import BulkloadError
from bulkload.core.model.states import State
from bulkload.engine.context import Run
from bulkload.engine.limits import Stopped
from bulkload.engine.poll.poller import Poller
from bulkload.engine.upload.entry import EntryUpload
from bulkload.engine.upload.native_route import NativeRoute
from bulkload.ledger.interface import GetEntry, InState, NextOfModel, Take
from bulkload.ledger.records import LedgerEntry

# Workers beyond those that send: settling, backing off, or waiting for a slot with their entry already read.
WAITING_WORKERS = 64
# Entries read from the ledger at a time.
ENTRIES_A_PAGE = 256


class Scheduler:
    """Uploads everything that is planned or in doubt."""

    def __init__(self, run: Run, poller: Poller, lost_at: float) -> None:
        """``lost_at``: no connection of what is in doubt by now was lost later, on the monotonic clock."""
        self._run = run
        self._poller = poller
        self._lost_at = lost_at
        self._route = NativeRoute(run)
        self._most = run.settings.concurrency + WAITING_WORKERS
        self._workers = 0
        # Models that a worker serves: what the ledger shows as planned may be in its hands.
        self._served: set[tuple[int, str]] = set()
        # What an earlier process left in doubt blocks its model, so it comes first.
        self._pages = self._next_pages()
        self._page: deque[LedgerEntry] = deque()
        self._reading = anyio.Lock(fast_acquire=True)

    async def work(self) -> None:
        """Send until nothing is left, or the run stops; return when the last worker ended."""
        async with aclosing(self._pages), anyio.create_task_group() as workers:
            await self._work(workers)

    async def _work(self, workers: TaskGroup) -> None:
        """One model after the other; whoever finds one lets another worker look for more."""
        self._workers += 1
        while (entry := await self._next_entry()) is not None:
            if self._workers < self._most:
                workers.start_soon(self._work, workers)
            await self._publish_model(entry)

    async def _next_entry(self) -> LedgerEntry | None:
        """The first entry of a model that nobody serves; None when there are no more, or the run stops."""
        while not self._run.stop.asked:
            if not self._page and not await self._read_page():
                return None
            entry = self._page.popleft()
            # A model that is served is served to the end.
            if entry.model not in self._served:
                self._served.add(entry.model)
                return entry
        return None

    async def _read_page(self) -> bool:
        """See to it that there are entries to take; False when there are no more."""
        async with self._reading:
            if not self._page:
                async for page in self._pages:
                    self._page.extend(page)
                    break
        return bool(self._page)

    async def _next_pages(self) -> AsyncGenerator[list[LedgerEntry]]:
        ledger, after, line = self._run.ledger, 0, 0
        while page := await ledger.execute(InState(State.IN_DOUBT, after, ENTRIES_A_PAGE)):
            yield page
            after = page[-1].id
        while page := await ledger.execute(Take(ENTRIES_A_PAGE, line)):
            yield page
            line = page[-1].entry.line

    async def _publish_model(self, first: LedgerEntry) -> None:
        """All entries of one model, one after the other."""
        ledger, entry = self._run.ledger, first
        try:
            if not entry.only_version:
                # An earlier worker of this model may have been quicker than the page it was read from.
                entry = await ledger.execute(GetEntry(entry.id))
            following: LedgerEntry | None = entry if entry.state in (State.PLANNED, State.IN_DOUBT) else None
            while not self._run.stop.asked:
                if following is not None and not await self._publish(following):
                    return
                if first.only_version:
                    return
                following = await ledger.execute(NextOfModel(first.model))
                if following is None:
                    return
        except Stopped:
            pass
        except BulkloadError as error:
            self._run.stop.ask(error)
        finally:
            self._served.discard(first.model)

    async def _publish(self, entry: LedgerEntry) -> bool:
        """Publish one entry; False when it must wait for the next run, and later versions of its model with it."""
        upload = EntryUpload(self._run, entry, self._lost_at, self._route)
        await upload.finish()
        # Who does not wait for the registry's verdict has nobody who asks for it.
        if upload.state is State.UPLOADED and upload.version_id is not None and self._run.settings.wait:
            converting = converts(upload.call)
            if converting and not upload.holds_place:
                self._run.limits.converting()
            self._poller.add(entry, upload.version_id, converting=converting, fresh=upload.answered)
        return not upload.left

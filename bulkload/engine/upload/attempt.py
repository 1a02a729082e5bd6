"""One attempt to send one entry: everything from the first look at the file to the answer.

The order of effects is what keeps versions single: intent on disk, then the first byte; digest complete and agreed and
seal on disk, then the last piece.
"""

import sys
from collections.abc import AsyncGenerator, Iterator

from bulkload.core.identity.reconcile import ExistingDecision
from bulkload.core.model.events import BodySent, BytesSent
from bulkload.core.model.records import Look
from bulkload.core.model.settings import OnExisting
from bulkload.core.model.states import State
from bulkload.engine.calls import missing_token
from bulkload.engine.context import Run
from bulkload.engine.limits.gates import Stopped
from bulkload.engine.listing import digest_to_compare, existing_in, find_existing, have_listed, versions_now
from bulkload.ledger.records import LedgerEntry
from bulkload.ledger.sqlite.writes import Store
from bulkload.registry.form import Form, upload_form, upload_metadata
from bulkload.source import OpenFile

# Under a bandwidth, a body leaves in slices of so many seconds, unless they get too small to be worth a system call.
SLICE_SECONDS = 0.1
SMALLEST_SLICE_BYTES = 1 << 14


class FoundEqual(Exception):
    """An equal version is there already: nothing more is sent."""

    def __init__(self, decision: ExistingDecision, sha256: str) -> None:
        super().__init__(decision.version.version_id)
        self.decision = decision
        self.sha256 = sha256


class WrongDigest(Exception):
    """The file is not the one that the manifest declares."""


class Sending:
    """One attempt. What it leaves behind says how far it came."""

    def __init__(self, run: Run, item: LedgerEntry, *, as_planned: bool = False) -> None:
        """``as_planned``: the file is expected to be as it was when it was planned."""
        self._run = run
        self._item = item
        self._as_planned = as_planned
        # The intent is on disk: bytes may have left.
        self.intended = False
        # The seal is on disk: the last byte may leave.
        self.sealed = False
        # A byte was handed to the socket. Until then nothing can have arrived, whatever is on disk.
        self.departed = False
        # When the first byte was about to leave, and the last one of a body that is not sent in pieces.
        self.began = 0.0
        self.sent_at: float | None = None

    @property
    def may_have_landed(self) -> bool:
        """Whether the registry may have the whole body."""
        return self.sealed and self.departed

    async def send(self, call: str) -> int:
        """Send the entry by ``call`` and return the version id that the answer names.

        Raises ``CallFailed``; ``FoundEqual``, ``WrongDigest`` and ``SourceChanged``, after which the registry has
        nothing of it; ``OSError`` for the file; ``Stopped``.
        """
        entry, run = self._item.entry, self._run
        look = self._item.look if self._as_planned else None
        if look is None:
            look = await run.sources.look_now(entry.source)
        fence: frozenset[int] | None = None
        if run.settings.on_existing is OnExisting.UPLOAD or self._item.retry_requested:
            # An equal version may be there already: only an exact fence tells it from ours.
            fence = frozenset(version.version_id for version in await versions_now(run, self._item))
        else:
            await have_listed(run, self._item)
        form = upload_form(upload_metadata(entry, self._item.workspace_id), entry.source)
        if look.size <= min(run.sources.small_file_bytes, self._slice_size):
            return await self._send_small(call, form, fence)
        # Spare a large upload of what is there already; a small file is read whole anyway, and looked at then.
        if run.settings.on_existing is OnExisting.SKIP:
            known = await digest_to_compare(run, self._item, look)
            if known is not None:
                await self._refuse_equal(known)
        return await self._send_large(call, form, fence)

    async def _send_small(self, call: str, form: Form, fence: frozenset[int] | None) -> int:
        """One read, one commit for intent and seal, one body."""
        file = await self._run.sources.read_small(self._item.entry.source)
        self._refuse_wrong(file.sha256)
        await self._wait_for_leave(large=False)
        await self._intend(file.look, fence, file.sha256)
        self.sealed = True
        if self._run.settings.bandwidth is not None:
            await self._run.gates.bytes.wait(len(file.data))
        body = b"".join((form.head, file.data, form.tail))
        await self._depart(large=False)
        self.sent_at = self.began
        self._tell_sent(len(file.data))
        self._tell_whole()
        return await self._run.registry.upload(call, form, file.look.size, body, on_first_byte=self._note_departure)

    async def _send_large(self, call: str, form: Form, fence: frozenset[int] | None) -> int:
        """A piece at a time; memory does not grow with the file."""
        at_a_time = self._run.settings.concurrency
        async with self._run.sources.open(self._item.entry.source, at_a_time=at_a_time) as file:
            await self._wait_for_leave(large=True)
            await self._intend(file.look, fence, None)
            await self._depart(large=True)
            return await self._run.registry.upload(
                call, form, file.look.size, self._pieces(form, file), on_first_byte=self._note_departure
            )

    async def _pieces(self, form: Form, file: OpenFile) -> AsyncGenerator[bytes]:
        """The body. Its last piece leaves only when digest, file and seal are in order."""
        yield form.head
        async for piece in file.pieces():
            self._run.gates.slots.moving()
            if file.sha256 is not None:
                await self._seal(file.sha256)
            for part in in_parts(piece, self._slice_size):
                if self._run.settings.bandwidth is not None:
                    await self._run.gates.bytes.wait(len(part))
                self._tell_sent(len(part))
                yield part
        self._tell_whole()
        yield form.tail

    def _tell_sent(self, count: int) -> None:
        if self._run.events.hears(BytesSent):
            self._run.events(BytesSent(count))

    def _tell_whole(self) -> None:
        if self._run.events.hears(BodySent):
            self._run.events(BodySent(self._item.id))

    @property
    def _slice_size(self) -> int:
        """Bytes that may leave at once: so many that no second of a low bandwidth is spent at its beginning."""
        bandwidth = self._run.settings.bandwidth
        return sys.maxsize if bandwidth is None else max(SMALLEST_SLICE_BYTES, int(bandwidth * SLICE_SECONDS))

    async def _wait_for_leave(self, *, large: bool) -> None:
        """Wait for this upload's turn, and have a token for it. Raises ``Stopped`` when the run stops meanwhile."""
        await self._run.gates.uploads.enter()
        # What fails here is no attempt.
        if (get_token := missing_token(self._run, large=large)) is not None:
            await get_token()
        if self._run.stop.asked:
            raise Stopped

    def _note_departure(self) -> None:
        self.departed = True

    async def _depart(self, *, large: bool) -> None:
        await self._run.gates.uploads.depart(lambda: missing_token(self._run, large=large))
        self.began = self._run.clock()

    async def _intend(self, look: Look, fence: frozenset[int] | None, sha256: str | None) -> None:
        """Look once more whether the same is there, and put the intent on disk: one commit.

        ``fence``: None for what the run's listing has; ``sha256``: None for a body that is sealed later.
        """
        run, item = self._run, self._item

        def look_and_intend(store: Store) -> ExistingDecision | None:
            listed = store.listed(item.model)
            if sha256 is not None and run.settings.on_existing is OnExisting.SKIP:
                found = existing_in(store, run, item, sha256, listed)
                if found is not None:
                    return found
            behind = frozenset(version.version_id for version in listed) if fence is None else fence
            store.intend(item.id, look, behind, sha256)
            return None

        found = await run.ledger.call(look_and_intend)
        if found is not None:
            run.gates.uploads.turn_back()
            raise FoundEqual(found, sha256 or "")
        run.moved(item, State.PLANNED, State.UPLOADING)
        self.intended = True

    async def _seal(self, sha256: str) -> None:
        self._refuse_wrong(sha256)
        await self._refuse_equal(sha256)
        await self._run.ledger.call(lambda store: store.seal(self._item.id, sha256))
        self.sealed = True

    def _refuse_wrong(self, sha256: str) -> None:
        declared, source = self._item.entry.sha256, self._item.entry.source
        if declared is not None and declared != sha256:
            raise WrongDigest(
                f"{source} has sha256 {sha256}, the manifest says {declared}; mend whichever is wrong and run again"
            )

    async def _refuse_equal(self, sha256: str) -> None:
        if self._run.settings.on_existing is OnExisting.SKIP:
            decision = await find_existing(self._run, self._item, sha256)
            if decision is not None:
                raise FoundEqual(decision, sha256)


def in_parts(piece: bytes, size: int) -> Iterator[bytes]:
    """A piece in parts of ``size`` bytes at the most; an empty one is one part."""
    if len(piece) <= size:
        yield piece
        return
    for start in range(0, len(piece), size):
        yield piece[start : start + size]

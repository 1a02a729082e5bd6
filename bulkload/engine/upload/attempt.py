"""One attempt to send one entry: everything from the first look at the file to the answer.

The order of effects is what keeps versions single: intent on disk, then the first byte; digest complete and agreed and
seal on disk, then the last piece.
"""

import sys
from collections.abc import Iterator

from bulkload.core.identity.reconcile import ExistingDecision
from bulkload.core.limits.permits import Permit
from bulkload.core.model.attempts import (
    Attempt,
    Away,
    Changed,
    Doubtful,
    Equal,
    NotAccepted,
    NotBegun,
    NoToken,
    Refused,
    Sent,
    Unreadable,
    WrongBytes,
)
from bulkload.core.model.errors import BulkloadError
from bulkload.core.model.events import BodySent, BytesSent
from bulkload.core.model.records import Look
from bulkload.core.model.settings import OnExisting
from bulkload.core.verdicts import CallFailed, Failure, Verdict, local_failure, upload_verdict
from bulkload.engine.calls import missing_token
from bulkload.engine.context import Run
from bulkload.engine.limits import Stopped
from bulkload.engine.listing import digest_to_compare, find_equal, have_listed, versions_now
from bulkload.ledger.interface import Intend, Seal
from bulkload.ledger.records import LedgerEntry
from bulkload.registry.form import Form, upload_form, upload_metadata
from bulkload.registry.interface import Upload
from bulkload.source import SourceChanged

# Under a bandwidth, a body leaves in slices of so many seconds, unless they get too small to be worth a system call.
SLICE_SECONDS = 0.1
SMALLEST_SLICE_BYTES = 1 << 14

NOTHING_SENT = "stopped before anything of it was sent"


class UploadAttempt:
    """``came = await UploadAttempt(run, entry, call).make()``. What it leaves behind says how far it came."""

    def __init__(self, run: Run, entry: LedgerEntry, call: str, permit: Permit, *, as_planned: bool) -> None:
        """``call``: that it is sent by; ``as_planned``: the file is expected to be as it was when it was planned."""
        self._run = run
        self._entry = entry
        self._call = call
        self._permit = permit
        self._look = entry.look if as_planned else None
        # The intent is on disk: bytes may have left.
        self.intended = False
        # The seal is on disk: the last byte may leave.
        self._sealed = False
        # When the last byte of a body that is not sent in pieces was about to leave.
        self._sent_at: float | None = None
        self._has_departed = False
        # A body under way that is pushed in pieces.
        self._upload: Upload | None = None

    async def make(self) -> Attempt:
        """Send the entry and say what came of it.

        Raises ``BulkloadError`` for what ends the run once something may have been sent.
        """
        try:
            return await self._make()
        except Exception as error:  # noqa: BLE001 - one entry's trouble is that entry's
            return self._ended_by(error)

    def _ended_by(self, error: Exception) -> Attempt:
        """An attempt that no answer ended well. Raises ``BulkloadError`` as ``make`` does."""
        if isinstance(error, SourceChanged):
            return Changed()
        if isinstance(error, CallFailed) and self.intended:
            return self._judged(error.failure)
        if isinstance(error, Stopped):
            return NotBegun(NOTHING_SENT)
        if not isinstance(error, BulkloadError):
            return self._not_sent(error)
        if self.departed:
            raise error
        # It says nothing about this entry: refused was a question before the upload, or a token, or the ledger fails.
        self._run.stop.ask(error)
        return NotBegun(str(error))

    async def _make(self) -> Attempt:
        entry, run = self._entry, self._run
        look = self._look or await run.sources.look_now(entry.entry.source)
        fence: frozenset[int] | None = None
        if run.settings.on_existing is OnExisting.UPLOAD or entry.retry_requested:
            # An equal version may be there already: only an exact fence tells it from ours.
            fence = frozenset(version.version_id for version in await versions_now(run, entry))
        elif run.unlisted:
            await have_listed(run, entry)
        form = upload_form(upload_metadata(entry.entry, entry.workspace_id), entry.entry.source)
        if look.size <= min(run.sources.small_file_bytes, self._slice_size):
            return await self._send_small(form, fence)
        # Spare a large upload of what is there already; a small file is read whole anyway, and looked at then.
        if run.settings.on_existing is OnExisting.SKIP:
            known = await digest_to_compare(run, entry, look)
            found = None if known is None else await find_equal(run, entry, known)
            if known is not None and found is not None:
                return Equal(found, known)
        return await self._send_large(form, fence)

    # One read, one commit for intent and seal, one body.

    async def _send_small(self, form: Form, fence: frozenset[int] | None) -> Attempt:
        run, entry = self._run, self._entry
        file = await run.sources.read_small(entry.entry.source)
        if (wrong := self._wrong(file.sha256)) is not None:
            return wrong
        await self._have_token(large=False)
        if (equal := await self._intend(file.look, fence, file.sha256)) is not None:
            return equal
        self._sealed = True
        if run.settings.bandwidth is not None:
            await run.limits.bytes(self._permit, len(file.data))
        await self._depart(large=False)
        self._sent_at = self._permit.began
        self._tell_sent(len(file.data))
        self._tell_whole()
        sent = run.registry.send_small(self._call, form, file.data, on_first_byte=self._note_departure)
        return self._sent(await sent)

    # A piece at a time: memory does not grow with the file.

    async def _send_large(self, form: Form, fence: frozenset[int] | None) -> Attempt:
        run, source = self._run, self._entry.entry.source
        async with run.sources.open(source, at_a_time=run.settings.concurrency) as file:
            await self._have_token(large=True)
            if (equal := await self._intend(file.look, fence, None)) is not None:
                return equal
            await self._depart(large=True)
            async with run.registry.uploading(self._call, form, file.look.size) as self._upload:
                # The bandwidth is for pieces: none of its time is spent on a connection.
                await self._upload.begin()
                async for piece in file.pieces():
                    run.limits.moving(self._permit)
                    # The last piece leaves only when digest, file and seal are in order.
                    if file.sha256 is not None and (ending := await self._seal(file.sha256)) is not None:
                        return ending
                    await self._push(self._upload, piece)
                self._tell_whole()
                return self._sent(await self._upload.finish())

    async def _push(self, upload: Upload, piece: bytes | memoryview) -> None:
        for part in in_parts(piece, self._slice_size):
            if self._run.settings.bandwidth is not None:
                await self._run.limits.bytes(self._permit, len(part))
            await upload.write(part)
            self._tell_sent(len(part))

    def _tell_sent(self, count: int) -> None:
        if self._run.events.hears(BytesSent):
            self._run.events(BytesSent(count))

    def _tell_whole(self) -> None:
        if self._run.events.hears(BodySent):
            self._run.events(BodySent(self._entry.id))

    async def _seal(self, sha256: str) -> Attempt | None:
        """Put the seal on disk; else why the body is not to be completed."""
        run, wrong = self._run, self._wrong(sha256)
        if wrong is not None:
            return wrong
        answer = await run.ledger.execute(
            Seal(entry=self._entry, sha256=sha256, registry_time=run.registry.answered_at)
        )
        if isinstance(answer, ExistingDecision):
            return Equal(answer, sha256)
        self._sealed = True
        return None

    @property
    def _slice_size(self) -> int:
        """Bytes that may leave at once: so many that no second of a low bandwidth is spent at its beginning."""
        bandwidth = self._run.settings.bandwidth
        return sys.maxsize if bandwidth is None else max(SMALLEST_SLICE_BYTES, int(bandwidth * SLICE_SECONDS))

    # What both have in common.

    async def _have_token(self, *, large: bool) -> None:
        """Have a token before the intent. Raises ``Stopped`` when the run stops meanwhile."""
        # What fails here is no attempt.
        if (get_token := missing_token(self._run, large=large)) is not None:
            await get_token()
        if self._run.stop.asked:
            raise Stopped

    async def _intend(self, look: Look, fence: frozenset[int] | None, sha256: str | None) -> Equal | None:
        """Put the intent on disk, unless an equal version is there. ``sha256``: None for what is sealed later."""
        run = self._run
        answer = await run.ledger.execute(
            Intend(entry=self._entry, look=look, fence=fence, sha256=sha256, registry_time=run.registry.answered_at)
        )
        if isinstance(answer, ExistingDecision):
            return Equal(answer, sha256 or "")
        self.intended = True
        run.moved(self._entry, answer)
        return None

    async def _depart(self, *, large: bool) -> None:
        await self._run.limits.depart(self._permit, lambda: missing_token(self._run, large=large))

    def _note_departure(self) -> None:
        self._has_departed = True

    @property
    def departed(self) -> bool:
        """A byte was handed to the socket. Until then nothing can have arrived, whatever is on disk."""
        return self._has_departed or (self._upload is not None and self._upload.departed)

    def _wrong(self, sha256: str) -> WrongBytes | None:
        declared, source = self._entry.entry.sha256, self._entry.entry.source
        if declared is None or declared == sha256:
            return None
        return WrongBytes(
            "wrong_digest",
            f"{source} has sha256 {sha256}, the manifest says {declared}; mend whichever is wrong and run again",
        )

    # What came of it.

    @property
    def _may_have_landed(self) -> bool:
        """Whether the registry may have the whole body."""
        return self._sealed and self.departed

    def _sent(self, version_id: int) -> Sent:
        self._learn()
        return Sent(version_id, round(self._run.clock.now() - self._permit.began, 3))

    def _judged(self, failure: Failure) -> Attempt:
        """What the registry's answer, or its silence, means for the entry."""
        self._learn(failure)
        verdict = upload_verdict(failure, sealed=self._may_have_landed, size=self._size)
        if verdict is Verdict.PERMANENT:
            return Refused(failure)
        if verdict is Verdict.IN_DOUBT:
            return Doubtful(str(failure), failure)
        return NoToken(failure) if verdict is Verdict.UNAUTHORISED else NotAccepted(failure)

    def _not_sent(self, error: Exception) -> Attempt:
        """The file could not be read, or something unforeseen came."""
        source = self._entry.entry.source
        local = local_failure(source, error)
        if self._may_have_landed:
            # Its last byte may have left: whatever came then, the registry knows.
            return Doubtful(str(local or unforeseen(error)))
        if local is not None:
            return Away(local)
        if isinstance(error, OSError):
            return Unreadable("unreadable", f"{source}: {error.strerror or error}")
        return Unreadable("internal_error", unforeseen(error))

    def _learn(self, failure: Failure | None = None) -> None:
        """Let the limits learn from how it went."""
        # A large body's last bytes still lie in buffers when it has been handed over.
        seconds = None if self._sent_at is None else self._run.clock.now() - self._sent_at
        self._run.limits.settle(self._permit, failure, seconds)

    @property
    def _size(self) -> int:
        return self._entry.look.size if self._entry.look is not None else 0


def in_parts(piece: bytes | memoryview, size: int) -> Iterator[bytes | memoryview]:
    """A piece in parts of ``size`` bytes at the most; an empty one is one part."""
    if len(piece) <= size:
        yield piece
        return
    for start in range(0, len(piece), size):
        yield piece[start : start + size]


def unforeseen(error: Exception) -> str:
    """Words for what nobody thought of."""
    return f"{type(error).__name__}: {error}; this is a defect of bulkload, please report it"

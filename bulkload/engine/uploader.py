"""One entry, from planned until the registry has it, or certainly has not, or nobody knows.

The order of effects is what keeps versions single: intent on disk, then the first byte; digest complete and agreed and
seal on disk, then the last piece; answer on disk, then the next entry of this model.
"""

from collections.abc import AsyncGenerator
from pathlib import PurePath

import anyio
import msgspec

from bulkload.core.errors import BulkloadError, NotAuthorised, RegistryUnavailable
from bulkload.core.frameworks import FRAMEWORKS
from bulkload.core.reconcile import ExistingDecision
from bulkload.core.records import RegistryVersion, SourceStat
from bulkload.core.retry import ATTEMPTS_PER_ENTRY
from bulkload.core.settings import OnExisting, Route
from bulkload.core.states import State
from bulkload.core.verdicts import CallFailed, Failure, Verdict, upload_verdict
from bulkload.engine.calls import not_authorised_message, note_retry, pause_seconds, unavailable_message
from bulkload.engine.listing import digest_to_compare, find_existing, versions_now
from bulkload.engine.reconciling import reconcile_entry
from bulkload.engine.run import Run, log, utc_now
from bulkload.ledger.records import LedgerEntry, Outcome
from bulkload.ledger.store import VersionTaken
from bulkload.registry.form import Form, upload_form, upload_metadata
from bulkload.source import SMALL_FILE_BYTES, LocalFile, SourceChanged, read_small, stat_of

NATIVE_CALL = "models/upload"
CONVERT_CALL = "models/upload_and_convert"


class FoundEqual(Exception):
    """An equal version is there already: nothing more is sent."""

    def __init__(self, decision: ExistingDecision) -> None:
        super().__init__(decision.version.version_id)
        self.decision = decision


class WrongDigest(Exception):
    """The file is not the one that the manifest declares."""


class Upload:
    """One entry on its way. ``state`` is where it stands now, as the ledger has it."""

    def __init__(self, run: Run, item: LedgerEntry, slots: anyio.CapacityLimiter) -> None:
        self.run = run
        self.item = item
        self.state = item.state
        self.version_id = item.version_id
        # The call that took it, once it is uploaded.
        self.native = False
        self._slots = slots
        self._attempts = 0
        self._renewed = False
        self._call = ""
        # What is known of the bytes under way.
        self._stat = item.stat
        self._sha256 = item.sha256
        self._fence = item.fence
        # When the connection of an upload in doubt was lost; an earlier process lost it before this one began.
        self._lost_at = run.started

    async def finish(self) -> None:
        """Send, settle and send again until nothing is left to do for now, or the run stops."""
        while not self.run.stop.asked:
            if self.state is State.IN_DOUBT:
                await self._reconcile()
                if self.state is State.IN_DOUBT:
                    return
            elif self.state is State.PLANNED:
                await self._attempt()
            else:
                return

    async def _reconcile(self) -> None:
        item = await self.run.ledger.call(lambda store: store.entry(self.item.id))
        adopted = await reconcile_entry(self.run, item, self._lost_at)
        self.state, self.version_id = adopted.state, adopted.version_id

    # One attempt.

    async def _attempt(self) -> None:
        self._attempts += 1
        self._call = self._choose_call()
        try:
            async with self._slots:
                self.run.progress.uploads_in_flight += 1
                try:
                    await self._send()
                finally:
                    self.run.progress.uploads_in_flight -= 1
        except FoundEqual as found:
            await self._take_existing(found.decision)
        except WrongDigest as wrong:
            await self._fail("wrong_digest", str(wrong))
        except SourceChanged:
            await self._source_changed()
        except OSError as error:
            await self._fail("unreadable", f"{self.item.entry.source}: {error.strerror or error}")
        except CallFailed as failed:
            await self._judge(failed.failure)
        except BulkloadError as error:
            self.run.stop.ask(error=error)

    def _choose_call(self) -> str:
        self.native = self.run.route is Route.AUTO and FRAMEWORKS[self.item.entry.conversion.framework].native_route
        return NATIVE_CALL if self.native else CONVERT_CALL

    async def _send(self) -> None:
        entry, run = self.item.entry, self.run
        self._stat = await anyio.to_thread.run_sync(stat_of, entry.source) if self._stat is None else self._stat
        await self._set_fence()
        if run.settings.on_existing is OnExisting.SKIP:
            await self._look_before_sending(self._stat)
        form = upload_form(upload_metadata(entry, self.item.workspace_id), PurePath(entry.source).name)
        if self._stat.size <= SMALL_FILE_BYTES:
            await self._send_small(form)
        else:
            await self._send_large(form)

    async def _set_fence(self) -> None:
        """The version ids that this model has before the first byte."""
        if self.run.settings.on_existing is OnExisting.UPLOAD:
            # An equal version may be there already: only an exact fence tells it from ours.
            versions = await versions_now(self.run, self.item)
        else:
            versions = await self.run.ledger.call(lambda store: store.listed(self.item.model))
        self._listed = versions
        self._fence = frozenset(version.version_id for version in versions)

    async def _look_before_sending(self, stat: SourceStat) -> None:
        """Spare the upload of what is there already. A small file is read whole anyway, and looked at then."""
        if stat.size > SMALL_FILE_BYTES:
            known = await digest_to_compare(self.run, self.item, stat, self._listed)
            if known is not None:
                await self._refuse_equal(known)

    async def _refuse_equal(self, sha256: str) -> None:
        if self.run.settings.on_existing is OnExisting.SKIP:
            decision = await find_existing(self.run, self.item, sha256)
            if decision is not None:
                self._sha256 = sha256
                raise FoundEqual(decision)

    def _check_digest(self, sha256: str) -> None:
        declared = self.item.entry.sha256
        if declared is not None and declared != sha256:
            raise WrongDigest(
                f"{self.item.entry.source} has sha256 {sha256}, the manifest says {declared};"
                " mend whichever is wrong and run again"
            )

    async def _send_small(self, form: Form) -> None:
        """One read, one commit for intent and seal, one body."""
        file = await read_small(self.item.entry.source)
        self._check_digest(file.sha256)
        await self._refuse_equal(file.sha256)
        await self._pace()
        await self.run.pace(self.run.byte_pacer, len(file.data))
        await self._intend(file.stat, file.sha256)
        self.run.progress.bytes_sent += len(file.data)
        body = b"".join((form.head, file.data, form.tail))
        await self._deliver(form, file.stat.size, body)

    async def _send_large(self, form: Form) -> None:
        async with LocalFile(self.item.entry.source) as file:
            await self._pace()
            await self._intend(file.stat, None)
            await self._deliver(form, file.stat.size, self._pieces(form, file))

    async def _pieces(self, form: Form, file: LocalFile) -> AsyncGenerator[bytes]:
        """The body. Its last piece leaves only when digest, file and seal are in order."""
        yield form.head
        async for piece in file.pieces():
            await self.run.pace(self.run.byte_pacer, len(piece))
            if file.sha256 is not None:
                sha256 = file.sha256
                self._check_digest(sha256)
                await self._refuse_equal(sha256)
                await self.run.ledger.call(lambda store: store.seal(self.item.id, sha256))  # noqa: B023
                self._sha256 = sha256
            self.run.progress.bytes_sent += len(piece)
            yield piece
        yield form.tail

    async def _pace(self) -> None:
        await self.run.pace(self.run.upload_pacer)

    async def _intend(self, stat: SourceStat, sha256: str | None) -> None:
        self._stat, self._sha256 = stat, sha256
        await self.run.ledger.call(lambda store: store.intend(self.item.id, stat, self._fence, sha256))
        self.run.count(self.item, self.state, State.UPLOADING)
        self.state = State.UPLOADING

    async def _deliver(self, form: Form, size: int, body: "bytes | AsyncGenerator[bytes]") -> None:
        began = anyio.current_time()
        # One request; its answer's id is written down before anything else happens to this model.
        version_id = await self.run.registry.upload(self._call, form, size, body)
        self.run.budget.earn()
        seconds = anyio.current_time() - began
        outcome = Outcome(version_id=version_id, owned=True, uploaded_at=utc_now(), upload_seconds=round(seconds, 3))
        try:
            await self._move(State.UPLOADED, outcome)
        except VersionTaken:
            # The registry answers with the newest version of the model, which may be another upload's.
            await self._doubt(f"the answer named version {version_id}, which is another entry's")
            return
        self.version_id = version_id
        log.info("uploaded", entry=self.item.entry.name, version_id=version_id, seconds=round(seconds, 3))

    # What came of it.

    async def _judge(self, failure: Failure) -> None:
        sealed = self._sha256 is not None and self.state is State.UPLOADING
        verdict = upload_verdict(failure, sealed=sealed)
        if self.native and failure.status in (404, 405):
            self.run.use_convert_route()
            await self._not_accepted(failure)
        elif verdict is Verdict.PERMANENT:
            await self._fail(f"refused_{failure.status}", failure.message)
        elif verdict is Verdict.IN_DOUBT:
            await self._doubt(str(failure))
        elif verdict is Verdict.UNAUTHORISED:
            await self._not_accepted(failure)
            await self._renew_token(failure)
        else:
            await self._not_accepted(failure)
            await self._back_off(failure)

    async def _renew_token(self, failure: Failure) -> None:
        refused = await self.run.registry.token()
        if self._renewed or not await self.run.registry.renew_token(refused):
            self.run.stop.ask(error=NotAuthorised(not_authorised_message(failure)))
        self._renewed = True

    async def _back_off(self, failure: Failure) -> None:
        try:
            seconds = pause_seconds(failure, self._attempts, self.run.random.random())
        except RegistryUnavailable as unavailable:
            self.run.stop.ask(error=unavailable)
            return
        if self._attempts >= ATTEMPTS_PER_ENTRY or not self.run.budget.spend():
            self.run.stop.ask(error=RegistryUnavailable(unavailable_message(failure)))
            return
        note_retry(self.run, failure)
        with anyio.move_on_after(seconds):
            await self.run.stop.wait()

    async def _not_accepted(self, failure: Failure) -> None:
        if self.state is State.UPLOADING:
            await self._move(State.PLANNED, Outcome(message=str(failure)))

    async def _source_changed(self) -> None:
        """The file was edited while it was read: its new state is what is to be published."""
        self._stat = None
        if self._attempts >= ATTEMPTS_PER_ENTRY:
            await self._fail("source_changed", f"{self.item.entry.source} changes while it is read; run again later")
        elif self.state is State.UPLOADING:
            await self._move(State.PLANNED, Outcome(message="the file changed while it was read"))

    async def _doubt(self, reason: str) -> None:
        self._lost_at = anyio.current_time()
        log.warning("in_doubt", entry=self.item.entry.name, reason=reason)
        await self._move(State.IN_DOUBT, Outcome(message=reason))

    async def _fail(self, cause: str, message: str) -> None:
        log.warning("failed", entry=self.item.entry.name, cause=cause, message=message)
        await self._move(State.FAILED, Outcome(cause=cause, message=message, finished_at=utc_now()))

    async def _take_existing(self, decision: ExistingDecision) -> None:
        version = decision.version
        outcome = existing_outcome(decision.state, version, self._sha256 or "")
        log.info("found_equal", entry=self.item.entry.name, version_id=version.version_id, state=decision.state)
        await self._move(decision.state, outcome)
        self.version_id = version.version_id

    async def _move(self, after: State, outcome: Outcome) -> None:
        await self.run.move(self.item, after, outcome, before=self.state)
        self.state = after


def existing_outcome(state: State, version: RegistryVersion, sha256: str) -> Outcome:
    """What is written about an entry whose equal version was there already."""
    common = Outcome(version_id=version.version_id, version_uuid=version.uuid, sha256=sha256, status=version.status)
    changes = {"message": "an equal version was there already"}
    if state is State.UPLOADED:
        changes["uploaded_at"] = version.created_at or utc_now()
    else:
        changes["finished_at"] = utc_now()
    if state is State.ERROR:
        changes |= {
            "cause": "conversion_error",
            "message": f"an equal version was there already and ended in error: {version.error_summary or 'no reason'};"
            " --retry-failed publishes a new one",
        }
    return msgspec.structs.replace(common, **changes)

"""One entry, from planned until the registry has it, or certainly has not, or nobody knows."""

import anyio
import msgspec

from bulkload.core.contract.routes import NATIVE_CALL, converts, upload_call
from bulkload.core.identity.reconcile import ExistingDecision
from bulkload.core.limits.outage import Prospect
from bulkload.core.limits.retry import ATTEMPTS_PER_ENTRY, may_retry
from bulkload.core.model.errors import BulkloadError, NotAuthorised, RegistryUnavailable
from bulkload.core.model.states import State
from bulkload.core.verdicts import CallFailed, Failure, Verdict, local_failure, upload_verdict
from bulkload.engine.calls import not_authorised_message, note_retry, pause_seconds, unavailable_message
from bulkload.engine.context import Run
from bulkload.engine.limits.gates import Stopped
from bulkload.engine.upload.attempt import FoundEqual, Sending, WrongDigest
from bulkload.engine.upload.native_route import NativeRoute
from bulkload.engine.upload.reconcile import reconcile_entry
from bulkload.ledger.records import LedgerEntry, Outcome
from bulkload.ledger.sqlite.writes import Store, VersionTaken
from bulkload.source import SourceChanged

OUT_OF_ORDER = "out of order: a later version of this model was published before this one"


class Upload:
    """One entry on its way. ``state`` is where it stands now, as the ledger has it."""

    def __init__(self, run: Run, item: LedgerEntry, lost_at: float, route: NativeRoute) -> None:
        self.state = item.state
        self.version_id = item.version_id
        # What it was sent by; None: not in this run.
        self.call: str | None = None
        # It is left for the next run: it would not end within --max-duration, or was tried often enough.
        self.postponed = False
        # This run made the version just now, and knows so by the answer.
        self.answered = False
        # Whether it has a place on the registry's conversion queue.
        self.holds_place = False
        self._run = run
        self._route = route
        self._item = item
        self._attempts = 0
        self._renewed = False
        # Why the last try did not succeed.
        self._failure: Failure | None = None
        # When the connection of an upload in doubt was lost.
        self._lost_at = lost_at

    async def finish(self) -> None:
        """Send, settle and send again until nothing is left to do for now, or the run stops."""
        while not self._run.stop.asked and not self.postponed:
            before = self.state
            if before is State.PLANNED and not self._item.in_manifest:
                return  # no longer in the manifest: reconciled, never sent
            if before is State.PLANNED:
                await self._attempt()
            elif before is State.IN_DOUBT:
                await self._reconcile()
                if self.state is before:
                    return  # it cannot be decided
            else:
                return

    async def _reconcile(self) -> None:
        item = await self._run.ledger.call(lambda store: store.entry(self._item.id))
        reconciled = await reconcile_entry(self._run, item, self._lost_at)
        self.state, self.version_id = reconciled.state, reconciled.version_id
        if self.state is State.PLANNED and self._failure is not None:
            self._spend_retry(self._failure)

    async def _attempt(self) -> None:
        self.call = self._call_now
        self.holds_place = converts(self.call) and await self._run.conversions.take(self._run.stop)
        try:
            await self._attempt_now()
        finally:
            if self.holds_place and self.state is not State.UPLOADED:
                self._run.conversions.release()
                self.holds_place = False

    async def _attempt_now(self) -> None:
        """Try once. The slot is given on when it is written down what came of it, and not kept while backing off."""
        sending = Sending(self._run, self._item, as_planned=self._attempts == 0)
        pause = 0.0
        async with self._run.gates.slots:
            try:
                await self._send(sending)
            except FoundEqual as found:
                outcome = existing_outcome(found.decision, found.sha256, self._run.clock.utc_now())
                await self._move(found.decision.state, outcome)
                self.version_id, self.call = found.decision.version.version_id, None
            except WrongDigest as wrong:
                await self._fail("wrong_digest", str(wrong))
            except SourceChanged:
                await self._source_changed()
            except Stopped:
                await self._take_back(sending, "stopped before anything of it was sent")
                return
            except anyio.get_cancelled_exc_class():
                await self._take_back(sending, "stopped before anything of it was sent")
                raise
            except CallFailed as failed:
                pause = await self._failed(sending, failed)
            except BulkloadError as error:
                self._run.stop.ask(error)
                await self._take_back(sending, str(error))
            except Exception as error:  # noqa: BLE001 - one entry's trouble is that entry's
                pause = await self._not_sent(sending, error)
        if pause:
            with self._run.clock.within(pause):
                await self._run.stop.wait()

    async def _not_sent(self, sending: Sending, error: Exception) -> float:
        """The file could not be read, or something unforeseen came: seconds to wait before the next try."""
        local = local_failure(self._item.entry.source, error)
        if sending.may_have_landed:
            # Its last byte may have left: whatever came then, the registry knows.
            await self._doubt(str(local or _unforeseen(error)))
        elif local is not None:
            return await self._wait_until_readable(sending, local)
        elif isinstance(error, OSError):
            await self._fail("unreadable", f"{self._item.entry.source}: {error.strerror or error}")
        else:
            await self._fail("internal_error", _unforeseen(error))
        return 0.0

    async def _wait_until_readable(self, sending: Sending, failure: Failure) -> float:
        """This machine cannot read the file for now, which says nothing about the file: it stays planned."""
        run = self._run
        if self.state is State.UPLOADING:
            await self._move(State.PLANNED, Outcome(message=str(failure)))
        else:
            await run.ledger.call(lambda store: store.note_planned(self._item.id, str(failure)))
        run.gates.slots.lacking(sending.began or run.clock(), str(failure))
        if may_retry(self._attempts, run.budget):
            note_retry(run.events, failure)
            return run.backoff.seconds(self._attempts)
        self.postponed = True
        run.leave_unread(failure)
        return 0.0

    async def _failed(self, sending: Sending, failed: CallFailed) -> float:
        """The call failed: write down what that means. Returns the seconds to wait before the next try."""
        if sending.intended:
            self._note_answer(sending, failed.failure)
            return await self._judge(failed.failure, sealed=sending.may_have_landed)
        # Refused was a question before the upload, which says nothing about this entry.
        self._run.stop.ask(failed)
        return 0.0

    async def _send(self, sending: Sending) -> None:
        if self._run.stop.asked or self.call != self._call_now:
            return  # nothing new, or by the other route: that one takes a place first
        if not self._run.window.admits(self._run.clock(), self._size):
            self.postponed = True
            self._run.postponed += 1
            return
        self._attempts += 1
        began = self._run.clock()
        try:
            version_id = await sending.send(self._call_now)
        finally:
            if sending.intended:
                self.state = State.UPLOADING
        self._run.budget.earn()
        self._note_answer(sending)
        seconds = self._run.clock() - began
        self._run.window.uploaded(self._size, seconds)
        await self._uploaded(version_id, round(seconds, 3))

    def _note_answer(self, sending: Sending, failure: Failure | None = None) -> None:
        """Let the gates learn from how it went."""
        gates, now = self._run.gates, self._run.clock()
        gates.uploads.answered(sending.began, failure)
        # A large body's last bytes still lie in buffers when it has been handed over.
        seconds = None if sending.sent_at is None else now - sending.sent_at
        gates.slots.answered(sending.began, seconds, failure, waiting=gates.uploads.crowded)

    @property
    def _call_now(self) -> str:
        return upload_call(self._item.entry.conversion.framework, self._run.route)

    @property
    def _size(self) -> int:
        return self._item.look.size if self._item.look is not None else 0

    async def _uploaded(self, version_id: int, seconds: float) -> None:
        """The answer's id is written down before anything else happens to this model."""
        outcome = Outcome(
            version_id=version_id, owned=True, uploaded_at=self._run.clock.utc_now(), upload_seconds=seconds
        )

        def arrive(store: Store) -> None:
            out_of_order = not self._item.only_version and store.later_published(self._item)
            message = OUT_OF_ORDER if out_of_order else None
            store.move(self._item.id, State.UPLOADED, msgspec.structs.replace(outcome, message=message))

        try:
            await self._run.ledger.call(arrive)
        except VersionTaken:
            # The registry answers with the newest version of the model, which may be another upload's.
            await self._doubt(f"the answer named version {version_id}, which is another entry's")
            return
        self._run.moved(self._item, self.state, State.UPLOADED, outcome)
        self.state, self.version_id, self.answered = State.UPLOADED, version_id, True

    # What a failure means.

    async def _judge(self, failure: Failure, *, sealed: bool) -> float:
        """Write down what a failure means; returns the seconds to back off."""
        self._failure = failure
        verdict = upload_verdict(failure, sealed=sealed, size=self._size)
        if self.call == NATIVE_CALL and await self._route.is_missing(failure):
            await self._not_accepted(failure)
        elif verdict is Verdict.PERMANENT:
            by_others = (
                "" if failure.refusal is not None else " (what stands before the registry takes no body so large)"
            )
            await self._fail(f"refused_{failure.status}", failure.message + by_others)
        elif verdict is Verdict.IN_DOUBT:
            await self._doubt(str(failure))
            self._pause(failure)
        elif verdict is Verdict.UNAUTHORISED:
            await self._not_accepted(failure)
            if self._renewed:
                self._run.stop.ask(NotAuthorised(not_authorised_message(failure)))
            # The next try carries another token, or says that there is none.
            self._renewed = True
        else:
            await self._not_accepted(failure)
            pause = self._pause(failure)
            return pause if self._spend_retry(failure, pause) else 0.0
        return 0.0

    def _pause(self, failure: Failure) -> float:
        """How long to wait before the next try; everybody waits when the registry asked for it."""
        try:
            seconds = pause_seconds(failure, self._attempts, self._run.random.random(), self._run.settings.pauses)
        except RegistryUnavailable as unavailable:
            self._run.stop.ask(unavailable)
            return 0.0
        if failure.retry_after:
            self._run.gates.hold(failure.retry_after)
        return seconds

    def _spend_retry(self, failure: Failure, pause: float = 0.0) -> bool:
        """Whether the same may be sent again in this run, after ``pause`` seconds."""
        run = self._run
        prospect = run.gates.uploads.prospect(run.settings.patience)
        if prospect is Prospect.GIVE_UP:
            run.stop.ask(RegistryUnavailable(unavailable_message(failure)))
            return False
        if may_retry(self._attempts, run.budget) or prospect is Prospect.GO_ON:
            note_retry(run.events, failure)
            if outage := run.gates.uploads.outage_event(failure, pause, run.settings.patience):
                run.events(outage)
            return True
        self.postponed = True
        run.lay_aside(failure)
        return False

    async def _take_back(self, sending: Sending, message: str) -> None:
        """It is over before a byte was handed to the socket: nothing can have arrived, whatever was committed."""
        if self.state is State.UPLOADING and not sending.departed:
            await self._move(State.PLANNED, Outcome(message=message))

    # Where the entry goes.

    async def _not_accepted(self, failure: Failure) -> None:
        if self.state is State.UPLOADING:
            await self._move(State.PLANNED, Outcome(message=str(failure)))

    async def _source_changed(self) -> None:
        """The file was edited while it was read: its new state is what is to be published."""
        if self._attempts >= ATTEMPTS_PER_ENTRY:
            await self._fail("source_changed", f"{self._item.entry.source} changes while it is read; run again later")
        elif self.state is State.UPLOADING:
            await self._move(State.PLANNED, Outcome(message="the file changed while it was read"))

    async def _doubt(self, reason: str) -> None:
        self._lost_at = self._run.clock()
        await self._move(State.IN_DOUBT, Outcome(message=reason))

    async def _fail(self, cause: str, message: str) -> None:
        await self._move(State.FAILED, Outcome(cause=cause, message=message, finished_at=self._run.clock.utc_now()))

    async def _move(self, after: State, outcome: Outcome) -> None:
        await self._run.move(self._item, after, outcome, before=self.state)
        self.state = after


def _unforeseen(error: Exception) -> str:
    return f"{type(error).__name__}: {error}; this is a defect of bulkload, please report it"


def existing_outcome(found: ExistingDecision, sha256: str, now: str) -> Outcome:
    """What is written about an entry whose equal version was there already."""
    state, version = found.state, found.version
    outcome = Outcome(
        version_id=version.version_id,
        version_uuid=version.uuid,
        sha256=sha256,
        status=version.status,
        message="an equal version was there already",
    )
    if state is State.UPLOADED:
        return msgspec.structs.replace(outcome, uploaded_at=version.created_at or now)
    if state is State.ERROR:
        reason = version.error_summary or "no reason"
        message = f"{outcome.message} and ended in error: {reason}; --retry-failed publishes a new one"
        outcome = msgspec.structs.replace(outcome, cause="conversion_error", message=message)
    return msgspec.structs.replace(outcome, finished_at=now)

"""One entry, from planned until the registry has it, or certainly has not, or nobody knows."""

import anyio

from bulkload.core.contract.routes import NATIVE_CALL, converts, upload_call
from bulkload.core.limits.permits import Call, Permit
from bulkload.core.limits.retry import Retry, may_retry, pause_seconds
from bulkload.core.model.attempts import Attempt, Away, Doubtful, Equal, NotAccepted, NoToken, Refused, Sent
from bulkload.core.model.errors import NotAuthorised, RegistryUnavailable
from bulkload.core.model.states import State
from bulkload.core.transitions import Then, Transition, after_attempt
from bulkload.core.verdicts import Failure
from bulkload.engine.calls import not_authorised_message, note_retry, unavailable_message
from bulkload.engine.context import Run
from bulkload.engine.upload.attempt import NOTHING_SENT, UploadAttempt
from bulkload.engine.upload.native_route import NativeRoute
from bulkload.engine.upload.reconcile import reconcile_entry
from bulkload.ledger.interface import Arrived, GetEntry, Move, NotePlanned, VersionTaken
from bulkload.ledger.records import LedgerEntry, Outcome


class EntryUpload:
    """One entry on its way. ``state`` is where it stands now, as the ledger has it."""

    def __init__(self, run: Run, entry: LedgerEntry, lost_at: float, route: NativeRoute) -> None:
        self.state = entry.state
        self.version_id = entry.version_id
        # What it was sent by; None: not in this run.
        self.call: str | None = None
        # It is left for the next run: it would not end within --max-duration, or was tried often enough.
        self.left = False
        # This run made the version just now, and knows so by the answer.
        self.answered = False
        # Whether it has a place on the registry's conversion queue.
        self.holds_place = False
        self._run = run
        self._route = route
        self._entry = entry
        self._attempts = 0
        self._renewed = False
        # Why the last attempt did not succeed, where a call failed.
        self._failure: Failure | None = None
        # When the connection of an upload in doubt was lost.
        self._lost_at = lost_at

    async def finish(self) -> None:
        """Send, settle and send again until nothing is left to do for now, or the run stops."""
        while not self._run.stop.asked and not self.left:
            if self.state is State.PLANNED and self._entry.in_manifest:
                await self._send()
            elif self.state is State.IN_DOUBT:
                await self._settle()
                if self.state is State.IN_DOUBT:
                    return  # it cannot be decided
            else:
                return  # the registry's turn; or no longer in the manifest: reconciled, never sent

    async def _settle(self) -> None:
        entry = await self._run.ledger.execute(GetEntry(self._entry.id))
        self.state, self.version_id = await reconcile_entry(self._run, entry, self._lost_at)
        if self.state is State.PLANNED and self._failure is not None:
            self._spend_retry(self._failure)

    async def _send(self) -> None:
        """Try once. No permit is kept while backing off."""
        run, pause = self._run, 0.0
        self.call = self._call_now
        permit = await run.limits.reserve(Call.CONVERTED_UPLOAD if converts(self.call) else Call.UPLOAD, self._size)
        if permit is None:
            self.left = True
            run.postponed += 1
            return
        try:
            # Nothing new, or by the other route: that one takes a place first.
            if not run.stop.asked and self.call == self._call_now:
                pause = await self._attempt(permit)
        finally:
            run.limits.give_back(permit)
            if self.holds_place and self.state is not State.UPLOADED:
                run.limits.converted()
                self.holds_place = False
        if pause:
            with run.clock.within(pause):
                await run.stop.wait()

    async def _attempt(self, permit: Permit) -> float:
        """One attempt and what follows from it. Returns the seconds to wait before the next one."""
        attempt = UploadAttempt(self._run, self._entry, self.call or "", permit, as_planned=self._attempts == 0)
        self._attempts += 1
        try:
            came = await attempt.make()
        except anyio.get_cancelled_exc_class():
            if attempt.intended and not attempt.departed:
                await self._move(State.PLANNED, Outcome(message=NOTHING_SENT))
            elif attempt.intended:
                self.state = State.UPLOADING
            raise
        if attempt.intended:
            self.state = State.UPLOADING
        if isinstance(came, Sent):
            self.holds_place = permit.call is Call.CONVERTED_UPLOAD
            await self._arrive(came, permit)
            return 0.0
        return await self._follow(came, permit)

    async def _arrive(self, sent: Sent, permit: Permit) -> None:
        """The answer's id is written down before anything else happens to this model."""
        run, entry = self._run, self._entry
        answer = await run.ledger.execute(
            Arrived(
                entry=entry, version_id=sent.version_id, uploaded_at=run.clock.utc_now(), upload_seconds=sent.seconds
            )
        )
        if isinstance(answer, VersionTaken):
            # The registry answers with the newest version of the model, which may be another upload's.
            doubt = Doubtful(f"the answer named version {sent.version_id}, which is another entry's")
            await self._follow(doubt, permit)
            return
        run.moved(entry, answer, Outcome(version_id=sent.version_id, upload_seconds=sent.seconds))
        self.state, self.version_id, self.answered = answer.after, sent.version_id, True

    async def _follow(self, came: Attempt, permit: Permit) -> float:
        """Write down what an attempt means, and do what follows; the seconds to wait before the next one."""
        failure = came.failure if isinstance(came, Away | NoToken | NotAccepted | Refused | Doubtful) else None
        answered = isinstance(came, NotAccepted | Refused | Doubtful)
        if answered and failure is not None and await self._goes_by_other_route(failure):
            await self._write(Transition(State.PLANNED, Then.AGAIN, message=str(failure)))
            return 0.0
        transition = after_attempt(came, attempts=self._attempts, source=self._entry.entry.source)
        if isinstance(came, Equal):
            await self._move(transition.after, equal_outcome(came, transition, self._run.clock.utc_now()))
            self.version_id, self.call = came.decision.version.version_id, None
            self.holds_place = self.state is State.UPLOADED and self._run.limits.limiter.keep_place(permit)
            return 0.0
        await self._write(transition)
        if transition.then is Then.SETTLE:
            self._lost_at = self._run.clock.now()
        return 0.0 if failure is None else self._after_failure(transition.then, failure, permit)

    def _after_failure(self, then: Then, failure: Failure, permit: Permit) -> float:
        """What is done beside the move; the seconds to wait before the next attempt."""
        if then is Then.RETRY_READING:
            return self._read_later(failure, permit)
        self._failure = failure
        if then is Then.RENEW:
            self._renew(failure)
        elif then is Then.SETTLE:
            self._pause(failure)
        elif then is Then.RETRY:
            pause = self._pause(failure)
            return pause if self._spend_retry(failure, pause) else 0.0
        return 0.0

    async def _goes_by_other_route(self, failure: Failure) -> bool:
        """Whether the registry turned out to have no ``models/upload``; the next attempt takes the other call."""
        return self.call == NATIVE_CALL and await self._route.is_missing(failure)

    # What is done about a failure.

    def _pause(self, failure: Failure) -> float:
        """How long to wait before the next try; everybody waits when the registry asked for it."""
        try:
            seconds = pause_seconds(failure, self._attempts, self._run.random.random(), self._run.settings.pauses)
        except RegistryUnavailable as unavailable:
            self._run.stop.ask(unavailable)
            return 0.0
        if failure.retry_after:
            self._run.limits.hold(failure.retry_after)
        return seconds

    def _spend_retry(self, failure: Failure, pause: float = 0.0) -> bool:
        """Whether the same may be sent again in this run, after ``pause`` seconds."""
        run = self._run
        retry = run.limits.retry(Call.UPLOAD, self._attempts)
        if retry is Retry.GIVE_UP:
            run.stop.ask(RegistryUnavailable(unavailable_message(failure)))
            return False
        if retry is Retry.AGAIN:
            note_retry(run.events, failure)
            run.limits.tell_outage(Call.UPLOAD, failure, pause)
            return True
        self.left = True
        run.lay_aside(failure)
        return False

    def _renew(self, failure: Failure) -> None:
        """The next try carries another token, or says that there is none."""
        if self._renewed:
            self._run.stop.ask(NotAuthorised(not_authorised_message(failure)))
        self._renewed = True

    def _read_later(self, failure: Failure, permit: Permit) -> float:
        """This machine cannot read the file for now, which says nothing about the file."""
        run = self._run
        # It has not enough for so many uploads at a time.
        run.limits.settle(permit, failure)
        if may_retry(self._attempts, run.backoff.budget):
            note_retry(run.events, failure)
            return run.backoff.seconds(self._attempts)
        self.left = True
        run.leave_unread(failure)
        return 0.0

    # Where the entry goes.

    async def _write(self, transition: Transition) -> None:
        """Move the entry; where it stays planned, only note why."""
        message = transition.message
        if self.state is not transition.after:
            finished_at = self._run.clock.utc_now() if transition.after is State.FAILED else None
            await self._move(
                transition.after, Outcome(cause=transition.cause, message=message, finished_at=finished_at)
            )
        elif transition.then is Then.RETRY_READING and message is not None:
            await self._run.ledger.execute(NotePlanned(self._entry.id, message))

    async def _move(self, after: State, outcome: Outcome) -> None:
        moved = await self._run.ledger.execute(Move(self._entry.id, after, outcome))
        self.state = moved.after
        self._run.moved(self._entry, moved, outcome)

    @property
    def _call_now(self) -> str:
        return upload_call(self._entry.entry.conversion.framework, self._run.route)

    @property
    def _size(self) -> int:
        return self._entry.look.size if self._entry.look is not None else 0


def equal_outcome(equal: Equal, transition: Transition, now: str) -> Outcome:
    """What is written about an entry whose equal version was there already."""
    version = equal.decision.version
    converts_still = transition.after is State.UPLOADED
    return Outcome(
        version_id=version.version_id,
        version_uuid=version.uuid,
        sha256=equal.sha256,
        status=version.status,
        cause=transition.cause,
        message=transition.message,
        uploaded_at=(version.created_at or now) if converts_still else None,
        finished_at=None if converts_still else now,
    )

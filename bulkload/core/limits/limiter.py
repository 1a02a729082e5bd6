"""The rate limiter: one pure object that knows all limits of a run, and gives a permit for each request.

Whoever drives it (the engine on its event loop, a simulation on virtual time) asks for permits, waits as it is told,
and says how each request went. Time comes in as an argument, in monotonic seconds; nothing here waits or calls back.
What a call changed for others is left in ``changes``: events to tell, and permits whose waiters are to ask again.
"""

from collections.abc import Sequence

from bulkload.core.limits.adapting import Concurrency
from bulkload.core.limits.kinds import Kind, limit_changed
from bulkload.core.limits.outage import Prospect
from bulkload.core.limits.pacing import Pacer, byte_pacer
from bulkload.core.limits.permits import NEVER, Call, Permit, Stage, Stop, Wait
from bulkload.core.limits.retry import Retry, RetryBudget, what_next
from bulkload.core.limits.run_limits import Window
from bulkload.core.model.events import ConversionPlaces, Event, Held, Outage
from bulkload.core.model.settings import Settings
from bulkload.core.polls.schedule import AUTO_POLL_RATE
from bulkload.core.verdicts import Failure, FailureKind, tells_of_trouble

# A rate may rise while somebody waits for it.
LONGEST_WAIT_SECONDS = 1.0
# Moments that differ by less are the same, rounded.
SAME_MOMENT_SECONDS = 1e-6

# What changed for others: an event that is told, or a permit whose waiter is to ask again.
Change = Event | Permit


class Limiter:
    """Rates, uploads at a time, conversion places, outages, the retry budget and the window of one run."""

    def __init__(self, settings: Settings, ends_at: float | None = None) -> None:
        """``ends_at``: the end of ``--max-duration``, on the clock that ``now`` is of."""
        # Until they are taken, with ``take_changes``.
        self.changes: list[Change] = []
        self.concurrency = Concurrency(settings.concurrency)
        self.budget = RetryBudget()
        self.window = Window(ends_at)
        self._patience = settings.patience
        self._latest = 0
        self._uploads_now = 0
        self._most_places, self._places_taken = settings.max_converting, 0
        self._is_closed = False
        uploads, polls = Kind("upload", settings.upload_rate), Kind("poll", settings.poll_rate)
        lists, tokens = Kind("list", settings.list_rate), Kind("token", settings.token_rate)
        self._uploads = uploads
        self._kinds = {
            Call.UPLOAD: uploads, Call.CONVERTED_UPLOAD: uploads, Call.PROBE: uploads, Call.FIRST_POLL: polls,
            Call.FURTHER_POLL: polls, Call.LIST: lists, Call.TOKEN: tokens,
        }  # fmt: skip
        # After what lies between permit and departure (a file, a commit, a token), calls must not leave in a bunch.
        self._departures = Pacer(None)
        # `--poll-rate auto`: only further polls have a rate of their own.
        self._further_polls = Pacer(AUTO_POLL_RATE if settings.poll_rate is None else None)
        self._bytes = byte_pacer(settings.bandwidth)
        self._for_place = Stage(self._take_place)
        self._for_slot = Stage(self._take_slot)
        self._to_depart = (Stage(self._depart, departs=True),)
        # A body under way is given its grace time when the run stops.
        self._for_bytes = (Stage(lambda now, permit: self._bytes.take(now, permit.units), ends=False),)
        further = Stage(lambda now, _: self._further_polls.take(now))
        poll = Stage(polls.take, departs=True)
        self._paths: dict[Call, tuple[Stage, ...]] = {
            Call.UPLOAD: (self._for_slot,),
            Call.CONVERTED_UPLOAD: (self._for_place, self._for_slot),
            Call.PROBE: (Stage(uploads.take, departs=True),),
            Call.FIRST_POLL: (poll,),
            Call.FURTHER_POLL: (further, poll),
            Call.LIST: (Stage(lists.take, departs=True),),
            Call.TOKEN: (Stage(tokens.take, departs=True),),
        }
        self._stages = dict.fromkeys(stage for path in (*self._paths.values(), self._to_depart) for stage in path)

    def __repr__(self) -> str:
        """For whoever looks for what a run waits for."""
        waiting = {call.value: len(path[-1].waiting) for call, path in self._paths.items() if path[-1].waiting}
        slots = f"{self._uploads_now} of {self.concurrency.limit} uploads"
        return f"<Limiter: {slots}, {self._places_taken} converting, waiting: {waiting or 'none'}>"

    # Permits.

    def reserve(self, now: float, call: Call, size: int = 0, *, ready: bool = True) -> Permit | Wait | Stop:
        """Ask for a permit. Uploads depart later; other calls leave with it.

        ``ready``: it could leave at once. One that could not keeps its place in the line until it can: those behind it
        wait, so that what all of them lack is fetched once.
        """
        if self._is_closed and self._kinds[call] is self._uploads:
            return Stop.ASKED
        self._latest += 1
        return self._begin(now, Permit(call, size, self._paths[call], self._latest), ready=ready)

    def depart(self, now: float, permit: Permit, *, ready: bool = True) -> Permit | Wait | Stop:
        """An upload is about to leave, some time after it was given its permit."""
        permit.path, permit.step = self._to_depart, 0
        return self._begin(now, permit, ready=ready)

    def bytes(self, now: float, permit: Permit, count: int) -> Permit | Wait | Stop:
        """So many bytes of a body are about to leave."""
        permit.path, permit.step, permit.units = self._for_bytes, 0, count
        return self._begin(now, permit, ready=True)

    def resume(self, now: float, permit: Permit, *, ready: bool = True) -> Permit | Wait | Stop:
        """Ask again for a permit that waits."""
        stage = permit.waits_for
        if stage is None:
            return permit.stop or permit
        if self._is_closed and stage.ends:
            return self._refuse(now, permit, Stop.ASKED)
        if stage.waiting[0] is permit:
            self._advance(now, stage, asking=permit, ready=ready)
        if permit.waits_for is not None:
            return Wait(permit, permit.until)
        return permit.stop or self._passed(now, permit)

    def give_back(self, now: float, permit: Permit) -> None:
        """A permit is over, whatever it still holds or waits for. It may be given back twice."""
        if permit.waits_for is not None:
            self._leave_line(now, permit, permit.waits_for)
        if permit.has_slot or permit.has_place:
            self._free(now, permit)

    def settle(
        self, now: float, permit: Permit, failure: Failure | None = None, seconds: float | None = None
    ) -> Sequence[Change]:
        """A call was answered, or failed.

        The slot of an upload that was accepted is another's, its place is the version's. One that failed keeps both
        until it is given back: what follows from it comes before another upload. ``seconds``: from the last byte of an
        upload to its answer; None: that tells nothing. Returns the changes.
        """
        kind = self._kinds[permit.call]
        if failure is None:
            self.budget.earn()
        if failure is None or failure.kind is not FailureKind.LOCAL:
            self._learn_rate(now, kind, permit, failure)
        if kind is self._uploads:
            self._learn_concurrency(permit, failure, seconds)
            if failure is None:
                self.window.uploaded(permit.size, now - permit.began)
                permit.has_place = False
                self._free(now, permit)
        return self.take_changes() if self.changes else ()

    def keep_place(self, permit: Permit) -> bool:
        """The upload is not needed, and its version is still to be converted: it keeps the place, if there is one."""
        had_place, permit.has_place = permit.has_place, False
        return had_place

    def moving(self, now: float, permit: Permit) -> None:
        """A piece of a large body is about to leave."""
        decision = self.concurrency.moving(now, busy=self._is_busy) if permit.has_slot else None
        if decision is not None:
            self.changes.append(limit_changed("concurrency", decision))
            self._advance(now, self._for_slot)

    def unpaced(self, now: float, call: Call) -> Permit:
        """A call begins by another's permit, or by none: what came of it is to be settled all the same."""
        self._latest += 1
        permit = Permit(call, 0, (), self._latest)
        permit.began = now
        return permit

    def excuse(self, now: float, call: Call) -> None:
        """What seemed to be trouble was about what was asked: the registry answers these calls."""
        self._learn_rate(now, self._kinds[call], self.unpaced(now, call), None)

    # Places on the registry's conversion queue, which outlive permits.

    def converting(self) -> None:
        """A version converts that has no place yet: an earlier run sent it."""
        self._places_taken += 1
        self._tell_places()

    def converted(self, now: float) -> None:
        """A place is free: the registry has judged, or the version was waited for long enough."""
        self._places_taken -= 1
        self._advance(now, self._for_place)
        self._tell_places()

    # What ends, and what holds for all.

    def hold(self, now: float, seconds: float) -> None:
        """The registry asked for a pause: it holds for everybody, not only for the call that was told."""
        for kind in self._kinds.values():
            kind.throttle.pacer.hold(now, seconds)
        self.changes.append(Held(seconds, now + seconds))

    def close(self) -> None:
        """The run takes nothing new: who waits is told to stop."""
        self._is_closed = True
        for stage in self._stages:
            self.changes += stage.waiting

    def take_changes(self) -> list[Change]:
        """What has changed for others since they were taken."""
        changes, self.changes = self.changes, []
        return changes

    # Failures.

    def retry(self, now: float, call: Call, attempts: int) -> Retry:
        """What is done about a call that failed so often; spends the budget."""
        return what_next(self.prospect(now, call), attempts, self.budget)

    def prospect(self, now: float, call: Call) -> Prospect:
        """What an outage of this kind of call means for one that failed."""
        return self._kinds[call].throttle.outage.prospect(now, self._patience)

    def outage_of(self, now: float, call: Call, failure: Failure, backoff: float) -> Outage | None:
        """What is told of a call that waits for the end of an outage; None where there is none."""
        kind = self._kinds[call]
        return kind.throttle.outage.told(kind.name, now, failure, backoff, self._patience)

    # The way of a permit.

    def _begin(self, now: float, permit: Permit, *, ready: bool) -> Permit | Wait | Stop:
        if self._enter(now, permit, ready=ready):
            return permit.stop or self._passed(now, permit)
        stage = permit.waits_for
        if self._is_closed and stage is not None and stage.ends:
            return self._refuse(now, permit, Stop.ASKED)
        return Wait(permit, permit.until)

    def _enter(self, now: float, permit: Permit, *, ready: bool) -> bool:
        """Go as far as it gets; False where it has to wait."""
        while permit.step < len(permit.path):
            stage = permit.path[permit.step]
            if stage is self._for_slot and not self._is_admitted(now, permit):
                return True
            if stage.waiting:
                permit.until = NEVER
            elif stage.departs and not ready:
                permit.until = now
            elif (seconds := stage.take(now, permit)) > 0.0:
                permit.until = _until(now, seconds)
            else:
                permit.step += 1
                continue
            stage.waiting.append(permit)
            permit.waits_for = stage
            if stage is self._for_place:
                self._tell_places()
            return False
        return True

    def _passed(self, now: float, permit: Permit) -> Permit:
        if permit.path[-1].departs:
            self._latest += 1
            permit.began, permit.number, permit.has_turn = now, self._latest, False
        return permit

    def _advance(self, now: float, stage: Stage, asking: Permit | None = None, *, ready: bool = False) -> None:
        """Let those go on that wait for a stage, as far as it lets them. ``asking``: the one who asks, and is told."""
        waiting = stage.waiting
        while waiting:
            first = waiting[0]
            is_asking = first is asking
            if stage is self._for_slot and not self._is_admitted(now, first):
                self._step_out(stage)
            elif stage.departs and not (is_asking and ready):
                # It says itself whether it is ready.
                first.until = now
                if not is_asking:
                    self.changes.append(first)
                return
            elif (seconds := stage.take(now, first)) > 0.0:
                before, first.until = first.until, _until(now, seconds)
                if not is_asking and first.until < before - SAME_MOMENT_SECONDS:
                    self.changes.append(first)
                return
            else:
                self._step_out(stage)
                first.step += 1
                self._enter(now, first, ready=is_asking and ready)
            if not is_asking:
                self.changes.append(first)

    def _step_out(self, stage: Stage) -> None:
        """The first one waits no longer."""
        stage.waiting.popleft().waits_for = None
        if stage is self._for_place:
            self._tell_places()

    def _leave_line(self, now: float, permit: Permit, stage: Stage) -> None:
        was_first = stage.waiting[0] is permit
        stage.waiting.remove(permit)
        permit.waits_for = None
        if stage is self._for_place:
            self._tell_places()
        if was_first:
            self._advance(now, stage)

    def _refuse(self, now: float, permit: Permit, stop: Stop) -> Stop:
        permit.stop = stop
        self.give_back(now, permit)
        return stop

    def _free(self, now: float, permit: Permit) -> None:
        """What a permit holds is free for others."""
        if permit.has_place:
            permit.has_place = False
            self.converted(now)
        if permit.has_slot:
            if permit.has_turn:
                self._uploads.throttle.pacer.give_back()
            permit.has_slot = permit.has_turn = False
            self._uploads_now -= 1
            if self._for_slot.waiting:
                self._advance(now, self._for_slot)

    # What the stages take.

    def _take_place(self, _: float, permit: Permit) -> float:
        if self._most_places is not None and self._places_taken >= self._most_places:
            return NEVER
        self._places_taken += 1
        permit.has_place = True
        self._tell_places()
        return 0.0

    def _take_slot(self, now: float, permit: Permit) -> float:
        """A slot and a turn at the rate, or neither."""
        if self._uploads_now >= self.concurrency.limit:
            return NEVER
        seconds = self._uploads.throttle.take(now)
        if seconds <= 0.0:
            self._uploads_now += 1
            permit.has_slot = permit.has_turn = True
        return seconds

    def _depart(self, now: float, _: Permit) -> float:
        throttle = self._uploads.throttle
        # Who had a permit before the registry asked for a pause has not left yet.
        if (held := throttle.pacer.held(now)) > 0.0:
            return held
        self._departures.rate = throttle.rate(now)
        return self._departures.take(now)

    def _is_admitted(self, now: float, permit: Permit) -> bool:
        """Whether an upload would end in time; else it is stopped, and holds nothing."""
        if self.window.ends_at is None or self.window.admits(now, permit.size):
            return True
        permit.stop = Stop.WINDOW
        self._free(now, permit)
        return False

    # What is learnt.

    def _learn_rate(self, now: float, kind: Kind, permit: Permit, failure: Failure | None) -> None:
        was_out = kind.throttle.outage.is_on
        told = kind.settle(now, permit, self._latest, failure)
        if told:
            self.changes += told
        if was_out and not kind.throttle.outage.is_on:
            # Nobody has to wait for the next try any more.
            for stage in self._stages:
                self._advance(now, stage)

    def _learn_concurrency(self, permit: Permit, failure: Failure | None, seconds: float | None) -> None:
        decision = None
        if failure is None:
            decision = self.concurrency.accepted(permit, self._latest, seconds, busy=self._is_busy)
        elif failure.kind is FailureKind.LOCAL or tells_of_trouble(failure):
            decision = self.concurrency.failed(permit, self._latest, str(failure))
        if decision is not None:
            self.changes.append(limit_changed("concurrency", decision))

    @property
    def _is_busy(self) -> bool:
        """Whether more uploads at a time would be of use: those that there are do not wait to depart."""
        return self._uploads_now >= self.concurrency.limit and not self._to_depart[0].waiting

    def _tell_places(self) -> None:
        if self._most_places is not None:
            self.changes.append(ConversionPlaces(self._places_taken, len(self._for_place.waiting)))


def _until(now: float, seconds: float) -> float:
    return NEVER if seconds == NEVER else now + min(seconds, LONGEST_WAIT_SECONDS)

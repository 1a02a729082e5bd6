"""One limiter gives all permits: in the order of asking, never more than there are, and nobody is forgotten."""

from collections import deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.limits.limiter import Limiter
from bulkload.core.limits.permits import NEVER, Call, Permit, Stop, Wait
from bulkload.core.limits.retry import Retry
from bulkload.core.model.events import ConversionPlaces, Held, LimitChanged
from bulkload.core.model.settings import Settings
from bulkload.core.verdicts import Failure, FailureKind


def limiter_of(ends_at: float | None = None, **changes: Any) -> Limiter:
    return Limiter(Settings(manifest="", endpoint="", ledger=Path(), **changes), ends_at)


def refused(status: int = 429, kind: FailureKind = FailureKind.STATUS) -> Failure:
    return Failure(call="models/upload", kind=kind, status=status, message="")


def given_one(answer: Permit | Wait | Stop) -> Permit:
    assert isinstance(answer, Permit), answer
    return answer


def waiting(answer: Permit | Wait | Stop) -> Permit:
    assert isinstance(answer, Wait), answer
    return answer.permit


def named(limiter: Limiter) -> list[Permit]:
    """Whose waiters are to ask again."""
    return [change for change in limiter.take_changes() if isinstance(change, Permit)]


def test_a_slot_goes_to_who_has_waited_longest() -> None:
    limiter = limiter_of(concurrency=1)
    first = given_one(limiter.reserve(0.0, Call.UPLOAD))
    second, third = (waiting(limiter.reserve(0.0, Call.UPLOAD)) for _ in range(2))
    assert (second.until, third.until) == (NEVER, NEVER)
    assert named(limiter) == []
    limiter.give_back(1.0, first)
    assert named(limiter) == [second]
    # Who comes now does not go before those who wait.
    fourth = waiting(limiter.reserve(1.0, Call.UPLOAD))
    assert given_one(limiter.resume(1.0, second)) is second
    assert waiting(limiter.resume(1.0, third)) is third
    limiter.give_back(2.0, second)
    limiter.give_back(2.0, third)
    assert named(limiter) == [third, fourth]


def test_an_accepted_upload_gives_its_slot_on_and_a_failed_one_when_it_is_written_down() -> None:
    limiter = limiter_of(concurrency=1)
    first = given_one(limiter.reserve(0.0, Call.UPLOAD))
    given_one(limiter.depart(0.0, first))
    limiter.settle(0.1, first)
    second = given_one(limiter.reserve(0.1, Call.UPLOAD))
    given_one(limiter.depart(0.1, second))
    limiter.settle(0.2, second, refused(503))
    third = waiting(limiter.reserve(0.2, Call.UPLOAD))
    limiter.give_back(0.3, second)
    assert third in named(limiter)


def test_a_permit_that_is_given_back_twice_frees_one_slot() -> None:
    limiter = limiter_of(concurrency=1)
    permit = given_one(limiter.reserve(0.0, Call.UPLOAD))
    limiter.give_back(0.0, permit)
    limiter.give_back(0.0, permit)
    given_one(limiter.reserve(0.0, Call.UPLOAD))
    waiting(limiter.reserve(0.0, Call.UPLOAD))


def test_thirty_refusals_of_one_moment_are_one_whatever_the_clock_shows() -> None:
    """All leave, and are refused, at the same time on the clock: their numbers are older than the first decision."""
    limiter = limiter_of(concurrency=4)
    permits = [given_one(limiter.reserve(5.0, Call.UPLOAD)) for _ in range(4)]
    for permit in permits:
        given_one(limiter.depart(5.0, permit))
    changes = [limiter.settle(5.0, permit, refused()) for permit in permits]
    told = [[type(change) for change in some if isinstance(change, LimitChanged)] for some in changes]
    assert told == [[LimitChanged, LimitChanged], [], [], []]
    assert limiter.concurrency.limit == 2
    # One that left at that moment, but after the decision, is judged.
    for permit in permits:
        limiter.give_back(5.0, permit)
    later = limiter.unpaced(5.0, Call.UPLOAD)
    assert any(isinstance(change, LimitChanged) for change in limiter.settle(5.0, later, refused()))


def test_what_this_machine_lacks_cuts_uploads_at_a_time_and_no_rate() -> None:
    limiter = limiter_of(concurrency=4)
    permit = given_one(limiter.reserve(0.0, Call.UPLOAD))
    (change,) = limiter.settle(0.0, permit, refused(kind=FailureKind.LOCAL))
    assert isinstance(change, LimitChanged)
    assert (change.limit, change.after) == ("concurrency", 2)


def test_a_place_outlives_its_permit() -> None:
    """The version has it until it is judged; an upload that is ready at once waits for none."""
    limiter = limiter_of(max_converting=1)
    first = given_one(limiter.reserve(0.0, Call.CONVERTED_UPLOAD))
    given_one(limiter.depart(0.0, first))
    limiter.settle(0.1, first)
    limiter.give_back(0.1, first)
    second = waiting(limiter.reserve(0.2, Call.CONVERTED_UPLOAD))
    given_one(limiter.reserve(0.2, Call.UPLOAD))
    limiter.take_changes()
    limiter.converted(9.0)
    changes = limiter.take_changes()
    assert second in changes
    assert changes[-1] == ConversionPlaces(1, 0)
    assert given_one(limiter.resume(9.0, second)) is second


@pytest.mark.parametrize("fails", [True, False], ids=["it failed", "it was not needed"])
def test_the_place_of_an_upload_that_makes_no_version_is_free(fails: bool) -> None:
    limiter = limiter_of(max_converting=1)
    first = given_one(limiter.reserve(0.0, Call.CONVERTED_UPLOAD))
    second = waiting(limiter.reserve(0.0, Call.CONVERTED_UPLOAD))
    if fails:
        given_one(limiter.depart(0.0, first))
        limiter.settle(0.1, first, refused(503))
    limiter.give_back(0.1, first)
    assert given_one(limiter.resume(0.1, second)) is second


def test_an_equal_version_that_still_converts_keeps_the_place() -> None:
    limiter = limiter_of(max_converting=1)
    first = given_one(limiter.reserve(0.0, Call.CONVERTED_UPLOAD))
    assert limiter.keep_place(first)
    limiter.give_back(0.1, first)
    waiting(limiter.reserve(0.1, Call.CONVERTED_UPLOAD))


def test_versions_of_earlier_runs_have_places_too() -> None:
    limiter = limiter_of(max_converting=1)
    limiter.converting()
    limiter.converting()
    late = waiting(limiter.reserve(0.0, Call.CONVERTED_UPLOAD))
    limiter.converted(1.0)
    assert isinstance(limiter.resume(1.0, late), Wait)
    limiter.converted(2.0)
    assert given_one(limiter.resume(2.0, late)) is late


def test_a_turn_that_is_not_used_is_somebody_elses_at_once() -> None:
    limiter = limiter_of(upload_rate=0.1)
    first = given_one(limiter.reserve(0.0, Call.UPLOAD))
    second = waiting(limiter.reserve(0.0, Call.UPLOAD))
    limiter.give_back(0.5, first)
    assert named(limiter) == [second]
    assert given_one(limiter.resume(0.5, second)) is second


def test_further_polls_share_twenty_a_second_and_first_ones_do_not_wait() -> None:
    limiter = limiter_of()
    given_one(limiter.reserve(0.0, Call.FURTHER_POLL))
    further = waiting(limiter.reserve(0.0, Call.FURTHER_POLL))
    assert further.until == pytest.approx(0.05)
    for _ in range(100):
        given_one(limiter.reserve(0.0, Call.FIRST_POLL))
    assert given_one(limiter.resume(0.05, further)) is further


def test_a_poll_rate_holds_for_all_polls_together() -> None:
    limiter = limiter_of(poll_rate=10.0)
    given_one(limiter.reserve(0.0, Call.FURTHER_POLL))
    first = waiting(limiter.reserve(0.0, Call.FIRST_POLL))
    further = waiting(limiter.reserve(0.0, Call.FURTHER_POLL))
    assert first.until == pytest.approx(0.1)
    given_one(limiter.resume(0.1, first))
    # Its turn comes after that of the first poll, which asked before it.
    assert named(limiter) == [further]
    assert waiting(limiter.resume(0.1, further)).until == pytest.approx(0.2)


def test_one_that_is_not_ready_keeps_its_place_and_those_behind_it_wait() -> None:
    """So that a token which all of them lack is fetched once."""
    limiter = limiter_of()
    first = waiting(limiter.reserve(0.0, Call.LIST, ready=False))
    assert first.until == 0.0
    second = waiting(limiter.reserve(0.0, Call.LIST, ready=False))
    assert second.until == NEVER
    assert given_one(limiter.resume(1.0, first, ready=True)) is first
    assert named(limiter) == [second]
    given_one(limiter.resume(1.0, second, ready=True))


def test_a_pause_holds_whoever_has_a_permit_and_has_not_left() -> None:
    limiter = limiter_of()
    permit = given_one(limiter.reserve(0.0, Call.UPLOAD))
    limiter.hold(0.0, 0.8)
    assert limiter.take_changes() == [Held(0.8, 0.8)]
    assert waiting(limiter.depart(0.1, permit)).until == pytest.approx(0.8)
    for call in (Call.UPLOAD, Call.FIRST_POLL, Call.LIST, Call.TOKEN):
        assert waiting(limiter.reserve(0.1, call)).until == pytest.approx(0.8)


def test_what_would_not_end_in_time_is_not_begun() -> None:
    limiter = limiter_of(ends_at=100.0)
    permit = given_one(limiter.reserve(0.0, Call.UPLOAD, 1_000))
    given_one(limiter.depart(0.0, permit))
    limiter.settle(50.0, permit)
    assert limiter.reserve(60.0, Call.UPLOAD, 1_000) is Stop.WINDOW
    given_one(limiter.reserve(45.0, Call.UPLOAD, 1_000))


def test_a_window_that_closes_stops_those_who_wait() -> None:
    limiter = limiter_of(ends_at=10.0, concurrency=1)
    first = given_one(limiter.reserve(0.0, Call.UPLOAD))
    second, third = (waiting(limiter.reserve(0.0, Call.UPLOAD)) for _ in range(2))
    limiter.give_back(11.0, first)
    assert named(limiter) == [second, third]
    assert (limiter.resume(11.0, second), limiter.resume(11.0, third)) == (Stop.WINDOW, Stop.WINDOW)


def test_a_stop_ends_every_wait_but_that_of_a_body_under_way() -> None:
    limiter = limiter_of(concurrency=1, bandwidth=10.0)
    sending = given_one(limiter.reserve(0.0, Call.UPLOAD))
    given_one(limiter.depart(0.0, sending))
    given_one(limiter.bytes(0.0, sending, 100))
    waiting(limiter.bytes(0.0, sending, 100))
    others = [waiting(limiter.reserve(0.0, call, ready=False)) for call in (Call.UPLOAD, Call.LIST, Call.TOKEN)]
    limiter.close()
    assert set(named(limiter)) == set(others)
    assert [limiter.resume(1.0, permit) for permit in others] == [Stop.ASKED] * 3
    assert given_one(limiter.resume(10.0, sending)) is sending
    # Who need not wait goes on: what is under way may ask for its end.
    given_one(limiter.reserve(10.0, Call.FIRST_POLL))
    assert limiter.reserve(10.0, Call.UPLOAD) is Stop.ASKED


def test_the_end_of_an_outage_names_all_who_wait_for_its_next_try() -> None:
    limiter = limiter_of()
    for second in range(8):
        limiter.settle(float(second), limiter.unpaced(float(second), Call.FIRST_POLL), refused(503))
    given_one(limiter.reserve(20.0, Call.FIRST_POLL))
    late = waiting(limiter.reserve(20.0, Call.FIRST_POLL))
    assert limiter.retry(20.0, Call.FIRST_POLL, 99) is Retry.AGAIN
    changes = limiter.settle(20.1, limiter.unpaced(20.0, Call.FIRST_POLL))
    assert late in changes
    assert given_one(limiter.resume(20.1, late)) is late
    assert limiter.retry(20.1, Call.FIRST_POLL, 99) is Retry.ENOUGH


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["ask", "accept", "fail", "give back", "cancel", "judge", "wait"]), st.integers(0, 30)),
    max_size=80,
)


class Shell:
    """Does as the limiter says. What an action needs and does not find, it leaves."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.now = 0.0
        # Versions that have a place, permits that were given, and those that wait, by what they wait for.
        self.converting = 0
        self.held: deque[Permit] = deque()
        self.lines: dict[Call, list[Permit]] = {Call.UPLOAD: [], Call.CONVERTED_UPLOAD: []}

    def ask(self, number: int) -> None:
        call = Call.CONVERTED_UPLOAD if number % 2 else Call.UPLOAD
        answer = self.limiter.reserve(self.now, call)
        self.lines[call].append(answer.permit if isinstance(answer, Wait) else given_one(answer))
        if isinstance(answer, Permit):
            self._take(answer)

    def accept(self, number: int) -> None:
        self._end(number, None)

    def fail(self, number: int) -> None:
        self._end(number, refused(503))

    def give_back(self, _: int) -> None:
        if self.held:
            self.limiter.give_back(self.now, self.held.popleft())

    def cancel(self, number: int) -> None:
        line = self.lines[Call.CONVERTED_UPLOAD if number % 2 else Call.UPLOAD]
        if line:
            self.limiter.give_back(self.now, line.pop(number % len(line)))

    def judge(self, _: int = 0) -> None:
        if self.converting:
            self.converting -= 1
            self.limiter.converted(self.now)

    def wait(self, number: int) -> None:
        """Time passes, and those whose moment has come ask again, and those who are named."""
        self.now += number
        self._ask_those_who_are_named()
        for line in self.lines.values():
            for permit in [permit for permit in line if permit.until <= self.now]:
                self._resume(permit)

    @property
    def waiting(self) -> int:
        return sum(map(len, self.lines.values()))

    def _end(self, number: int, failure: Failure | None) -> None:
        if not self.held:
            return
        permit = self.held[number % len(self.held)]
        self.held.remove(permit)
        given_one(self.limiter.depart(self.now, permit))
        self.limiter.changes += self.limiter.settle(self.now, permit, failure)
        self.limiter.give_back(self.now, permit)
        self.converting += failure is None and permit.call is Call.CONVERTED_UPLOAD

    def _ask_those_who_are_named(self) -> None:
        for permit in named(self.limiter):
            if permit in self.lines[permit.call]:
                self._resume(permit)

    def _resume(self, permit: Permit) -> None:
        if isinstance(self.limiter.resume(self.now, permit), Permit):
            self._take(permit)
        self._ask_those_who_are_named()

    def _take(self, permit: Permit) -> None:
        # Nobody goes before one that asked for the same, and waits.
        assert self.lines[permit.call].pop(0) is permit
        self.held.append(permit)


@given(ACTIONS, st.integers(1, 4), st.one_of(st.none(), st.integers(1, 3)), st.sampled_from([None, 2.0]))
def test_whatever_happens_no_more_is_given_than_there_is_and_nobody_is_forgotten(
    actions: list[tuple[str, int]], most: int, places: int | None, rate: float | None
) -> None:
    """Each that waits is named or has its moment, and all get through in the end."""
    shell = Shell(limiter_of(concurrency=most, max_converting=places, upload_rate=rate))
    for action, number in actions:
        getattr(shell, action.replace(" ", "_"))(number)
        # An outage's next try is at most eight seconds away.
        shell.wait(10)
        assert len(shell.held) <= most
        of_permits = sum(permit.call is Call.CONVERTED_UPLOAD for permit in shell.held)
        assert places is None or shell.converting + of_permits <= places
    while before := len(shell.held) + shell.waiting:
        for _ in range(len(shell.held)):
            shell.give_back(0)
        for _ in range(shell.converting):
            shell.judge()
        shell.wait(10)
        assert len(shell.held) + shell.waiting < before

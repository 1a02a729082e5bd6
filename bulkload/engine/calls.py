"""Calls that may be repeated without harm: the one place that retries them."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from bulkload.core.limits.outage import Prospect
from bulkload.core.limits.permits import Call
from bulkload.core.limits.retry import Retry, pause_seconds, what_next
from bulkload.core.model.errors import ForeignAnswer, NotAuthorised, RegistryUnavailable
from bulkload.core.model.events import Retried
from bulkload.core.verdicts import CallFailed, Failure, FailureKind, Verdict, read_verdict
from bulkload.engine.backoff import Backoff
from bulkload.engine.context import Run
from bulkload.engine.events import Events
from bulkload.engine.limits import sleep_unless_stopped
from bulkload.engine.stop import Stop

T = TypeVar("T")
# Whether something holds of a failure.
Condition = Callable[[Failure], bool]


def never(_: Failure) -> bool:
    """Of no failure."""
    return False


def always(_: Failure) -> bool:
    """Of every failure."""
    return True


FOREIGN_WORDS = "this is not the registry's answer, but that of a gateway, a proxy or a sign-in page on the way"


class TriedEnough(RegistryUnavailable):
    """A call failed again and again, although this is no outage: it may be left for later."""


async def read(
    run: Run,
    call: Call,
    operation: Callable[[], Awaitable[T]],
    *,
    few_tries: Condition = never,
    give_way: Condition = never,
) -> T:
    """Make a call when its limits let it, and again while its failure passes.

    An outage is waited out, as long as the settings say; for failures that ``few_tries`` holds of, a few tries are all.
    Those that ``give_way`` holds of are for the caller to judge at once.

    Raises ``CallFailed`` for a permanent answer and for what gives way, ``NotAuthorised``, ``RegistryUnavailable`` when
    it did not pass (``TriedEnough`` where others did), and ``Stopped``.
    """
    limits, tries = run.limits, None
    while True:
        permit = await limits.begin(call, lambda: missing_token(run, large=False))
        try:
            result = await operation()
        except CallFailed as failed:
            limits.settle(permit, failed.failure)
            tries = tries or _tries(run, call, few_tries, give_way)
            await tries.wait_after(failed)
        else:
            limits.settle(permit)
            return result


def missing_token(run: Run, *, large: bool) -> Callable[[], Awaitable[None]] | None:
    """How to get a token for the next request, where there is none.

    For a limiter: all who wait for one token would leave together when it comes. So the next to leave looks for it,
    when it is its turn, and those behind it wait.
    """
    return None if run.registry.has_token(large=large) else lambda: have_token(run, large=large)


async def have_token(run: Run, *, large: bool) -> None:
    """See to it that the next request has a token. Raises as ``read`` does; a request for one has its own permit."""
    tries: Tries | None = None
    while True:
        call = run.limits.unpaced(Call.TOKEN)
        try:
            await run.registry.token(large=large)
        except CallFailed as failed:
            run.limits.settle(call, failed.failure)
            tries = tries or _tries(run, Call.TOKEN)
            await tries.wait_after(failed)
        else:
            run.limits.settle(call)
            return


def _tries(run: Run, call: Call, few_tries: Condition = never, give_way: Condition = never) -> "Tries":
    """What is done about a call of a run that is made again, and what an outage means for it."""

    def note(failure: Failure, backoff: float) -> None:
        note_retry(run.events, failure)
        if failure.retry_after:
            run.limits.hold(failure.retry_after)
        run.limits.tell_outage(call, failure, backoff)

    def prospect(failure: Failure) -> Prospect:
        return Prospect.NO_OUTAGE if few_tries(failure) else run.limits.prospect(call)

    return Tries(run.backoff, note, prospect, give_way=give_way, stop=run.stop)


async def repeat(
    operation: Callable[[], Awaitable[T]],
    backoff: Backoff,
    on_retry: Callable[[Failure, float], None] = lambda *_: None,
    prospect: Callable[[Failure], Prospect] = lambda _: Prospect.NO_OUTAGE,
    give_way: Condition = never,
    stop: Stop | None = None,
) -> T:
    """Make a call, and again while its failure passes; raises as ``read`` does.

    ``on_retry`` hears why, and in how many seconds. ``prospect``: of an outage, in which there is no end to the tries
    until it lasts too long. ``give_way``: as for ``read``. ``stop``: what ends a pause, and the tries with it.
    """
    tries = Tries(backoff, on_retry, prospect, give_way=give_way, stop=stop)
    while True:
        try:
            result = await operation()
        except CallFailed as failed:
            await tries.wait_after(failed)
        else:
            backoff.budget.earn()
            return result


class Tries:
    """The tries of one call."""

    def __init__(
        self,
        backoff: Backoff,
        on_retry: Callable[[Failure, float], None],
        prospect: Callable[[Failure], Prospect],
        *,
        give_way: Condition,
        stop: Stop | None,
    ) -> None:
        self._stop = stop
        self._backoff = backoff
        self._on_retry = on_retry
        self._prospect = prospect
        self._give_way = give_way
        self._count = 0
        self._renewed = False

    async def wait_after(self, failed: CallFailed) -> None:
        """Wait until the call may be made again. Raises as ``read`` does where it may not."""
        self._count += 1
        failure, backoff = failed.failure, self._backoff
        verdict = read_verdict(failure)
        if verdict is Verdict.UNAUTHORISED:
            # The next request carries another token, or says that there is none.
            if self._renewed:
                raise NotAuthorised(not_authorised_message(failure)) from None
            self._renewed = True
            return
        if verdict is Verdict.PERMANENT or self._give_way(failure):
            raise failed
        seconds = pause_seconds(failure, self._count, backoff.random.random(), backoff.pauses)
        retry = what_next(self._prospect(failure), self._count, backoff.budget)
        if retry is not Retry.AGAIN:
            ending = RegistryUnavailable if retry is Retry.GIVE_UP else TriedEnough
            if failure.kind is FailureKind.UNREADABLE and not failure.known:
                ending = ForeignAnswer
            raise ending(unavailable_message(failure)) from failed
        self._on_retry(failure, seconds)
        if self._stop is None:
            await backoff.clock.sleep(seconds)
        else:
            await sleep_unless_stopped(backoff.clock, seconds, self._stop)


def note_retry(events: Events, failure: Failure) -> None:
    """Say that something is tried again, and why."""
    events(Retried(call=failure.call, reason=str(failure), status=failure.status, retry_after=failure.retry_after))


def not_authorised_message(failure: Failure) -> str:
    """What to do about a token that the registry refuses."""
    return f"{failure}: the registry does not accept the token; get a new one and run again"


def unavailable_message(failure: Failure) -> str:
    """What to do about a registry that cannot be reached or refuses for now."""
    if failure.kind is FailureKind.UNREADABLE:
        return f"{failure}; is the endpoint the address of a Wallaroo registry?"
    if failure.kind is FailureKind.FOREIGN and not 300 <= (failure.status or 0) < 400:
        # A redirect says itself where to.
        return f"{failure}; {FOREIGN_WORDS}; have it mended there and run again"
    if failure.kind is FailureKind.NO_CONNECTION and failure.status is None:
        # Its message says what to mend.
        return f"{failure}; then run again"
    return f"{failure}; check the endpoint and run again"

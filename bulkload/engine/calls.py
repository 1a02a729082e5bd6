"""Calls that may be repeated without harm: the one place that retries them."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from bulkload.core.limits.outage import Prospect
from bulkload.core.limits.pauses import Pauses
from bulkload.core.limits.retry import RETRY_AFTER_LONGEST_SECONDS, may_retry
from bulkload.core.model.errors import ForeignAnswer, NotAuthorised, RegistryUnavailable
from bulkload.core.model.events import Retried
from bulkload.core.verdicts import CallFailed, Failure, FailureKind, Verdict, read_verdict
from bulkload.engine.backoff import Backoff
from bulkload.engine.context import Run
from bulkload.engine.events import Events
from bulkload.engine.limits.rate_limiter import RateLimiter
from bulkload.engine.limits.turns import sleep_unless_stopped
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
    limiter: RateLimiter,
    operation: Callable[[], Awaitable[T]],
    *,
    few_tries: Condition = never,
    give_way: Condition = never,
) -> T:
    """Make a call when its limiter lets it, and again while its failure passes.

    An outage is waited out, as long as the settings say; for failures that ``few_tries`` holds of, a few tries are all.
    Those that ``give_way`` holds of are for the caller to judge at once.

    Raises ``CallFailed`` for a permanent answer and for what gives way, ``NotAuthorised``, ``RegistryUnavailable`` when
    it did not pass (``TriedEnough`` where others did), and ``Stopped``.
    """
    tries: Tries | None = None
    while True:
        await limiter.begin(lambda: missing_token(run, large=False))
        began = run.clock.now()
        try:
            result = await operation()
        except CallFailed as failed:
            limiter.settle(began, failed.failure)
            tries = tries or Tries(run.backoff, *_patience(run, limiter, few_tries), give_way=give_way, stop=run.stop)
            await tries.wait_after(failed)
        else:
            limiter.settle(began)
            run.budget.earn()
            return result


def missing_token(run: Run, *, large: bool) -> Callable[[], Awaitable[None]] | None:
    """How to get a token for the next request, where there is none.

    For a limiter: all who wait for one token would leave together when it comes. So the next to leave looks for it,
    when it is its turn, and those behind it wait.
    """
    return None if run.registry.has_token(large=large) else lambda: have_token(run, large=large)


async def have_token(run: Run, *, large: bool) -> None:
    """See to it that the next request has a token. Raises as ``read`` does; a request for one has its own limiter."""
    limiter = run.limits.tokens

    async def token() -> None:
        began = run.clock.now()
        try:
            await run.registry.token(large=large)
        except CallFailed as failed:
            limiter.settle(began, failed.failure)
            raise
        limiter.settle(began)

    await repeat(token, run.backoff, *_patience(run, limiter, never), stop=run.stop)


def _patience(
    run: Run, limiter: RateLimiter, few_tries: Condition
) -> tuple[Callable[[Failure, float], None], Callable[[Failure], Prospect]]:
    """What is done about a call that is made again, and what an outage means for it."""

    def note(failure: Failure, backoff: float) -> None:
        note_retry(run.events, failure)
        if failure.retry_after:
            run.limits.hold(failure.retry_after)
        if outage := limiter.outage_event(failure, backoff, run.settings.patience):
            run.events(outage)

    def prospect(failure: Failure) -> Prospect:
        return Prospect.NO_OUTAGE if few_tries(failure) else limiter.prospect(run.settings.patience)

    return note, prospect


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
        outlook = self._prospect(failure)
        may_go_on = may_retry(self._count, backoff.budget) or outlook is Prospect.GO_ON
        if outlook is Prospect.GIVE_UP or not may_go_on:
            ending = RegistryUnavailable if outlook is Prospect.GIVE_UP else TriedEnough
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


def pause_seconds(failure: Failure, attempt: int, chance: float, pauses: Pauses) -> float:
    """How long to wait before the next try. Raises ``RegistryUnavailable`` when the registry wants too long a pause."""
    if failure.retry_after is None:
        return pauses.backoff(attempt, chance)
    if failure.retry_after > RETRY_AFTER_LONGEST_SECONDS:
        raise RegistryUnavailable(f"the registry asks to come back in {failure.retry_after:.0f} s: run again then")
    # A tenth more at the most, so that all who were told the same do not come back in the same instant.
    return failure.retry_after * (1.0 + 0.1 * chance)


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

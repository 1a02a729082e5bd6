"""A week in which a registry's limits change, others publish too, answers are slow and nothing is answered at all.

The real limiter and the real shell on virtual time. An episode is some minutes of uploads with a trouble in the middle;
between two of them nothing is sent for an hour, as at night.
"""

import asyncio
import math
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bulkload.core.limits.pauses import Pauses
from bulkload.core.limits.permits import Call, Permit
from bulkload.core.limits.retry import pause_seconds
from bulkload.core.model.settings import Settings
from bulkload.core.verdicts import Failure, FailureKind
from bulkload.engine.clock import LoopClock
from bulkload.engine.events import Events
from bulkload.engine.limits import Limits
from bulkload.engine.stop import Stop
from tests.guarantees.virtual_time import VirtualLoop

HOUR_SECONDS = 3600.0
WEEK_EPISODES = 7 * 24
# Of an episode: as quick as it can be, trouble, and the end of it.
CALM_SECONDS = 90.0
TROUBLE_SECONDS = 75.0
AFTER_SECONDS = 60.0
EPISODE_SECONDS = CALM_SECONDS + TROUBLE_SECONDS + AFTER_SECONDS

# More than any rate here needs, so that there is always somebody who waits.
UPLOADERS = 24
POLLERS = 4
COMMIT_SECONDS = 0.004
TOKEN_SECONDS = 40.0
USERS_RATE = 14.0
POLL_RATE = 6.0
# Full speed: so much of the speed before, over five seconds in a row, at the latest so long after the trouble.
FULL_SPEED, SPEED_SECONDS, RECOVERY_SECONDS = 0.95, 5, 30


class Trouble:
    """Kinds of it."""

    DOWN = "down (503)"
    AWAY = "no connection"
    REFUSING = "refuses half of all uploads"
    SLOW = "slow answers"
    LOWERED = "half of the limit"
    OTHERS = "others take half"


TROUBLES = tuple(kind for name, kind in vars(Trouble).items() if not name.startswith("_"))


@dataclass
class Registry:
    """Takes ``limit`` uploads in any second, whosever they are."""

    chance: random.Random
    limit: int = 10
    trouble: str | None = None
    # Uploads of ours that came, and those that were taken; polls; all by their moments.
    uploads: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    polls: list[float] = field(default_factory=list)
    _window: deque[float] = field(default_factory=deque)
    _others_next: float = 0.0

    def upload(self, now: float) -> tuple[float, Failure | None]:
        """Seconds until it is answered, and why it is refused."""
        self.uploads.append(now)
        if self.trouble is Trouble.DOWN or (self.trouble is Trouble.REFUSING and self.chance.random() < 0.5):
            return 0.01, refused(503 if self.trouble is Trouble.DOWN else 429)
        if self.trouble is Trouble.AWAY:
            return 0.01, Failure(call="models/upload", kind=FailureKind.NO_CONNECTION, message="no connection")
        self._let_others_in(now)
        if not self._admits(now):
            return 0.01, refused(429, 1.0)
        self.taken.append(now)
        seconds = 2.0 if self.trouble is Trouble.SLOW else 0.05
        return seconds * (0.5 + self.chance.random()), None

    def poll(self, now: float) -> float:
        """Seconds until it is answered."""
        self.polls.append(now)
        return 0.02

    def _admits(self, now: float) -> bool:
        while self._window and self._window[0] <= now - 1.0:
            self._window.popleft()
        limit = self.limit // 2 if self.trouble is Trouble.LOWERED else self.limit
        if len(self._window) >= limit:
            return False
        self._window.append(now)
        return True

    def _let_others_in(self, now: float) -> None:
        if self.trouble is not Trouble.OTHERS:
            self._others_next = now
            return
        while self._others_next <= now:
            self._admits(self._others_next)
            self._others_next += 2.0 / self.limit


def refused(status: int, retry_after: float | None = None) -> Failure:
    return Failure(call="models/upload", kind=FailureKind.STATUS, status=status, message="", retry_after=retry_after)


@dataclass
class Episode:
    """What is looked at afterwards."""

    trouble: str
    limit: int
    begin: float
    # Seconds that an upload waited for its permit, at the most.
    longest_wait: float = 0.0
    # In which order permits were asked for, and given.
    asked: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)

    @property
    def trouble_end(self) -> float:
        return self.begin + CALM_SECONDS + TROUBLE_SECONDS


class Week:
    """Uploads and polls by the real shell."""

    def __init__(self, seed: int, limits: Limits, registry: Registry) -> None:
        self.episodes: list[Episode] = []
        self.token_requests: list[float] = []
        self.tokens_needed = 0
        self._chance = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._registry = registry
        self._token_ends_at = 0.0
        self._number = 0

    async def pass_by(self, episodes: int) -> None:
        """One episode an hour, each trouble in its turn."""
        troubles = [*TROUBLES]
        for number in range(episodes):
            if number % len(TROUBLES) == 0:
                # A limit that is another one for good is found in the first minute.
                self._registry.limit = self._chance.randint(6, 20)
                self._chance.shuffle(troubles)
            begin = HOUR_SECONDS * (number + 1) + 5.0 * self._chance.random()
            await asyncio.sleep(begin - self._loop.time())
            episode = Episode(troubles[number % len(troubles)], self._registry.limit, begin)
            self.episodes.append(episode)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._trouble(episode))
                for _ in range(UPLOADERS):
                    group.create_task(self._upload(episode))
                for number_of_poller in range(POLLERS):
                    call = Call.FURTHER_POLL if number_of_poller % 2 else Call.FIRST_POLL
                    group.create_task(self._poll(call, begin + EPISODE_SECONDS))

    async def _trouble(self, episode: Episode) -> None:
        await asyncio.sleep(CALM_SECONDS)
        self._registry.trouble = episode.trouble
        await asyncio.sleep(TROUBLE_SECONDS)
        self._registry.trouble = None

    async def _upload(self, episode: Episode) -> None:
        """One entry after the other, each until it is taken."""
        while self._loop.time() < episode.begin + EPISODE_SECONDS:
            attempts = 0
            while (failure := await self._attempt(episode)) is not None:
                attempts += 1
                await self._back_off(failure, attempts)

    async def _attempt(self, episode: Episode) -> Failure | None:
        permit = await self._reserve(episode)
        await asyncio.sleep(COMMIT_SECONDS * (0.5 + self._chance.random()))
        await self._limits.depart(permit, self._missing_token)
        began = self._loop.time()
        seconds, failure = self._registry.upload(began)
        await asyncio.sleep(seconds)
        self._limits.settle(permit, failure, self._loop.time() - began)
        await asyncio.sleep(COMMIT_SECONDS)
        self._limits.give_back(permit)
        return failure

    async def _reserve(self, episode: Episode) -> Permit:
        self._number += 1
        number, began = self._number, self._loop.time()
        episode.asked.append(number)
        permit = await self._limits.reserve(Call.UPLOAD, 2_048)
        assert permit is not None
        episode.given.append(number)
        episode.longest_wait = max(episode.longest_wait, self._loop.time() - began)
        return permit

    async def _back_off(self, failure: Failure, attempts: int) -> None:
        if failure.retry_after:
            self._limits.hold(failure.retry_after)
        self._limits.retry(Call.UPLOAD, attempts)
        await asyncio.sleep(pause_seconds(failure, attempts, self._chance.random(), Pauses()))

    async def _poll(self, call: Call, until: float) -> None:
        while self._loop.time() < until:
            permit = await self._limits.begin(call, self._missing_token)
            await asyncio.sleep(self._registry.poll(self._loop.time()))
            self._limits.settle(permit)

    def _missing_token(self) -> Callable[[], Awaitable[None]] | None:
        return None if self._loop.time() < self._token_ends_at else self._get_token

    async def _get_token(self) -> None:
        self.token_requests.append(self._loop.time())
        await asyncio.sleep(0.5)
        if self._loop.time() >= self._token_ends_at:
            self._token_ends_at = self._loop.time() + TOKEN_SECONDS


def played(seed: int, episodes: int) -> tuple[Week, Registry]:
    """So many episodes."""
    registry = Registry(random.Random(seed + 1))

    async def play() -> Week:
        settings = Settings(
            manifest="", endpoint="", ledger=Path(), concurrency=16, upload_rate=USERS_RATE, poll_rate=POLL_RATE
        )
        week = Week(seed, Limits(settings, Stop(), LoopClock(), Events()), registry)
        await week.pass_by(episodes)
        return week

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(play()), registry


def most_in_a_second(moments: list[float]) -> int:
    most, first = 0, 0
    for number, moment in enumerate(moments):
        while moments[first] <= moment - 1.0 + 1e-9:
            first += 1
        most = max(most, number - first + 1)
    return most


def seconds_to_full_speed(taken: Counter[int], episode: Episode) -> float:
    """From the end of the trouble, until uploads are taken as quickly as before it began."""
    # A minute, in which the limit was known.
    before = range(math.ceil(episode.begin) + 30, int(episode.begin + CALM_SECONDS))
    speed = sum(taken[second] for second in before) / len(before)
    end = math.ceil(episode.trouble_end)
    for second in range(end, end + int(AFTER_SECONDS) - SPEED_SECONDS):
        if sum(taken[second + later] for later in range(SPEED_SECONDS)) >= FULL_SPEED * speed * SPEED_SECONDS:
            return second - episode.trouble_end
    return math.inf


def faults(week: Week, registry: Registry) -> Iterator[str]:
    """What was not as promised."""
    if (most := most_in_a_second(registry.uploads)) > USERS_RATE + 1:
        yield f"{most} uploads in a second, --upload-rate is {USERS_RATE}"
    if (most := most_in_a_second(registry.polls)) > POLL_RATE + 1:
        yield f"{most} polls in a second, --poll-rate is {POLL_RATE}"
    taken = Counter(int(moment) for moment in registry.taken)
    came = Counter(int(moment) for moment in registry.uploads)
    for number, episode in enumerate(week.episodes):
        words = f"episode {number}, {episode.trouble}, limit {episode.limit}"
        if (seconds := seconds_to_full_speed(taken, episode)) > RECOVERY_SECONDS:
            yield f"{words}: full speed {seconds:.0f} s after the trouble"
        calm = range(int(episode.begin) + 30, int(episode.begin + CALM_SECONDS))
        too_many = sum(came[second] - taken[second] for second in calm)
        if too_many > 0.05 * sum(came[second] for second in calm):
            yield f"{words}: {too_many} refused before it"
        # Each one that waits goes before those that came later.
        if episode.given != episode.asked:
            yield f"{words}: not in the order of asking"
        if episode.longest_wait > TROUBLE_SECONDS + RECOVERY_SECONDS:
            yield f"{words}: an upload waited for {episode.longest_wait:.0f} s"
    # Once for all who lack one: uploads, and polls of either kind.
    if len(week.token_requests) > 3 * len(week.episodes) * math.ceil(EPISODE_SECONDS / TOKEN_SECONDS + 1):
        yield f"{len(week.token_requests)} requests for tokens"


@pytest.mark.parametrize("seed", [1])
def test_hours_of_trouble(seed: int) -> None:
    """Each trouble once."""
    assert [*faults(*played(seed, len(TROUBLES)))] == [], f"seed {seed}"


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", [2, 3])
def test_a_week_of_trouble(seed: int) -> None:
    """Never one above a rate, full speed back within half a minute, no upload starved."""
    assert [*faults(*played(seed, WEEK_EPISODES))] == [], f"seed {seed}"

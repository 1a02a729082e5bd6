"""A scenario played to its end, and what is to be said about it."""

import random
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.simulation.clock import Clock, until
from benchmarks.simulation.durations import Durations
from benchmarks.simulation.ledger import Ledger
from benchmarks.simulation.registry import Registry, rate_of
from benchmarks.simulation.run import Run
from benchmarks.simulation.scenarios import Scenario

# So much of the speed before, over so many seconds, is full speed.
FULL_SPEED = 0.95
SPEED_SECONDS = 5
# The speed before is that of so many seconds.
BEFORE_SECONDS = 60
# Nothing takes so long: a scenario that does not end is an error.
MOST_RUNS = 100


@dataclass(slots=True)
class Played:
    """How a scenario went."""

    scenario: Scenario
    registry: Registry
    ledger: Ledger
    # (began, ended, exit code) of each run.
    runs: list[tuple[float, float, int]] = field(default_factory=list)
    cpu_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """From the beginning of the first run to the end of the last."""
        return self.runs[-1][1]

    @property
    def refused_share(self) -> float:
        """Requests that brought nothing, of all."""
        return self.registry.refused.total() / self.registry.requests.total()

    @property
    def repeats(self) -> int:
        """Uploads of entries that had been sent before."""
        return self.registry.requests["upload"] - self.ledger.first_tries.total()

    @property
    def limit_share(self) -> float | None:
        """Of what the registry would have taken while there was something to send, how much was sent."""
        registry, allowed = self.registry, self.scenario.allowed
        if allowed.converters is not None:
            return registry.converting_seconds / (allowed.converters * (max(registry.done) - registry.came[0]))
        rate = rate_of(allowed.limits, "upload")
        if rate is None:
            return None
        down = sum(trouble.end - trouble.begin for trouble in allowed.troubles if trouble.share == 1.0)
        seconds = registry.came[-1] - registry.came[0] - down
        return len(registry.came) / (rate * seconds - registry.taken_by_others)

    @property
    def recovery_seconds(self) -> float | None:
        """How long after the trouble uploads were as quick as before it; None where there was none."""
        allowed = self.scenario.allowed
        for trouble in (allowed.others, *allowed.troubles):
            if trouble is None:
                continue
            return seconds_to_full_speed(self.registry.accepted, trouble.begin, trouble.end)
        return None

    @property
    def polls_a_version(self) -> float:
        """Polls, by the versions that are known to be ready."""
        return self.registry.requests["poll"] / max(1, self.ledger.ready)

    @property
    def delay_share(self) -> float | None:
        """The mean time from done to known, as a share of that from upload to done."""
        return self.ledger.delays / self.ledger.converted if self.ledger.converted else None


def seconds_to_full_speed(accepted: Counter[int], begin: float, end: float) -> float:
    """From ``end`` on, until uploads are accepted as quickly as they were before ``begin``."""
    before = sum(accepted[second] for second in range(int(begin) - BEFORE_SECONDS, int(begin))) / BEFORE_SECONDS
    last = max(accepted)
    for second in range(int(end), last):
        speed = sum(accepted[later] for later in range(second, second + SPEED_SECONDS)) / SPEED_SECONDS
        if speed >= FULL_SPEED * before:
            return second - end
    return float("inf")


def play(scenario: Scenario, seed: int) -> Played:
    """Play a scenario to its end."""
    began = time.process_time()
    chance = random.Random(f"{seed} {scenario.name} {scenario.allows}")  # noqa: S311 - a simulation
    clock = Clock()
    durations = Durations(scenario.kinds, chance)
    registry = Registry(scenario.allowed, durations, chance)
    played = Played(scenario, registry, Ledger(scenario.entries, durations, registry))

    async def runs() -> None:
        while True:
            run = Run(clock, registry, played.ledger, scenario.settings, chance)
            await run.work()
            played.runs.append((run.began, clock.now, run.exit_code))
            has_open = played.ledger.ready < scenario.entries
            if scenario.every is None or not has_open or len(played.runs) == MOST_RUNS:
                return
            await until((clock.now // scenario.every + 1) * scenario.every)

    clock.start(runs())
    clock.work()
    played.cpu_seconds = time.process_time() - began
    return played

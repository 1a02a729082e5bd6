"""When to ask whether a version is done: at the times at which versions like it were done before.

For each kind of conversion the moments to ask are chosen so that a version is found done soon after it is, in few
polls: the mean delay, as a share of the conversion's length, plus ``POLL_COST`` for each poll is the least that the
durations seen so far allow. Pure: times come in as arguments, in seconds since the upload; chance is in [0, 1).
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bulkload.core.model.records import Conversion

# `--poll-rate auto`: every poll but a version's first, all together, a second.
AUTO_POLL_RATE = 20.0

# What one poll may cost: that the version is found done later by this share of its conversion.
POLL_COST = 0.015
# Durations are told apart in steps of this factor.
STEP = 1.07
# The share of conversions that may take any time at all between the shortest and the longest that were seen.
UNSEEN_SHARE = 0.1
# Durations kept of each kind: the latest.
DURATIONS_KEPT = 64
# What others recorded weighs as much as so many of them: kinds whose durations spread widely take long to show it.
RECORDED_WEIGHT = 2
# A plan is made anew after so many.
PLANNED_ANEW_AFTER = 8
# A prime number, so that all are picked in turn.
PICKING_STRIDE = 7919
# What the first poll found done is taken to have been done so much earlier.
EARLIER = 0.8
# Nothing is known any more of one that takes longer than all before: asked again after a fifth of its time so far.
OVERDUE_GROWTH = 0.2
# Versions of a kind of which this registry has shown none yet: so many are asked about early, each time after as long
# again, as this registry may be quicker than the recorded ones.
EXPLORERS = 2
# Every wait but the first is longer by up to this share, so that what was uploaded together is not asked for together.
JITTER = 0.05
# The last so many versions of a run hold everything up: they are asked about more often.
FEW_LEFT = 16
FEW_LEFT_GROWTH = 0.05

# Seconds from upload to verdict as recorded on real registries: by runs, where their spread is known.
_CUSTOM = (
    10, 12, 20, 25, 30, 36, 42, 48, 54, 55, 60, 62, 65, 66, 71, 75, 80, 88, 97, 105, 108, 110, 122, 140, 150, 165,
    189, 210, 213, 250, 315, 505,
)  # fmt: skip
RECORDED: dict[str, tuple[float, ...]] = {
    "xgboost": (10, 10, 10, 10, 10, 10, 10, 10, 45, 90),
    "pytorch": (10, 15, 155),
    "sklearn": (45, 50, 55, 60, 70),
    "keras": (80, 85),
    "python": (15, 15, 20, 20, 25, 25),
    "custom": _CUSTOM,
    "hugging-face": (30, 60, 95, 125, 150, 210, 270),
    "vllm": (295, 310),
    "sglang": (295, 310),
    "qaic": (1140, 1180, 1225),
    # By upload_and_convert, which the vendor's SDK does not do; seen to take seconds, or for ever.
    "onnx": (10, 20),
    "tensorflow": (10, 20),
}
_UNKNOWN = (10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True, slots=True)
class PollInterval:
    """Shortest wait, and longest wait between two polls of one version, in seconds."""

    first: float = 1.0
    longest: float = 30.0


def conversion_kind(conversion: Conversion) -> str:
    """What conversions take about as long as this one: those of a framework, or of one compiler."""
    if isinstance(conversion.accel, dict):
        return "qaic"
    return "hugging-face" if conversion.framework.startswith("hugging-face-") else conversion.framework


@dataclass(slots=True)
class _Kind:
    """One kind of conversion: how long it took, and when to ask."""

    recorded: tuple[float, ...]
    learnt: deque[float] = field(default_factory=lambda: deque(maxlen=DURATIONS_KEPT))
    explorers: int = 0
    _unseen: int = 0
    # Durations that the plan does not know of yet.
    _news: int = 0
    _plan: list[float] | None = None

    def note(self, seconds: float) -> None:
        """A conversion took so long."""
        self.learnt.append(seconds)
        self._news += 1

    def before(self, done: float) -> float:
        """How long one may have taken that the first poll found done at ``done``.

        By turns as long as one of those known to have been quicker, so that the quick ones of a kind are not forgotten;
        and a little less than ``done``, so that the first poll comes earlier by and by until some are not done.
        """
        self._unseen += 1
        quicker = sorted(seconds for seconds in (*self.learnt, *self.recorded) if seconds < done)
        if self._unseen % 2 or not quicker:
            return EARLIER * done
        return quicker[self._unseen * PICKING_STRIDE % len(quicker)]

    @property
    def plan(self) -> list[float]:
        """The moments to ask, each later than the one before."""
        # Anew for each early duration and now and then later: it takes half a millisecond.
        if self._plan is None or self._news >= min(len(self.learnt), PLANNED_ANEW_AFTER) > 0:
            total = len(self.learnt) + RECORDED_WEIGHT
            weighted = [(seconds, 1.0 / total) for seconds in self.learnt]
            weighted += [(seconds, RECORDED_WEIGHT / total / len(self.recorded)) for seconds in self.recorded]
            self._plan, self._news = poll_times(weighted), 0
        return self._plan


@dataclass(slots=True)
class PollSchedule:
    """When to ask about which version, as far as this registry's conversions have shown it."""

    interval: PollInterval = field(default_factory=PollInterval)
    _kinds: dict[str, _Kind] = field(default_factory=dict)

    def learn(self, durations: Mapping[str, Iterable[float]]) -> None:
        """Take in what earlier runs saw of this registry: kind -> seconds, oldest first."""
        for kind, seconds in durations.items():
            for one in seconds:
                self._of(kind).note(one)

    @property
    def learnt(self) -> dict[str, list[float]]:
        """What is worth keeping for the next run: kind -> seconds, oldest first."""
        return {name: [round(one, 3) for one in kind.learnt] for name, kind in self._kinds.items() if kind.learnt}

    def note(self, kind: str, not_done: float, done: float) -> None:
        """A conversion was found done at ``done``, and had not been at ``not_done`` (0: never asked before)."""
        known = self._of(kind)
        known.note(math.sqrt(not_done * done) if not_done > 0 else known.before(done))

    def first_poll(self, kind: str) -> float:
        """When to ask for the first time about a version that was just uploaded, without exploring."""
        return max(self.interval.first, self._of(kind).plan[0])

    def explores(self, kind: str) -> bool:
        """Whether this version is one of the few to be asked about early, as nothing is known of its kind here yet."""
        known = self._of(kind)
        if known.learnt or known.explorers >= EXPLORERS:
            return False
        known.explorers += 1
        return True

    def next_poll(
        self, kind: str, asked: float, chance: float, *, explores: bool = False, few_left: bool = False
    ) -> float:
        """When to ask again about a version that was not done at ``asked``."""
        known = self._of(kind)
        planned = next((moment for moment in known.plan if moment > asked), asked * (1.0 + OVERDUE_GROWTH))
        if explores and not known.learnt:
            planned = min(planned, 2.0 * asked)
        if few_left:
            planned = min(planned, asked * (1.0 + FEW_LEFT_GROWTH))
        wait = min(max(self.interval.first, planned - asked), self.interval.longest)
        return asked + wait * (1.0 + JITTER * chance)

    def _of(self, kind: str) -> _Kind:
        if kind not in self._kinds:
            self._kinds[kind] = _Kind(RECORDED.get(kind, _UNKNOWN))
        return self._kinds[kind]


def poll_times(durations: Sequence[tuple[float, float]]) -> list[float]:
    """The moments to ask for durations with these weights (seconds, weight; weights sum up to 1).

    Found exactly, by dynamic programming over durations in steps of ``STEP``: asking at the end of step j about what
    ended in steps i to j costs the mean delay of these, and one poll of everything that had not ended before i.
    """
    steps = [(round(math.log(max(seconds, 0.05)) / math.log(STEP)), weight) for seconds, weight in durations]
    # One step of tolerance on each side.
    lowest = min(step for step, _ in steps) - 1
    count = max(step for step, _ in steps) + 2 - lowest
    mass = [UNSEEN_SHARE / count] * count
    for step, weight in steps:
        for offset, share in ((-1, 0.25), (0, 0.5), (1, 0.25)):
            mass[step + offset - lowest] += (1.0 - UNSEEN_SHARE) * weight * share
    middles = [STEP ** (lowest + number) for number in range(count)]
    ends = [middle * math.sqrt(STEP) for middle in middles]
    # Sums from the first step on: of the mass, and of the mass by its duration.
    ended, by_duration = [0.0], [0.0]
    for share, middle in zip(mass, middles, strict=True):
        ended.append(ended[-1] + share)
        by_duration.append(by_duration[-1] + share / middle)
    best, begins = [0.0], [0]
    for last in range(count):
        cost, begin = min(
            (
                best[begin]
                + ends[last] * (by_duration[last + 1] - by_duration[begin])
                - (ended[last + 1] - ended[begin])
                + POLL_COST * (1.0 - ended[begin]),
                begin,
            )
            for begin in range(last + 1)
        )
        best.append(cost)
        begins.append(begin)
    moments, position = [], count
    while position:
        moments.append(ends[position - 1])
        position = begins[position]
    return moments[::-1]

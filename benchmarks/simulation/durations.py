"""How long conversions take, as recorded on real registries, and which models people have."""

import random
from collections.abc import Mapping

# Ready at once.
NATIVE = "onnx"

# Kind of conversion -> shares of its runs and the seconds between which these took (recorded in steps of five seconds).
# Apart from the table that the poll schedule begins with: that one is what is judged here.
RANGES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "xgboost": ((0.8, 5, 15), (0.2, 45, 90)),
    "pytorch": ((0.67, 10, 15), (0.33, 15, 155)),
    "sklearn": ((1.0, 45, 70),),
    "keras": ((1.0, 80, 85),),
    "python": ((1.0, 15, 25),),
    # The median was 73 seconds, and one of twenty-one runs took 505.
    "custom": ((0.5, 20, 73), (0.45, 73, 210), (0.05, 210, 505)),
    "hugging-face": ((0.5, 30, 125), (0.5, 125, 270)),
    "vllm": ((1.0, 295, 310),),
}

# What a registry that is moved may hold. An assumption: nobody publishes such shares.
MIXED: dict[str, float] = {
    "xgboost": 0.25, "sklearn": 0.25, "pytorch": 0.15, "keras": 0.10, "custom": 0.10, "hugging-face": 0.09,
    "python": 0.05, "vllm": 0.01,
}  # fmt: skip


class Durations:
    """Draws kinds and durations."""

    def __init__(self, shares: Mapping[str, float], chance: random.Random) -> None:
        self._kinds, self._weights = list(shares), list(shares.values())
        self._chance = chance

    def kind(self) -> str:
        """The kind of the next entry."""
        return self._kinds[0] if len(self._kinds) == 1 else self._chance.choices(self._kinds, self._weights)[0]

    def seconds(self, kind: str) -> float:
        """How long the conversion of one of this kind takes."""
        ranges = RANGES[kind]
        _, low, high = ranges[0] if len(ranges) == 1 else self._chance.choices(ranges, [r[0] for r in ranges])[0]
        return low + (high - low) * self._chance.random()

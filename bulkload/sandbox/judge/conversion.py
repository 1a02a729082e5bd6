"""How a version gets from uploaded to terminal, and how long that takes.

No task moves a version on. When it is stored, the times of its whole course are known, because the queue before it is
known; its status is a pure function of these times and of now. So a restart loses nothing, a version that was
converting goes on converting, and 10,000 of them cost nothing.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

PENDING_NATIVE = "pending_load_native"
ATTEMPTING_NATIVE = "attempting_load_native"
PENDING_CONTAINER = "pending_load_container"
ATTEMPTING_CONTAINER = "attempting_load_container"
READY = "ready"
ERROR = "error"
TERMINAL = frozenset({READY, ERROR})

Phases = tuple[tuple[str, float], ...]  # (status, seconds), in order


@dataclass(frozen=True, slots=True)
class Course:
    """What a framework's conversion goes through, in seconds of the real registry (fact sheet section 3)."""

    phases: Phases
    runtime_at_first: str
    runtime_when_ready: str
    contained: bool  # ends in a container: image_path is set when ready


def _native(pending: float, attempting: float, runtime: str) -> Course:
    return Course(((PENDING_NATIVE, pending), (ATTEMPTING_NATIVE, attempting)), "flight", runtime, contained=False)


def _fallback(pending: float, attempting: float, container: float) -> Course:
    # The registry tries natively first, finds the model incompatible and packs it into a container.
    phases = (
        (PENDING_NATIVE, pending),
        (ATTEMPTING_NATIVE, attempting),
        (PENDING_CONTAINER, PACKAGER_START_SECONDS),
        (ATTEMPTING_CONTAINER, container),
    )
    return Course(phases, "flight", "flight", contained=True)


def _container(pending: float, attempting: float) -> Course:
    phases = ((PENDING_CONTAINER, pending), (ATTEMPTING_CONTAINER, attempting))
    return Course(phases, "flight", "flight", contained=True)


# The packager's first event comes 7.3 to 7.6 s after created_at (six logs).
PACKAGER_START_SECONDS = 7.5
FAILED_VALIDATION_SECONDS = 10.0
# `attempting` is where the guide's instance leaves onnx for ever, and `onnx` its runtime throughout (trap 10).
ONNX_BY_CONVERSION = Course(((PENDING_CONTAINER, 5.0), (ATTEMPTING_CONTAINER, 5.0)), "onnx", "onnx", contained=False)
# INFERENCE: sglang as vllm, mlflow as a python step, onnx and tensorflow by conversion (never seen to end).
COURSES = {
    "onnx": ONNX_BY_CONVERSION,
    "tensorflow": Course(ONNX_BY_CONVERSION.phases, "tensorflow", "tensorflow", contained=False),
    "pytorch": _native(5.0, 8.0, "onnx"),
    "xgboost": _native(5.0, 5.0, "onnx"),
    "sklearn": _fallback(8.0, 9.0, 32.5),
    "keras": _fallback(12.0, 15.0, 48.0),
    "python": _container(PACKAGER_START_SECONDS, 12.5),
    "custom": _container(PACKAGER_START_SECONDS, 65.5),
    "hugging-face": _container(PACKAGER_START_SECONDS, 117.5),
    "vllm": _container(150.0, 152.5),
    "sglang": _container(150.0, 152.5),
    "mlflow": _container(PACKAGER_START_SECONDS, 12.5),
}
READY_AT_ONCE_RUNTIMES = {"onnx": "onnx", "tensorflow": "tensorflow", "mlflow": "mlflow"}


@dataclass(frozen=True, slots=True)
class Timeline:
    """The course of one version on the clock: when each phase ends (seconds since the epoch), and how it all ends.

    `outcome` is `ready`, `error`, or None for a version that never becomes terminal and stays in its last phase.
    """

    phases: Phases
    outcome: str | None

    @property
    def finished_at(self) -> float | None:
        """When the outcome is reached; 0 when there are no phases, None when it never is."""
        if self.outcome is None:
            return None
        return self.phases[-1][1] if self.phases else 0.0


def course_of(framework: str) -> Course:
    """The course of a framework that is converted. Raises KeyError for one that nobody knows."""
    return COURSES["hugging-face" if framework.startswith("hugging-face-") else framework]


def phases_of(course: Course, *, failed: bool) -> Phases:
    """The phases that a conversion goes through; a failing validation ends it early, in its last phase.

    A file that cannot be loaded natively is tried in a container before it fails: `error` was never seen to follow
    `attempting_load_native`.
    """
    if not failed:
        return course.phases
    *before, (last, seconds) = course.phases
    if last == ATTEMPTING_NATIVE:
        container = ((PENDING_CONTAINER, PACKAGER_START_SECONDS), (ATTEMPTING_CONTAINER, FAILED_VALIDATION_SECONDS))
        return (*course.phases, *container)
    return (*before, (last, min(seconds, FAILED_VALIDATION_SECONDS)))


def schedule(phases: Phases, *, start: float, time_scale: float, outcome: str | None) -> Timeline:
    """Put phases on the clock from `start` on. Waiting in the queue before `start` is the first phase already."""
    ends: list[tuple[str, float]] = []
    end = start
    for status, seconds in phases:
        end += seconds * time_scale
        ends.append((status, end))
    return Timeline(tuple(ends), outcome)


def status_at(timeline: Timeline, now: float) -> str:
    """The status at `now`."""
    for status, ends_at in timeline.phases:
        if now < ends_at:
            return status
    return timeline.outcome or timeline.phases[-1][0]


class ConversionQueue:
    """A few converters, working off versions in the order of their upload.

    The state is when each converter will be free. The last `converters` finish times of a registry are just that, so
    a restarted one goes on from its rows (no version is given to a converter that is free later than another one).
    """

    def __init__(self, converters: int, busy_until: Iterable[float]) -> None:
        free = heapq.nlargest(converters, busy_until)
        self._free_at = [0.0] * (converters - len(free)) + free
        heapq.heapify(self._free_at)

    def enter(self, now: float, seconds: float) -> float:
        """Take the next place for a conversion of `seconds`; returns when it starts."""
        start = max(now, self._free_at[0])
        heapq.heapreplace(self._free_at, start + seconds)
        return start

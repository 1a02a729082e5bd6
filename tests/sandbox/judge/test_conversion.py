"""Statuses over time: pure functions of a version's course, the queue and now."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.sandbox.api.metadata import FRAMEWORKS
from bulkload.sandbox.judge.conversion import (
    COURSES,
    TERMINAL,
    ConversionQueue,
    Timeline,
    course_of,
    phases_of,
    schedule,
    status_at,
)

NATIVE = ["pending_load_native", "attempting_load_native"]
CONTAINER = ["pending_load_container", "attempting_load_container"]


@pytest.mark.parametrize(
    ("framework", "statuses"),
    [
        ("pytorch", NATIVE),
        ("xgboost", NATIVE),
        ("sklearn", NATIVE + CONTAINER),
        ("keras", NATIVE + CONTAINER),
        ("python", CONTAINER),
        ("custom", CONTAINER),
        ("hugging-face-summarization", CONTAINER),
        ("vllm", CONTAINER),
        ("sglang", CONTAINER),
        ("onnx", CONTAINER),
    ],
)
def test_a_version_goes_the_way_of_its_framework(framework: str, statuses: list[str]) -> None:
    """Statuses come in the order of the fact sheet, each for its time, and then the outcome for ever."""
    phases = phases_of(course_of(framework), failed=False)
    timeline = schedule(phases, start=100.0, time_scale=2.0, outcome="ready")
    assert [status for status, _ in timeline.phases] == statuses
    moment = 100.0
    for status, seconds in phases:
        assert status_at(timeline, moment) == status
        moment += 2.0 * seconds
        assert status_at(timeline, moment - 0.001) == status
    assert status_at(timeline, moment) == "ready"
    assert timeline.finished_at == pytest.approx(moment)


@pytest.mark.parametrize(
    ("framework", "shortest", "longest"),
    [
        ("xgboost", 10, 10),
        ("pytorch", 10, 15),
        ("sklearn", 45, 70),
        ("keras", 80, 85),
        ("python", 15, 25),
        ("custom", 73, 73),
        ("hugging-face-translation", 125, 125),
        ("vllm", 295, 310),
    ],
)
def test_a_conversion_takes_as_long_as_the_real_one(framework: str, shortest: float, longest: float) -> None:
    """The totals of the fact sheet's table."""
    assert shortest <= sum(seconds for _, seconds in course_of(framework).phases) <= longest


def test_each_framework_has_a_course() -> None:
    """And no course is without a framework."""
    assert {course_of(framework) for framework in FRAMEWORKS} == set(COURSES.values())


def test_a_failing_validation_ends_early_in_its_last_phase() -> None:
    """The version is seen converting before it is `error`."""
    phases = phases_of(course_of("custom"), failed=True)
    assert [status for status, _ in phases] == CONTAINER
    assert sum(seconds for _, seconds in phases) < 20


@pytest.mark.parametrize("framework", ["pytorch", "xgboost", "sklearn", "keras"])
def test_a_native_model_fails_in_the_container_that_it_falls_back_to(framework: str) -> None:
    """`error` never follows attempting_load_native."""
    assert [status for status, _ in phases_of(course_of(framework), failed=True)] == NATIVE + CONTAINER


def test_a_version_without_an_outcome_stays_in_its_last_phase() -> None:
    """Trap 10: for ever."""
    timeline = schedule(course_of("onnx").phases, start=0.0, time_scale=1.0, outcome=None)
    assert timeline.finished_at is None
    assert status_at(timeline, 1e12) == "attempting_load_container"


def test_no_phases_means_terminal_at_once() -> None:
    """models/upload converts nothing."""
    assert status_at(Timeline((), "ready"), 0.0) == "ready"


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 100)), max_size=60), st.integers(1, 4))
def test_the_queue_works_in_order_and_never_more_than_its_converters(
    arrivals: list[tuple[float, float]], converters: int
) -> None:
    """Starts never overtake; at no moment more conversions run than there are converters; none waits needlessly."""
    queue, now = ConversionQueue(converters, ()), 0.0
    running: list[tuple[float, float]] = []
    last_start = 0.0
    for pause, seconds in arrivals:
        now += pause
        start = queue.enter(now, seconds)
        assert start >= max(now, last_start)
        busy = sum(1 for other_start, end in running if other_start <= start < end)
        assert busy < converters
        if start > now:
            assert any(end == start for _, end in running)
        running.append((start, start + seconds))
        last_start = start


@given(st.lists(st.floats(0.1, 100), max_size=40), st.lists(st.floats(0.1, 100), max_size=20), st.integers(1, 4))
def test_a_restarted_queue_goes_on_where_it_was(before: list[float], after: list[float], converters: int) -> None:
    """Built from the finish times of the rows, it gives the same starts as one that was never stopped."""
    queue = ConversionQueue(converters, ())
    finished = [queue.enter(1.0, seconds) + seconds for seconds in before]
    restarted = ConversionQueue(converters, finished)
    assert [restarted.enter(2.0, seconds) for seconds in after] == [queue.enter(2.0, seconds) for seconds in after]


def test_the_terminal_statuses_are_two() -> None:
    """ready and error, nothing else."""
    assert {"ready", "error"} == TERMINAL

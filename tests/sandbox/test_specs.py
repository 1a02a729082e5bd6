"""The grammars of --fault and --limit, and the settings."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.sandbox.faults import FAULTS, Fault, FaultPlan, FaultSpec, parse_fault
from bulkload.sandbox.limits import Limit, RequestLimits, parse_limit
from bulkload.sandbox.settings import SandboxSettings


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("upload:lost-answer%20", FaultSpec("upload", Fault("lost-answer"), "%", 20)),
        ("upload:late%2.5", FaultSpec("upload", Fault("late"), "%", 2.5)),
        ("upload:429=5@2", FaultSpec("upload", Fault("429", "5"), "@", 2)),
        ("poll:503*3", FaultSpec("poll", Fault("503"), "*", 3)),
        ("list:html", FaultSpec("list", Fault("html"), "", 0)),
        ("token:stall=0.5", FaultSpec("token", Fault("stall", "0.5"), "", 0)),
        ("any:refuse@1", FaultSpec("any", Fault("refuse"), "@", 1)),
        ("upload:reset=100", FaultSpec("upload", Fault("reset", "100"), "", 0)),
        (
            "upload:503=Fri, 31 Dec 1999 23:59:59 GMT*1",
            FaultSpec("upload", Fault("503", "Fri, 31 Dec 1999 23:59:59 GMT"), "*", 1),
        ),
    ],
)
def test_a_fault_reads_as_written(text: str, spec: FaultSpec) -> None:
    """CALL:FAULT[=ARG] and its WHEN are taken apart as the design says."""
    assert parse_fault(text) == spec


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("upload", "expected CALL:FAULT"),
        ("uplaod:reset", "unknown call 'uplaod'"),
        ("upload:explode", "unknown fault 'explode'"),
        ("poll:late", "late cannot happen to poll, only to upload"),
        ("token:stuck", "stuck cannot happen to token"),
        ("poll:lag=5", "lag cannot happen to poll, only to list, upload"),
        ("upload:99", "200 to 599"),
        ("upload:slow=soon", "slow wants a number of seconds after =, not 'soon'"),
        ("upload:refuse=1", "refuse takes no argument"),
        ("upload:reset@0", "whole number from 1"),
        ("upload:reset*1.5", "whole number from 1"),
        ("upload:reset%101", "0 to 100"),
    ],
)
def test_a_fault_that_cannot_be_is_one_clear_error(text: str, reason: str) -> None:
    """The message names the spec and what would be right."""
    with pytest.raises(ValueError, match=reason) as raised:
        parse_fault(text)
    assert repr(text) in str(raised.value)


def fates(specs: list[str], calls: list[str], seed: int = 0) -> list[str | None]:
    plan = FaultPlan([parse_fault(text) for text in specs], seed)
    faults = [plan.next(call) for call in calls]
    return [None if fault is None else fault.name for fault in faults]


def test_at_means_the_nth_call_of_its_kind() -> None:
    """Other calls do not count."""
    calls = ["upload", "poll", "upload", "upload"]
    assert fates(["upload:reset@2"], calls) == [None, None, "reset", None]


def test_star_means_the_first_calls_and_nothing_means_each() -> None:
    """`*2` ends after two; without a WHEN there is no end."""
    assert fates(["upload:reset*2"], ["upload"] * 4) == ["reset", "reset", None, None]
    assert fates(["poll:503"], ["poll"] * 3) == ["503"] * 3


def test_the_first_of_several_faults_has_the_request_and_all_count_it() -> None:
    """Both want request 1; the second one keeps its own count."""
    assert fates(["upload:reset@1", "upload:stall*2"], ["upload"] * 3) == ["reset", "stall", None]


def test_any_concerns_each_call_that_the_fault_can_happen_to() -> None:
    """`late` happens to uploads only, whatever the call is named."""
    assert fates(["any:late"], ["poll", "upload", "other"]) == [None, "late", None]
    assert fates(["any:503"], ["poll", "upload", "other", "token"]) == ["503"] * 4


def test_percent_follows_the_seed() -> None:
    """The same seed gives the same faults, about as many as asked for; another seed gives others."""
    calls = ["upload"] * 2000
    first = fates(["upload:reset%20"], calls, seed=7)
    assert first == fates(["upload:reset%20"], calls, seed=7)
    assert first != fates(["upload:reset%20"], calls, seed=8)
    assert 300 < Counter(first)["reset"] < 500
    assert set(fates(["upload:reset%0"], calls)) == {None}
    assert set(fates(["upload:reset%100"], calls)) == {"reset"}


@given(st.sampled_from(["upload", "poll", "list", "token", "any"]), st.sampled_from(sorted(FAULTS)), st.integers(1, 99))
def test_each_fault_of_the_table_can_be_asked_for(call: str, name: str, number: int) -> None:
    """Every pair of call and fault is either read or refused with its reason; no other error."""
    text = f"{call}:{name}*{number}"
    if call == "any" or call in FAULTS[name][0]:
        assert parse_fault(text) == FaultSpec(call, Fault(name), "*", number)
    else:
        with pytest.raises(ValueError, match="cannot happen to"):
            parse_fault(text)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("upload=20/s", Limit("upload", 20, 1.0)),
        ("any=600/m", Limit("any", 600, 60.0)),
        ("list=1/h", Limit("list", 1, 3600.0)),
    ],
)
def test_a_limit_reads_as_written(text: str, limit: Limit) -> None:
    """CALL=N/UNIT."""
    assert parse_limit(text) == limit


@pytest.mark.parametrize("text", ["upload", "upload=20", "upload=0/s", "upload=-1/s", "uplaod=1/s", "upload=1/d"])
def test_a_limit_that_cannot_be_is_a_clear_error(text: str) -> None:
    """The message names the spec."""
    with pytest.raises(ValueError, match="limit 'up"):
        parse_limit(text)


@given(st.lists(st.floats(0, 0.3), max_size=200), st.integers(1, 5))
def test_no_window_ever_holds_more_than_the_limit(pauses: list[float], count: int) -> None:
    """Whatever the times of the requests, and a refused one that waits as told is admitted."""
    limits, now, admitted = RequestLimits([Limit("upload", count, 1.0)]), 0.0, list[float]()
    for pause in pauses:
        now += pause
        wait_seconds = limits.admit("upload", now)
        if wait_seconds is None:
            admitted.append(now)
        else:
            assert wait_seconds > 0
    assert all(later - first >= 1.0 - 1e-9 for first, later in zip(admitted, admitted[count:], strict=False))


def test_limits_of_other_calls_do_not_matter_and_any_limits_all() -> None:
    """`any` has one window for all calls together."""
    limits = RequestLimits([Limit("upload", 1, 1.0), Limit("any", 2, 1.0)])
    assert limits.admit("poll", 0.0) is None
    assert limits.admit("upload", 0.1) is None
    assert limits.admit("poll", 0.2) == pytest.approx(0.8)
    assert limits.admit("poll", 1.0) is None


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"limits": ("upload=x",)}, "limit"),
        ({"faults": ("upload:x",)}, "fault"),
        ({"time_scale": -1.0}, "time scale"),
        ({"converters": 0}, "converters"),
        ({"port": 70000}, "port"),
        ({"token_seconds": -1.0}, "token lifetime"),
        ({"refresh_token_seconds": float("inf")}, "refresh token lifetime"),
    ],
)
def test_settings_refuse_what_cannot_be(tmp_path: Path, values: dict[str, object], reason: str) -> None:
    """Before anything is started or written."""
    with pytest.raises(ValueError, match=reason):
        SandboxSettings(data=tmp_path / "data", **values)  # type: ignore[arg-type]
    assert not (tmp_path / "data").exists()

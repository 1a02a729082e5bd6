"""What a failed call means, over every status and every way to fail."""

import pytest

from bulkload.core.model.errors import ExitCode
from bulkload.core.verdicts import (
    GATEWAYS_BODY_BYTES,
    CallFailed,
    Failure,
    FailureKind,
    Verdict,
    another_call_may_do,
    may_lack_call,
    may_mean_no_such_version,
    read_verdict,
    tells_of_trouble,
    upload_verdict,
)

STATUSES = range(100, 600)
# design.md, section 5.
PERMANENT = {400, 403, 404, 405, 409, 413, 415, 422, *range(300, 400)}
PASSING = {429, 507}


def failure(
    kind: FailureKind = FailureKind.STATUS, status: int | None = None, message: str = "", **facts: bool
) -> Failure:
    return Failure(call="models/upload", kind=kind, status=status, message=message, **facts)


def foreign(status: int, message: str = "", **facts: bool) -> Failure:
    return failure(FailureKind.FOREIGN, status, message, **facts)


def expected_of_status(status: int, *, sealed: bool) -> Verdict:
    """The design's rules, each of its own; what it does not name is as near to safe as can be."""
    if status == 401:
        return Verdict.UNAUTHORISED
    if status in PASSING or status == 425:  # too early (RFC 8470): refused unread
        return Verdict.NOT_ACCEPTED
    if status in PERMANENT or (300 <= status < 500 and status != 408):
        return Verdict.PERMANENT
    return Verdict.IN_DOUBT if sealed else Verdict.NOT_ACCEPTED


@pytest.mark.parametrize("sealed", [False, True])
def test_each_status_of_an_upload_has_its_verdict(sealed: bool) -> None:
    found = {status: upload_verdict(failure(status=status), sealed=sealed) for status in STATUSES}
    assert found == {status: expected_of_status(status, sealed=sealed) for status in STATUSES}


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    "message",
    [
        "Internal Server Error: Insufficient memory available for model upload. Try again later or contact ...",
        "INSUFFICIENT MEMORY",
    ],
)
def test_no_room_is_a_500_that_passes(message: str, sealed: bool) -> None:
    """The registry says it with a 500, seen word for word; the same words with another status say nothing."""
    assert upload_verdict(failure(status=500, message=message), sealed=sealed) is Verdict.NOT_ACCEPTED
    assert upload_verdict(failure(status=502, message=message), sealed=True) is Verdict.IN_DOUBT
    assert upload_verdict(failure(status=500, message="memory"), sealed=True) is Verdict.IN_DOUBT


@pytest.mark.parametrize(
    ("kind", "sealed", "verdict"),
    [
        (FailureKind.NO_CONNECTION, False, Verdict.NOT_ACCEPTED),
        (FailureKind.NO_CONNECTION, True, Verdict.NOT_ACCEPTED),
        (FailureKind.CUT, False, Verdict.NOT_ACCEPTED),
        (FailureKind.CUT, True, Verdict.IN_DOUBT),
        (FailureKind.UNREADABLE, False, Verdict.NOT_ACCEPTED),
        (FailureKind.UNREADABLE, True, Verdict.IN_DOUBT),
        # A failure that calls itself a status and has none says nothing.
        (FailureKind.STATUS, False, Verdict.NOT_ACCEPTED),
        (FailureKind.STATUS, True, Verdict.IN_DOUBT),
    ],
)
def test_an_upload_without_a_usable_answer_is_in_doubt_once_it_was_sealed(
    kind: FailureKind, sealed: bool, verdict: Verdict
) -> None:
    assert upload_verdict(failure(kind), sealed=sealed) is verdict


@pytest.mark.parametrize("status", [200, 202])
def test_a_success_with_an_error_body_is_in_doubt(status: int) -> None:
    """G2: a 202 that names no version may have made one."""
    assert upload_verdict(failure(FailureKind.UNREADABLE, status), sealed=True) is Verdict.IN_DOUBT


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_sealed_upload_is_sent_again_only_when_it_certainly_was_not_accepted(kind: FailureKind) -> None:
    """G2: the only ways from a sealed upload to a second one without asking the registry."""
    statuses = [None, *STATUSES]
    again = {s for s in statuses if upload_verdict(failure(kind, s), sealed=True) is Verdict.NOT_ACCEPTED}
    expected = {
        FailureKind.NO_CONNECTION: set(statuses),
        FailureKind.STATUS: PASSING | {425},
        # Who limits the rate has not let it through.
        FailureKind.FOREIGN: {425, 429},
    }
    assert again == expected.get(kind, set())


def test_each_status_of_a_read_has_its_verdict() -> None:
    """A read is never in doubt: it passes, is refused, or needs a new token."""
    found = {status: read_verdict(failure(status=status)) for status in STATUSES}
    assert found == {status: expected_of_status(status, sealed=False) for status in STATUSES}


@pytest.mark.parametrize("kind", [FailureKind.NO_CONNECTION, FailureKind.CUT, FailureKind.UNREADABLE])
@pytest.mark.parametrize("status", [None, 200, 404, 500])
def test_a_read_without_a_whole_answer_may_be_repeated(kind: FailureKind, status: int | None) -> None:
    assert read_verdict(failure(kind, status)) is Verdict.NOT_ACCEPTED


def test_a_failure_says_what_failed_and_how() -> None:
    assert str(failure(status=413, message="too large")) == "models/upload: 413 too large"
    assert str(failure(FailureKind.CUT)) == "models/upload: connection lost"


def test_a_failed_call_carries_its_failure_and_means_run_again() -> None:
    failed = CallFailed(failure(status=503, message="busy"))
    assert failed.failure.status == 503
    assert str(failed) == "models/upload: 503 busy"
    assert failed.exit_code is ExitCode.UNAVAILABLE


# Whose word it is.


@pytest.mark.parametrize("sealed", [False, True])
def test_what_others_answer_is_never_permanent(sealed: bool) -> None:
    """It says nothing about what was asked: an upload whose end may have left is in doubt, all else is done again."""
    trouble = Verdict.IN_DOUBT if sealed else Verdict.NOT_ACCEPTED
    expected = dict.fromkeys(STATUSES, trouble)
    # A token is looked at by the gateway, whose word about it counts; who limits the rate has let nothing through.
    expected |= {401: Verdict.UNAUTHORISED, 425: Verdict.NOT_ACCEPTED, 429: Verdict.NOT_ACCEPTED}
    assert {status: upload_verdict(foreign(status), sealed=sealed) for status in STATUSES} == expected
    reads = dict.fromkeys(STATUSES, Verdict.NOT_ACCEPTED) | {401: Verdict.UNAUTHORISED}
    assert {status: read_verdict(foreign(status)) for status in STATUSES} == reads


def test_the_words_of_others_about_memory_are_not_the_registrys() -> None:
    assert upload_verdict(foreign(500, "Insufficient memory"), sealed=True) is Verdict.IN_DOUBT


@pytest.mark.parametrize("sealed", [False, True])
def test_a_gateway_bounds_large_bodies_and_no_small_ones(sealed: bool) -> None:
    """413 is its own word, where it can be meant."""
    large = upload_verdict(foreign(413), sealed=sealed, size=GATEWAYS_BODY_BYTES)
    small = upload_verdict(foreign(413), sealed=sealed, size=GATEWAYS_BODY_BYTES - 1)
    assert (large, small) == (Verdict.PERMANENT, Verdict.IN_DOUBT if sealed else Verdict.NOT_ACCEPTED)


@pytest.mark.parametrize("status", [404, 405])
def test_a_call_that_has_worked_is_there(status: int) -> None:
    """That it is missing can only be trouble on the way, in whatever form; what is refused otherwise is refused."""
    assert upload_verdict(failure(status=status, known=True), sealed=True) is Verdict.IN_DOUBT
    assert upload_verdict(failure(status=status, known=True), sealed=False) is Verdict.NOT_ACCEPTED
    assert upload_verdict(failure(status=400, known=True), sealed=True) is Verdict.PERMANENT


def test_all_trouble_on_the_way_is_an_outage() -> None:
    assert all(tells_of_trouble(foreign(status)) for status in STATUSES if status != 401)
    # JSON that is no answer is what a gateway says, too: `{"status": "maintenance"}`.
    assert tells_of_trouble(failure(FailureKind.UNREADABLE, 200))


def test_no_such_call_is_believed_of_the_registry_and_doubted_of_an_empty_answer() -> None:
    """Of a call that has worked it is never believed."""
    said = [failure(status=404), failure(status=405), foreign(404, empty=True), foreign(405, empty=True)]
    assert all(map(may_lack_call, said))
    others = [foreign(404), foreign(403, empty=True), failure(status=400), failure(FailureKind.UNREADABLE, 404)]
    others += [failure(status=404, known=True), foreign(404, empty=True, known=True)]
    assert not any(map(may_lack_call, others))


def test_a_listing_is_asked_whatever_a_registry_says_of_an_id_it_does_not_have() -> None:
    statuses = (400, 404, 405, 410, 422, 500)
    assert all(may_mean_no_such_version(answer) for s in statuses for answer in (foreign(s), failure(status=s)))
    passing = (302, 401, 403, 408, 429, 502, 503, 504)
    assert not any(may_mean_no_such_version(answer) for s in passing for answer in (foreign(s), failure(status=s)))
    assert not may_mean_no_such_version(failure(FailureKind.CUT))


def test_another_call_is_tried_where_this_one_is_not_answered() -> None:
    """Not where the registry is busy or away, and not where a token is wanted."""
    assert all(another_call_may_do(foreign(status)) for status in (200, 302, 403, 404, 405))
    assert another_call_may_do(failure(FailureKind.UNREADABLE, 200))
    assert not any(another_call_may_do(foreign(status)) for status in (401, 408, 429, 500, 502, 503, 507))
    assert not another_call_may_do(failure(FailureKind.CUT))

"""What becomes of an upload whose answer was lost, and of an entry whose equal is there already."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkload.core.identity.content import Content, content_of_entry
from bulkload.core.identity.reconcile import (
    ExistingDecision,
    ReconcileDecision,
    Reconciliation,
    choose_existing,
    duplicates_of,
    is_stuck,
    reconcile,
    settle_seconds,
)
from bulkload.core.model.records import Conversion, Entry, RegistryVersion
from bulkload.core.model.states import State

SHA256 = "ab" * 32

MakeVersion = Callable[..., RegistryVersion]


def content() -> Content:
    """Of what ``make_version()`` shows."""
    entry = Entry(
        line=1, name="model", path="model.onnx", source="/model.onnx", conversion=Conversion(framework="onnx")
    )
    return content_of_entry(entry, 7, None)


def decide(
    versions: list[RegistryVersion], fence: frozenset[int] = frozenset(), claimed: frozenset[int] = frozenset()
) -> ReconcileDecision:
    return reconcile(content(), SHA256, "model.onnx", fence, versions, claimed, None)


def adopted(decision: ReconcileDecision) -> int | None:
    return decision.version.version_id if decision.version is not None else None


# reconcile


def test_nothing_there_may_be_sent_again() -> None:
    assert decide([]).outcome is Reconciliation.ABSENT


def test_the_one_that_landed_is_adopted(make_version: MakeVersion) -> None:
    decision = decide([make_version(5)])
    assert decision.outcome is Reconciliation.ADOPT
    assert adopted(decision) == 5
    assert decision.note == "adopted after a lost answer"


def test_the_lowest_of_several_is_adopted_with_a_note(make_version: MakeVersion) -> None:
    """The others are duplicates that somebody made: reported, never counted as ours."""
    decision = decide([make_version(9), make_version(5), make_version(7)])
    assert adopted(decision) == 5
    assert "also there: 7, 9" in (decision.note or "")


def test_a_version_behind_the_fence_is_never_adopted(make_version: MakeVersion) -> None:
    """Equal, but there before the first byte: the upload may be lost all the same."""
    assert decide([make_version(5)], fence=frozenset({5})).outcome is Reconciliation.ABSENT
    assert adopted(decide([make_version(5), make_version(6)], fence=frozenset({5}))) == 6


def test_a_version_of_another_entry_is_never_adopted(make_version: MakeVersion) -> None:
    """One version is claimed once, near or exact."""
    assert decide([make_version(5)], claimed=frozenset({5})).outcome is Reconciliation.ABSENT
    assert decide([make_version(5, arch="x86")], claimed=frozenset({5})).outcome is Reconciliation.ABSENT


def test_other_bytes_are_never_adopted(make_version: MakeVersion) -> None:
    assert decide([make_version(5, sha256="cd" * 32)]).outcome is Reconciliation.ABSENT


def test_a_lone_near_match_is_adopted_with_a_note(make_version: MakeVersion) -> None:
    """Our bytes under our name, the conversion rewritten: sending again would make two."""
    decision = decide([make_version(5, arch="x86")])
    assert (decision.outcome, adopted(decision)) == (Reconciliation.ADOPT, 5)
    assert "differently" in (decision.note or "")


def test_an_exact_match_goes_before_a_near_one(make_version: MakeVersion) -> None:
    assert adopted(decide([make_version(4, arch="x86"), make_version(6)])) == 6


def test_several_near_matches_are_left_to_a_person(make_version: MakeVersion) -> None:
    decision = decide([make_version(6, arch="x86"), make_version(5, arch="arm")])
    assert decision.outcome is Reconciliation.UNDECIDED
    assert decision.version is None
    assert "versions 5, 6 " in (decision.note or "")


kinds = st.sampled_from(["exact", "near", "other bytes"])


@given(st.dictionaries(st.integers(1, 12), kinds), st.frozensets(st.integers(1, 12)), st.frozensets(st.integers(1, 12)))
def test_reconcile_sends_again_only_what_is_nowhere(
    there: dict[int, str], fence: frozenset[int], claimed: frozenset[int]
) -> None:
    """G2, for any mixture: absent exactly when no free version has our bytes; adopted ones are free and ours."""
    changes = {"exact": {}, "near": {"visibility": "public"}, "other bytes": {"sha256": "cd" * 32}}
    versions = [
        RegistryVersion(
            **{
                "version_id": id_,
                "name": "model",
                "workspace_id": 7,
                "conversion": Conversion(framework="onnx"),
                "sha256": SHA256,
                "file_name": "model.onnx",
                **changes[kind],
            }  # type: ignore[arg-type]
        )
        for id_, kind in there.items()
    ]
    decision = decide(versions, fence, claimed)
    free = {id_: kind for id_, kind in there.items() if id_ not in fence | claimed and kind != "other bytes"}
    exact = [id_ for id_, kind in free.items() if kind == "exact"]
    if not free:
        assert decision.outcome is Reconciliation.ABSENT
    elif exact:
        assert adopted(decision) == min(exact)
    else:
        assert adopted(decision) == (min(free) if len(free) == 1 else None)


def test_a_twin_is_any_version_of_ours_that_nobody_claims(make_version: MakeVersion) -> None:
    """Near ones too: whoever sent twice made two, however their conversion is shown."""
    versions = [make_version(id_) for id_ in (9, 5, 7, 2)]
    versions += [make_version(6, arch="x86"), make_version(8, sha256="cd" * 32)]
    found = duplicates_of(content(), SHA256, "model.onnx", frozenset({2}), versions, frozenset({5}), None)
    assert found == [6, 7, 9]


@pytest.mark.parametrize(
    ("settle", "size", "seconds"), [(30, 0, 30), (30, 600_000_000, 30), (30, 2_000_000_000, 100), (0, 0, 0), (0, 20, 0)]
)
def test_a_large_upload_may_land_later(settle: float, size: int, seconds: float) -> None:
    """The larger of --settle and the size at 20 MB/s."""
    assert settle_seconds(settle, size) == pytest.approx(seconds, abs=1e-5)


# choose_existing


def choose(
    versions: list[RegistryVersion], stuck: frozenset[int] = frozenset(), *, retry_requested: bool = False
) -> tuple[State, int] | None:
    found: ExistingDecision | None = choose_existing(
        content(), SHA256, versions, None, stuck, retry_requested=retry_requested
    )
    return None if found is None else (found.state, found.version.version_id)


def test_nothing_equal_means_send(make_version: MakeVersion) -> None:
    assert choose([]) is None
    assert choose([make_version(5, sha256="cd" * 32), make_version(6, visibility="public")]) is None


def test_the_highest_ready_one_is_taken(make_version: MakeVersion) -> None:
    versions = [make_version(id_, status="ready") for id_ in (5, 8, 3)]
    assert choose(versions) == (State.SKIPPED, 8)


@pytest.mark.parametrize("status", ["pending_load_native", "attempting_load_container", "never heard of", None])
def test_the_youngest_converting_one_is_polled(status: str | None, make_version: MakeVersion) -> None:
    """A status that nobody knows is still under way."""
    assert choose([make_version(3, status=status), make_version(4, status=status)]) == (State.UPLOADED, 4)


def test_ready_goes_before_converting_before_error(make_version: MakeVersion) -> None:
    ready, converting = make_version(1, status="ready"), make_version(2, status="pending_load_native")
    failed = make_version(3, status="error")
    assert choose([failed, converting, ready]) == (State.SKIPPED, 1)
    assert choose([failed, converting]) == (State.UPLOADED, 2)
    assert choose([failed, make_version(2, status="error")]) == (State.ERROR, 3)


def test_a_stuck_one_does_not_count(make_version: MakeVersion) -> None:
    converting, failed = make_version(5, status="pending_load_native"), make_version(3, status="error")
    assert choose([converting], stuck=frozenset({5})) is None
    assert choose([converting, failed], stuck=frozenset({5})) == (State.ERROR, 3)


def test_an_entry_taken_again_is_not_held_up_by_the_one_in_error(make_version: MakeVersion) -> None:
    """--retry-failed asks for another version and gets it, unless a good one is there."""
    failed = make_version(3, status="error")
    assert choose([failed], retry_requested=True) is None
    assert choose([failed, make_version(2)], retry_requested=True) == (State.SKIPPED, 2)
    assert choose([failed, make_version(2, status="pending_load_native")], retry_requested=True) == (State.UPLOADED, 2)


@pytest.mark.parametrize(
    ("framework", "status", "age", "stuck"),
    [
        ("onnx", "attempting_load_container", 1801, True),
        ("tensorflow", "attempting_load_container", 1801, True),
        ("onnx", None, 1801, True),
        ("onnx", "attempting_load_container", 1800, False),
        ("onnx", "ready", 10**6, False),
        ("onnx", "error", 10**6, False),
        # Others do take long: a qaic compile was seen at 20 minutes.
        ("vllm", "attempting_load_container", 10**6, False),
        ("not a framework", "attempting_load_container", 10**6, False),
    ],
)
def test_a_native_version_that_nobody_would_wait_for_is_stuck(
    framework: str, status: str | None, age: float, stuck: bool, make_version: MakeVersion
) -> None:
    assert is_stuck(make_version(framework=framework, status=status), age, 1800) is stuck


def test_a_version_without_its_conversion_is_not_called_stuck(make_version: MakeVersion) -> None:
    assert not is_stuck(make_version(conversion=None, status=None), 10**6, 1800)

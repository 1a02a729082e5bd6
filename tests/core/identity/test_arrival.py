"""The answer's id is checked, not believed."""

from collections.abc import Callable
from typing import Any

import pytest

from bulkload.core.identity.arrival import Arrival, judge_arrival
from bulkload.core.model.records import RegistryVersion

SHA256 = "ab" * 32
FENCE = frozenset({1, 2})


@pytest.mark.parametrize(
    ("shown", "arrival"),
    [
        ({}, Arrival.OURS),
        # A registry that shows no digest leaves "unverified" in the message, no doubt.
        ({"sha256": None}, Arrival.OURS),
        ({"file_name": None}, Arrival.OURS),
        ({"file_name": "other.onnx"}, Arrival.OTHER_FILE),
        ({"file_name": "other.onnx", "sha256": "cd" * 32}, Arrival.OTHER_BYTES),
        ({"name": "other"}, Arrival.NOT_OURS),
        ({"workspace_id": 8}, Arrival.NOT_OURS),
        ({"version_id": 2}, Arrival.NOT_OURS),
        ({"sha256": "cd" * 32}, Arrival.OTHER_BYTES),
        # Somebody else's version may have any bytes.
        ({"workspace_id": 8, "sha256": "cd" * 32}, Arrival.NOT_OURS),
        ({"version_id": 2, "sha256": "cd" * 32}, Arrival.NOT_OURS),
    ],
    ids=str,
)
def test_what_an_id_leads_to(
    shown: dict[str, Any], arrival: Arrival, make_version: Callable[..., RegistryVersion]
) -> None:
    version = make_version(**({"version_id": 5} | shown))
    assert judge_arrival(7, "model", SHA256, "model.onnx", FENCE, version) is arrival


def test_a_version_that_was_found_may_be_another_files(make_version: Callable[..., RegistryVersion]) -> None:
    version = make_version(5, file_name="other.onnx")
    assert judge_arrival(7, "model", SHA256, None, frozenset(), version) is Arrival.OURS


def test_a_version_that_was_found_is_not_fenced_off(make_version: Callable[..., RegistryVersion]) -> None:
    assert judge_arrival(7, "model", SHA256, None, frozenset(), make_version(2)) is Arrival.OURS


def test_without_a_digest_of_our_own_nothing_is_claimed_wrong(make_version: Callable[..., RegistryVersion]) -> None:
    assert judge_arrival(7, "model", None, "model.onnx", FENCE, make_version(5)) is Arrival.OURS

"""What is there already is not sent again: an equal version is looked for in the commit that would let bytes leave."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from bulkload.core.identity.reconcile import ExistingDecision
from bulkload.core.model.records import Conversion, RegistryVersion
from bulkload.core.model.settings import OnExisting
from bulkload.core.model.states import State
from bulkload.ledger.interface import FindEqual, Intend, KeepListing, Moved, RetryFailed, Seal
from bulkload.ledger.records import PlannedEntry
from tests.ledger.bench import LOOK, OTHER_SHA256, SHA256, Bench

MakePlanned = Callable[..., PlannedEntry]
NOW = datetime(2026, 1, 6, 16, 34, 30, tzinfo=UTC)
Ask = Callable[[Bench, int], Any]


def listed(version_id: int = 3, **fields: Any) -> RegistryVersion:
    """What publishing ``make_planned`` made, as the registry shows it."""
    values: dict[str, Any] = {
        "name": "model", "workspace_id": 7, "conversion": Conversion(framework="onnx"), "sha256": SHA256, "size": 10,
        "status": "ready", "file_name": "model-1.onnx", "created_at": "2026-01-06T16:20:00Z",
    }  # fmt: skip
    return RegistryVersion(version_id=version_id, **values | fields)


def intend(ledger: Bench, id_: int = 1) -> Any:
    return ledger(Intend(entry=ledger.item(id_), look=LOOK, fence=None, sha256=SHA256, registry_time=NOW))


def seal(ledger: Bench, id_: int = 1) -> Any:
    if ledger.item(id_).state is State.PLANNED:
        ledger.intend(id_, None)
    return ledger(Seal(entry=ledger.item(id_), sha256=SHA256, registry_time=NOW))


def find(ledger: Bench, id_: int = 1) -> Any:
    return ledger(FindEqual(entry=ledger.item(id_), sha256=SHA256, registry_time=NOW))


ALL = pytest.mark.parametrize("ask", [intend, seal, find])
SENDING = pytest.mark.parametrize("ask", [intend, seal])


def found(version_id: int, state: State) -> dict[str, Any]:
    return {"version_id": version_id, "state": state}


def said(answer: Any) -> dict[str, Any] | None:
    """The decision; None where nothing was found."""
    if isinstance(answer, ExistingDecision):
        return found(answer.version.version_id, answer.state)
    assert answer is None or isinstance(answer, Moved)
    return None


@ALL
@pytest.mark.parametrize(
    ("status", "state"),
    [("ready", State.SKIPPED), ("error", State.ERROR), ("pending_load_native", State.UPLOADED)],
)
def test_an_equal_version_in_the_listing_is_found_and_nothing_moved(
    ask: Ask, status: str, state: State, ledger: Bench, make_planned: MakePlanned
) -> None:
    ledger.begin(make_planned(1))
    ledger(KeepListing((listed(status=status),)))
    if ask is seal:
        ledger.intend(1, None)
    before = ledger.row()
    assert said(ask(ledger, 1)) == found(3, state)
    assert ledger.row() == before


@ALL
@pytest.mark.parametrize(
    "version",
    [
        listed(sha256=OTHER_SHA256),
        listed(conversion=Conversion(framework="onnx", arch="arm")),
        listed(conversion=None),
        listed(name="other"),
        # An onnx version that has converted for longer than anybody waits never ends.
        listed(status="attempting_load_container"),
    ],
    ids=str,
)
def test_another_one_is_not_equal(ask: Ask, version: RegistryVersion, ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1), wait_timeout=60.0)
    ledger(KeepListing((version,)))
    assert said(ask(ledger, 1)) is None


@ALL
def test_the_registrys_default_is_what_nobody_asked_for(ask: Ask, ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1), default_arch="x86")
    ledger(KeepListing((listed(conversion=Conversion(framework="onnx", arch="x86")),)))
    assert said(ask(ledger, 1)) == found(3, State.SKIPPED)


@ALL
def test_what_this_ledger_sent_for_another_entry_is_found(ask: Ask, ledger: Bench, make_planned: MakePlanned) -> None:
    """Two entries of one model with the same bytes and the same label: the second one is not sent."""
    ledger.begin(*(make_planned(line, version="v", path=f"{line}.onnx") for line in (1, 2, 3)))
    ledger.put(3, state=State.UPLOADED, version_id=5, owned=True, sha256=SHA256)
    assert said(ask(ledger, 1)) == found(5, State.UPLOADED)
    ledger.move(3, State.READY)
    assert said(ask(ledger, 1)) == found(5, State.SKIPPED)


@ALL
@pytest.mark.parametrize(
    "other",
    [
        {"sha256": OTHER_SHA256},
        {"owned": False},
        {"state": State.ERROR},
    ],
    ids=str,
)
def test_what_did_not_become_these_bytes_is_none(
    ask: Ask, other: dict[str, Any], ledger: Bench, make_planned: MakePlanned
) -> None:
    ledger.begin(*(make_planned(line, version="v", path=f"{line}.onnx") for line in (1, 2)))
    ledger.put(2, **{"state": State.READY, "version_id": 5, "owned": True, "sha256": SHA256} | other)
    assert said(ask(ledger, 1)) is None


@ALL
def test_a_version_with_another_label_is_another_version(ask: Ask, ledger: Bench, make_planned: MakePlanned) -> None:
    """Equal or not: who labels them apart wants both."""
    ledger.begin(make_planned(1, version="a"), make_planned(2, version="b"))
    ledger.put(2, state=State.READY, version_id=3, owned=True, sha256=SHA256)
    ledger(KeepListing((listed(),)))
    assert said(ask(ledger, 1)) is None


@ALL
def test_what_is_tried_again_is_not_spared_by_what_failed(ask: Ask, ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1))
    ledger.publish(1, State.ERROR, version_id=3)
    ledger(RetryFailed(with_versions=True))
    ledger(KeepListing((listed(status="error"),)))
    assert said(ask(ledger, 1)) is None


@SENDING
def test_a_run_that_uploads_whatever_is_there_does_not_look(ask: Ask, ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1), on_existing=OnExisting.UPLOAD)
    ledger(KeepListing((listed(),)))
    assert said(ask(ledger, 1)) is None
    assert said(find(ledger)) == found(3, State.SKIPPED)


@SENDING
def test_what_is_not_spared_is_fenced_by_the_listing(ask: Ask, ledger: Bench, make_planned: MakePlanned) -> None:
    ledger.begin(make_planned(1))
    ledger(KeepListing((listed(sha256=OTHER_SHA256), listed(4, sha256=OTHER_SHA256), listed(9, name="other"))))
    ledger(Intend(entry=ledger.item(), look=LOOK, fence=None, sha256=None if ask is seal else SHA256))
    assert ledger.item().fence == {3, 4}
    if ask is seal:
        assert said(seal(ledger)) is None
        assert (ledger.item().fence, ledger.item().sealed) == (frozenset({3, 4}), True)

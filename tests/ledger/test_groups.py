"""What is sent at once is committed at once; each message is refused or carried out for itself, and in its order."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bulkload.core.model.states import IllegalMove, State
from bulkload.ledger.interface import (
    Arrived,
    Counts,
    Disown,
    GetEntry,
    Intend,
    Judge,
    Message,
    Move,
    Moved,
    NextOfModel,
    NoteStatus,
    Renew,
    Seal,
    Take,
    VersionTaken,
)
from bulkload.ledger.records import LedgerEntry, Outcome, PlannedEntry
from tests.ledger.bench import BEGIN_RUN, LOOK, SHA256, Bench
from tests.ledger.test_moves import READY, shown

MakePlanned = Callable[..., PlannedEntry]


class Died(BaseException):
    """The process is no more."""


@pytest.fixture
def many(ledger: Bench, make_planned: MakePlanned) -> Bench:
    """Six models of one version, and one of two: ids 7 and 8."""
    names = [*(f"model-{number}" for number in range(1, 7)), "model", "model"]
    ledger.begin(*(make_planned(line, name) for line, name in enumerate(names, start=1)))
    return ledger


def intend(item: LedgerEntry, sha256: str | None = SHA256) -> Intend:
    return Intend(entry=item, look=LOOK, fence=frozenset(), sha256=sha256)


def arrived(item: LedgerEntry, version_id: int) -> Arrived:
    return Arrived(entry=item, version_id=version_id, uploaded_at="t", upload_seconds=1.0)


SENT, TAKEN = Moved(State.PLANNED, State.UPLOADING), Moved(State.UPLOADING, State.UPLOADED)


def test_a_group_is_one_commit(many: Bench) -> None:
    """Before and after it, whoever looks on is told how much is committed."""
    commits: list[int] = []
    many.on_commit = commits.append
    assert many.together(*(intend(many.item(id_)) for id_ in (1, 2, 3))) == [SENT] * 3
    *_, before, after = commits
    assert before < after
    commits.clear()
    many.together(*(arrived(many.item(id_), id_) for id_ in (1, 2, 3)), Counts())
    assert len(commits) == 2 * 4
    assert commits == sorted(commits)


def test_a_question_changes_nothing(many: Bench) -> None:
    commits: list[int] = []
    many.on_commit = commits.append
    many.together(Counts(), Take(9, 0), GetEntry(1))
    assert commits[0] == commits[1]


@pytest.mark.parametrize("dies_at", [1, 2], ids=["before the commit", "after it"])
def test_a_process_that_dies_loses_the_group_that_was_not_committed_whole(dies_at: int, many: Bench) -> None:
    """And nothing else: neither what was committed before nor a part of the group."""
    many.together(intend(many.item(1)), intend(many.item(2)))
    group: list[Message[Any]] = [
        arrived(many.item(1), 1),
        arrived(many.item(2), 2),
        intend(many.item(3)),
        intend(many.item(7)),
    ]
    calls = 0

    def die(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls == dies_at:
            raise Died

    many.on_commit = die
    with pytest.raises(Died):
        many.together(*group)
    many.on_commit = lambda _: None
    many.close()
    up, down = State.UPLOADING, State.PLANNED
    assert many.states()[:3] + many.states()[6:7] == (
        [up, up, down, down] if dies_at == 1 else [State.UPLOADED, State.UPLOADED, up, up]
    )


def test_one_that_is_refused_spares_the_others(many: Bench) -> None:
    """Of every kind, wherever it stands in the group."""
    many.together(*(intend(many.item(id_)) for id_ in (1, 2)))
    many.put(3, state=State.READY)
    replies = many.together(
        intend(many.item(3)),
        arrived(many.item(1), 5),
        arrived(many.item(2), 5),
        arrived(many.item(4), 6),
        GetEntry(99),
        Seal(entry=many.item(5), sha256=SHA256),
        Move(3, State.FAILED, Outcome()),
        Move(6, State.FAILED, Outcome(cause="c")),
        Disown(6, "no"),
        intend(many.item(7)),
    )
    illegal = [isinstance(reply, IllegalMove) for reply in replies]
    assert [at for at, refused in enumerate(illegal) if refused] == [0, 3, 5, 6, 8]
    assert isinstance(replies[4], KeyError)
    assert [replies[at] for at in (1, 2, 7, 9)] == [TAKEN, VersionTaken(5), Moved(State.PLANNED, State.FAILED), SENT]
    assert many.states() == [
        State.UPLOADED, State.UPLOADING, State.READY, State.PLANNED, State.PLANNED, State.FAILED, State.UPLOADING,
        State.PLANNED,
    ]  # fmt: skip


def test_messages_about_one_entry_keep_their_order(many: Bench) -> None:
    """The way of an entry in one group, from its intent to its end, while others do the same."""
    ways: list[list[Message[Any]]] = [
        [
            intend(many.item(id_), None),
            Seal(entry=many.item(id_), sha256=SHA256),
            arrived(many.item(id_), id_ + 10),
            NoteStatus(id_, "converting"),
            Move(id_, State.READY, Outcome(status="ready")),
            Renew(id_, LOOK),
            intend(many.item(id_)),
        ]
        for id_ in (1, 2, 3)
    ]
    # One step of each, the next step of each, and so on.
    replies = many.together(*(message for step in zip(*ways, strict=True) for message in step))
    sealed = Moved(State.UPLOADING, State.UPLOADING)
    ready = Moved(State.UPLOADED, State.READY)
    expected = [reply for reply in (SENT, sealed, TAKEN, None, ready, None, SENT) for _ in range(3)]
    assert replies == expected
    assert [many.row(id_).sealed for id_ in (1, 2, 3)] == [True] * 3
    assert [(row["id"], row["version_id"], row["status"]) for row in many.past()] == [
        (1, 11, "ready"),
        (2, 12, "ready"),
        (3, 13, "ready"),
    ]


def test_the_opposite_order_is_kept_as_well(many: Bench) -> None:
    """Who answers before he was asked is refused; so nothing is put right by sorting."""
    first, *others = many.together(arrived(many.item(1), 1), intend(many.item(1)), arrived(many.item(1), 2))
    assert isinstance(first, IllegalMove)
    assert others == [SENT, TAKEN]
    assert many.item(1).version_id == 2


def test_messages_about_one_model_keep_their_order(many: Bench) -> None:
    """What is next of a model depends on what became of the one before."""
    model, one, other = many.item(7).model, many.item(7), many.item(8)
    replies = many.together(
        intend(many.item(1)),
        intend(one),
        NextOfModel(model),
        intend(many.item(2)),
        Move(7, State.FAILED, Outcome()),
        NextOfModel(model),
        intend(other),
        NextOfModel(model),
    )
    assert [reply and reply.id for reply in replies if not isinstance(reply, Moved)] == [None, 8, None]
    assert [reply for reply in replies if isinstance(reply, Moved)] == [
        SENT, SENT, SENT, Moved(State.UPLOADING, State.FAILED), SENT,
    ]  # fmt: skip


def test_a_question_is_answered_as_it_stands_between_the_others(many: Bench) -> None:
    before, _, between, _, after = many.together(
        Counts(), intend(many.item(1)), Counts(), intend(many.item(2)), Counts()
    )
    assert [counts["uploading"] for counts in (before, between, after)] == [0, 1, 2]


def test_a_version_that_was_let_go_in_a_group_may_be_taken_in_it(many: Bench) -> None:
    many.upload(7, 5)
    many.put(8, state=State.UPLOADING)
    assert many.together(Disown(7, "another's"), arrived(many.item(8), 5)) == [
        Moved(State.UPLOADED, State.IN_DOUBT),
        TAKEN,
    ]


def test_an_equal_upload_in_a_group_is_seen_by_the_next(ledger: Bench, make_planned: MakePlanned) -> None:
    """Two entries of one model with the same bytes and label: the answer of one spares the other."""
    ledger.begin(*(make_planned(line, version="v", path=f"{line}.onnx") for line in (1, 2)))
    ledger.intend(1)
    taken, found = ledger.together(arrived(ledger.item(1), 5), intend(ledger.item(2)))
    assert taken == TAKEN
    assert (found.version.version_id, found.state) == (5, State.UPLOADED)
    assert ledger.states() == [State.UPLOADED, State.PLANNED]


def test_versions_are_judged_together(many: Bench) -> None:
    many.together(*(intend(many.item(id_)) for id_ in (1, 2, 3)))
    many.together(*(arrived(many.item(id_), id_) for id_ in (1, 2, 3)))
    versions = [
        shown(version_id=id_, name=f"model-{id_}", status=status, file_name=None)
        for id_, status in enumerate(("ready", "pending_load_native", "error"), start=1)
    ]
    judged = many.together(
        *(Judge(entry_id=id_, version=each, noted=None, ready=READY) for id_, each in enumerate(versions, start=1))
    )
    assert [reply.moved for reply in judged] == [Moved(State.UPLOADED, State.READY), None, None]
    assert [(row.state, row.status) for row in map(many.row, (1, 2, 3))] == [
        (State.READY, "ready"),
        (State.UPLOADED, "pending_load_native"),
        (State.UPLOADED, None),
    ]


def test_a_beginning_is_no_part_of_a_group(many: Bench) -> None:
    """What was sent before it is committed first, and what comes after waits for nobody."""
    many.put(1, state=State.UPLOADING)
    begin = msgspec.structs.replace(BEGIN_RUN, run_id="run-2")
    replies = many.together(arrived(many.item(1), 5), begin, Counts())
    assert replies[:2] == [TAKEN, None]
    assert isinstance(replies[2], RuntimeError)
    many.close()
    assert many.item(1).version_id == 5

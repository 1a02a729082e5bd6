"""Both ledgers, side by side: whatever is sent to them, in whatever groups, they answer and keep the same."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bulkload.core.model.records import Conversion, Look, RegistryVersion
from bulkload.core.model.settings import OnExisting
from bulkload.core.model.states import State
from bulkload.ledger import interface as messages
from bulkload.ledger.interface import BeginRun, FinishPlan, Message, PlanEntries
from bulkload.ledger.records import Outcome, PlannedEntry
from tests.ledger.bench import BEGIN_RUN, Bench, MemoryBench, SqliteBench
from tests.variants import every

MakePlanned = Callable[..., PlannedEntry]
NOW = datetime(2026, 1, 6, 16, 34, 30, tzinfo=UTC)
DIGESTS = ["aa" * 32, "bb" * 32, None]
ENTRIES, VERSIONS = 8, 12
GROUPS = 60


class Both:
    """A message goes to both; what they answer must be one thing."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        self._ledgers: tuple[Bench, Bench] = (SqliteBench(path), MemoryBench())
        self._chance = chance

    def together(self, group: list[Message[Any]]) -> list[Any]:
        answers = [[_comparable(reply) for reply in ledger.together(*group)] for ledger in self._ledgers]
        assert answers[0] == answers[1], group
        return answers[0]

    def compare(self) -> None:
        sqlite, memory = self._ledgers
        assert sqlite.results() == memory.results()
        assert sqlite.count() == memory.count()
        for id_ in range(1, sqlite.count() + 1):
            assert sqlite.row(id_) == memory.row(id_)
        assert _by_entry(sqlite.past()) == _by_entry(memory.past())

    def item(self) -> Any:
        return self._ledgers[1].item(self.id())

    def id(self) -> int:
        return self._chance.randint(1, self._ledgers[1].count())

    def close(self) -> None:
        for ledger in self._ledgers:
            ledger.close()


def _comparable(reply: Any) -> Any:
    return (type(reply), str(reply)) if isinstance(reply, Exception) else reply


def _by_entry(past: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of one entry in the order in which they were replaced."""
    return sorted(past, key=lambda row: int(row["id"]))


def an_entry(chance: random.Random, make_planned: MakePlanned, line: int, number: int) -> PlannedEntry:
    look = chance.choice([Look(10, "1:2:3"), Look(10, "1:2:4"), Look(10, None), None])
    sha256 = chance.choice([None, None, DIGESTS[0]])
    # Three models; some versions have one label.
    label = str(number % 5)
    path, source = f"{number}.onnx", f"/{number}.onnx"
    return make_planned(line, f"m-{number % 3}", version=label, path=path, source=source, look=look, sha256=sha256)


def a_beginning(chance: random.Random, make_planned: MakePlanned, number: int) -> list[Message[Any]]:
    manifest = chance.sample(range(ENTRIES), chance.randint(ENTRIES // 2, ENTRIES)) + [0] * chance.choice([0, 0, 1])
    entries = tuple(an_entry(chance, make_planned, line, each) for line, each in enumerate(manifest, start=1))
    middle = chance.randint(0, len(entries))
    begin = msgspec.structs.replace(
        BEGIN_RUN,
        run_id=f"run-{number}",
        on_existing=chance.choice([OnExisting.SKIP, OnExisting.SKIP, OnExisting.UPLOAD]),
        default_arch=chance.choice([None, "x86"]),
    )
    return [begin, PlanEntries(entries[:middle]), PlanEntries(entries[middle:]), FinishPlan(chance.random() < 0.8)]


def a_version(chance: random.Random) -> RegistryVersion:
    return RegistryVersion(
        version_id=chance.randint(1, VERSIONS),
        name=f"m-{chance.randint(0, 3)}",
        workspace_id=7,
        conversion=chance.choice([Conversion(framework="onnx"), None]),
        sha256=chance.choice(DIGESTS),
        size=chance.choice([10, 11, None]),
        status=chance.choice(["ready", "error", "pending_load_native"]),
        created_at="2026-01-06T16:20:00Z",
    )


def an_outcome(chance: random.Random) -> Outcome:
    owned = chance.choice([None, None, True])
    return Outcome(
        version_id=chance.randint(1, VERSIONS) if owned or chance.random() < 0.3 else None,
        owned=owned,
        sha256=chance.choice([*DIGESTS, None]),
        status=chance.choice([None, "ready"]),
        cause=chance.choice([None, "a", "b"]),
        message=chance.choice([None, "m"]),
        adopted=owned,
    )


def a_message(chance: random.Random, both: Both) -> Message[Any]:
    id_, item = both.id(), both.item()
    look, sha256 = Look(10, chance.choice(["1:2:3", None])), chance.choice(DIGESTS)
    whole = sha256 or "cc" * 32
    move = messages.Move(id_, chance.choice(list(State)), an_outcome(chance))
    fence = chance.choice([None, frozenset({1, 2})])
    intend = messages.Intend(entry=item, look=look, fence=fence, sha256=sha256, registry_time=NOW)
    arrived = messages.Arrived(entry=item, version_id=chance.randint(1, VERSIONS), uploaded_at="t", upload_seconds=0.5)
    after, most = chance.randint(0, ENTRIES), chance.randint(1, ENTRIES)
    version = a_version(chance)
    judge = messages.Judge(
        entry_id=id_, version=version, noted=chance.choice([None, "pending_load_native"]), ready=an_outcome(chance)
    )
    keep = messages.KeepListing((version, a_version(chance)))
    ways: list[Message[Any]] = [
        *[move] * 6, *[intend] * 8, *[arrived] * 6, *[judge] * 4,
        *[messages.Seal(entry=item, sha256=whole, registry_time=NOW)] * 4,
        messages.Disown(id_, "another's"), messages.Renew(id_, look), messages.SameBytes(id_, look),
        messages.RetryFailed(chance.random() < 0.5), messages.Suspects(after, most),
        messages.NotePlanned(id_, "later"), messages.NoteStatus(id_, "pending"), messages.Audited(id_, None),
        messages.Audited(id_, "twice"), messages.Take(most, after), messages.NextOfModel(item.model),
        messages.GetEntry(id_), messages.GetEntry(99), messages.InState(chance.choice(list(State)), after, most),
        messages.InManifest(after, most), messages.ToAudit(after, most), messages.GetClaims(item),
        messages.WorkspacesToList(), messages.Compare(item, look), messages.FindEqual(entry=item, sha256=whole),
        messages.RememberDigest(item.entry.source, look, whole), *[keep] * 2, messages.Counts(), messages.CountOpen(),
        messages.Failures(),
    ]  # fmt: skip
    return messages.ForgetListing() if chance.random() < 0.02 else chance.choice(ways)


def run_history(seed: int, path: Path, make_planned: MakePlanned) -> None:
    chance = random.Random(seed)
    both = Both(path, chance)
    number = 0
    for at in range(GROUPS):
        if at % 15 == 0:
            number += 1
            if chance.random() < 0.5:
                both.close()
            for message in a_beginning(chance, make_planned, number):
                both.together([message])
        both.together([a_message(chance, both) for _ in range(chance.choice([1, 2, 5, 20]))])
        both.compare()
    both.close()


@pytest.mark.parametrize("seed", every(3, range(12)))
def test_any_messages_in_any_groups_mean_the_same_to_both(seed: int, path: Path, make_planned: MakePlanned) -> None:
    """Right or wrong ones, about few entries, models and versions, so that they meet."""
    run_history(seed, path, make_planned)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 400))
def test_any_messages_in_any_groups_mean_the_same_to_both_at_length(
    seed: int, path: Path, make_planned: MakePlanned
) -> None:
    run_history(seed, path, make_planned)


def test_nothing_is_left_out() -> None:
    """Each message of the interface is one that both carry out."""
    from bulkload.ledger.memory.execution import Execution as MemoryExecution
    from bulkload.ledger.sqlite.execution import Execution

    every = {
        each
        for each in vars(messages).values()
        if isinstance(each, type) and issubclass(each, Message) and each is not Message
    }
    assert BeginRun in every
    assert every == set(MemoryExecution._BY_TYPE) == set(Execution._BY_TYPE)

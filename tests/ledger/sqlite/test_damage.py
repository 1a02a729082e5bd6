"""A ledger that was damaged: noticed when it is opened, or harmless; never rows that nobody wrote.

What a write-ahead log loses is what was committed last: the ledger is then an older one of its own states, exactly.
In the file itself, damage is noticed by its structure and because every column that decides what is sent is held
twice, in its table and in an index.
"""

import random
import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bulkload.core.model.errors import LedgerError
from bulkload.core.model.records import Look
from bulkload.core.model.states import State
from bulkload.ledger import LedgerReader
from bulkload.ledger.records import Outcome
from bulkload.ledger.sqlite import connection
from bulkload.ledger.sqlite.moves import Moves
from bulkload.ledger.sqlite.writes import Store
from tests.ledger.bench import intend, plan_into
from tests.variants import every

WAL_HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
ENTRIES = 40
TABLES = ("meta", "runs", "entries", "past_publications", "digests", "listing")
# What decides whether something is sent, adopted or polled.
DECISIVE = (
    "SELECT id, entry_key, line, workspace_id, name, state, sha256, iif(owned, version_id, NULL),"
    " iif(state IN ('uploading', 'in_doubt', 'uploaded'), sealed || fence, NULL) FROM entries ORDER BY id"
)

Content = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class History:
    """A ledger as a killed run leaves it, and all states that it had."""

    file: bytes
    log: bytes
    # The content after each commit, with the size that the log had then.
    commits: list[tuple[int, Content]]
    # The same ledger, closed in order.
    closed: bytes
    decisive: list[tuple[Any, ...]]

    def content_at(self, log_bytes: int) -> Content:
        """What the last commit left that lies whole in so much of the log."""
        return [content for size, content in self.commits if size <= log_bytes][-1]

    @property
    def frame_bytes(self) -> int:
        """A page of the file with its header in the log."""
        (page_size,) = struct.unpack(">I", self.log[8:12])
        return FRAME_HEADER_BYTES + int(page_size)

    @property
    def frames(self) -> int:
        """How many the log holds."""
        return (len(self.log) - WAL_HEADER_BYTES) // self.frame_bytes


def content_of(database: sqlite3.Connection) -> Content:
    return {table: database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES}


def some_move(store: Store, chance: random.Random, number: int) -> None:
    """One step of some entry, as the engine takes it."""
    id_, state, sealed = chance.choice(store.connection.execute("SELECT id, state, sealed FROM entries").fetchall())
    digest = chance.randbytes(32).hex()
    if state == State.PLANNED:
        look = Look(number, f"{id_}:{number}:{number}")
        intend(store, id_, look, chance.sample(range(1000, 2000), chance.randrange(40)), None)
    elif state == State.UPLOADING and not sealed:
        moves = Moves(store)
        moves.seal(store.entry(id_), digest)
        moves.write()
    elif state == State.UPLOADING:
        after = chance.choice([State.UPLOADED, State.IN_DOUBT])
        owned = after is State.UPLOADED
        store.move(id_, after, Outcome(version_id=number if owned else None, owned=owned or None, message="x" * 50))
    elif state == State.UPLOADED:
        store.move(id_, State.READY, Outcome(status="ready", logs="log " * chance.randrange(400)))
    elif state == State.READY and chance.random() < 0.3:
        store.renew(id_)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, make_planned: Callable[..., Any]) -> History:
    """Seventy and some commits, from the first on."""
    path = tmp_path_factory.mktemp("history") / "ledger.db"
    log = path.with_name(path.name + "-wal")
    chance, commits = random.Random(7), []
    with closing(Store(path)) as store:
        # Before the log's first whole commit, the next one to open the file makes a new ledger of it.
        commits.append((0, content_of(store.connection)))

        def commit(operation: Callable[[Store], None]) -> None:
            store.begin()
            store.attempt(operation)
            store.commit()
            commits.append((log.stat().st_size, content_of(store.connection)))

        commit(lambda store: store.begin_run("run-1", "2026-01-06T16:34:30Z"))
        commit(lambda store: plan_into(store, (make_planned(n, f"m{n % 9}") for n in range(1, ENTRIES + 1))))
        for number in range(3000, 3070):
            commit(lambda store: some_move(store, chance, number))  # noqa: B023 - called at once
        file, killed = path.read_bytes(), log.read_bytes()
        decisive = store.connection.execute(DECISIVE).fetchall()
    return History(file, killed, commits, path.read_bytes(), decisive)


def left_behind(path: Path, file: bytes, log: bytes = b"") -> None:
    """What a run left on the disk. The index of the log is made anew from it."""
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    path.with_name(path.name + "-wal").unlink(missing_ok=True)
    path.write_bytes(file)
    if log:
        path.with_name(path.name + "-wal").write_bytes(log)


def opened(path: Path) -> Content:
    """What a run finds."""
    with closing(Store(path)) as store:
        return content_of(store.connection)


def flipped(content: bytes, chance: random.Random, first: int = 0) -> tuple[int, bytes]:
    """One bit is another one: where, and the content then."""
    position = chance.randrange(first, len(content))
    damaged = bytearray(content)
    damaged[position] ^= 1 << chance.randrange(8)
    return position, bytes(damaged)


# The write-ahead log


def test_a_whole_log_gives_the_last_commit(history: History, path: Path) -> None:
    """What a kill leaves is all there; and the history is one worth damaging."""
    left_behind(path, history.file, history.log)
    assert opened(path) == history.commits[-1][1]
    assert history.frames > 150
    states = {row[5] for row in history.decisive}
    assert states >= {State.PLANNED, State.UPLOADING, State.IN_DOUBT, State.UPLOADED, State.READY}


@pytest.mark.parametrize("step", every(2, [3, 1]))
def test_a_log_cut_at_any_frame_gives_the_last_commit_that_is_whole(step: int, history: History, path: Path) -> None:
    """Later ones are lost, earlier ones are not, and nothing is half there."""
    for frame in range(0, history.frames + 1, step):
        size = WAL_HEADER_BYTES + frame * history.frame_bytes
        left_behind(path, history.file, history.log[:size])
        assert opened(path) == history.content_at(size), f"cut after frame {frame}"


@pytest.mark.parametrize("seed", every(2, range(4)))
def test_a_log_cut_at_any_byte_gives_the_last_commit_that_is_whole(seed: int, history: History, path: Path) -> None:
    chance = random.Random(seed)
    for size in [chance.randrange(len(history.log)) for _ in range(40)]:
        left_behind(path, history.file, history.log[:size])
        assert opened(path) == history.content_at(size), f"seed {seed}: cut after byte {size}"


@pytest.mark.parametrize("seed", every(2, range(4)))
def test_a_flipped_bit_in_the_log_gives_the_last_commit_before_it(seed: int, history: History, path: Path) -> None:
    """Every frame has a checksum that goes on from the one before."""
    chance = random.Random(seed)
    for _ in range(40):
        position, log = flipped(history.log, chance)
        # The magic's last bit only says in which byte order checksums are; all others count.
        frame = max(0, position - WAL_HEADER_BYTES) // history.frame_bytes
        size = 0 if position < WAL_HEADER_BYTES else WAL_HEADER_BYTES + frame * history.frame_bytes
        left_behind(path, history.file, log)
        assert opened(path) == history.content_at(size), f"seed {seed}: byte {position}"


# The file


@pytest.mark.parametrize("seed", every(2, range(8)))
def test_a_flipped_bit_in_the_file_is_noticed_or_changes_nothing_that_decides(
    seed: int, history: History, path: Path
) -> None:
    """One line that says what to do, or the same states, digests, versions, intents and seals as before."""
    chance, noticed = random.Random(seed), 0
    for _ in range(60):
        position, file = flipped(history.closed, chance)
        left_behind(path, file)
        try:
            with closing(Store(path)) as store:
                found = store.connection.execute(DECISIVE).fetchall()
                assert found == history.decisive, f"seed {seed}: byte {position}"
                walk(store)
        except LedgerError as error:
            assert_one_clear_line(error, path)
            noticed += 1
        except connection.SQLITE_ERRORS as error:
            # What is noticed later goes out through the writer, which names it.
            assert_one_clear_line(connection.ledger_error(path, error, "...; mend the disk"), path)
    assert noticed > 0, f"seed {seed}"


def walk(store: Store) -> None:
    """Look at every entry as a run does."""
    assert store.counts().keys() == {state.value for state in State}
    for item in store.in_manifest(0, ENTRIES):
        store.claimed(item)
        store.unproved(item)


def assert_one_clear_line(error: LedgerError, path: Path) -> None:
    assert_one_line(error, path)
    assert any(word in str(error) for word in ("move it away", "--ledger", "upgrade bulkload", "mend the disk"))


def assert_one_line(error: LedgerError, path: Path) -> None:
    assert str(error).startswith(str(path))
    assert "\n" not in str(error)
    assert error.exit_code == 1


@pytest.mark.parametrize("seed", every(3, range(3)))
def test_a_reader_of_a_damaged_file_shows_it_or_says_so(seed: int, history: History, path: Path) -> None:
    """`status` and `results` read only what they show; they end with one line, too."""
    chance = random.Random(1000 + seed)
    for _ in range(40):
        _, file = flipped(history.closed, chance)
        left_behind(path, file)
        try:
            with LedgerReader(path) as reader:
                reader.counts()
                reader.last_run()
                list(reader.results())
        except LedgerError as error:
            assert_one_line(error, path)


@pytest.mark.parametrize("share", [0.96, 0.9, 0.5, 0.1])
def test_a_file_that_lost_its_end_is_noticed(share: float, history: History, path: Path) -> None:
    """A page or more. The last one alone may hold the rest of a log, which decides nothing."""
    left_behind(path, history.closed[: int(len(history.closed) * share)])
    with pytest.raises(LedgerError, match=r"the ledger is damaged .*; move it away") as raised:
        Store(path)
    assert_one_clear_line(raised.value, path)


def test_a_page_of_another_time_is_noticed(history: History, path: Path) -> None:
    """A disk that lost one write: every page is in order, and they do not belong together."""
    page = history.frame_bytes - FRAME_HEADER_BYTES
    left_behind(path, history.file, history.log[: len(history.log) // 2])
    with closing(Store(path)):
        pass
    earlier = path.read_bytes()
    noticed = 0
    for start in range(page, min(len(earlier), len(history.closed)), page):
        if earlier[start : start + page] == history.closed[start : start + page]:
            continue
        left_behind(path, history.closed[:start] + earlier[start : start + page] + history.closed[start + page :])
        try:
            with closing(Store(path)) as store:
                assert store.connection.execute(DECISIVE).fetchall() == history.decisive
        except LedgerError as error:
            assert_one_clear_line(error, path)
            noticed += 1
    assert noticed > 5


def test_a_row_that_cannot_be_read_is_a_damaged_ledger(store: Store, make_planned: Callable[..., Any]) -> None:
    """Where no index holds the column, it is noticed when it is read."""
    plan_into(store, [make_planned(1)])
    store.connection.execute("UPDATE entries SET spec = '{\"line\": 1'")
    with pytest.raises(sqlite3.DatabaseError, match="entry 1: ") as raised:
        store.entry(1)
    assert "the ledger is damaged" in str(connection.ledger_error(store.path, raised.value, ""))


# When it is looked at


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were checked whole."""
    checked: list[Path] = []

    def check(database: sqlite3.Connection, path: Path) -> None:
        checked.append(path)

    monkeypatch.setattr(connection, "_check_integrity", check)
    return checked


def test_a_small_ledger_is_checked_whenever_it_is_opened(history: History, path: Path, checks: list[Path]) -> None:
    left_behind(path, history.closed)
    opened(path)
    assert checks == [path]


def test_a_large_ledger_is_checked_after_a_kill_only(
    history: History, path: Path, checks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds for a million entries, which nobody should wait for every night."""
    monkeypatch.setattr(connection, "ALWAYS_CHECKED_BYTES", 0)
    left_behind(path, history.closed)
    opened(path)
    assert checks == []
    left_behind(path, history.file, history.log)
    opened(path)
    assert checks == [path]
    opened(path)
    assert checks == [path]


# What was copied or left alone


def test_a_log_without_its_file_is_nobodys(history: History, path: Path) -> None:
    """The file was deleted or moved away and its log forgotten: what comes next is a new ledger, without old rows."""
    left_behind(path, history.file, history.log)
    path.unlink()
    assert opened(path)["entries"] == []


def test_a_copy_of_both_files_is_a_ledger(history: History, path: Path) -> None:
    """A backup of a killed run's folder."""
    left_behind(path, history.file, history.log)
    copy = path.with_name("copy.db")
    for suffix in ("", "-wal"):
        shutil.copy(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
    assert opened(copy) == history.commits[-1][1]

"""Groups of messages, one transaction each: what is committed together, and whose fault it is when something fails."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import msgspec

from bulkload.ledger.interface import BeginRun, FinishPlan, Message, PlanEntries
from bulkload.ledger.sqlite.connection import ledger_error
from bulkload.ledger.sqlite.execution import Execution
from bulkload.ledger.sqlite.writes import Store

# Told before and after each commit how many rows have been changed by what is committed. What it raises (no
# ``Exception``) ends the ledger as the end of its process would.
OnCommit = Callable[[int], None]

_PLANNING = (BeginRun, PlanEntries, FinishPlan)


class Operation(Message[Any], frozen=True):
    """A function of the store, for those that do not speak by messages yet."""

    function: Callable[[Store], Any]


class Refused(msgspec.Struct, frozen=True):
    """In place of an answer: the message changed nothing."""

    error: BaseException


class GroupCommit:
    """Executes messages on a store, in groups. Belongs to one thread."""

    def __init__(self, store: Store, on_commit: OnCommit | None = None) -> None:
        self._store = store
        self._execution = Execution(store)
        self._on_commit = on_commit
        self._changes = 0

    def __enter__(self) -> Self:
        """Nothing more to open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store. A beginning that was not finished is taken back."""
        self._execution.give_up_planning()
        self._store.close()

    def execute(self, messages: Sequence[Message[Any]]) -> list[Any | Refused]:
        """An answer for each, or why it was refused. What is answered is committed, but in a run's beginning."""
        replies: list[Any | Refused] = []
        for group in _groups(messages):
            if isinstance(group[0], _PLANNING):
                replies.append(self._plan(group[0]))
            elif self._execution.is_planning:
                replies += [Refused(RuntimeError("a run is being begun on this ledger"))] * len(group)
            else:
                replies += self._execute_group(group)
        return replies

    def _plan(self, message: Message[Any]) -> Any | Refused:
        """One step of a run's beginning, which is one transaction. One that fails takes all of it back."""
        try:
            if isinstance(message, BeginRun):
                self._store.begin()
            answer = self._execution.carry_out(message)
            if isinstance(message, FinishPlan):
                self._commit()
        except BaseException as error:
            self._execution.give_up_planning()
            self._store.roll_back()
            if isinstance(error, Exception):
                return Refused(self._named(error))
            raise
        return answer

    def _execute_group(self, group: Sequence[Message[Any]]) -> list[Any | Refused]:
        try:
            self._store.begin()
        except Exception as error:  # noqa: BLE001 - the file is locked, or fails: it belongs to all of them
            return self._refused(group, error)
        try:
            answers = [self._carry_out(message) for message in group]
            self._commit()
        except Exception as error:  # noqa: BLE001 - whose fault it is comes out one by one
            self._store.roll_back()
            # A lone one is its own: it is not executed again to find that out.
            return self._refused(group, error) if len(group) == 1 else self._execute_one_by_one(group)
        return answers

    def _execute_one_by_one(self, group: Sequence[Message[Any]]) -> list[Any | Refused]:
        """Again, so that a message that is refused spares the others: rare, and dear for those."""
        try:
            self._store.begin()
            answers = [self._attempt(message) for message in group]
            self._commit()
        except Exception as error:  # noqa: BLE001 - it belongs to all of this group
            self._store.roll_back()
            return self._refused(group, error)
        return answers

    def _attempt(self, message: Message[Any]) -> Any | Refused:
        try:
            return self._store.attempt(lambda _: self._carry_out(message))
        except Exception as error:
            if not self._store.in_transaction:
                # SQLite gave up the whole group: what its other messages wrote is gone as well.
                raise
            return Refused(self._named(error))

    def _carry_out(self, message: Message[Any]) -> Any:
        if isinstance(message, Operation):
            return message.function(self._store)
        return self._execution.carry_out(message)

    def _commit(self) -> None:
        if self._on_commit is not None:
            self._on_commit(self._changes)
        self._store.commit()
        if self._on_commit is not None:
            self._changes = self._store.connection.total_changes
            self._on_commit(self._changes)

    def _refused(self, group: Sequence[Message[Any]], error: Exception) -> list[Any | Refused]:
        return [Refused(self._named(error)) for _ in group]

    def _named(self, error: Exception) -> Exception:
        """SQLite's own words (a full disk, a damaged file) as a ledger error; anything else as it is."""
        if isinstance(error, sqlite3.Error):
            remedy = f"the ledger cannot be written: {error}; free space or mend the disk, then run again"
            return ledger_error(self._store.path, error, remedy)
        return error


def _groups(messages: Sequence[Message[Any]]) -> Iterator[Sequence[Message[Any]]]:
    """All together, but each step of a run's beginning by itself."""
    start = 0
    for index, message in enumerate(messages):
        if isinstance(message, _PLANNING):
            if start < index:
                yield messages[start:index]
            yield (message,)
            start = index + 1
    if start < len(messages):
        yield messages[start:]

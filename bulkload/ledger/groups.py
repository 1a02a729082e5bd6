"""Groups of messages, one transaction each: what is committed together, and whose fault it is when something fails."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, Self

import msgspec

from bulkload.ledger.interface import BeginRun, FinishPlan, Message, PlanEntries

# Told before and after each commit how many changes are committed. What it raises (no ``Exception``) ends the ledger
# as the end of its process would.
OnCommit = Callable[[int], None]

_PLANNING = (BeginRun, PlanEntries, FinishPlan)


class Refused(msgspec.Struct, frozen=True):
    """In place of an answer: the message changed nothing."""

    error: BaseException


class Storage(Protocol):
    """What a ledger keeps, in transactions. Belongs to one thread."""

    @property
    def changes(self) -> int:
        """How many changes were made."""
        ...

    @property
    def is_planning(self) -> bool:
        """Whether a run is being begun, and its plan is not whole."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether the transaction is still there: a full disk may have ended it."""
        ...

    def begin(self) -> None:
        """Begin a transaction."""
        ...

    def commit(self) -> None:
        """Commit it, durably."""
        ...

    def roll_back(self) -> None:
        """Take back all since ``begin``, a run's beginning included. Raises nothing."""
        ...

    def carry_out(self, message: Message[Any]) -> Any:
        """Execute a message. One that raises may have changed something: the transaction is to be rolled back."""
        ...

    def execute(self, messages: Sequence[Message[Any]]) -> list[Any | Refused]:
        """Execute a group: answers, or why messages were refused. Where it raises, all of it is to be taken back."""
        ...

    def attempt(self, message: Message[Any]) -> Any:
        """The same, dearer; one that raises has changed nothing."""
        ...

    def named(self, error: Exception) -> Exception:
        """The error as callers are to see it."""
        ...

    def close(self) -> None:
        """Close it; what was not committed is lost."""
        ...


class GroupCommit:
    """Executes messages on a storage, in groups."""

    def __init__(self, storage: Storage, on_commit: OnCommit | None = None) -> None:
        self._storage = storage
        self._on_commit = on_commit
        self._changes = storage.changes

    def __enter__(self) -> Self:
        """Nothing more to open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the storage. A beginning that was not finished is taken back."""
        self._storage.close()

    def execute(self, messages: Sequence[Message[Any]]) -> list[Any | Refused]:
        """An answer for each, or why it was refused. What is answered is committed, but in a run's beginning."""
        replies: list[Any | Refused] = []
        for group in _groups(messages):
            if isinstance(group[0], _PLANNING):
                replies.append(self._plan(group[0]))
            elif self._storage.is_planning:
                replies += [Refused(RuntimeError("a run is being begun on this ledger"))] * len(group)
            else:
                replies += self._execute_group(group)
        return replies

    def _plan(self, message: Message[Any]) -> Any | Refused:
        """One step of a run's beginning, which is one transaction. One that fails takes all of it back."""
        try:
            if isinstance(message, BeginRun):
                self._storage.begin()
            answer = self._storage.carry_out(message)
            if isinstance(message, FinishPlan):
                self._commit()
        except BaseException as error:
            self._storage.roll_back()
            if isinstance(error, Exception):
                return Refused(self._storage.named(error))
            raise
        return answer

    def _execute_group(self, group: Sequence[Message[Any]]) -> list[Any | Refused]:
        try:
            self._storage.begin()
        except Exception as error:  # noqa: BLE001 - the file is locked, or fails: it belongs to all of them
            return self._refused(group, error)
        try:
            answers = self._storage.execute(group)
            self._commit()
        except Exception as error:  # noqa: BLE001 - whose fault it is comes out one by one
            self._storage.roll_back()
            # A lone one is its own: it is not executed again to find that out.
            return self._refused(group, error) if len(group) == 1 else self._execute_one_by_one(group)
        return answers

    def _execute_one_by_one(self, group: Sequence[Message[Any]]) -> list[Any | Refused]:
        """Again, so that a message that is refused spares the others: rare, and dear for those."""
        try:
            self._storage.begin()
            answers = [self._attempt(message) for message in group]
            self._commit()
        except Exception as error:  # noqa: BLE001 - it belongs to all of this group
            self._storage.roll_back()
            return self._refused(group, error)
        return answers

    def _attempt(self, message: Message[Any]) -> Any | Refused:
        try:
            return self._storage.attempt(message)
        except Exception as error:
            if not self._storage.in_transaction:
                # What the others of the group wrote is gone as well.
                raise
            return Refused(self._storage.named(error))

    def _commit(self) -> None:
        if self._on_commit is not None:
            self._on_commit(self._changes)
        self._storage.commit()
        if self._on_commit is not None:
            self._changes = self._storage.changes
            self._on_commit(self._changes)

    def _refused(self, group: Sequence[Message[Any]], error: Exception) -> list[Any | Refused]:
        return [Refused(self._storage.named(error)) for _ in group]


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

"""Many messages of one kind, by one statement to look and one to write: what a group costs beside its commit.

Messages about one entry, one model or one version keep their order; so do all that are no moves. Others are brought
together by their kind. Which of them the state table allows is decided before anything is written, so that one that is
refused spares the others.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from bulkload.core.model.states import IllegalMove, State, check_move
from bulkload.ledger.deciding import OUT_OF_ORDER, arrival_of, becomes_ready, has_news
from bulkload.ledger.groups import Refused
from bulkload.ledger.interface import Arrived, Intend, Judge, Judged, Message, Move, Moved, Seal, VersionTaken
from bulkload.ledger.records import Outcome
from bulkload.ledger.sqlite.execution import Execution

Batch = Sequence[tuple[int, Any]]
_SENT = Moved(State.PLANNED, State.UPLOADING)
_SEALED = Moved(State.UPLOADING, State.UPLOADING)
_TAKEN = Moved(State.UPLOADING, State.UPLOADED)


class BatchExecution(Execution):
    """The storage of a ledger that is a file, with its moves in batches."""

    def execute(self, messages: Sequence[Message[Any]]) -> list[Any | Refused]:
        """An answer for each. Where this raises, all of them are to be taken back."""
        if len(messages) == 1:
            return [self.carry_out(messages[0])]
        replies: list[Any | Refused] = [None] * len(messages)
        models = self.store.models([each.entry_id for each in messages if isinstance(each, Move | Judge)])
        waiting: dict[type, list[tuple[int, Any]]] = {}
        touched: set[object] = set()
        for index, message in enumerate(messages):
            if type(message) not in self._BATCHES:
                self._carry_out_all(waiting, replies)
                touched.clear()
                replies[index] = self.carry_out(message)
                continue
            keys = _keys(message, models)
            if not touched.isdisjoint(keys):
                self._carry_out_all(waiting, replies)
                touched.clear()
            touched.update(keys)
            waiting.setdefault(type(message), []).append((index, message))
        self._carry_out_all(waiting, replies)
        return replies

    def _carry_out_all(self, waiting: dict[type, list[tuple[int, Any]]], replies: list[Any | Refused]) -> None:
        for kind, batch in waiting.items():
            self._BATCHES[kind](self, batch, replies)
        waiting.clear()

    def _intends(self, batch: Batch, replies: list[Any | Refused]) -> None:
        states, rows = self.store.states([message.entry.id for _, message in batch]), []
        for index, message in batch:
            found, id_ = self.equal(message, message.sha256), message.entry.id
            if found is None and (refused := _refused(id_, states.get(id_), State.PLANNED, State.UPLOADING)) is None:
                rows.append((id_, message.look, self.fence_of(message), message.sha256))
                replies[index] = _SENT
            else:
                replies[index] = found or refused
        self.store.intend_all(rows)

    def _seals(self, batch: Batch, replies: list[Any | Refused]) -> None:
        states, rows = self.store.states([message.entry.id for _, message in batch]), []
        for index, message in batch:
            found, id_ = self.equal(message, message.sha256), message.entry.id
            if found is None and (refused := _refused(id_, states.get(id_), State.UPLOADING, State.UPLOADING)) is None:
                rows.append((message.sha256, id_))
                replies[index] = _SEALED
            else:
                replies[index] = found or refused
        if rows:
            self.store.seal_all(rows)

    def _all_arrived(self, batch: Batch, replies: list[Any | Refused]) -> None:
        states = self.store.states([message.entry.id for _, message in batch])
        owners = self.store.owners([message.version_id for _, message in batch])
        moves = _Moves()
        for index, message in batch:
            item, version_id = message.entry, message.version_id
            refused = _refused(item.id, states.get(item.id), State.UPLOADING, State.UPLOADED)
            if refused is not None:
                replies[index] = refused
            elif owners.get(version_id, {item.id}) != {item.id}:
                replies[index] = VersionTaken(version_id)
            else:
                late = not item.only_version and self.store.later_published(item)
                outcome = Outcome(
                    version_id=version_id,
                    owned=True,
                    uploaded_at=message.uploaded_at,
                    upload_seconds=message.upload_seconds,
                    message=OUT_OF_ORDER if late else None,
                )
                moves.add(item.id, State.UPLOADED, outcome)
                replies[index] = _TAKEN
        self._write(moves)

    def _moves(self, batch: Batch, replies: list[Any | Refused]) -> None:
        states, moves = self.store.states([message.entry_id for _, message in batch]), _Moves()
        for index, message in batch:
            before = states.get(message.entry_id)
            try:
                if message.outcome.version_id is not None or message.outcome.owned or before is None:
                    replies[index] = self.carry_out(message)
                    continue
                check_move(before, message.after)
            except (IllegalMove, KeyError) as error:
                replies[index] = Refused(error)
                continue
            moves.add(message.entry_id, message.after, message.outcome)
            replies[index] = Moved(before, message.after)
        self._write(moves)

    def _judges(self, batch: Batch, replies: list[Any | Refused]) -> None:
        items, moves, news = self.store.entries([message.entry_id for _, message in batch]), _Moves(), []
        for index, message in batch:
            item = items.get(message.entry_id)
            if item is None:
                replies[index] = Refused(KeyError(message.entry_id))
                continue
            arrival, moved = arrival_of(item, message.version), None
            try:
                if becomes_ready(message, arrival):
                    check_move(item.state, State.READY)
                    moved = Moved(item.state, State.READY)
                    if message.ready.version_id is not None or message.ready.owned:
                        self.carry_out(Move(item.id, State.READY, message.ready))
                    else:
                        moves.add(item.id, State.READY, message.ready)
                elif has_news(message, arrival):
                    news.append((message.version.status, item.id))
            except IllegalMove as error:
                replies[index] = Refused(error)
                continue
            replies[index] = Judged(item, arrival, moved)
        self._write(moves)
        if news:
            self.store.note_statuses(news)

    def _write(self, moves: "_Moves") -> None:
        for (after, columns), rows in moves.by_statement.items():
            self.store.move_all(after, columns, rows)

    _BATCHES: ClassVar[dict[type, Callable[[Any, Batch, list[Any]], None]]] = {
        Intend: _intends,
        Seal: _seals,
        Arrived: _all_arrived,
        Move: _moves,
        Judge: _judges,
    }


class _Moves:
    """Moves, by the statement that writes them."""

    def __init__(self) -> None:
        self.by_statement: dict[tuple[State, tuple[str, ...]], list[tuple[Any, ...]]] = {}

    def add(self, id_: int, after: State, outcome: Outcome) -> None:
        names, values = [], []
        for name in outcome.__struct_fields__:
            if (value := getattr(outcome, name)) is not None:
                names.append(name)
                values.append(value)
        self.by_statement.setdefault((after, tuple(names)), []).append((*values, id_))


def _keys(message: Any, models: dict[int, tuple[int, str]]) -> tuple[object, ...]:
    """What a message is about: its entry, its model, and the version that it names."""
    if isinstance(message, Move):
        id_, model, version_id = message.entry_id, models.get(message.entry_id), message.outcome.version_id
    elif isinstance(message, Judge):
        id_, model, version_id = message.entry_id, models.get(message.entry_id), message.ready.version_id
    else:
        id_, model = message.entry.id, message.entry.model
        version_id = message.version_id if isinstance(message, Arrived) else None
    return (id_, model) if version_id is None else (id_, model, ("version", version_id))


def _refused(id_: int, state: State | None, wanted: State, after: State) -> Refused | None:
    """Why a message about an entry in this state cannot be carried out; None where it can."""
    if state is wanted:
        return None
    return Refused(KeyError(id_) if state is None else IllegalMove(state, after))

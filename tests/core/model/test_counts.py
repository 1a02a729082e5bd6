"""What a run counts is a fold over its events."""

from bulkload.core.model.counts import Counts
from bulkload.core.model.events import BytesSent, DuplicateFound, EntryMoved, Retried, RunEnded, StatesCounted
from bulkload.core.model.states import State


def moved(before: State, after: State, *, in_manifest: bool = True, adopted: bool = False) -> EntryMoved:
    return EntryMoved(
        entry_id=1, name="m", before=before, after=after, in_manifest=in_manifest, version_id=7, adopted=adopted
    )


def counts_after(*events: object) -> Counts:
    counts = Counts()
    for event in events:
        counts(event)  # type: ignore[arg-type]
    return counts


def test_states_are_those_counted_and_every_move_since() -> None:
    """Entries that the manifest no longer has are not counted, wherever they go."""
    counts = counts_after(
        StatesCounted({"planned": 3, "ready": 1}),
        moved(State.PLANNED, State.UPLOADING),
        moved(State.UPLOADING, State.UPLOADED),
        moved(State.UPLOADED, State.READY, in_manifest=False),
    )
    assert +counts.states == {"planned": 2, "uploaded": 1, "ready": 1}


def test_a_new_count_takes_the_place_of_the_old_one() -> None:
    """Also of states in which nothing is any more."""
    counts = counts_after(StatesCounted({"failed": 2}), StatesCounted({"planned": 2}))
    assert counts.states == {"planned": 2}


def test_what_the_summary_says_of_a_run_is_added_up() -> None:
    """Repeats, too; an adopted version counts wherever its entry stands; a duplicate, for each version."""
    counts = counts_after(
        BytesSent(5),
        BytesSent(7),
        Retried(call="models/upload", reason="503"),
        moved(State.IN_DOUBT, State.UPLOADED, in_manifest=False, adopted=True),
        DuplicateFound(name="m", versions=(8, 9)),
    )
    assert (counts.bytes_sent, counts.retries, counts.adopted, counts.duplicates) == (12, 1, 1, 2)


def test_it_listens_to_what_it_counts() -> None:
    """So that nothing else is made for it."""
    assert RunEnded not in Counts.kinds
    assert counts_after(RunEnded("r", 0)) == Counts()

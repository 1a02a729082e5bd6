"""The state table is the design's, and nothing else moves."""

from itertools import product

import pytest

from bulkload.core.model.states import MOVES, OPEN, REGISTRY_TERMINAL, TERMINAL, IllegalMove, State, check_move

# design.md, section 4, with one reading: "an equal version is there already" gives an entry that was not sent the state
# of that version (section 5, same_content), so planned and uploading lead to uploaded and error as well.
LEGAL = {
    "planned": {"uploading", "skipped", "failed", "uploaded", "error"},
    "uploading": {"uploaded", "planned", "in_doubt", "skipped", "failed", "error"},
    "in_doubt": {"uploaded", "planned", "in_doubt"},
    "uploaded": {"ready", "error", "failed", "in_doubt"},
    "ready": {"planned"},
    "error": {"planned"},
    "skipped": {"planned"},
    "failed": {"planned"},
}


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_every_move_of_the_design_is_legal_and_no_other(before: State, after: State) -> None:
    if after in LEGAL[before]:
        check_move(before, after)
    else:
        with pytest.raises(IllegalMove, match=f"from {before} to {after}"):
            check_move(before, after)


def test_the_glossary_is_complete() -> None:
    """The eight words of the design, each with a row of its own."""
    assert set(State) == set(LEGAL) == set(MOVES)


def test_every_move_says_when() -> None:
    assert all(when for moves in MOVES.values() for when in moves.values())


def test_a_state_is_open_or_terminal() -> None:
    assert {"ready", "error", "skipped", "failed"} == TERMINAL
    assert set(State) == OPEN | TERMINAL
    assert not OPEN & TERMINAL


def test_what_ended_starts_anew_only_as_a_new_publication() -> None:
    """G4: no verdict turns into another verdict."""
    assert all(set(MOVES[state]) == {State.PLANNED} for state in TERMINAL)


def test_only_the_registrys_two_verdicts_are_final() -> None:
    """Every other status, also one that nobody knows, is still under way."""
    assert REGISTRY_TERMINAL == {"ready": State.READY, "error": State.ERROR}


def test_ready_needs_a_version_first() -> None:
    """G4: nothing becomes ready that was not uploaded or found."""
    assert [before for before, moves in MOVES.items() if State.READY in moves] == [State.UPLOADED]

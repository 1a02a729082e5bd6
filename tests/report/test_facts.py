"""What is said of a run, in every width: pure words."""

from datetime import UTC, datetime

import pytest

from bulkload.core.model.states import State
from bulkload.report.facts import Facts, Silence, aged, display_lines, line_texts, plain_line

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
WIDTHS = range(39, 401)
EVERY_STATE = {state.value: 1_000 * (number + 1) for number, state in enumerate(State)}
MILLIONS = {state.value: 1_234_567 for state in State} | {"uploading": 1_024, "in_doubt": 1_024}
DRAWN = {"uploading": 16, "uploaded": 240, "ready": 940, "error": 8, "planned": 796}


def facts(**changes: object) -> Facts:
    values: dict[str, object] = {
        "phase": "publishing", "elapsed": 192.0, "endpoint": "https://registry.example.com", "states": DRAWN,
        "bytes_sent": 18_200_000_000, "left": 120.0, "bytes_speed": 143e6, "models_speed": 5.1, "at_a_time": 16,
        "found_uploads": 20.0, "answer_timeout": 1200.0,
    }  # fmt: skip
    return Facts(**(values | changes))  # type: ignore[arg-type]


SILENCE = Silence(call="models/upload", status=None, lasted=12.0, next_try=8.0, gives_up=840.0)
# What holds -> its sentence, where there is room.
HOLDS: dict[str, tuple[dict[str, object], str]] = {
    "silence": (
        {"silence": SILENCE},
        "the registry has not answered for 12 s; next try in 8 s; gives up at 12:14 (--patience)",
    ),
    "answers": (
        {"unanswered": 16, "unanswered_for": 130.0, "still": 130.0},
        "16 sent, no answer for 2m10s (waits up to 20m)",
    ),
    "retries": (
        {"retries": 14, "retried": "503 from models/upload", "still": 6.0},
        "503 from models/upload, 14 retries in the last minute",
    ),
    "conversions": (
        {"states": {"uploaded": 240, "ready": 900}, "max_converting": 4},
        "waiting for the registry to convert 240 models (4 at a time)",
    ),
    "places": (
        {"states": {"uploaded": 4, "planned": 900}, "max_converting": 4, "waiting_for_places": 16, "still": 9.0},
        "waiting for the registry to convert 4 models (4 at a time)",
    ),
    "pause": ({"pause": 30.0}, "asked to pause for 30 s"),
    "stopping": ({"stopping": 8.0, "states": {"uploading": 3, "planned": 5}}, "stopping: 3 under way, 8 s left"),
}


def test_it_is_as_drawn():
    """The contract's picture, where the terminal has room for it."""
    title, bar, states, speeds = display_lines(facts(), 80, NOON)
    assert (title.text, title.right) == ("publishing to registry.example.com", "3m12s")
    assert bar.text == "948 of 2,000 done · 18.2 GB sent · 2m left"
    assert bar.filled + bar.empty == 31
    assert states.text == "uploading 16 · uploaded 240 · ready 940 · error 8 · planned 796"
    assert speeds.text == "143 MB/s, 5.1 models/s · 16 at a time · limit found: 20 uploads/s"


@pytest.mark.parametrize("states", [DRAWN, EVERY_STATE, MILLIONS], ids=["drawn", "every state", "millions"])
@pytest.mark.parametrize("held", [None, *HOLDS])
def test_nothing_is_cut_in_any_width(states, held):
    """Four lines at the most; each state with its count, whole; and what holds, or how fast it goes."""
    found = facts(**{"states": states} | ({} if held is None else {**HOLDS[held][0], "states": states, "still": 150.0}))
    for width in WIDTHS:
        lines = line_texts(found, width, NOON)
        assert len(lines) <= 4
        assert all(len(line) <= width for line in lines), (width, lines)
        said = " ".join(lines).replace(" ·", "").replace(",", "")
        for state, count in states.items():
            assert f" {state} {count} " in f" {said} ", (width, lines)


@pytest.mark.parametrize("held", HOLDS)
def test_what_holds_is_said_in_the_words_of_the_contract(held):
    """In the fourth line where there is room, and in the plain line."""
    changes, sentence = HOLDS[held]
    found = facts(**changes)
    assert display_lines(found, 100, NOON)[-1].text == sentence
    assert display_lines(found, 100, NOON)[-1].holds
    assert plain_line(found, NOON).endswith(sentence)


def test_an_outage_is_told_whole_in_any_width():
    """Since when, when the next try is, and when it ends."""
    for width in WIDTHS:
        last = display_lines(facts(silence=SILENCE), width, NOON)[-1].text
        assert all(word in last for word in ("12 s", "8 s", "12:14")), (width, last)


def test_what_answers_is_not_called_silent():
    """A registry that answers 503 to all is there."""
    silence = Silence(call="models/upload", status=503, lasted=12.0, next_try=0.0, gives_up=840.0)
    last = display_lines(facts(silence=silence), 100, NOON)[-1].text
    assert last == "the registry has only answered 503 for 12 s; next try now; gives up at 12:14 (--patience)"


def test_nothing_stands_still_without_a_word():
    """Whatever it is that was not told."""
    for states in ({"planned": 5}, {"uploading": 2}, {"in_doubt": 2, "planned": 1}, {"uploading": 1, "uploaded": 3}):
        assert display_lines(facts(states=states, still=40.0), 80, NOON)[-1].holds, states


def test_before_the_states_are_known_the_phase_counts():
    """Also where the registry does not answer then."""
    found = facts(phase="checking the manifest", counted=12_000, states={}, endpoint=None, elapsed=3.0)
    assert plain_line(found, NOON) == "checking the manifest 12,000, 3.0s"
    assert "12 s" in line_texts(facts(phase="asking the registry", states={}, silence=SILENCE), 40, NOON)[1]


def test_facts_grow_older():
    """Whoever reads them later is told the same moments."""
    later = aged(facts(silence=SILENCE, pause=2.0, stopping=9.0), 3.0)
    assert later.silence == Silence(call="models/upload", status=None, lasted=15.0, next_try=5.0, gives_up=837.0)
    assert (later.elapsed, later.pause, later.stopping) == (195.0, None, 6.0)

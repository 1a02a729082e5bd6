"""What is said of a run that works: its facts, and the lines that they are in a width. Nothing here looks or draws."""

import math
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import msgspec

from bulkload.core.model.states import TERMINAL, State
from bulkload.core.model.units import show_bytes, show_duration

MOST_LINES = 4
# What stands still for so long is said to.
STILL_SECONDS = 5.0
# Answers take their time: from here on it is said how long.
NO_ANSWER_SECONDS = 10.0
LONGEST_BAR = 31
SHORTEST_BAR = 5
# In the order in which an entry passes them; what is left to do comes last.
ORDER = (
    State.UPLOADING, State.IN_DOUBT, State.UPLOADED, State.READY, State.SKIPPED, State.ERROR, State.FAILED,
    State.PLANNED,
)  # fmt: skip

# What a state is, where its name alone may be misread.
MEANINGS = {
    State.IN_DOUBT: "its answer was lost; looked for before anything is sent again",
    State.UPLOADED: "converting on the registry",
    State.SKIPPED: "an equal version was there already",
    State.ERROR: "the registry could not convert it",
    State.FAILED: "never became a version, or not the right one",
}


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """A registry that takes no call of a kind. Seconds from now; ``lasted``: until now."""

    call: str
    status: int | None
    lasted: float
    next_try: float
    gives_up: float


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A run at one moment. Durations are seconds, speeds units a second; None: not known, or none."""

    phase: str
    elapsed: float
    # Counted in the phase, where there are no states.
    counted: int = 0
    endpoint: str | None = None
    # Entries of the manifest; empty before they were counted.
    states: dict[str, int] = {}
    # Handed to sockets, repeats included.
    bytes_sent: int = 0
    left: float | None = None
    bytes_speed: float | None = None
    models_speed: float | None = None
    at_a_time: int | None = None
    # Uploads a second that were asked for at the most, and that the registry was found to take.
    most_uploads: float | None = None
    found_uploads: float | None = None
    # What holds.
    stopping: float | None = None
    silence: Silence | None = None
    pause: float | None = None
    unanswered: int = 0
    unanswered_for: float = 0.0
    answer_timeout: float | None = None
    retries: int = 0
    retried: str = ""
    waiting_for_places: int = 0
    max_converting: int | None = None
    still: float = 0.0

    @property
    def done(self) -> int:
        """Entries that nothing more will happen to."""
        return sum(self.states.get(state, 0) for state in TERMINAL)

    def count(self, *states: State) -> int:
        """Entries in these states."""
        return sum(self.states.get(state, 0) for state in states)


class Line(msgspec.Struct, frozen=True):
    """One line. ``filled`` and ``empty``: the bar before its text, in cells; ``right``: what stands at its end."""

    text: str
    filled: int = 0
    empty: int = 0
    right: str = ""
    # It says what holds the run up.
    holds: bool = False


def aged(facts: Facts, seconds: float) -> Facts:
    """The same facts, looked at so much later."""
    silence = facts.silence
    if silence is not None:
        silence = msgspec.structs.replace(
            silence,
            lasted=silence.lasted + seconds,
            next_try=silence.next_try - seconds,
            gives_up=silence.gives_up - seconds,
        )
    return msgspec.structs.replace(
        facts,
        elapsed=facts.elapsed + seconds,
        silence=silence,
        stopping=None if facts.stopping is None else max(0.0, facts.stopping - seconds),
        pause=None if facts.pause is None or facts.pause <= seconds else facts.pause - seconds,
    )


def display_lines(facts: Facts, width: int, clock: datetime, *, joint: str = " · ") -> list[Line]:
    """At most four lines, none wider than ``width``. ``clock``: now, as people's clocks say it."""
    if not facts.states:
        lines = [_ends(_fit([_phase(facts)], width, joint), show_duration(facts.elapsed), width)]
        reason = reason_forms(facts, clock)
        return [*lines, Line(_longest(reason, width), holds=True)] if reason else lines
    states = _packed(_state_words(facts), width, joint)
    if len(states) > MOST_LINES - 1:
        plain = [word.replace(",", "") for word in _state_words(facts)]
        states = _packed(plain, width, ", ")
    reason = reason_forms(facts, clock)
    last = Line(_longest(reason, width), holds=True) if reason else Line(_fit(_speeds(facts), width, joint))
    lines = [Line(line) for line in states][:MOST_LINES]
    if len(lines) < MOST_LINES and last.text:
        lines.append(last)
    if len(lines) < MOST_LINES:
        lines.insert(0, _bar(facts, width, joint))
    if len(lines) < MOST_LINES:
        lines.insert(0, _ends(_longest(_titles(facts), width - 8), show_duration(facts.elapsed), width))
    return lines


def line_texts(facts: Facts, width: int, clock: datetime, *, joint: str = " · ") -> list[str]:
    """The display's lines without bar and colours."""
    lines = display_lines(facts, width, clock, joint=joint)
    return [f"{line.text}{line.right.rjust(width - len(line.text)) if line.right else ''}" for line in lines]


def plain_line(facts: Facts, clock: datetime, *, joint: str = " · ") -> str:
    """The same facts in one line of any length, where nothing can be renewed."""
    elapsed = show_duration(facts.elapsed)
    if not facts.states:
        reason = reason_forms(facts, clock)
        return f"{_phase(facts)}, {elapsed}{f': {reason[0]}' if reason else ''}"
    reason = reason_forms(facts, clock)
    parts = [*_progress(facts), *_state_words(facts), *([reason[0]] if reason else _speeds(facts))]
    return f"{_titles(facts)[0]}, {elapsed}: {joint.join(parts)}"


def reason_forms(facts: Facts, clock: datetime) -> list[str]:
    """Why a run is held up, from the longest words to the shortest; nothing where it is not."""
    if facts.stopping is not None:
        under_way, left = facts.count(State.UPLOADING), _seconds(facts.stopping)
        return [f"stopping: {under_way:,} under way, {left} left", f"stopping: {under_way:,}, {left}"]
    if facts.silence is not None:
        return _silence(facts.silence, clock)
    if facts.pause:
        return [f"asked to pause for {_seconds(math.ceil(facts.pause))}"]
    if facts.still < STILL_SECONDS:
        return [] if _to_send(facts) else _converting(facts)
    return _unanswered(facts) or _retries(facts) or _converting(facts) or _standing(facts)


def _unanswered(facts: Facts) -> list[str]:
    if not facts.unanswered or facts.unanswered_for < NO_ANSWER_SECONDS:
        return []
    said = f"{facts.unanswered:,} sent, no answer for {_seconds(facts.unanswered_for)}"
    return [f"{said}{_longest_wait(facts)}", said]


def _to_send(facts: Facts) -> int:
    return facts.count(State.PLANNED, State.UPLOADING, State.IN_DOUBT)


def _longest_wait(facts: Facts) -> str:
    longest = facts.answer_timeout
    return "" if longest is None else f" (waits up to {_seconds(longest)})"


def _silence(silence: Silence, clock: datetime) -> list[str]:
    lasted, answers = _seconds(silence.lasted), silence.status
    next_try = f"in {_seconds(silence.next_try)}" if silence.next_try >= 0.5 else "now"
    ends = f"{clock + timedelta(seconds=silence.gives_up):%H:%M}"
    said = "has not answered" if answers is None else f"has only answered {answers}"
    short = "no answer" if answers is None else f"only {answers}"
    return [
        f"the registry {said} for {lasted}; next try {next_try}; gives up at {ends} (--patience)",
        f"the registry {said} for {lasted}; next try {next_try}; gives up at {ends}",
        f"{short} for {lasted}; next try {next_try}; gives up at {ends}",
        f"{short} {lasted}; next {next_try}; gives up {ends}",
        f"{short} {lasted}, next {next_try}, ends {ends}",
    ]


def _retries(facts: Facts) -> list[str]:
    if not facts.retries:
        return []
    times = "1 retry" if facts.retries == 1 else f"{facts.retries:,} retries"
    return [
        f"{facts.retried}, {times} in the last minute",
        f"{times} in the last minute",
    ]


def _converting(facts: Facts) -> list[str]:
    uploaded = facts.count(State.UPLOADED)
    if not uploaded or (_to_send(facts) and not facts.waiting_for_places):
        return []
    models = "1 model" if uploaded == 1 else f"{uploaded:,} models"
    at_a_time = f" ({facts.max_converting:,} at a time)" if facts.max_converting is not None else ""
    return [
        f"waiting for the registry to convert {models}{at_a_time}",
        f"waiting for the registry to convert {models}",
        f"waiting for {uploaded:,} to convert",
    ]


def _standing(facts: Facts) -> list[str]:
    """What nobody told why."""
    still, in_doubt = _seconds(facts.still), facts.count(State.IN_DOUBT)
    if not _to_send(facts):
        return []
    if facts.count(State.UPLOADING) > facts.unanswered:
        return [f"the registry has taken no byte for {still}", f"no byte taken for {still}"]
    if in_doubt and not facts.count(State.UPLOADING):
        return [f"looking for {in_doubt:,} uploads whose answer was lost", f"looking for {in_doubt:,} lost uploads"]
    return [f"nothing has moved for {still}"]


# The other lines.


def _phase(facts: Facts) -> str:
    return f"{facts.phase} {facts.counted:,}" if facts.counted else facts.phase


def _titles(facts: Facts) -> list[str]:
    host = urlsplit(facts.endpoint or "").netloc
    doing = {"publishing": "publishing to", "waiting": "waiting for"}.get(facts.phase)
    if doing is None or not host:
        return [_phase(facts)]
    return [f"{doing} {host}", facts.phase]


def _progress(facts: Facts) -> list[str]:
    total = sum(facts.states.values())
    parts = [f"{facts.done:,} of {total:,} done"]
    if facts.bytes_sent:
        parts.append(f"{show_bytes(facts.bytes_sent)} sent")
    if facts.left is not None:
        parts.append(f"{_seconds(facts.left)} left")
    return parts


def _state_words(facts: Facts) -> list[str]:
    return [f"{state} {facts.states[state]:,}" for state in ORDER if facts.states.get(state)] or ["no entries"]


def _speeds(facts: Facts) -> list[str]:
    speeds = []
    if facts.bytes_speed:
        speeds.append(f"{show_bytes(facts.bytes_speed)}/s")
    if facts.models_speed:
        speeds.append(f"{facts.models_speed:.3g} models/s")
    parts = [", ".join(speeds)] if speeds else []
    if facts.at_a_time is not None and facts.count(State.PLANNED, State.UPLOADING):
        parts.append(f"{facts.at_a_time:,} at a time")
        if facts.found_uploads is not None:
            parts.append(f"limit found: {facts.found_uploads:.3g} uploads/s")
        elif facts.most_uploads is not None:
            parts.append(f"at most {facts.most_uploads:.3g} uploads/s")
    return parts + _retries(facts)[:1]


def _bar(facts: Facts, width: int, joint: str) -> Line:
    text = _fit(_progress(facts), width, joint)
    cells = min(LONGEST_BAR, width - len(text) - 2)
    if cells < SHORTEST_BAR:
        return Line(text)
    total = sum(facts.states.values())
    filled = cells * facts.done // total if total else 0
    return Line(text, filled, cells - filled)


def _ends(text: str, right: str, width: int) -> Line:
    return Line(text, right=right) if len(text) + 1 + len(right) <= width else Line(text)


def _fit(parts: list[str], width: int, joint: str) -> str:
    """As many parts as fit whole, from the first on; the first one cut where it alone is too long."""
    text = parts[0][:width] if parts else ""
    for part in parts[1:]:
        if len(text) + len(joint) + len(part) > width:
            break
        text = f"{text}{joint}{part}"
    return text


def _packed(words: list[str], width: int, joint: str) -> list[str]:
    """All words, in as few lines as they need."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(joint) + len(word) <= width:
            lines[-1] = f"{lines[-1]}{joint}{word}"
        else:
            lines.append(word)
    return lines


def _longest(forms: list[str], width: int) -> str:
    """The first that fits."""
    return next((form for form in forms if len(form) <= width), forms[-1][: max(0, width)])


def _seconds(seconds: float) -> str:
    """``12 s``, ``2m10s``."""
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else show_duration(whole).removesuffix("00s")

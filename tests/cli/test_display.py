"""A run in a real terminal, frame by frame, while a registry does what registries do."""

import json
import re
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bulkload.core.model.states import State
from tests.cli.screens import Terminal, in_terminal
from tests.conftest import SandboxProcess, clean_environment, homes

ENTRIES = 300
ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28"
TROUBLE = (
    "--time-scale", "0.01", "--fault", "upload:lost-answer%3", "--fault", "upload:503%8", "--fault", "poll:503%3",
    "--limit", "upload=60/s", "--seed", "5",
)  # fmt: skip
WORDS = ("--workspace", "w", "--create-workspace", "--settle", "500ms", "--patience", "10m")
COUNT = re.compile(rf"\b({'|'.join(State)}) ([0-9,]+)")
# Since when, when next, and when it ends, in the words of the longest and of the shortest form.
OUTAGE = re.compile(r"\d+ s\b.*\bnext (try )?(in \d+ s|now).*\b(gives up|ends) (at )?\d\d:\d\d")


@pytest.fixture
def manifest(write_manifest) -> Path:
    """Three hundred entries; a third is converted, and some of those are no models."""
    schema = {"x": "float32"}
    rows = []
    for number in range(ENTRIES):
        row: dict[str, Any] = {"name": f"m{number}", "content": ONNX + b"%d" % number}
        if number % 3 == 1:
            content = (b"N." if number % 50 else b"no pickle") + b"%d" % number
            row |= {"framework": "xgboost", "input_schema": schema, "output_schema": schema, "content": content}
        rows.append(row)
    return Path(write_manifest(rows))


def counts(frame: Sequence[str]) -> int:
    """The sum of the state counts in a frame."""
    return sum(int(count.replace(",", "")) for _, count in COUNT.findall(" ".join(frame)))


def has_frames(terminal: Terminal, number: int) -> bool:
    return len(terminal.frames) >= number


def has_states(frame: Sequence[str]) -> bool:
    return COUNT.search(" ".join(frame)) is not None


def assert_whole(terminal: Terminal, columns: int) -> None:
    """Every frame from when the states are known; at most four lines, each within the terminal, each state counted."""
    frames = terminal.frames
    first = next(number for number, frame in enumerate(frames) if has_states(frame))
    for frame in frames[first:]:
        if any(line.startswith(("stopping: what", "^C")) or "asked to finish" in line for line in frame):
            continue
        assert len(frame) <= 4, frame
        assert all(len(line) < columns for line in frame), frame
        assert counts(frame) == ENTRIES, frame
        assert "…" not in "".join(frame)


def outage_frames(terminal: Terminal) -> list[list[str]]:
    return [frame for frame in terminal.frames if re.search(r"gives up|ends \d\d:", frame[-1])]


def run_through_an_outage(columns: int, seconds: float, manifest: Path, start_sandbox, environment) -> Terminal:
    """A run that meets an outage of so many seconds, goes on, and gets a Ctrl-C; it has ended."""
    sandbox: SandboxProcess = start_sandbox(*TROUBLE)
    port = sandbox.endpoint.rpartition(":")[2]
    environment = environment | sandbox.environment
    with in_terminal("run", manifest, *WORDS, cwd=manifest.parent, env=environment, columns=columns) as terminal:
        terminal.until(lambda: re.search(r"ready [1-9]", " ".join(terminal.lines())))
        sandbox.process.kill()
        sandbox.process.wait()
        began = time.monotonic()
        terminal.until(lambda: len(outage_frames(terminal)) > 5 and time.monotonic() - began > seconds)
        # Its answers take their time, so that a stop finds something under way.
        start_sandbox("--fault", "upload:slow=3%40", *TROUBLE, "--port", port)
        terminal.until(lambda: "models/s" in " ".join(terminal.lines()) or counts(terminal.lines()) == 0)
        terminal.press(b"\x03")
        assert terminal.to_the_end() in (130, 3)
    return terminal


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a usual terminal."""
    return clean_environment() | homes(tmp_path) | {"TERM": "xterm-256color"}


def assert_told(terminal: Terminal, columns: int) -> None:
    assert_whole(terminal, columns)
    silent = outage_frames(terminal)
    assert silent
    for frame in silent:
        assert OUTAGE.search(frame[-1]), frame
        # The estimate that only climbs is no word about an outage.
        assert not any(line.endswith(" left") for line in frame), frame
    assert any(frame[-1].startswith("stopping: ") for frame in terminal.frames[-60:]), terminal.frames[-1]
    assert "go on with: bulkload run" in "\n".join(terminal.lines())


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_every_frame_is_whole_and_an_outage_is_told(columns, manifest, start_sandbox, environment):
    """Faults, limits, an outage, and a Ctrl-C: all states counted, nothing cut, and why nothing moves."""
    assert_told(run_through_an_outage(columns, 0.0, manifest, start_sandbox, environment), columns)


@pytest.mark.long
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_an_outage_of_half_a_minute_is_told(columns, manifest, start_sandbox, environment):
    """The seconds go up, and the end stays where it is."""
    terminal = run_through_an_outage(columns, 30.0, manifest, start_sandbox, environment)
    assert_told(terminal, columns)
    ends = {re.findall(r"\d\d:\d\d", frame[-1])[-1] for frame in outage_frames(terminal)}
    assert len(ends) <= 3  # of uploads, and of polls; the last digit may be rounded to either side


def test_a_resized_terminal_shows_the_run_in_its_new_width(manifest, start_sandbox, environment):
    """At once, and a signal that asks how it goes leaves a line above the display."""
    sandbox = start_sandbox("--time-scale", "0.01", "--fault", "upload:stall@40")
    environment = environment | sandbox.environment
    words = ("run", manifest, *WORDS, "--upload-rate", "40/s")
    with in_terminal(*words, cwd=manifest.parent, env=environment, columns=100) as terminal:
        terminal.until(lambda: has_states(terminal.lines()))
        for columns in (60, 45, 150):
            terminal.resize(columns, 24)
            drawn = len(terminal.frames)
            terminal.until(partial(has_frames, terminal, drawn + 4))
            for frame in terminal.frames[drawn + 2 :]:
                assert counts(frame) == ENTRIES, frame
                assert all(len(line) < columns for line in frame), frame
        terminal.process.send_signal(signal.SIGUSR1)
        terminal.until(lambda: f" of {ENTRIES} done" in " ".join(terminal.lines()[:-4]))
        drawn = len(terminal.frames)
        terminal.until(lambda: len(terminal.frames) > drawn + 2)
        assert counts(terminal.frames[-1]) == ENTRIES
        assert len(terminal.frames[-1]) <= 4


def test_a_dumb_terminal_gets_plain_lines(manifest, start_sandbox, environment):
    """Nothing moves the cursor; no colours either where none are wanted."""
    sandbox = start_sandbox("--time-scale", "0")
    environment = environment | sandbox.environment | {"TERM": "dumb"}
    words = ("run", manifest, *WORDS, "--progress-interval", "200ms", "--upload-rate", "100/s")
    with in_terminal(*words, cwd=manifest.parent, env=environment, columns=300) as terminal:
        assert terminal.to_the_end() == 3
        assert sum(f" of {ENTRIES} done" in line for line in terminal.lines()) > 2


@pytest.mark.parametrize(
    ("words", "shown"), [((), 1), (("-q", "--progress", "always"), 1), (("--progress", "never"), 0)]
)
def test_elsewhere_a_line_is_said_now_and_then(words, shown, manifest, start_sandbox, bulkload):
    """With the same facts, and not when that is not wanted."""
    sandbox = start_sandbox("--time-scale", "0")
    result = bulkload(
        "run", manifest, *WORDS, "--upload-rate", "100/s", "--progress-interval", "300ms", *words,
        env=sandbox.environment,
    )  # fmt: skip
    lines = [line for line in result.stderr.splitlines() if line.startswith("publishing to ")]
    assert bool(lines) == bool(shown)
    assert "\x1b" not in result.stderr
    assert all(counts([line]) == ENTRIES for line in lines)


def test_status_shows_what_the_run_shows(manifest, start_sandbox, environment, bulkload):
    """While it works, and for programs; afterwards its end."""
    sandbox = start_sandbox("--time-scale", "0.01")
    environment = environment | sandbox.environment
    words = ("run", manifest, *WORDS, "--upload-rate", "30/s")
    with in_terminal(*words, cwd=manifest.parent, env=environment, columns=100) as terminal:
        terminal.until(lambda: re.search(r"ready [1-9]", " ".join(terminal.lines())))

        def live() -> bool:
            return json.loads(bulkload("status", manifest, "--json").stdout)["live"] is not None

        terminal.until(live)
        said = bulkload("status", manifest).stdout
        assert f"publishing to {sandbox.endpoint.removeprefix('http://')}" in said
        assert f" of {ENTRIES} done" in said
        assert "status" in said.splitlines()[-1]
        with in_terminal("status", manifest, "--watch", cwd=manifest.parent, env=environment, columns=60) as watching:
            watching.until(lambda: len(watching.frames) > 3)
            assert all(counts(frame) == ENTRIES for frame in watching.frames)
            terminal.press(b"\x03")
            assert terminal.to_the_end() == 130
            assert watching.to_the_end() == 0
            assert "last run" in " ".join(watching.lines())
    assert not list(manifest.parent.glob("*.heartbeat"))

"""Whatever the exit code is: the summary object says why, on standard output and in its file, and `-q` says no more."""

import fcntl
import io
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bulkload.cli import run_command_line
from bulkload.core.model.errors import ExitCode
from bulkload.system.signals import Signals
from tests.cli.in_process import Place, environment_of, sandbox_in

GOOD = {"name": "good", "path": "good.onnx"}
WRONG_BYTES = GOOD | {"sha256": "0" * 64}
WORDS = "run {}/m.json --workspace w --create-workspace --patience 0s"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with sandbox_in(tmp_path_factory.mktemp("registry")) as place:
        yield place


@pytest.fixture
def place(registry: Place, tmp_path: Path) -> Place:
    (tmp_path / "good.onnx").write_bytes(b"model")
    (tmp_path / "m.json").write_text(json.dumps([GOOD]))
    return replace(registry, folder=tmp_path)


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    said: str
    file: dict[str, Any] | None

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def run(place: Place, *more: str, words: str = WORDS, signals: Signals | None = None) -> Ended:
    out, said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with environment_of(place), redirect_stdout(out), redirect_stderr(said):
        code = run_command_line([*place.words(words), *more], signals)
    file = place.folder / "summary.json"
    written = json.loads(file.read_text()) if file.exists() else None
    return Ended(code, out.buffer.getvalue().decode(), said.getvalue(), written)


# Code -> what makes it, the flags beside it, and words of the reason.
Prepare = Callable[[Place, ExitStack], Place | None]


def nothing(_: Place, __: ExitStack) -> None:
    """As it is."""


def damaged_ledger(place: Place, _: ExitStack) -> None:
    (place.folder / "m.json.ledger.db").write_bytes(b"SQLite format 3\0" + b"x" * 8_192)


def wrong_bytes(place: Place, _: ExitStack) -> None:
    (place.folder / "m.json").write_text(json.dumps([WRONG_BYTES]))


def wrong_manifest(place: Place, _: ExitStack) -> None:
    (place.folder / "m.json").write_text(json.dumps([GOOD | {"framework": "pytorh"}, {"name": "B"}]))


def wrong_token(place: Place, _: ExitStack) -> Place:
    return replace(place, environment=place.environment | {"BULKLOAD_TOKEN": "wrong"})


def no_registry(place: Place, _: ExitStack) -> Place:
    return replace(place, environment=place.environment | {"BULKLOAD_ENDPOINT": "http://127.0.0.1:1"})


def held_ledger(place: Place, stack: ExitStack) -> None:
    lock = stack.enter_context((place.folder / "m.json.ledger.db.lock").open("w"))
    fcntl.flock(lock, fcntl.LOCK_EX)


CASES: dict[int, tuple[Prepare, str, str]] = {
    ExitCode.INTERNAL: (damaged_ledger, "", "m.json.ledger.db"),
    ExitCode.USAGE: (nothing, "--concurrency 0", "--concurrency"),
    ExitCode.SOME_FAILED: (wrong_bytes, "", "some entries failed: 1 failed"),
    ExitCode.MANIFEST: (wrong_manifest, "", "problems; nothing was sent"),
    ExitCode.NOT_AUTHORISED: (wrong_token, "", "401"),
    ExitCode.UNAVAILABLE: (no_registry, "", "127.0.0.1:1"),
    ExitCode.TOO_MANY_FAILURES: (wrong_bytes, "--max-failures 0", "--max-failures"),
    ExitCode.WINDOW_ENDED: (nothing, "--max-duration 1ms", "--max-duration"),
    ExitCode.LEDGER_IN_USE: (held_ledger, "", "m.json.ledger.db"),
    ExitCode.STILL_OPEN: (nothing, "--no-wait", "1 uploaded"),
}
SIGNALS = {ExitCode.INTERRUPTED: signal.SIGINT, ExitCode.TERMINATED: signal.SIGTERM}


def test_every_exit_code_is_tried():
    """But that of a reader that went away: it reads no summary."""
    assert {*CASES, *SIGNALS, ExitCode.OK} == set(ExitCode) - {ExitCode.READER_GONE}


@pytest.mark.parametrize("code", sorted(CASES))
def test_the_reason_is_in_the_summary(code, place):
    prepare, flags, words = CASES[code]
    with ExitStack() as stack:
        place = prepare(place, stack) or place
        ended = run(place, "--json", "--summary-file", str(place.folder / "summary.json"), *flags.split())
    assert ended.code == code, ended.said
    assert ended.summary == ended.file
    assert ended.summary["exit_code"] == ended.summary["error"]["exit_code"] == code
    assert words in ended.summary["error"]["message"]


@pytest.mark.parametrize("code", sorted(SIGNALS))
def test_a_signal_is_a_reason(code, place):
    """One that came before anybody listened."""
    signals = Signals()
    signals.first = SIGNALS[code]
    ended = run(place, "--json", signals=signals)
    assert ended.code == code
    assert ended.summary["error"] == {"exit_code": code, "message": "interrupted", "problems": []}


def test_when_all_is_well_there_is_none(place):
    """Neither in what is printed nor in what the ledger keeps."""
    ended = run(place, "--json", "--summary-file", str(place.folder / "summary.json"))
    assert (ended.code, ended.summary["error"]) == (0, None)
    assert ended.summary == ended.file


def test_every_problem_of_a_manifest_is_in_it(place):
    """All of them, where people see a line a kind."""
    (place.folder / "m.json").write_text(json.dumps([GOOD | {"framework": "pytorh"}] * 2_000))
    ended = run(place, "--json")
    problems = ended.summary["error"]["problems"]
    assert len(problems) == 2_000
    assert list(problems[0]) == ["manifest", "place", "field", "what", "remedy", "kind"]
    assert (problems[-1]["place"], problems[-1]["field"]) == ("item 2000", "framework")
    assert len(ended.said.splitlines()) == 2


@pytest.mark.parametrize(
    "words", ["run {}/m.json --json --no-such-flag", "run --json", "run {}/m.json --json --summary-file {}/none/s.json"]
)
def test_a_wrong_command_line_is_a_reason(words, place):
    ended = run(place, words=words)
    assert (ended.code, ended.summary["error"]["exit_code"]) == (2, 2)
    assert ended.summary["error"]["message"] in ended.said


def test_a_wrong_settings_file_is_a_reason(place):
    (place.folder / "bulkload.toml").write_text("concurency = 8\n")
    ended = run(place, words="--config {}/bulkload.toml run {}/m.json --json")
    assert ended.code == 2
    assert "concurency" in ended.summary["error"]["message"]


@pytest.mark.parametrize("command", ["run", "plan --offline"])
def test_a_plan_says_it_as_well(command, place):
    wrong_manifest(place, ExitStack())
    error = run(place, words=f"{command} {{}}/m.json --json").summary["error"]
    assert error["exit_code"] == 4
    assert len(error["problems"]) == 5


def test_a_summary_file_writes_over_nothing_that_is_read(place):
    """Neither the ledger nor the manifest, and it says so before anything is sent."""
    for name in ("m.json", "m.json.ledger.db"):
        (place.folder / name).touch()
        before = (place.folder / name).read_bytes()
        ended = run(place, "--summary-file", str(place.folder / name))
        assert (ended.code, "--summary-file" in ended.said) == (2, True)
        assert (place.folder / name).read_bytes() == before


def test_a_summary_file_that_cannot_be_written_in_the_end_is_exit_1(place):
    ended = run(place, "--summary-file", "/dev/full")
    assert ended.code == 1
    assert "/dev/full cannot be written (No space left on device)" in ended.said


def test_quiet_says_nothing_when_all_is_well(place):
    (place.folder / "own.toml").write_text("concurrency = 8\n")
    ended = run(place, "-q")
    assert (ended.code, ended.out, ended.said) == (0, "", "")


def test_quiet_says_what_failed(place):
    """Each reason with the models that it hit."""
    wrong_bytes(place, ExitStack())
    ended = run(place, "-q")
    assert (ended.code, ended.out) == (3, "")
    assert "failed: good: " in ended.said


def test_quiet_does_not_name_a_settings_file(place, monkeypatch):
    monkeypatch.chdir(place.folder)
    (place.folder / "bulkload.toml").write_text("concurrency = 8\n")
    assert run(place, "-q").said == ""
    assert "settings from" in run(place).said

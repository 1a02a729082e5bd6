"""Every command and format, and what it prints to: a reader that goes away, a full disk, closed, any locale."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from bulkload.cli import run_command_line
from bulkload.ledger import LedgerReader
from tests.cli.in_process import Place, environment_of, run_with, sandbox_in
from tests.conftest import clean_environment
from tests.variants import each_once

FULL = Path("/dev/full")
SNOWMAN = "modèle-\u2603"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("outputs")
    for name, count in (("done", 2), ("new", 1)):
        rows = []
        for number in range(count):
            path = f"{name}-{SNOWMAN}-{number}.onnx"
            (folder / path).write_bytes(f"{name} {number}".encode())
            rows.append({"name": f"{name}-{number}", "path": path, "workspace": "Équipe \u2603"})
        (folder / f"{name}.json").write_text(json.dumps(rows))
    with sandbox_in(folder) as place:
        with environment_of(place):
            assert run_command_line(place.words("run {}/done.json --create-workspace -q")) == 0
        yield place


def words_of(place: Place, command: str) -> list[str]:
    with LedgerReader(place.folder / "done.json.ledger.db") as reader:
        version_id = next(reader.words())[0].version_id
    return [str(version_id) if word == "1" else word for word in place.words(command)]


OFFLINE = [
    "--help", "--version", "results --help",
    *(f"results {{}}/done.json --format {form}" for form in ("table", "csv", "jsonl", "json", "parquet")),
    "results {}/done.json --format csv --for-spreadsheet", "results {}/done.json -o -",
    "status {}/done.json", "status {}/done.json --json",
    "manifest schema",
    *(f"manifest convert {{}}/done.json --format {form}"
      for form in ("csv", "jsonl", "json", "yaml", "toml", "parquet", "arrow")),
    "plan {}/new.json --offline",
]  # fmt: skip
ONLINE = [
    "run {}/done.json --json", "wait {}/done.json --json",
    "plan {}/new.json", "plan {}/new.json --json", "plan {}/new.json --curl",
    "verify {}/done.json", "verify {}/done.json --json",
    "models list", "models list --json", "models versions done-0", "models versions done-0 --json",
    "models show 1", "models show 1 --json", "models config 1", "models config 1 --json",
    "workspaces list", "workspaces list --json", "workspaces create new", "workspaces create new --json",
    "whoami", "whoami --json", "doctor --ledger {}/new.ledger.db", "doctor --ledger {}/new.ledger.db --json",
]  # fmt: skip


@contextlib.contextmanager
def left_pipe() -> Iterator[TextIO]:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        yield stream


@pytest.mark.parametrize("commands", [OFFLINE, ONLINE], ids=["offline", "online"])
def test_a_reader_that_has_gone_away_is_exit_141_without_a_word(commands, place, tmp_path):
    """``| head -1``: as other tools."""
    found = {}
    for command in commands:
        with left_pipe() as stdout:
            found[command] = run_with(place, words_of(place, command), stdout, tmp_path / "said")
    assert {command: code for command, (code, _) in found.items() if code != 141} == {}
    assert {command: said for command, (_, said) in found.items() if "bulkload:" in said or "rror" in said} == {}


@pytest.mark.parametrize("commands", [OFFLINE, ONLINE], ids=["offline", "online"])
def test_output_that_cannot_be_written_is_exit_1_with_words(commands, place, tmp_path):
    """``>/dev/full``: nobody takes what is lost for a success."""
    found = {}
    for command in commands:
        with FULL.open("w") as stdout:
            found[command] = run_with(place, words_of(place, command), stdout, tmp_path / "said")
    words = "bulkload: standard output cannot be written (No space left on device)"
    assert {command: code for command, (code, _) in found.items() if code != 1} == {}
    assert {command: said for command, (_, said) in found.items() if said.count(words) != 1} == {}


@pytest.mark.parametrize(("encoding", "commands"), each_once(["ascii", "latin-1"], [OFFLINE, ONLINE]))
def test_output_never_fails_for_its_encoding(commands, encoding, place, tmp_path):
    """What the locale cannot show is escaped for people; data is UTF-8 whatever the locale."""
    for command in commands:
        with (tmp_path / "out").open("w+", encoding=encoding) as stdout:
            code, said = run_with(place, words_of(place, command), stdout, tmp_path / "said")
        assert code == 0, (command, said)
        data = (tmp_path / "out").read_bytes()
        assert data, command
        if not command.endswith(("parquet", "arrow")):
            data.decode("utf-8" if is_data(command) else encoding)


def is_data(command: str) -> bool:
    marks = ("--json", "--curl", "--format csv", "--format json", "convert", "schema")
    return any(mark in command for mark in marks)


@pytest.mark.parametrize(
    "command", ["results {}/done.json --format json", "models list --json", "run {}/done.json --json"]
)
def test_a_closed_standard_output_is_exit_1_with_words(command, place):
    """``>&-``: it is no file that was opened later, and no success."""
    found = subprocess.run(
        [sys.executable, "-m", "bulkload", *place.words(command)],
        env=clean_environment() | place.environment,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: os.close(1),
        check=False,
        timeout=60,
    )
    assert found.returncode == 1, found.stderr
    assert b"bulkload: standard output cannot be written (Bad file descriptor)" in found.stderr


def test_words_that_nobody_can_read_change_nothing(place, tmp_path):
    """``2>/dev/full``, and a reader of standard error that has gone away."""
    with environment_of(place), FULL.open("w") as full, left_pipe() as left:
        for stream in (full, left):
            with (
                contextlib.redirect_stderr(stream),
                (tmp_path / "out").open("w+") as stdout,
                contextlib.redirect_stdout(stdout),
            ):
                assert run_command_line(place.words("run {}/done.json -v --json")) == 0
            assert json.loads((tmp_path / "out").read_text())["states"]["ready"] == 2


def test_a_sandbox_that_cannot_say_where_it_is_ends(place):
    """Nobody would know its token."""
    with FULL.open("w") as stdout:
        found = subprocess.run(
            [sys.executable, "-m", "bulkload", "sandbox", "--json", "--data", str(place.folder / "other")],
            env=clean_environment(), stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, timeout=60,
            check=False,
        )  # fmt: skip
    assert found.returncode == 1
    assert b"standard output cannot be written" in found.stderr


@pytest.mark.parametrize("variables", [{}, {"PYTHONUNBUFFERED": "1"}], ids=str)
def test_a_pipe_that_does_not_wait_gets_everything(variables, place):
    """Another program at the same pipe may have made it so: O_NONBLOCK belongs to the pipe, not to the process."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    words = place.words("manifest schema")
    code = "import sys; from bulkload.cli import run_command_line as run; sys.exit(max(run(%r) for _ in range(40)))"
    with subprocess.Popen(
        [sys.executable, "-c", code % words], stdout=writing, env=clean_environment() | variables
    ) as child:
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            first = stream.read(1)
            data = first + stream.read()
    assert child.returncode == 0
    assert data.count(b"$schema") == 40

"""Names that mean something to SQLite, to a link, or to an encoder, and are names of files all the same."""

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkload.cli import run_command_line
from bulkload.sandbox.store.queries import connect
from bulkload.sandbox.store.store import Store
from tests.cli.in_process import Place, environment_of, run_with, sandbox_in

NO_TEXT = "m\udcff"
NAMES = [":memory:", "file:a.db?mode=ro", "a%20b?c#d.db", f"{NO_TEXT}.db"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A registry, and a manifest of one entry."""
    with sandbox_in(tmp_path_factory.mktemp("place")) as place:
        (place.folder / "a.onnx").write_bytes(b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11\x28\x01")
        for name in ("models.csv", f"{NO_TEXT}.csv"):
            (place.folder / name).write_text("name,path,workspace\na,a.onnx,108\n")
        yield place


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def run(place: Place, *words: str, code: int = 0) -> tuple[str, str]:
    """What was printed and said by a command in the place's folder."""
    out, before = io.StringIO(), Path.cwd()
    os.chdir(place.folder)
    try:
        found, said = run_with(place, list(words), out, place.folder / "said")
    finally:
        os.chdir(before)
    assert found == code, said
    return out.getvalue(), said


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_file_is_a_ledger(name, place):
    """It is that file, and can be read again."""
    before = names_in(place.folder)
    run(place, "run", "models.csv", "--ledger", name)
    made = {each.removeprefix(name) for each in names_in(place.folder) - before - {"said"}}
    assert made - {".lock", "-wal", "-shm"} == {""}
    assert (place.folder / name).read_bytes().startswith(b"SQLite format 3\0")
    if name.endswith(".db"):
        assert json.loads(run(place, "status", name, "--json")[0])["manifest"] == "models.csv"


def test_a_manifest_whose_name_is_no_text_is_published(place):
    """Its name is shown with escapes."""
    summary = json.loads(run(place, "run", f"{NO_TEXT}.csv", "--json")[0])
    assert (summary["manifest"], summary["exit_code"]) == (r"m\udcff.csv", 0)
    assert "m\\udcff.csv" in run(place, "status", f"{NO_TEXT}.csv")[0]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_folder_holds_a_sandbox(name, tmp_path, monkeypatch):
    """Its database is made and found in there, and nothing beside it."""
    monkeypatch.chdir(tmp_path)
    store = Store(Path(name))
    with contextlib.closing(store), contextlib.closing(connect(Path(name))) as reader:
        assert reader.execute("SELECT count(*) FROM versions").fetchone()[0] == 0
    assert names_in(tmp_path) == {name}


@pytest.mark.parametrize("words", [("workspaces", "create", NO_TEXT), ("models", "versions", NO_TEXT)])
def test_a_name_that_is_no_text_is_exit_2(words, place):
    """No registry has it."""
    assert "is no text in UTF-8" in run(place, *words, code=2)[1]


@pytest.mark.parametrize(
    ("words", "named"), [(NO_TEXT, "password"), ("secret", "username")], ids=["password", "username"]
)
def test_credentials_that_are_no_text_are_exit_2_and_not_shown(words, named, place):
    """What is wrong is said by its name."""
    user = "user@example.com" if named == "password" else NO_TEXT
    account = {"BULKLOAD_USERNAME": user, "BULKLOAD_PASSWORD": words, "BULKLOAD_TOKEN": ""}
    said = run(Place(place.folder, place.environment | account), "whoami", code=2)[1]
    assert f"the {named} is no text in UTF-8" in said
    assert words not in said


@pytest.mark.parametrize(("made", "reason"), [("pipe", "is no regular file"), ("circle", "Too many levels")])
def test_what_no_ledger_can_be_is_said_at_once(made, reason, place):
    """A named pipe, which would be waited for; a link in a circle."""
    path = place.folder / f"{made}.db"
    if made == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path.name)
    assert reason in run(place, "run", "models.csv", "--ledger", str(path), code=1)[1]


def test_a_manifest_that_is_a_link_in_a_circle_is_a_problem(place):
    """For `manifest convert`, too."""
    (place.folder / "circle.csv").symlink_to("circle.csv")
    with environment_of(place), contextlib.redirect_stderr(io.StringIO()) as said:
        assert run_command_line(["manifest", "convert", str(place.folder / "circle.csv"), "--format", "json"]) == 4
    assert "Too many levels of symbolic links" in said.getvalue()

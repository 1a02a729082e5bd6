"""The file behind an entry is looked at before anything is sent, and what is wrong with it is said."""

import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from bulkload.manifest.missing import MOST_SUGGESTIONS


@pytest.fixture
def check_path(write, checked):
    """Checks a manifest of one row with this path."""

    def check_path(path, framework="onnx"):
        schemas = {"input_schema": {"x": "int64"}, "output_schema": {"x": "int64"}}
        row = {"name": "a", "path": path, "framework": framework}
        return checked(write(".jsonl", [row if framework == "onnx" else row | schemas]))

    return check_path


def wrong(checked: Any) -> tuple[str, str]:
    """The one problem, as (what, remedy)."""
    assert checked.entries == []
    (problem,) = checked.problems
    assert problem.field == "path"
    return problem.what, problem.remedy


def test_an_absolute_path_is_taken_as_it_is(folder, check_path):
    (entry,) = check_path(str(folder / "model.onnx")).entries
    assert entry.path == entry.source == str(folder / "model.onnx")


def test_a_link_is_the_file_it_leads_to(folder, check_path):
    (folder / "link.onnx").symlink_to("model.onnx")
    assert len(check_path("link.onnx").entries) == 1


@pytest.mark.parametrize(
    "name", ["größe.onnx", "模型.onnx", "with space.onnx", "a;b.onnx", "100%.onnx", "-x.onnx", "a.b.c"]
)
def test_names_that_people_give_files(name, folder, check_path):
    (folder / name).write_bytes(b"model")
    (entry,) = check_path(name).entries
    assert entry.path == name


@pytest.mark.parametrize("name", ['quo"te.onnx', "back\\slash.onnx"])
def test_names_that_the_upload_cannot_carry(name, folder, check_path):
    (folder / name).write_bytes(b"model")
    what, remedy = wrong(check_path(name))
    assert "holds a quote or a backslash" in what
    assert remedy == "rename the file"


def test_a_quote_in_a_folders_name_is_no_matter(folder, check_path):
    (folder / 'a"b').mkdir()
    (folder / 'a"b' / "model.onnx").write_bytes(b"model")
    assert len(check_path('a"b/model.onnx').entries) == 1


@pytest.mark.parametrize("name", ["new\nline.onnx", "esc\x1b.onnx", "nul\0.onnx"])
def test_names_with_control_characters(name, folder, check_path):
    if "\0" not in name:
        (folder / name).write_bytes(b"model")
    assert "cannot be printed" in wrong(check_path(name))[0]


def test_a_name_of_bytes_that_are_no_utf8(folder, check_path):
    name = os.fsdecode(b"latin-\xe4.onnx")
    (folder / name).write_bytes(b"model")
    assert "cannot be printed" in wrong(check_path(name))[0]


def test_a_missing_file(check_path):
    assert wrong(check_path("modell.onnx")) == ("modell.onnx does not exist", 'did you mean "model.onnx"?')
    assert "relative to the manifest's folder" in wrong(check_path("zzzzzzzz"))[1]


def test_a_missing_folder(check_path):
    what, remedy = wrong(check_path("models/model.onnx"))
    assert "does not exist" in what
    assert 'no folder "models"' in remedy


def test_a_near_name_in_another_folder_is_written_with_its_folder(folder, check_path):
    (folder / "sub").mkdir()
    (folder / "sub" / "weights.onnx").write_bytes(b"model")
    assert wrong(check_path("sub/wieghts.onnx"))[1] == 'did you mean "sub/weights.onnx"?'


def test_a_path_written_with_backslashes(folder, check_path):
    (folder / "sub").mkdir()
    (folder / "sub" / "model.onnx").write_bytes(b"model")
    assert wrong(check_path("sub\\model.onnx"))[1] == 'write it as "sub/model.onnx"'


@pytest.mark.parametrize(("written", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_that_only_looks_the_same(written, on_disk, folder, check_path):
    """macOS writes NFD, everyone else NFC: the same on a screen, another file on a disk."""
    (folder / unicodedata.normalize(on_disk, "modèle.onnx")).write_bytes(b"model")
    what, remedy = wrong(check_path(unicodedata.normalize(written, "modèle.onnx")))
    assert "does not exist" in what
    assert "NFC, NFD" in remedy


def test_a_link_to_nowhere(folder, check_path):
    (folder / "gone.onnx").symlink_to("nowhere")
    what, remedy = wrong(check_path("gone.onnx"))
    assert what == "gone.onnx is a link to nowhere, which is not there"
    assert "NFC" not in remedy


def test_a_loop_of_links(folder, check_path):
    (folder / "one.onnx").symlink_to("two.onnx")
    (folder / "two.onnx").symlink_to("one.onnx")
    assert "symbolic links" in wrong(check_path("one.onnx"))[0]


@pytest.mark.parametrize("written", ["saved", "saved/", "./saved//"])
def test_a_folder_is_one_entry_however_it_is_written(written, folder, check_path):
    """It is sent as a zip; a / at the end tells it from a file ever after."""
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").write_bytes(b"model")
    (entry,) = check_path(written, framework="tensorflow").entries
    assert entry.path == f"{written.rstrip('/')}/"
    assert Path(entry.source) == folder / "saved"
    assert entry.source.endswith("/")


def fifo(place):
    os.mkfifo(place / "pipe")


def loop(place):
    (place / "again").symlink_to(".")


def distant_loop(place):
    (place / "in").mkdir()
    (place / "in" / "out").symlink_to("../..")


def circle(place):
    (place / "one").symlink_to("one")


def dangling(place):
    (place / "gone").symlink_to("nowhere")


def latin(place):
    Path(os.fsdecode(os.fsencode(place) + b"/latin-\xe4")).write_bytes(b"1")


@pytest.mark.parametrize(
    ("spoil", "what", "remedy"),
    [
        (lambda place: (place / "model").unlink(), "saved/ is a folder without a file in it", "check where"),
        (fifo, "saved/ holds what is no regular file: pipe", "remove it"),
        (loop, "saved/ holds a loop of links at again/", "remove the link"),
        (distant_loop, "saved/ holds a loop of links at in/out/saved/", "remove the link"),
        (circle, "saved/ holds a loop of links at one", "remove the link"),
        (dangling, "saved/ holds a link to nothing: gone", "bring back"),
        (latin, "saved/ holds a file whose name is no UTF-8: latin-", "rename the file"),
    ],
)
def test_a_folder_that_cannot_be_sent(spoil, what, remedy, folder, check_path):
    """One line each, with the remedy, and nothing is waited for."""
    (folder / "saved").mkdir()
    (folder / "saved" / "model").write_bytes(b"model")
    spoil(folder / "saved")
    found = wrong(check_path("saved/", framework="custom"))
    assert found[0].startswith(what)
    assert found[1].startswith(remedy)


@pytest.mark.parametrize("written", [".", "..", "saved/.", "/"])
def test_a_folder_without_a_name_of_its_own(written, folder, check_path):
    (folder / "saved").mkdir()
    assert "without a name" in wrong(check_path(written))[0]


@pytest.mark.parametrize("framework", ["onnx", "pytorch", "sklearn", "xgboost"])
def test_a_folder_of_a_framework_that_takes_one_file(framework, folder, check_path):
    (folder / "saved").mkdir()
    (folder / "saved" / "model").write_bytes(b"model")
    what, remedy = wrong(check_path("saved/", framework=framework))
    assert (what, remedy) == (f"saved/ is a folder, and {framework} is one file", "name the model's file inside it")


def test_a_slash_after_a_file(check_path):
    assert "a file with a / after it" in wrong(check_path("model.onnx/"))[0]
    assert "leads through a file" in wrong(check_path("model.onnx/inner.onnx"))[0]


def test_a_pipe_is_not_waited_for(folder, check_path):
    os.mkfifo(folder / "pipe.onnx")
    assert wrong(check_path("pipe.onnx"))[0] == "pipe.onnx is no regular file"


def test_a_device(check_path):
    assert wrong(check_path("/dev/null"))[0] == "/dev/null is no regular file"


def test_a_file_of_0_bytes(folder, check_path):
    (folder / "empty.onnx").write_bytes(b"")
    assert wrong(check_path("empty.onnx")) == ("empty.onnx is empty", "check where it comes from")


def test_a_file_that_may_not_be_read(check_path, monkeypatch):
    """Refused as for everyone but root, who may run this test."""
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK)
    assert wrong(check_path("model.onnx")) == ("model.onnx cannot be read", "check its permissions")


def test_a_schema_file_that_is_a_pipe_is_not_waited_for(folder, write, checked):
    os.mkfifo(folder / "pipe.arrow")
    row = {"name": "a", "path": "model.pt", "input_schema": "pipe.arrow", "output_schema": {"x": "int64"}}
    (problem,) = checked(write(".jsonl", [row])).problems
    assert problem.what == '"pipe.arrow" is no regular file'


def test_a_schema_file_is_read_anew_by_every_check(folder, write, checked):
    import pyarrow as pa

    row = {"name": "a", "path": "model.onnx", "input_schema": "x.arrow"}
    path = write(".jsonl", [row])
    found = []
    for kind in (pa.int64(), pa.string()):
        with pa.OSFile(str(folder / "x.arrow"), "wb") as file, pa.ipc.new_file(file, pa.schema([("x", kind)])):
            pass
        found += [entry.input_schema for entry in checked(path).entries]
    assert len(set(found)) == 2


def test_suggestions_for_a_million_missing_files_are_not_looked_for(write, checked):
    rows = [{"name": f"m{number}", "path": f"modle-{number}.onnx"} for number in range(MOST_SUGGESTIONS + 50)]
    _, problems = checked(write(".jsonl", rows))
    assert len(problems) == MOST_SUGGESTIONS + 50
    assert "did you mean" not in problems[-1].remedy
    assert problems[-1].remedy

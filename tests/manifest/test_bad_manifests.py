"""A manifest that is none at all: one problem, what it is, and what to do."""

import errno
import os
from pathlib import Path

import pytest

from bulkload.core.bounds import LARGEST_DOCUMENT_BYTES, LONGEST_LINE_BYTES
from bulkload.core.model.records import Problem
from bulkload.manifest import check


@pytest.fixture
def only(checked):
    """The one problem of a manifest as a whole, as (what, remedy)."""

    def only(manifest, **given):
        entries, problems = checked(manifest, **given)
        assert entries == []
        (problem,) = problems
        assert (problem.manifest, problem.place, problem.field) == (str(manifest), "", "")
        return problem.what, problem.remedy

    return only


def test_a_missing_manifest(only, tmp_path, extension):
    assert only(tmp_path / f"nowhere{extension}") == ("does not exist", "check the path")


def test_a_folder(only, tmp_path, extension):
    path = tmp_path / f"folder{extension}"
    path.mkdir()
    assert only(path) == ("is a folder", "name a manifest inside it")
    assert only(tmp_path) == ("is a folder", "name a manifest inside it")


def test_a_pipe_is_not_waited_for(only, tmp_path, extension):
    path = tmp_path / f"pipe{extension}"
    os.mkfifo(path)
    what, remedy = only(path)
    assert what == "is no regular file"
    assert "name it -" in remedy


def test_a_loop_of_links(only, tmp_path):
    (tmp_path / "one.csv").symlink_to("two.csv")
    (tmp_path / "two.csv").symlink_to("one.csv")
    assert "symbolic links" in only(tmp_path / "one.csv")[0]


def test_a_link_to_nowhere(only, tmp_path):
    (tmp_path / "gone.csv").symlink_to("nowhere")
    assert only(tmp_path / "gone.csv")[0] == "does not exist"


@pytest.mark.parametrize("name", ["x" * 5_000 + ".csv", "nul\0.csv", "", "file.csv/manifest.csv"])
def test_a_path_that_no_file_can_have(name, checked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.csv").write_text("name,path\n")
    (problem,) = check(name, overrides={}, workspace=None, workspace_needed=False)
    assert isinstance(problem, Problem)
    assert problem.what
    assert problem.remedy


def test_a_manifest_that_may_not_be_read(only, write, extension, monkeypatch):
    """Refused as for everyone but root, who may run this test."""

    def refuse(self, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    path = write(extension, [{"name": "a", "path": "model.onnx"}])
    monkeypatch.setattr(Path, "open", refuse)
    what, remedy = only(path)
    assert "Permission denied" in what
    assert "permissions" in remedy


@pytest.mark.parametrize(
    ("name", "what", "remedy"),
    [
        ("models.jsn", '".jsn" is no manifest format', 'did you mean ".json"?'),
        ("models.xlsx", '".xlsx" is no manifest format', ".csv"),
        ("models", "has no extension", ".jsonl"),
        (".csv", "has no extension", ".jsonl"),
        ("models.csv.bak", '".bak" is no manifest format', ".csv"),
    ],
)
def test_a_format_that_is_none(name, what, remedy, only, tmp_path):
    (tmp_path / name).write_text("name,path\n")
    found = only(tmp_path / name)
    assert what in found[0]
    assert remedy in found[1]


def test_an_extension_may_be_written_large(write, checked):
    path = write(".csv", [{"name": "a", "path": "model.onnx"}])
    assert len(checked(path.rename(path.with_suffix(".CSV"))).entries) == 1


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\t\r\n  ", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_file_of_nothing(content, check_text, extension):
    entries, problems = check_text(extension, content)
    assert entries == []
    (problem,) = problems
    if extension in (".parquet", ".arrow", ".feather"):
        assert "is no whole" in problem.what
    else:
        assert problem.what in (
            "holds no entries",
            "has no header",
            "has no list of entries",
            "is no YAML: found character that cannot start any token",
        )
    assert problem.remedy


@pytest.mark.parametrize(
    "content", [b"\0" * 1000, b"\xff" * 1000, bytes(range(256)), b"\x1f\x8b\x08gzip", b"PK\x03\x04"]
)
def test_a_file_of_something_else(content, check_text, extension):
    entries, problems = check_text(extension, content)
    assert entries == []
    assert problems


def test_a_line_that_is_too_long_is_named_and_the_others_are_checked(check_text):
    good, bad = b'{"name": "a", "path": "model.onnx"}\n', b'{"name": "B", "path": "model.onnx"}\n'
    entries, problems = check_text(".jsonl", good + b"x" * (LONGEST_LINE_BYTES + 1) + b"\n" + bad)
    assert len(entries) == 1
    assert [problem.place for problem in problems] == ["line 2", "line 3"]
    assert problems[0].what == "is longer than 4 MiB"
    # A line as long as may be is taken.
    assert len(check_text(".jsonl", good.rstrip().ljust(LONGEST_LINE_BYTES - 1) + b"\n").entries) == 1


def test_a_line_without_end_is_given_up(check_text):
    """A device, say: it would be read for ever."""
    good = b'{"name": "a", "path": "model.onnx"}\n'
    text = good + b"x" * (LONGEST_LINE_BYTES + LARGEST_DOCUMENT_BYTES + 1) + b"\n" + good
    assert [problem.place for problem in check_text(".jsonl", text).problems] == ["line 2"]


def test_a_row_that_is_too_long_ends_the_reading_of_csv(check_text):
    """Where its last cell ends, nobody knows."""
    entries, problems = check_text(".csv", b"name,path\na,model.onnx\n" + b"," * (LONGEST_LINE_BYTES + 1) + b"\n")
    assert len(entries) == 1
    assert [problem.place for problem in problems] == ["line 3"]
    assert check_text(".csv", b"," * (LONGEST_LINE_BYTES + 1)).problems[0].place == "line 1"


@pytest.mark.parametrize("extension", [".json", ".yaml", ".toml"])
def test_a_document_that_would_not_fit_in_memory_is_told_a_format_that_does(extension, check_text):
    (problem,) = check_text(extension, b" " * (LARGEST_DOCUMENT_BYTES + 1)).problems
    assert problem.what == "is larger than 16 MiB"
    assert ".jsonl" in problem.remedy


def test_a_manifest_may_change_between_two_checks(write, checked):
    first = checked(write(".csv", [{"name": "a", "path": "model.onnx"}]))
    second = checked(write(".csv", [{"name": "b", "path": "model.onnx"}]))
    assert [entry.name for entry in (*first.entries, *second.entries)] == ["a", "b"]


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_nothing_stays_open_and_nothing_is_left_behind(write, checked, folder, extension):
    path = write(extension, [{"name": "a", "path": "model.onnx"}, {"name": "B", "path": "model.onnx"}])
    checked(path)  # what libraries open once is open
    before = open_files(), sorted(folder.iterdir())
    checked(path)
    assert (open_files(), sorted(folder.iterdir())) == before

"""What became of every entry, in the format that the file's name says, whole or not at all."""

import contextlib
import csv
import gc
import io
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow.parquet
import pytest

from bulkload.cli import run_command_line
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.ledger.sqlite.writes import Store
from tests.variants import each_once

Results = Callable[..., tuple[int, str, str]]
FORMULAS = ["=1+1", "+1", "-cmd|' /C calc'!A0", "@SUM(A1)", " =1", "-1", "plain"]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest with a ledger of one entry a formula, as its message."""
    manifest = tmp_path / "models.csv"
    manifest.write_text("name,path\n")
    store = Store(tmp_path / "models.csv.ledger.db")
    store.begin_run("run-1", "2026-01-06T16:34:30Z")
    store.close()
    with closing(sqlite3.connect(tmp_path / "models.csv.ledger.db", isolation_level=None)) as ledger:
        columns = [
            row for row in ledger.execute("PRAGMA table_info(entries)") if row[3] and row[4] is None and not row[5]
        ]
        for number, formula in enumerate(FORMULAS):
            values = {name: number + 1 if "INT" in kind else f"t{number}" for _, name, kind, *_ in columns}
            values |= {"name": f"m{number}", "line": number + 1, "state": "failed", "message": formula, "labels": "{}"}
            values |= {"framework": "onnx", "spec": '{"workspace": "w"}'}
            marks = ", ".join("?" for _ in values)
            ledger.execute(f"INSERT INTO entries ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))
    return manifest


@pytest.fixture
def results(manifest: Path) -> Results:
    def run(*words: str) -> tuple[int, str, str]:
        out, said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            code = run_command_line(["results", str(manifest), *words])
        return code, out.buffer.getvalue().decode(), said.getvalue()

    return run


def messages_in(path: Path) -> list[str]:
    data = path.read_bytes()
    match path.suffix.lower():
        case ".csv":
            return [row["message"] for row in csv.DictReader(io.StringIO(data.decode(), newline=""))]
        case ".json":
            return [row["message"] for row in json.loads(data)]
        case ".jsonl" | ".ndjson":
            return [json.loads(line)["message"] for line in data.splitlines()]
        case ".parquet":
            return [str(message) for message in pyarrow.parquet.read_table(path)["message"].to_pylist()]
    return [line.split("failed", 1)[1].strip() for line in data.decode().splitlines()[1:]]


@pytest.mark.parametrize("name", ["r.csv", "r.json", "r.jsonl", "r.ndjson", "r.parquet", "r.JSON", "r.txt"])
def test_the_extension_chooses_the_format(name, results, tmp_path):
    """As people expect who name a file."""
    code, out, said = results("-o", str(tmp_path / name))
    assert (code, out, said) == (0, "", "")
    assert messages_in(tmp_path / name) == [formula.strip() if name == "r.txt" else formula for formula in FORMULAS]


@pytest.mark.parametrize("name", ["r.xlsx", "r", "r.csv.gz", "json"])
def test_a_name_that_says_nothing_is_exit_2(name, results, tmp_path):
    """And no file."""
    code, _, said = results("-o", str(tmp_path / name))
    assert code == 2
    assert ".csv, .jsonl" in said
    assert "--format" in said
    assert not (tmp_path / name).exists()


def test_a_flag_goes_before_the_extension(results, tmp_path, monkeypatch):
    """It was typed for this file; a variable, or a key of the config, was not."""
    assert results("-o", str(tmp_path / "r.txt"), "--format", "csv")[0] == 0
    assert (tmp_path / "r.txt").read_text().startswith("entry_key,")
    monkeypatch.setenv("BULKLOAD_FORMAT", "csv")
    assert results("-o", str(tmp_path / "r.json"))[0] == 0
    assert messages_in(tmp_path / "r.json") == FORMULAS
    assert results("-o", str(tmp_path / "r"))[0] == 0
    assert (tmp_path / "r").read_text().startswith("entry_key,")
    assert results()[1].startswith("entry_key,")


def test_an_empty_ledger_is_an_empty_array(manifest, results):
    """Valid JSON, always."""
    with closing(sqlite3.connect(f"{manifest}.ledger.db", isolation_level=None)) as ledger:
        ledger.execute("DELETE FROM entries")
    assert json.loads(results("--format", "json")[1]) == []


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "table"])
def test_a_file_that_cannot_be_written_whole_is_as_before(form, results, tmp_path, manifest):
    """A row that cannot be read ends it; what was there is there still, and nothing lies beside it."""
    (tmp_path / "old").write_text("old")
    # The place where SQLite keeps the text of the last message, made no text.
    with closing(sqlite3.connect(f"{manifest}.ledger.db", isolation_level=None)) as ledger:
        ledger.execute("UPDATE entries SET message = CAST(x'ff' AS TEXT) WHERE line = 7")
    before = sorted(tmp_path.iterdir())
    code, _, said = results("-o", str(tmp_path / "old"), "--format", form)
    assert (code, "cannot be read" in said) == (1, True), said
    assert (tmp_path / "old").read_text() == "old"
    assert sorted(path for path in tmp_path.iterdir() if ".ledger.db-" not in path.name) == before


def test_a_full_disk_is_exit_1_with_the_name_of_the_file(results):
    """Not standard output's fault."""
    code, _, said = results("-o", "/dev/full", "--format", "csv")
    assert code == 1
    assert said.startswith("bulkload: /dev/full cannot be written (No space left on device)")


@pytest.mark.parametrize(("form", "code"), each_once(["table", "csv", "jsonl", "json", "parquet"], [141, 1]))
def test_a_reader_that_goes_away_in_the_middle_leaves_no_word(form, code, manifest, tmp_path):
    """More rows than a pipe holds: nothing is said by what was under way, either."""
    with closing(sqlite3.connect(f"{manifest}.ledger.db", isolation_level=None)) as ledger:
        names = [row[1] for row in ledger.execute("PRAGMA table_info(entries)")][1:]
        changed = {"entry_key": "entry_key || n", "line": "line + 7 * n", "message": "hex(randomblob(500))"}
        ledger.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 400)"
            f" INSERT INTO entries ({', '.join(names)})"
            f" SELECT {', '.join(changed.get(name, name) for name in names)} FROM entries, numbers"
        )
    reading, writing = os.pipe()
    os.close(reading)
    said = io.StringIO()
    with (
        os.fdopen(writing, "w") as gone,
        Path("/dev/full").open("w") as full,
        contextlib.redirect_stdout(gone if code == 141 else full),
        contextlib.redirect_stderr(said),
    ):
        assert run_command_line(["results", str(manifest), "--format", form]) == code
        gc.collect()
    assert said.getvalue().startswith("" if code == 141 else "bulkload: standard output cannot be written")
    assert said.getvalue().count("\n") == (0 if code == 141 else 1)


def test_a_place_where_no_file_can_lie_is_exit_2(results, tmp_path):
    """With the reason."""
    code, _, said = results("-o", str(tmp_path / "none" / "r.csv"))
    assert (code, "No such file or directory" in said) == (2, True)


@pytest.mark.parametrize("beside", ["", "-wal", "-shm", ".lock"])
def test_what_belongs_to_a_ledger_is_not_written_over(beside, results, tmp_path):
    """Its log, its index and its lock; the manifest that lies beside it, also where the ledger is named."""
    written = tmp_path / f"models.csv{'.ledger.db' if beside else ''}{beside}"
    written.touch()
    before = written.read_bytes()
    words = [str(tmp_path / "models.csv.ledger.db"), "-o", str(written), "--format", "csv"]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert run_command_line(["results", *words]) == 2
    assert "is what the rows are read from" in said.getvalue()
    assert beside == "-shm" or written.read_bytes() == before


@pytest.mark.parametrize(
    "words", [("results", "{}/models.csv", "--format", "csv"), ("manifest", "convert", "{}/m.csv")]
)
@pytest.mark.parametrize("name", ["another.db", "another.db-wal", "link.csv"])
def test_no_database_is_written_over(words, name, manifest, tmp_path):
    """Another ledger, its log, a link to it."""
    (tmp_path / "m.csv").write_text("name,path,framework,workspace\n")
    (tmp_path / "link.csv").symlink_to("another.db")
    with closing(sqlite3.connect(tmp_path / "another.db", isolation_level=None)) as another:
        another.execute("PRAGMA journal_mode = WAL")
        another.execute("CREATE TABLE t (a)")
        before = (tmp_path / name).read_bytes()
        words = [word.replace("{}", str(tmp_path)) for word in words]
        words += ["-o", str(tmp_path / name)] + ([] if "results" in words else ["--format", "csv"])
        with contextlib.redirect_stderr(io.StringIO()) as said:
            assert run_command_line(words) == 2
        assert "is a database" in said.getvalue()
        assert (tmp_path / name).read_bytes() == before


def test_a_link_in_a_circle_is_a_place_where_no_file_can_lie(results, tmp_path):
    """Not an internal error."""
    (tmp_path / "r.csv").symlink_to("r.csv")
    code, _, said = results("-o", str(tmp_path / "r.csv"))
    assert (code, "cannot be written (Too many levels of symbolic links)" in said) == (2, True)


@pytest.mark.parametrize("read", ["models.csv", "models.csv.ledger.db"])
def test_what_is_read_is_not_written_over(read, results, tmp_path):
    """`-o` of the manifest itself, or of its ledger."""
    before = (tmp_path / read).read_bytes()
    code, _, said = results("-o", str(tmp_path / read), "--format", "csv")
    assert (code, "is what the rows are read from" in said) == (2, True)
    assert (tmp_path / read).read_bytes() == before


def test_a_reader_of_the_file_that_goes_away_is_exit_141(results, tmp_path):
    """A named pipe."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)
    os.close(reader)
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert results("-o", str(tmp_path / "pipe"), "--format", "csv")[0] == 0
    assert os.read(reading, 9) == b"entry_key"
    for descriptor in (reading, writer):
        os.close(descriptor)


def test_a_dash_is_standard_output(results):
    """Also by its other names; it is written on, not replaced."""
    for name in ("-", "/dev/stdout"):
        assert json.loads(results("-o", name, "--format", "json")[1])[0]["line"] == 1


def test_for_spreadsheet_no_cell_is_calculated(results):
    """Numbers stay numbers, and other cells as they are; without the flag every cell is exact."""
    rows = list(csv.DictReader(io.StringIO(results("--format", "csv", "--for-spreadsheet")[1])))
    assert [row["message"] for row in rows] == [
        "'=1+1", "+1", "'-cmd|' /C calc'!A0", "'@SUM(A1)", "' =1", "-1", "plain",
    ]  # fmt: skip
    assert list(rows[0]) == list(RESULT_COLUMNS)
    exact = list(csv.DictReader(io.StringIO(results("--format", "csv")[1])))
    assert [row["message"] for row in exact] == FORMULAS


def test_for_spreadsheet_is_for_csv(results, tmp_path):
    """Another format is exit 2."""
    assert results("--for-spreadsheet")[0] == 2
    assert results("--for-spreadsheet", "-o", str(tmp_path / "r.json"))[0] == 2
    assert results("--for-spreadsheet", "-o", str(tmp_path / "r.csv"))[0] == 0


def test_rows_and_columns_are_chosen(results, manifest, tmp_path):
    """The same in every format."""
    with closing(sqlite3.connect(f"{manifest}.ledger.db", isolation_level=None)) as ledger:
        ledger.execute("UPDATE entries SET state = 'ready' WHERE line IN (2, 3)")
        ledger.execute("UPDATE entries SET state = 'error' WHERE line = 5")
    words = ("--columns", "state,name", "--state", "ready,error", "--limit", "2")
    assert results(*words, "--format", "csv")[1] == "state,name\nready,m1\nready,m2\n"
    assert results(*words)[1] == "state  name\nready  m1\nready  m2\n"
    expected = [{"state": "ready", "name": "m1"}, {"state": "ready", "name": "m2"}]
    assert json.loads(results(*words, "--format", "json")[1]) == expected
    assert [json.loads(line) for line in results(*words, "--format", "jsonl")[1].splitlines()] == expected
    assert results(*words, "-o", str(tmp_path / "r.parquet"))[0] == 0
    table = pyarrow.parquet.read_table(tmp_path / "r.parquet")
    assert table.to_pylist() == expected
    assert table.schema.metadata[b"bulkload.results.schema"] == b"2"
    failed = results("--failed", "--columns", "name", "--format", "csv")[1].split()
    assert failed == ["name", "m0", "m3", "m4", "m5", "m6"]
    both = results("--failed", "--state", "ready", "--columns", "name", "--format", "csv")[1].split()
    assert both == ["name", *(f"m{number}" for number in range(7))]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--state", "redy"), '"redy" is no state; did you mean ready?'),
        (("--columns", "name,mesage"), '"mesage" is no column; did you mean message?'),
        (("--columns", ","), "names no column; there are entry_key, line, name"),
    ],
)
def test_a_misspelt_name_is_exit_2_with_the_right_one(words, hint, results):
    code, _, said = results(*words)
    assert (code, hint in said) == (2, True), said


def test_the_last_columns_say_where_it_is(results, manifest):
    """The workspace as the manifest has it, and whom the ledger belongs to."""
    with closing(sqlite3.connect(f"{manifest}.ledger.db", isolation_level=None)) as ledger:
        ledger.execute("INSERT OR REPLACE INTO meta VALUES ('registry', 'https://registry.example.com')")
    row = json.loads(results("--format", "json", "--limit", "1")[1])[0]
    assert list(row)[-2:] == ["workspace", "registry"]
    assert (row["workspace"], row["registry"]) == ("w", "https://registry.example.com")

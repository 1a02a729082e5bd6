"""What is wrong with a manifest is said in one go, each kind once; a program gets all of it, in bounded memory."""

import io
import json

import anyio
import pytest

from bulkload import ManifestError, Settings, publish
from tests.cli.in_process import run_with, sandbox_in
from tests.manifest.bombs import attack

ROWS = 20_000


def test_an_unknown_field_is_one_line_however_many_rows_have_it(bulkload, tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"model")
    row = '{{"name": "m{0}", "path": "{1}", "onnx_version": "1"}}\n'
    text = "".join(row.format(number, "a.onnx" if number else "gone.onnx") for number in range(ROWS))
    (tmp_path / "m.jsonl").write_text(text)
    result = bulkload("plan", "m.jsonl", "--offline", "--sandbox")
    assert result.returncode == 4
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(
        'm.jsonl: lines 1, 2, 3, ... (20,000 in all): unknown field "onnx_version"; use one of name'
    )
    assert lines[1].startswith("m.jsonl: line 1: path: gone.onnx does not exist")
    assert lines[2] == "bulkload: m.jsonl: 20,001 problems; nothing was sent; --all-problems shows each"


def test_a_missing_workspace_is_one_line_however_many_entries_name_it(tmp_path):
    """And another one is another; a program gets each entry."""
    (tmp_path / "a.onnx").write_bytes(b"model")
    row = '{{"name": "m{0}", "path": "a.onnx", "workspace": "{1}"}}\n'
    rows = [row.format(number, "frad" if number else "else") for number in range(10_001)]
    (tmp_path / "m.jsonl").write_text("".join(rows))
    with sandbox_in(tmp_path) as place, io.StringIO() as out:
        code, said = run_with(place, place.words("run {}/m.jsonl --json -q"), out, tmp_path / "said")
        problems = json.loads(out.getvalue())["error"]["problems"]
    assert code == 4
    manifest, remedy = tmp_path / "m.jsonl", "does not exist; name one of these: user@example.com - Default Workspace"
    first, second, last = said.splitlines()
    assert first.startswith(f"{manifest}: line 1: workspace: 'else' {remedy}")
    assert second.startswith(f"{manifest}: lines 2, 3, 4, ... (10,000 in all): workspace: 'frad' {remedy}")
    assert last == f"bulkload: {manifest}: 10,001 problems; nothing was sent; --all-problems shows each"
    assert [problem["place"] for problem in problems] == [f"line {number + 1}" for number in range(10_001)]


@pytest.mark.parametrize(
    "command", [["plan", "--offline"], ["run", "--sandbox"], ["manifest", "convert", "-o", "o.csv"]]
)
def test_each_problem_is_shown_where_that_is_asked(command, bulkload, tmp_path):
    (tmp_path / "m.jsonl").write_text('{"nmae": "a"}\n' * 50)
    result = bulkload(*command, "m.jsonl", "--all-problems")
    assert result.returncode == 4
    assert sum('unknown field "nmae"' in line for line in result.stderr.splitlines()) == 50
    assert "--all-problems" not in result.stderr
    assert bulkload(*command, "m.jsonl").stderr.count('unknown field "nmae"') == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", "nmae,path,tag\nA,a.onnx,x\nb,gone.onnx,y\n"),
        ("m.jsonl", '{"nmae": "A", "path": "a.onnx", "tag": "x"}\n{"nmae": "b", "path": "gone.onnx", "tag": "y"}\n'),
        ("m.yaml", "- {nmae: A, path: a.onnx, tag: x}\n- {nmae: b, path: gone.onnx, tag: y}\n"),
    ],
)
def test_an_unknown_column_hides_nothing(name, text, bulkload, tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"model")
    (tmp_path / name).write_text(text)
    result = bulkload("plan", name, "--offline", "--sandbox")
    assert result.returncode == 4
    for words in ('"nmae"', '"tag"', '"A" is no model name', "gone.onnx does not exist"):
        assert words in result.stderr
    assert "is missing" not in result.stderr  # `nmae` is read as the name that it was meant to be


def test_a_parquet_manifest_with_an_unknown_column_shows_all_else(bulkload, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"nmae": ["A"], "path": ["gone.onnx"], "tag": ["x"]}), tmp_path / "m.parquet")
    result = bulkload("plan", "m.parquet", "--offline", "--sandbox")
    for words in ('"nmae"', '"tag"', '"A" is no model name', "gone.onnx does not exist"):
        assert words in result.stderr


def test_a_program_gets_all_of_them(tmp_path):
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"name": "A"}\n' * ROWS)
    settings = Settings(manifest=str(manifest), endpoint="http://127.0.0.1:1", ledger=tmp_path / "l.db")

    async def publishing():
        await publish(settings)

    with pytest.raises(ManifestError) as raised:
        anyio.run(publishing)
    problems = raised.value.problems
    assert len(problems) == len(list(problems)) == 3 * ROWS
    assert (problems[-1].place, problems[-1].field) == (f"line {ROWS}", "workspace")
    assert problems[3].place == "line 2"


@pytest.mark.attack
@pytest.mark.timeout(1200)
def test_a_million_bad_rows_cost_no_memory(tmp_path):
    with (tmp_path / "m.jsonl").open("w") as manifest:
        manifest.writelines('{"name": "A", "path": "x", "tag": 1}\n' for _ in range(1_000_000))
    code, said, most = attack(tmp_path / "m.jsonl")
    assert code == 4
    assert "problems; nothing was sent" in said
    # Beside the lines of progress, of which a busy machine has many.
    assert len([line for line in said.splitlines() if not line.startswith("checking the manifest")]) < 10
    assert most < 200

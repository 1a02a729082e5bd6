"""A problem says where it is, in the words of the tool that its reader will open the manifest with."""

import pytest

BAD = {"name": "Bad", "path": "model.onnx"}
GOOD = {"name": "good", "path": "model.onnx"}


@pytest.mark.parametrize(
    ("extension", "place", "line"),
    [
        (".csv", "line 4", 4),
        (".jsonl", "line 3", 3),
        (".json", "item 3", 3),
        (".toml", "item 3", 3),
        (".parquet", "row 3", 3),
        (".arrow", "row 3", 3),
        (".feather", "row 3", 3),
    ],
)
def test_the_third_entry(extension, place, line, write, checked):
    rows = [GOOD, GOOD | {"name": "b"}, BAD, GOOD | {"name": "c"}]
    path = write(extension, rows)
    _, problems = checked(path)
    assert [problem.place for problem in problems] == [place]
    assert str(problems[0]).startswith(f"{path}: {place}: name: ")
    (path.parent / "right").mkdir()
    entries, _ = checked(write(extension, [*rows[:2], GOOD | {"name": "x"}, rows[3]]))
    assert entries[2].line == line


def test_yaml_names_the_line_on_which_an_item_begins(check_text):
    text = """# a comment
defaults:
  visibility: private

models:

  - name: good
    path: model.onnx

  # another
  -
    path: model.onnx
    name: Bad
  - {name: Worse,
     path: model.onnx}
"""
    entries, problems = check_text(".yaml", text)
    assert [problem.place for problem in problems] == ["line 12", "line 14"]
    assert entries[0].line == 1


def test_yaml_names_the_line_of_a_bare_list_and_of_an_alias(check_text):
    _, problems = check_text(".yaml", "- &a\n  name: Bad\n  path: model.onnx\n- *a\n")
    assert [problem.place for problem in problems] == ["line 1", "line 4"]


def test_csv_names_the_physical_line_on_which_a_row_begins(check_text):
    text = 'name,path,labels\ngood,model.onnx,"{\n""a"":\n""b""}"\n\n\nBad,model.onnx,"{\n}"\nWorse,model.onnx,\n'
    entries, problems = check_text(".csv", text)
    assert [problem.place for problem in problems] == ["line 7", "line 9"]
    assert [(entry.line, entry.labels) for entry in entries] == [(2, {"a": "b"})]


def test_a_newline_in_a_header_counts(check_text):
    _, problems = check_text(".csv", '"name\n",path\nBad,model.onnx\n')
    assert [problem.place for problem in problems] == ["line 3"]


def test_empty_lines_of_jsonl_count(check_text):
    _, problems = check_text(
        ".jsonl", '\n{"name": "good", "path": "model.onnx"}\n \t\r\n{"name": "Bad", "path": "model.onnx"}'
    )
    assert [problem.place for problem in problems] == ["line 4"]


def test_rows_of_a_file_of_many_batches_are_counted_through(write, checked):
    rows = [{"name": f"m{number}", "path": "model.onnx"} for number in range(5_000)]
    rows[4_321] = BAD
    for extension in (".parquet", ".arrow"):
        entries, problems = checked(write(extension, rows))
        assert [problem.place for problem in problems] == ["row 4322"]
        assert [entry.line for entry in entries][-1] == 5_000


def test_a_document_that_cannot_be_read_names_line_and_column(check_text):
    text = '{"models": [\n  {"name": "a",\n   "path": }\n]}'
    (problem,) = check_text(".json", text).problems
    assert problem.place == "line 3"
    assert "column 12" in problem.what
    (problem,) = check_text(".toml", 'models = [\n{name = "a", path = }]').problems
    assert problem.place == "line 2"
    assert "column 21" in problem.what
    (problem,) = check_text(".yaml", "models:\n  - name: 'a\n").problems
    assert problem.place == "line 3"


def test_an_unquoted_quote_names_the_row_that_never_ends(check_text):
    text = 'name,path\ngood,model.onnx\n"bad,model.onnx\n' + "x,model.onnx\n" * 100
    entries, problems = check_text(".csv", text)
    assert len(entries) == 1
    assert [problem.place for problem in problems] == ["line 3"]
    assert "quote" in problems[0].remedy

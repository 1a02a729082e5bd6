"""CSV as spreadsheets and scripts really write it."""

import pytest

ROW = "a,model.onnx\n"


@pytest.mark.parametrize(
    "text",
    [
        "name,path\na,model.onnx\n",
        "name,path\na,model.onnx",
        "name,path\r\na,model.onnx\r\n",
        "\ufeffname,path\na,model.onnx\n",
        '\ufeff"name","path"\r\n"a","model.onnx"\r\n',
        " name , path \na,model.onnx\n",
        "name,path\n\n,\n  , \na,model.onnx\n\n",
        "path,name\nmodel.onnx,a\n",
    ],
    ids=["plain", "no last newline", "CRLF", "BOM", "BOM and quotes", "spaces in the header", "empty rows", "order"],
)
def test_what_reads_the_same(text, check_text):
    entries, problems = check_text(".csv", text)
    assert problems == []
    assert [(entry.name, entry.path) for entry in entries] == [("a", "model.onnx")]


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("\n", "has no header", "name,path"),
        (",,\n", "has no header", "name,path"),
        ("name;path;framework\na;model.onnx;onnx\n", 'unknown column "name;path;framework"', "with commas"),
        ("name\tpath\na\tmodel.onnx\n", 'unknown column "name\\tpath"', "with commas"),
        ("name,path,nmae\na,model.onnx,b\n", 'unknown column "nmae"', 'did you mean "name"?'),
        ("Name,path\na,model.onnx\n", 'unknown column "Name"', 'did you mean "name"?'),
        ("name,path,name\na,model.onnx,b\n", 'column "name" stands twice', "remove one"),
        ("name,path,\na,model.onnx,\n", "column 3 has no name", "name it, or remove"),
        (b"name,p\xe4th\na,model.onnx\n", "is not UTF-8", "as UTF-8"),
    ],
)
def test_a_wrong_header_is_named_and_no_row_is_guessed(text, what, remedy, check_text):
    entries, problems = check_text(".csv", text)
    assert entries == []
    (problem,) = problems
    assert problem.place == "line 1"
    assert what in problem.what
    assert remedy in problem.remedy


@pytest.mark.parametrize(("cells", "count"), [("a", 1), ("a,model.onnx,x", 3), ("a,b,c,d,e", 5)])
def test_a_row_of_other_length_is_named(cells, count, check_text):
    entries, problems = check_text(".csv", f"name,path\n{cells}\nb,model.onnx\n")
    assert [entry.name for entry in entries] == ["b"]
    assert problems[0].place == "line 2"
    assert problems[0].what == f"has {count} cells, the header has 2"


def test_bytes_of_another_encoding_are_named_with_line_and_field(check_text):
    """Latin-1: other cells of the row and other rows are checked all the same."""
    text = b"name,path,version\na,model.onnx,gr\xfc\xdfe\nB,model.onnx,x\nc,model.onnx,gr\xc3\xbc\xc3\x9fe\n"
    entries, problems = check_text(".csv", text)
    assert [(problem.place, problem.field, problem.what) for problem in problems[:1]] == [
        ("line 2", "version", "is not UTF-8")
    ]
    assert [problem.place for problem in problems] == ["line 2", "line 3"]
    assert [entry.version for entry in entries] == ["grüße"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_unicode_encodings_are_problems(encoding, check_text):
    entries, problems = check_text(".csv", ("name,path\n" + ROW).encode(encoding))
    assert entries == []
    assert problems


@pytest.mark.parametrize(
    ("field", "cell"),
    [("labels", '"{""a"": }"'), ("input_schema", '"[{""name"": ""x""'), ("framework_config", "{"), ("accel", "[")],
)
def test_bad_json_in_a_cell_is_named_beside_the_rows_other_problems(field, cell, check_text):
    text = f"name,path,{field}\nBad,model.onnx,{cell}" + ('"\n' if cell.startswith('"[') else "\n")
    _, problems = check_text(".csv", text)
    assert {problem.field for problem in problems} == {"name", field}
    wrong = next(problem for problem in problems if problem.field == field)
    assert "is no JSON: " in wrong.what
    assert "column" in wrong.what
    assert "JSON" in wrong.remedy


def test_a_key_twice_in_a_cell_is_named(check_text):
    _, problems = check_text(".csv", 'name,path,labels\na,model.onnx,"{""a"": ""1"", ""a"": ""2""}"\n')
    assert [(problem.field, problem.what) for problem in problems] == [("labels.a", 'key "a" stands twice')]


def test_spaces_around_json_and_only_spaces_are_no_matter(check_text):
    entries, problems = check_text(".csv", 'name,path,labels,version\na,model.onnx," {""a"": ""b""} ",\n')
    assert problems == []
    assert entries[0].labels == {"a": "b"}


def test_spaces_around_text_are_named_because_they_would_become_another_label_or_workspace(check_text):
    _, problems = check_text(".csv", "name,path,version,workspace\na , model.onnx, 7 , team\n")
    assert [problem.field for problem in problems] == ["name", "path", "workspace", "version"]
    assert [problem.remedy for problem in problems] == [
        'write it as "a"', 'write it as "model.onnx"', 'write it as "team"', 'write it as "7"'
    ]  # fmt: skip


def test_a_file_whose_name_does_begin_with_a_space_is_taken(folder, check_text):
    (folder / " model.onnx").write_bytes(b"model")
    entries, problems = check_text(".csv", "name,path\na, model.onnx\n")
    assert problems == []
    assert entries[0].path == " model.onnx"


def test_numbers_in_quotes_stay_text_inside_of_json(check_text):
    text = (
        "name,path,framework,framework_config,input_schema,output_schema\n"
        'a,model.zip,vllm,"{""max_num_seqs"": ""8""}","{}","{}"\n'
    )
    (problem,) = check_text(".csv", text).problems
    assert problem.field == "framework_config.config.max_num_seqs"


def test_a_cell_of_a_newline_is_no_path(check_text):
    (problem,) = check_text(".csv", 'name,path\na,"mo\ndel.onnx"\n').problems
    assert (problem.place, problem.field) == ("line 2", "path")
    assert '"mo\\ndel.onnx"' in problem.what


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x9b", "\u2028"])
@pytest.mark.parametrize("field", ["name", "path", "workspace", "version", "framework", "sha256"])
def test_control_characters_are_named_by_their_number(field, character, check_text):
    """They would act on the terminal, or cut the text short in C."""
    values = {"name": "a", "path": "model.onnx"} | {field: f"a{character}b"}
    text = ",".join(values) + "\n" + ",".join(values.values()) + "\n"
    _, problems = check_text(".csv", text)
    assert problems[0].field == field
    assert "cannot be printed" in problems[0].what


@pytest.mark.parametrize("length", [131_072, 131_073, 3_000_000])
def test_a_cell_may_be_as_long_as_a_line(length, check_text):
    """Python's csv module stops at 131,072 characters by itself."""
    entries, problems = check_text(".csv", f"name,path,version\na,model.onnx,{'x' * length}\nb,model.onnx,\n")
    assert problems == []
    assert [len(entry.version or "") for entry in entries] == [length, 0]


def test_old_macintosh_line_ends_are_named(check_text):
    entries, problems = check_text(".csv", "name,path\ra,model.onnx\r")
    assert entries == []
    assert "line feed" in problems[0].remedy

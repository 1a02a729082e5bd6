"""JSON lines and JSON documents, strictly: what is said twice or cannot be held is a problem, not a guess."""

import io
import json
import sys

import pytest

A = '{"name": "a", "path": "model.onnx"}'


@pytest.mark.parametrize(
    "text",
    [A, A + "\n", "\ufeff" + A, A + "\r\n", "\n\n" + A, "  " + A + "  \n", A.replace("a", "\\u0061")],
)
def test_jsonl_that_reads_the_same(text, check_text):
    entries, problems = check_text(".jsonl", text)
    assert problems == []
    assert [entry.name for entry in entries] == ["a"]


@pytest.mark.parametrize("text", [f"[{A}]", f'{{"models": [{A}]}}', f'\ufeff{{"defaults": null, "models": [{A}]}}'])
def test_json_that_reads_the_same(text, check_text):
    entries, problems = check_text(".json", text)
    assert problems == []
    assert [entry.name for entry in entries] == ["a"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("[]", "is no JSON object"),
        ("3", "is no JSON object"),
        ('"a"', "is no JSON object"),
        ("null", "is no JSON object"),
        ("{", "at column"),
        ('{"name": "a",}', "at column"),
        ("{'name': 'a'}", "at column"),
        (A + A, "Extra data at column"),
        ("name,path", "at column"),
        ("[" * 100_000, "nested too deep"),
        ('{"name": ' * 100_000, "nested too deep"),
        (b'{"name": "\xe4"}', "is not UTF-8"),
        ('{"name": "a"\x00}', "at column"),
    ],
)
def test_a_line_that_is_no_object_is_named_and_the_others_are_checked(line, what, check_text):
    good = A.encode() + b"\n"
    bad = line if isinstance(line, bytes) else line.encode()
    entries, problems = check_text(".jsonl", good + bad + b"\n" + good.replace(b'"a"', b'"b"'))
    assert [entry.name for entry in entries] == ["a", "b"]
    (problem,) = problems
    assert problem.place == "line 2"
    assert what in problem.what
    assert '{"name": ..., "path": ...}' in problem.remedy or "UTF-8" in problem.remedy


@pytest.mark.parametrize("extension", [".jsonl", ".json"])
@pytest.mark.parametrize(
    ("fields", "field", "what"),
    [
        ('"version": "1", "version": "1"', "version", 'key "version" stands twice'),
        ('"labels": {"a": "1", "a": "2"}', "labels.a", 'key "a" stands twice'),
        ('"framework_config": {"x": {"y": 1, "y": 2}}', "framework_config.x.y", 'key "y" stands twice'),
        ('"input_schema": {"x": "int64", "x": "bool"}', "input_schema.x", 'key "x" stands twice'),
        ('"framework_config": {"x": NaN}', "framework_config.x", "NaN is no JSON"),
        ('"framework_config": {"x": [-Infinity]}', "framework_config.x", "-Infinity is no JSON"),
        ('"framework_config": {"x": 1e999}', "framework_config.x", "is no JSON number"),
        (f'"framework_config": {{"x": {2**64}}}', "framework_config.x", "64 bits"),
        (f'"framework_config": {{"x": {-(2**63) - 1}}}', "framework_config.x", "64 bits"),
        (f'"framework_config": {{"x": {"9" * 5_000}}}', "framework_config.x", "a number of 5000 digits"),
        (f'"version": {"9" * 5_000}', "version", "a number of 5000 digits"),
        ('"version": NaN', "version", "NaN is no JSON"),
        ('"version": 1.10', "version", "1.1 is no text"),
        ('"version": true', "version", "true is no text"),
        ('"version": ["1"]', "version", "is no text"),
        ('"version": {"a": 1}', "version", "is no text"),
        ('"workspace_id": 14.0', "workspace_id", "14.0 is no text"),
        ('"version": "\\ud800"', "version", "cannot be printed"),
        ('"labels": {"a": "\\ud800"}', "labels.a", "half a character"),
        ('"labels": {"\\ud800": "a"}', "labels", "is no text"),
        ('"requirements": ["\\ud800"]', "requirements", "half a character"),
        ('"input_schema": {"\\ud800": "int64"}', "input_schema", "is no text"),
        ('"framework_config": ' + '{"a":' * 80 + "1" + "}" * 80, "framework_config", "nested too deep"),
        ('"accel": {"qaic": {"num_cores": 1, "num_cores": 2}}', "accel.qaic.num_cores", "stands twice"),
        ('"labels": {"a": []}', "labels.a", "is no text, number or truth value"),
        ('"labels": {"a": NaN}', "labels.a", "NaN is no JSON"),
    ],
)
def test_a_value_that_cannot_be_sent_is_named_in_its_place(extension, fields, field, what, check_text):
    """And the rest of the row and of the manifest is checked all the same."""
    config = "" if '"framework_config"' not in fields else '"framework": "custom", '
    row = f'{{"name": "a", "path": "model.onnx", {config}{fields}}}'
    good = '{"name": "b", "path": "model.onnx"}'
    text = f"[{row}, {good}]" if extension == ".json" else f"{row}\n{good}\n"
    entries, problems = check_text(extension, text)
    assert [entry.name for entry in entries] == ["b"]
    found = [problem for problem in problems if problem.field == field]
    assert len(found) == 1
    assert what in found[0].what
    assert found[0].place.endswith(" 1")


def test_the_largest_numbers_that_can_be_sent_are_taken(check_text):
    config = {"least": -(2**63), "most": 2**64 - 1, "tiny": 5e-324}
    row = {"name": "a", "path": "model.zip", "framework": "custom", "framework_config": config}
    row |= {"input_schema": {"x": "int64"}, "output_schema": {"x": "int64"}}
    (entry,) = check_text(".jsonl", json.dumps(row)).entries
    assert entry.conversion.framework_config == {"framework": "custom", "config": config}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("3", "has no list of entries"),
        ('"a"', "has no list of entries"),
        ("null", "has no list of entries"),
        ("{}", "has no list of entries"),
        ('{"models": {}}', "has no list of entries"),
        ('{"models": null}', "has no list of entries"),
        ('{"models": "a"}', "has no list of entries"),
        ('{"models": []}', "holds no entries"),
        ("[]", "holds no entries"),
        ('{"models": [], "models": []}', 'key "models" stands twice'),
        ('{"defaults": {}, "defaults": {}, "models": []}', 'key "defaults" stands twice'),
        (A + "\n" + A, "Extra data"),
        ("[" * 100_000, "nested too deep"),
        ('{"models": [', "Expecting value"),
    ],
)
def test_a_document_without_a_list_of_entries_is_a_problem(text, what, check_text):
    entries, problems = check_text(".json", text)
    assert entries == []
    assert what in problems[0].what


def test_an_unknown_key_beside_models_is_named(check_text):
    _, problems = check_text(".json", f'{{"model": 1, "models": [{A}]}}')
    assert [problem.what for problem in problems] == ['unknown key "model"']
    assert problems[0].remedy == 'did you mean "models"?'


@pytest.mark.parametrize("item", ["3", '"a"', "null", "[]", "NaN"])
def test_an_item_that_is_no_object_is_named_and_the_others_are_checked(item, check_text):
    entries, problems = check_text(".json", f"[{item}, {A}]")
    assert len(entries) == 1
    assert [problem.place for problem in problems] == ["item 1"]


def test_json_lines_in_a_json_file_are_told_their_name(check_text):
    (problem,) = check_text(".json", A + "\n" + A).problems
    assert ".jsonl" in problem.remedy


def test_standard_input_is_json_lines(folder, checked, monkeypatch):
    """Paths are relative to where the command runs."""
    monkeypatch.chdir(folder)
    text = A + "\n" + '{"name": "Bad", "path": "model.onnx"}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    entries, problems = checked("-")
    assert [entry.source for entry in entries] == [str(folder / "model.onnx")]
    assert [(problem.manifest, problem.place) for problem in problems] == [("standard input", "line 2")]


def test_empty_and_closed_standard_input_are_problems(checked, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert [problem.what for problem in checked("-").problems] == ["holds no entries"]
    monkeypatch.setattr(sys, "stdin", None)
    (problem,) = checked("-").problems
    assert "closed" in problem.what

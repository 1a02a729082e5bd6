"""The shapes of documents that people have: lists, objects of entries by their names, one entry alone."""

import json
from typing import Any

import pytest
import yaml

from bulkload.manifest.converting import convert

A = {"path": "model.onnx", "version": "1"}
B = {"path": "other.onnx"}
NAMES = [("a", "model.onnx", "1"), ("b", "other.onnx", None)]


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value) if not isinstance(value, list) else "[" + ", ".join(map(as_toml, value)) + "]"


@pytest.fixture(params=[".json", ".yaml", ".toml"])
def check_document(request, check_text):
    """Checks a document in every format."""

    def check_document(document):
        if request.param == ".json":
            return check_text(".json", json.dumps(document))
        if request.param == ".toml":
            return check_text(".toml", "".join(f"{json.dumps(k)} = {as_toml(v)}\n" for k, v in document.items()))
        return check_text(".yaml", yaml.safe_dump(document, sort_keys=False))

    return check_document


@pytest.mark.parametrize(
    "document",
    [
        {"a": A, "b": B},
        {"models": {"a": A, "b": B}},
        {"defaults": {}, "models": {"a": A, "b": B}},
        {"defaults": {"visibility": "private"}, "a": A, "b": B},
        {"a": A, "b": B, "defaults": {}},
        {"models": [{"name": "a"} | A, {"name": "b"} | B]},
        {"a": A, "b": {"name": "b"} | B},
    ],
)
def test_entries_by_their_names_are_read(document, check_document):
    entries, problems = check_document(document)
    assert problems == []
    assert [(entry.name, entry.path, entry.version) for entry in entries] == NAMES


def test_one_entry_alone_is_read(check_document):
    labels = {"team": "vision"}
    entries, problems = check_document({"name": "a", "path": "model.onnx", "labels": labels})
    assert problems == []
    assert [(entry.name, entry.labels) for entry in entries] == [("a", labels)]


def test_one_entry_alone_without_its_name_is_told_so(check_document):
    _, problems = check_document({"path": "model.onnx"})
    assert [(problem.field, problem.what) for problem in problems] == [("name", "is missing")]


@pytest.mark.parametrize("order", [["defaults", "models"], ["models", "defaults"]])
def test_defaults_hold_wherever_they_stand(order, check_document):
    document = {"defaults": {"version": "7"}, "models": [{"name": "b"} | B]}
    (entry,) = check_document({key: document[key] for key in order}).entries
    assert entry.version == "7"


def test_a_name_that_is_written_twice_must_be_the_same(check_document):
    _, problems = check_document({"a": A | {"name": "z"}})
    assert [(problem.field, problem.what) for problem in problems] == [
        ("name", 'is "z", and the entry stands under "a"')
    ]


def test_every_problem_of_such_entries_is_named(check_document):
    document = {"A": A, "b": {"path": "nowhere.onnx"}, "c": {"path": "model.onnx", "versoin": "1"}, "d": "model.onnx"}
    entries, problems = check_document(document)
    assert entries == []
    assert [problem.field for problem in problems] == ["name", "path", "", ""]
    assert problems[2].what == 'unknown field "versoin"'
    assert problems[3].what == 'the value of "d" is no object'


def test_an_unknown_key_beside_models_hides_nothing(check_document):
    entries, problems = check_document({"comment": "x", "models": [{"name": "a"} | A, {"name": "B"} | B]})
    assert len(entries) == 1
    assert [problem.what.partition(" ")[0] for problem in problems] == ["unknown", '"B"']


@pytest.mark.parametrize("extension", [".json", ".yaml"])
def test_a_name_twice_is_named(extension, check_text):
    text = {
        ".json": '{"a": {"path": "model.onnx"}, "a": {"path": "other.onnx"}}',
        ".yaml": "a: {path: model.onnx}\na: {path: other.onnx}\n",
    }[extension]
    entries, problems = check_text(extension, text)
    assert len(entries) == 1
    assert [problem.what for problem in problems] == ['key "a" stands twice']


def test_yaml_names_the_line_of_each_entry(check_text):
    _, problems = check_text(".yaml", "# models\nA:\n  path: model.onnx\n\nB:\n  path: model.onnx\n")
    assert [problem.place for problem in problems] == ["line 2", "line 5"]


def test_entries_by_name_may_be_anchors_and_aliases(check_text):
    text = "a: &a\n  path: model.onnx\nb:\n  <<: *a\n  version: 2\nmore: *a\n"
    entries, problems = check_text(".yaml", text)
    assert problems == []
    assert [(entry.name, entry.version) for entry in entries] == [("a", None), ("b", "2"), ("more", None)]


def test_such_a_document_can_be_converted(folder, checked):
    source, target = folder / "source.json", folder / "target.csv"
    source.write_text(json.dumps({"defaults": {"visibility": "public"}, "a": A, "b": B}))
    with target.open("wb") as stream:
        assert convert(str(source), ".csv", stream, folder) == 2
    entries, problems = checked(target)
    assert problems == []
    assert [(entry.name, entry.path, entry.version) for entry in entries] == NAMES


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"models": [{"name": "B", "path": "model.onnx"}, {"name": }]}', "is no JSON"),
        ('[{"name": "B", "path": "model.onnx"}, {"name": }]', "is no JSON"),
        ('{"models": [{"name": "B", "path": "model.onnx"}', "is no JSON"),
        ('{"models": [{"name": "B", "path": "model.onnx"}]', "is no JSON"),
        ('[{"name": "B", "path": "model.onnx"}] []', "Extra data"),
    ],
)
def test_what_comes_before_broken_json_is_checked(text, what, check_text):
    entries, problems = check_text(".json", text)
    assert entries == []
    assert len(problems) == 2
    assert any(what in problem.what for problem in problems)
    assert any("lower-case" in problem.what for problem in problems)


def test_what_comes_before_broken_yaml_is_checked(check_text):
    _, problems = check_text(".yaml", "- {name: B, path: model.onnx}\n- 'never ends\n")
    assert [problem.what.partition(" ")[0] for problem in problems] == ['"B"', "is"]

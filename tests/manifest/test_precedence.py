"""Row, then --set, then the manifest's defaults, then --workspace; a shared value is wrong once, at its place."""

import pytest

from bulkload.core.model.errors import UsageError
from bulkload.manifest import parse_overrides

DOCUMENTS = (".json", ".yaml", ".toml")
MODEL = {"name": "a", "path": "model.onnx"}


@pytest.fixture(params=DOCUMENTS)
def document(request):
    """The formats that have defaults."""
    return request.param


def test_the_row_wins_over_all(document, write, checked):
    path = write(document, [MODEL | {"version": "row"}], {"version": "default"})
    (entry,) = checked(path, overrides=["version=set"]).entries
    assert entry.version == "row"


def test_set_wins_over_the_defaults(document, write, checked):
    (entry,) = checked(write(document, [MODEL], {"version": "default"}), overrides=["version=set"]).entries
    assert entry.version == "set"


def test_defaults_hold_for_what_a_row_leaves_open(document, write, checked):
    rows = [MODEL, MODEL | {"name": "b", "visibility": "private"}]
    first, second = checked(write(document, rows, {"visibility": "public", "labels": {"team": "vision"}})).entries
    assert (first.visibility, second.visibility) == ("public", "private")
    assert first.labels == second.labels == {"team": "vision"}


@pytest.mark.parametrize("nothing", ["", None])
def test_a_value_that_is_not_there_hides_nothing(nothing, write, checked):
    path = write(".json", [MODEL | {"version": nothing}], {"version": "default"})
    (entry,) = checked(path).entries
    assert entry.version == "default"


def test_an_object_of_a_row_replaces_the_one_of_the_defaults(document, write, checked):
    path = write(document, [MODEL | {"labels": {"a": "1"}}], {"labels": {"b": "2"}})
    (entry,) = checked(path).entries
    assert entry.labels == {"a": "1"}


@pytest.mark.parametrize("row", [{"workspace": "row"}, {"workspace_id": 5}])
@pytest.mark.parametrize("default", [{}, {"workspace": "default"}, {"workspace_id": 7}])
@pytest.mark.parametrize("override", [[], ["workspace=set"], ["workspace_id=6"]])
def test_a_rows_workspace_wins_under_either_name(row, default, override, write, checked):
    """workspace and workspace_id are one thing: no mixture of two sources is a contradiction."""
    path = write(".json", [MODEL | row], default)
    (entry,) = checked(path, overrides=override, workspace="flag").entries
    assert entry.workspace == str(next(iter(row.values())))


@pytest.mark.parametrize(
    ("default", "override", "workspace"),
    [
        ({"workspace": "default"}, ["workspace_id=6"], "6"),
        ({"workspace_id": 7}, ["workspace=set"], "set"),
        ({"workspace_id": 7}, [], "7"),
        ({"workspace": "default"}, [], "default"),
        ({}, [], "flag"),
    ],
)
def test_workspaces_of_set_then_defaults_then_the_flag(default, override, workspace, write, checked):
    (entry,) = checked(write(".json", [MODEL], default), overrides=override, workspace="flag").entries
    assert entry.workspace == workspace


def test_no_workspace_is_a_problem_only_where_one_is_needed(extension, write, checked):
    path = write(extension, [MODEL])
    assert checked(path).problems == []
    assert checked(path, workspace="w", needed=True).problems == []
    (problem,) = checked(path, needed=True).problems
    assert (problem.field, problem.what) == ("workspace", "is missing")
    assert "--workspace" in problem.remedy


def test_set_holds_in_every_format(extension, write, checked):
    path = write(extension, [MODEL, MODEL | {"name": "b", "path": "model.zip", "framework": "tensorflow"}])
    entries = checked(path, overrides=["framework=onnx", 'labels={"a": "b"}', "python_version=3.9"]).entries
    assert [entry.conversion.framework for entry in entries] == ["onnx", "tensorflow"]
    assert all(entry.labels == {"a": "b"} and entry.conversion.python_version == "3.9" for entry in entries)


# What is wrong with a shared value.


def test_a_wrong_default_is_named_once_and_no_row_passes(document, write, checked):
    rows = [{"name": f"m{number}", "path": "model.onnx"} for number in range(50)]
    entries, problems = checked(write(document, rows, {"visibility": "privat"}))
    assert entries == []
    (problem,) = problems
    assert (problem.place, problem.field) == ("defaults", "visibility")
    assert problem.remedy == 'did you mean "private"?'


def test_a_row_that_does_not_use_a_wrong_default_passes(document, write, checked):
    rows = [MODEL | {"visibility": "public"}, MODEL | {"name": "b"}]
    entries, problems = checked(write(document, rows, {"visibility": "privat"}))
    assert [entry.name for entry in entries] == ["a"]
    assert len(problems) == 1


def test_a_wrong_set_and_a_wrong_workspace_are_named_once(write, checked):
    rows = [{"name": f"m{number}", "path": "model.onnx"} for number in range(50)]
    _, problems = checked(write(".jsonl", rows), overrides=["arch=sparc"], workspace=" w")
    assert [(problem.place, problem.field) for problem in problems] == [("--workspace", "workspace"), ("--set", "arch")]


def test_an_unknown_field_of_the_defaults_is_named(document, write, checked):
    _, problems = checked(write(document, [MODEL], {"framewrk": "onnx"}))
    (problem,) = problems
    assert problem.place == "defaults"
    assert problem.remedy == 'did you mean "framework"?'


@pytest.mark.parametrize("defaults", ['"x"', "[1]", "3", "true"])
def test_defaults_that_are_no_object_are_a_problem(defaults, check_text):
    _, problems = check_text(".json", f'{{"defaults": {defaults}, "models": [{{"name": "a", "path": "model.onnx"}}]}}')
    (problem,) = problems
    assert (problem.field, problem.what) == ("defaults", "is no object")


def test_the_order_of_defaults_and_models_is_no_matter(check_text):
    text = '{"models": [{"name": "a", "path": "model.onnx"}], "defaults": {"version": "1"}}'
    (entry,) = check_text(".json", text).entries
    assert entry.version == "1"


# The words of --set.


def test_set_words_are_fields_and_values() -> None:
    assert parse_overrides(["version=a=b", "framework=onnx"]) == {"version": "a=b", "framework": "onnx"}
    assert parse_overrides([]) == {}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("framework", "write it as --set FIELD=VALUE"),
        ("framewrk=onnx", 'did you mean "framework"?'),
        ("name=a", "is no field that can be set"),
        ("path=a", "is no field that can be set"),
        ("=a", "is no field that can be set"),
        ("version=", "is empty"),
        ("labels={", "is no JSON"),
        ('input_schema=[{"name": "x"', "is no JSON"),
    ],
)
def test_a_wrong_set_word_is_a_usage_error(word, message) -> None:
    with pytest.raises(UsageError) as caught:
        parse_overrides([word])
    assert message in str(caught.value)


def test_what_is_wrong_inside_of_a_set_word_is_named(write, checked):
    _, problems = checked(write(".jsonl", [MODEL]), overrides=['labels={"a": "1", "a": "2"}'])
    (problem,) = problems
    assert (problem.place, problem.field) == ("--set", "labels.a")
    assert "stands twice" in problem.what

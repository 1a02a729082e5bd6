"""YAML as people write it: a text field is what it looks like, a number is one where numbers belong."""

import pytest
import yaml

A = "name: a\n  path: model.onnx\n"


@pytest.mark.parametrize(
    ("scalar", "text"),
    [
        ("1.10", "1.10"),
        ("2024-05-01", "2024-05-01"),
        ("2024-05-01 10:00:00", "2024-05-01 10:00:00"),
        ("no", "no"),
        ("on", "on"),
        ("true", "true"),
        ("1e3", "1e3"),
        ("0x1F", "0x1F"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        (".inf", ".inf"),
        ("'null'", "null"),
        ('"~"', "~"),
        ("!!str 7", "7"),
        ("! 7", "7"),
        ("!!int 7", "7"),
        ("=", "="),
        ("9" * 5_000, "9" * 5_000),
        ("|-\n    7", "7"),
        (">-\n    a\n    b", "a b"),
    ],
)
def test_a_text_field_takes_a_scalar_as_it_is_written(scalar, text, check_text):
    entries, problems = check_text(".yaml", f"- {A}  version: {scalar}\n")
    assert problems == []
    assert entries[0].version == text


@pytest.mark.parametrize("scalar", ["null", "~", "Null", "NULL", "", "''", "!!null x"])
def test_null_and_empty_text_are_not_given(scalar, check_text):
    entries, _ = check_text(".yaml", f"- {A}  version: {scalar}\n")
    assert [entry.version for entry in entries] == ([None] if scalar != "!!null x" else ["x"])


def test_a_model_may_be_named_no(check_text):
    (entry,) = check_text(".yaml", "- name: no\n  path: model.onnx\n  python_version: 3.8\n").entries
    assert entry.name == "no"
    assert entry.conversion.python_version == "3.8"


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("8", 8),
        ("-8", -8),
        ("0.9", 0.9),
        ("1e-3", 0.001),
        ("1.5E+3", 1500.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("!!int 8", 8),
        ("!!float '0.9'", 0.9),
        ('"8"', "8"),
        ("'true'", "true"),
        ("!!str 8", "8"),
        # All numbers of YAML 1.2's core schema.
        ("+5", 5),
        ("-0", 0),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5e1", -5.0),
        ("+12.3E-02", 0.123),
        # Truth values and times of YAML 1.1 alone: people mean the words.
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("1.2.3", "1.2.3"),
        ("+", "+"),
        (".", "."),
        ("0x", "0x"),
        ('"0x1F"', "0x1F"),
        ("2024-05-01", "2024-05-01"),
        ("|\n      two\n      lines", "two\nlines\n"),
    ],
)
def test_in_framework_config_scalars_mean_what_they_mean_in_json(scalar, value, check_text):
    text = f"""
- name: a
  path: model.zip
  framework: custom
  input_schema: {{x: int64}}
  output_schema: {{x: int64}}
  framework_config:
    value: {scalar}
"""
    (entry,) = check_text(".yaml", text).entries
    assert entry.conversion.framework_config == {"framework": "custom", "config": {"value": value}}


@pytest.mark.parametrize(
    ("scalar", "what"),
    [
        ("1e999", "is no JSON number"),
        (".inf", "is no JSON number"),
        ("-.INF", "is no JSON number"),
        (".nan", "is no JSON number"),
        ("9" * 30, "64 bits"),
        ("0x" + "f" * 30, "64 bits"),
        ("9" * 5_000, "digits"),
        ("1_000", "not the same number in YAML 1.1 and YAML 1.2"),
        ("010", "not the same number"),
        ("0b11", "not the same number"),
        ("+0x1F", "not the same number"),
        ("1_0.5", "not the same number"),
    ],
)
def test_a_number_that_cannot_be_sent_is_named(scalar, what, check_text):
    text = f"- {A}  framework: custom\n  framework_config: {{x: {scalar}}}\n"
    found = [problem for problem in check_text(".yaml", text).problems if problem.field == "framework_config.x"]
    assert what in found[0].what


def test_labels_requirements_and_schemas_are_words_at_any_depth(check_text):
    text = f"""- {A}  labels: {{tier: 3, on: yes, since: 2024-05-01, gone: null, "7": "8"}}
  requirements: [numpy==1.0, 7]
  input_schema: [{{name: 1, type: int64}}, {{name: no, type: "int64[2]"}}]
"""
    (entry,) = check_text(".yaml", text).entries
    assert entry.labels == {"tier": "3", "on": "yes", "since": "2024-05-01", "7": "8"}
    assert entry.conversion.requirements == ("numpy==1.0", "7")


def test_anchors_aliases_and_merges_save_writing(check_text):
    text = """
defaults: &common
  version: "1"
models:
  - &first {name: a, path: model.pt, input_schema: &x {x: int64}, output_schema: *x}
  - <<: *first
    name: b
  - <<: [{version: "2"}, *first]
    name: c
"""
    entries, problems = check_text(".yaml", text)
    assert problems == []
    assert [(entry.name, entry.version, entry.path) for entry in entries] == [
        ("a", "1", "model.pt"), ("b", "1", "model.pt"), ("c", "2", "model.pt")
    ]  # fmt: skip


def test_an_anchor_means_what_its_place_says(check_text):
    """The same node is words in labels and a number in framework_config."""
    text = f"""- {A}  framework: custom
  labels: &n {{n: 1}}
  framework_config: *n
  input_schema: {{x: int64}}
  output_schema: {{x: int64}}
"""
    (entry,) = check_text(".yaml", text).entries
    assert entry.labels == {"n": "1"}
    assert entry.conversion.framework_config == {"framework": "custom", "config": {"n": 1}}


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("- name: 'a\n", "line 2", "is no YAML"),
        ("\tname: a\n", "line 1", "is no YAML"),
        ("- a: b: c\n", "line 1", "is no YAML"),
        ("- *nowhere\n", "line 1", "no anchor of that name"),
        ("- &a [*a]\n", "line 1", "inside of what it names"),
        ("- &a {b: *a}\n", "line 1", "inside of what it names"),
        ("- {[1]: 2}\n", "line 1", "a key is no text"),
        ("- {<<: 3}\n", "line 1", "<< takes an object"),
        ("3\n---\n- {b: 1}\n", "line 2", "a second document"),
        ("[" * 100_000, "line 1", "nested deeper"),
        ("- " * 1_000, "line 1", "nested deeper"),
        ("{a: " * 1_000, "line 1", "nested deeper"),
        ("3\n", "", "has no list of entries"),
        ("models: {a: b}\n", "", "has no list of entries"),
        ("models: !!set {a, b}\n", "", "means nothing here"),
        ("models: [3]\n", "line 1", "is no object"),
        (b"- name: \xe4\n", "", "is no YAML"),
        ("- name: a\x07\n", "", "is no YAML"),
        ("%YAML 3.0\n---\n- a\n", "line 1", "is no YAML"),
    ],
)
def test_what_no_manifest_can_hold_is_named(text, place, what, check_text):
    entries, problems = check_text(".yaml", text)
    assert entries == []
    assert problems[-1].place == place
    assert what in problems[-1].what


def test_a_key_twice_is_named_and_the_rest_is_checked(check_text):
    text = f"""- {A}  version: 1
  version: 2
- name: b
  path: model.onnx
  labels: {{a: b, a: c}}
- name: C
  path: nowhere.onnx
"""
    _, problems = check_text(".yaml", text)
    assert [(problem.place, problem.field) for problem in problems] == [
        ("line 1", "version"), ("line 5", "labels.a"), ("line 8", "name"), ("line 8", "path")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value", ["!secret x", "!!python/name:os.system x", "!!binary aGk=", "!!timestamp 2024-05-01", "!<x> y", "!!map x"]
)
def test_tags_are_named_and_never_obeyed(value, check_text):
    _, problems = check_text(".yaml", f"- {A}  version: {value}\n- name: B\n  path: model.onnx\n")
    assert [(problem.place, problem.field) for problem in problems] == [("line 1", "version"), ("line 4", "name")]
    assert "means nothing here" in problems[0].what


def test_tagged_lists_and_objects_are_named(check_text):
    text = f"- {A}  labels: !!python/object:os.x {{a: b}}\n  requirements: !!omap [a]\n"
    _, problems = check_text(".yaml", text)
    assert {problem.field for problem in problems} == {"labels", "requirements"}


def alias_bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return "\n".join(lines) + "\nmodels: []\n"


def test_an_alias_bomb_is_named_before_it_goes_off(check_text):
    problem = check_text(".yaml", alias_bomb(30)).problems[-1]
    assert "without end" in problem.what
    assert problem.remedy == "write the values out"


def test_a_merge_bomb_is_no_matter(check_text):
    lines = ["- &m0 {" + ", ".join(f"k{number}: v" for number in range(10)) + "}"]
    lines += [f"- &m{level} {{<<: [{', '.join([f'*m{level - 1}'] * 10)}]}}" for level in range(1, 30)]
    assert check_text(".yaml", "\n".join(lines) + "\n").problems


def test_a_schema_that_many_entries_share_by_alias_is_taken(check_text):
    columns = ", ".join(f"c{number}: float32" for number in range(100))
    text = f"- {{name: m, path: model.pt, input_schema: &s {{{columns}}}, output_schema: *s}}\n"
    text += "".join(f"- {{name: m{n}, path: model.pt, input_schema: *s, output_schema: *s}}\n" for n in range(300))
    entries, problems = check_text(".yaml", text)
    assert problems == []
    assert len(entries) == 301


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "---\n", "null\n", "~", "models:\n", "[]", "defaults: {}\nmodels: []\n"]
)
def test_a_yaml_file_of_nothing_is_a_problem(text, check_text):
    (problem,) = check_text(".yaml", text).problems
    assert problem.what in ("holds no entries", "has no list of entries")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_matter(encoding, check_text):
    entries, problems = check_text(".yaml", f"- {A}  version: größe\n".encode(encoding))
    assert problems == []
    assert entries[0].version == "größe"


def test_what_pyyaml_writes_is_read_back(check_text):
    rows = [{"name": "a", "path": "model.onnx", "version": text} for text in ("1.10", "no", "null", "~", "2024-05-01")]
    entries, problems = check_text(".yaml", yaml.safe_dump(rows))
    assert problems == []
    assert [entry.version for entry in entries] == [row["version"] for row in rows]

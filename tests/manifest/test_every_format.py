"""Every field and every rule means the same in every format."""

import base64
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bulkload.core.contract.frameworks import FRAMEWORKS
from bulkload.core.contract.schemas import decode, parse_schema
from bulkload.core.model.records import Conversion

SCHEMAS = {"input_schema": {"x": "float32[10]"}, "output_schema": {"y": "float32"}}
EMPTY = "/////zAAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAAAAAA="
X10 = parse_schema({"x": "float32[10]"})

# What a row says beside its name and path -> what its entry says.
GOOD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"path": "model.onnx", "workspace": None, "visibility": "private"}),
    ({}, {"version": None, "sha256": None, "labels": {}, "input_schema": None, "output_schema": None}),
    ({}, {"conversion": Conversion(framework="onnx", python_version="3.8", requirements=())}),
    ({"name": "a"}, {"name": "a"}),
    ({"name": "a" * 63}, {"name": "a" * 63}),
    ({"name": "a0--9"}, {"name": "a0--9"}),
    ({"path": "other.onnx"}, {"path": "other.onnx"}),
    ({"path": "./sub/../other.onnx"}, {"path": "./sub/../other.onnx"}),
    # The extension says the framework, and a word of the row says it better.
    ({"path": "model.pt", **SCHEMAS}, {"conversion": Conversion(framework="pytorch")}),
    ({"path": "model.pth", **SCHEMAS}, {"conversion": Conversion(framework="pytorch")}),
    ({"path": "model.h5", **SCHEMAS}, {"conversion": Conversion(framework="keras")}),
    ({"framework": "tensorflow"}, {"conversion": Conversion(framework="tensorflow")}),
    *(
        ({"framework": framework, "path": "model.zip", **SCHEMAS}, {"conversion": Conversion(framework=framework)})
        for framework in FRAMEWORKS
    ),
    # Workspaces: an id or a name, under two names.
    ({"workspace": "Vision team's"}, {"workspace": "Vision team's"}),
    ({"workspace": "a@b.com - Default Workspace"}, {"workspace": "a@b.com - Default Workspace"}),
    ({"workspace": "14"}, {"workspace": "14"}),
    ({"workspace": 14}, {"workspace": "14"}),
    ({"workspace_id": 14}, {"workspace": "14"}),
    ({"workspace_id": "14"}, {"workspace": "14"}),
    ({"workspace_id": "014"}, {"workspace": "14"}),
    ({"workspace": "14", "workspace_id": 14}, {"workspace": "14"}),
    ({"visibility": "public"}, {"visibility": "public"}),
    ({"visibility": "private"}, {"visibility": "private"}),
    # The version is a label: what looks like a number or a date stays what it looks like.
    ({"version": "7"}, {"version": "7"}),
    ({"version": 7}, {"version": "7"}),
    ({"version": "1.10"}, {"version": "1.10"}),
    ({"version": "2024-05-01"}, {"version": "2024-05-01"}),
    ({"version": "no"}, {"version": "no"}),
    ({"version": "null"}, {"version": "null"}),
    ({"version": "Ausgabe größer 3"}, {"version": "Ausgabe größer 3"}),
    ({"python_version": "3.9"}, {"conversion": Conversion(framework="onnx", python_version="3.9")}),
    ({"python_version": 3.8}, {"conversion": Conversion(framework="onnx", python_version="3.8")}),
    (
        {"requirements": ["numpy==1.26.4", "torch>=2"]},
        {"conversion": Conversion(framework="onnx", requirements=("numpy==1.26.4", "torch>=2"))},
    ),
    ({"requirements": []}, {"conversion": Conversion(framework="onnx")}),
    ({"arch": "arm"}, {"conversion": Conversion(framework="onnx", arch="arm")}),
    ({"accel": "cuda"}, {"conversion": Conversion(framework="onnx", accel="cuda")}),
    ({"accel": "none"}, {"conversion": Conversion(framework="onnx", accel="none")}),
    ({"arch": "arm", "accel": "jetson"}, {"conversion": Conversion(framework="onnx", arch="arm", accel="jetson")}),
    (
        {"accel": {"qaic": {"num_cores": 4, "mxfp6_matmul": True}}},
        {"conversion": Conversion(framework="onnx", accel={"qaic": {"num_cores": 4, "mxfp6_matmul": True}})},
    ),
    # framework_config: whole, or the inner object alone; numbers stay numbers and words words.
    (
        {"framework": "custom", **SCHEMAS, "framework_config": {"model_path": "./m/", "n": 3, "x": 0.5, "y": [True]}},
        {
            "conversion": Conversion(
                framework="custom",
                framework_config={
                    "framework": "custom",
                    "config": {"model_path": "./m/", "n": 3, "x": 0.5, "y": [True]},
                },
            )
        },
    ),
    (
        {
            "framework": "vllm",
            **SCHEMAS,
            "framework_config": {"framework": "vllm", "config": {"gpu_memory_utilization": 0.9, "max_num_seqs": 8}},
        },
        {
            "conversion": Conversion(
                framework="vllm",
                framework_config={
                    "framework": "vllm",
                    "config": {"gpu_memory_utilization": 0.9, "max_num_seqs": 8},
                },
            )
        },
    ),
    # Schemas in each of their forms.
    ({"input_schema": {"x": "float32[10]"}}, {"input_schema": X10}),
    ({"input_schema": [{"name": "x", "type": "list<float32>[10]"}]}, {"input_schema": X10}),
    ({"input_schema": X10}, {"input_schema": X10}),
    ({"input_schema": "columns.arrow"}, {"input_schema": X10}),
    ({"input_schema": "stream.arrow"}, {"input_schema": X10}),
    ({"framework": "vllm", "input_schema": [], "output_schema": {}}, {"input_schema": EMPTY, "output_schema": EMPTY}),
    ({"framework": "sglang", "input_schema": EMPTY, "output_schema": EMPTY}, {"input_schema": EMPTY}),
    ({"framework": "custom", "input_schema": EMPTY, "output_schema": {}}, {"output_schema": EMPTY}),
    ({"sha256": "AB" * 32}, {"sha256": "ab" * 32}),
    ({"sha256": "1" * 64}, {"sha256": "1" * 64}),
    ({"labels": {"team": "vision", "größe": "klein", "empty": ""}},
     {"labels": {"team": "vision", "größe": "klein", "empty": ""}}),
    ({"labels": {"tier": 3}}, {"labels": {"tier": "3"}}),
    ({"labels": {"good": True, "bad": False, "n": 1.5}}, {"labels": {"good": "true", "bad": "false", "n": "1.5"}}),
    ({"labels": {"team": None, "tier": "3"}}, {"labels": {"tier": "3"}}),
    ({"labels": {}}, {"labels": {}}),
    # Null and empty text are a field that is not given.
    (
        {"version": None, "workspace": "", "arch": "", "labels": None, "sha256": "", "python_version": None},
        {"version": None, "workspace": None, "labels": {}, "sha256": None, "conversion": Conversion(framework="onnx")},
    ),
]  # fmt: skip

# What a row says beside its name and path -> the field that is wrong, words of what is, words of what would be right.
BAD: list[tuple[dict[str, Any], str, str, str]] = [
    ({"name": None}, "name", "is missing", "model name"),
    ({"name": "My_Model"}, "name", '"My_Model" is no model name', 'write it as "my-model"'),
    ({"name": "7zip"}, "name", "is no model name", 'write it as "m-7zip"'),
    ({"name": "-a"}, "name", "is no model name", 'write it as "a"'),
    ({"name": "a-"}, "name", "is no model name", 'write it as "a"'),
    ({"name": "a" * 64}, "name", "up to 63", f'write it as "{"a" * 63}"'),
    ({"name": "modèle"}, "name", "is no model name", 'write it as "mod-le"'),
    ({"name": "ａｂｃ"}, "name", "is no model name", "lower-case"),
    ({"name": "模型"}, "name", "is no model name", "lower-case"),
    ({"name": "a.b"}, "name", "is no model name", 'write it as "a-b"'),
    ({"name": 2024}, "name", '"2024" is no model name', 'write it as "m-2024"'),
    ({"name": " model"}, "name", "begins or ends with a space", 'write it as "model"'),
    ({"name": "x" * 100_000}, "name", "is no model name", "write it as"),
    ({"path": None}, "path", "is missing", "name the model's file"),
    ({"path": "modle.onnx"}, "path", "does not exist", 'did you mean "model.onnx"?'),
    ({"path": "s3://bucket/model.onnx"}, "path", "is no local file", "download it"),
    ({"path": "https://example.com/model.onnx"}, "path", "is no local file", "download it"),
    ({"path": "file:///model.onnx"}, "path", "is no local file", "without file://"),
    ({"path": ".", "framework": "onnx"}, "path", "is a folder", "name it by its own name"),
    ({"path": "..", "framework": "onnx"}, "path", "is a folder", "name it by its own name"),
    ({"path": "x" * 5_000, "framework": "onnx"}, "path", "File name too long", "check the path"),
    ({"framework": "pytorh"}, "framework", 'unknown framework "pytorh"', 'did you mean "pytorch"?'),
    ({"framework": "mlflow"}, "framework", "has no file", "its own framework"),
    ({"path": "model.pkl"}, "framework", '".pkl" does not say it', "sklearn or xgboost"),
    ({"path": "model.zip"}, "framework", '".zip" does not say it', "custom"),
    ({"path": "model"}, "framework", "is missing", "onnx"),
    ({"workspace": "a", "workspace_id": "7"}, "workspace", 'is "a" and workspace_id is "7"', "one of them"),
    ({"workspace_id": "seven"}, "workspace_id", '"seven" is no id', "use workspace for a name"),
    ({"workspace": "٣"}, "workspace", "is no id", "digits 0 to 9"),
    ({"workspace": "9" * 30}, "workspace", "is no id", "up to 18"),
    ({"workspace": " team"}, "workspace", "begins or ends with a space", '"team"'),
    ({"visibility": "Public"}, "visibility", 'unknown visibility "Public"', 'did you mean "public"?'),
    ({"visibility": "group"}, "visibility", 'unknown visibility "group"', "private"),
    ({"version": "7 "}, "version", "begins or ends with a space", '"7"'),
    ({"version": "a\u0007b"}, "version", '"a\\x07b" holds a character that cannot be printed', "remove it"),
    ({"version": "a\x85b"}, "version", "cannot be printed", "remove it"),
    ({"python_version": "3.10"}, "python_version", 'unknown python_version "3.10"', "3.8"),
    ({"python_version": "3"}, "python_version", "unknown python_version", "3.8"),
    ({"requirements": "numpy"}, "requirements", '"numpy" is no list of texts', 'write ["numpy", ...]'),
    ({"requirements": {"numpy": "1"}}, "requirements", "is no list of texts", "numpy==1.26.4"),
    ({"requirements": ["numpy", ""]}, "requirements", "is no list of texts", "write"),
    ({"requirements": ["numpy\nscipy"]}, "requirements", "cannot be printed", "remove it"),
    ({"arch": "arm64"}, "arch", 'unknown arch "arm64"', 'did you mean "arm"?'),
    ({"accel": "gpu"}, "accel", 'unknown accel "gpu"', "cuda"),
    ({"accel": "jetson"}, "accel", "does not exist for arch", "write arch arm"),
    ({"accel": "rocm", "arch": "power10"}, "accel", "does not exist for arch", "write arch x86"),
    ({"accel": "qaic"}, "accel", "as an object", "num_cores"),
    ({"accel": {"qaic": {"num_cores": 0}}}, "accel.qaic.num_cores", "is 0", "from 1"),
    ({"accel": ["cuda"]}, "accel", "neither a word", "cuda"),
    ({"framework_config": {"model_path": "x"}}, "framework_config", "onnx takes none", "leave it out"),
    (
        {"framework": "vllm", **SCHEMAS, "framework_config": {"gpu_memory_utilization": "0.9"}},
        "framework_config.config.gpu_memory_utilization",
        'is "0.9"',
        "a number, without quotes",
    ),
    (
        {"framework": "vllm", **SCHEMAS, "framework_config": {"framework": "sglang", "config": {}}},
        "framework_config.framework",
        'is "sglang"',
        "make both the same",
    ),
    (
        {"framework": "custom", **SCHEMAS, "framework_config": {"n": 2**70}},
        "framework_config.n",
        "64 bits",
        "smaller",
    ),
    ({"framework": "custom", **SCHEMAS, "framework_config": "./model/"}, "framework_config", "is no object", "write"),
    ({"path": "model.pt", "output_schema": {"y": "int64"}}, "input_schema", "is missing; pytorch needs it", "write"),
    ({"path": "model.pt", "input_schema": {"y": "int64"}}, "output_schema", "is missing; pytorch needs it", "write"),
    ({"path": "model.pt", **SCHEMAS, "input_schema": {}}, "input_schema", "has no columns", "write"),
    ({"path": "model.pt", **SCHEMAS, "output_schema": EMPTY}, "output_schema", "has no columns", "write"),
    ({"input_schema": {"x": "flot32"}}, "input_schema", 'column 1 "x": unknown type "flot32"', '"float32"?'),
    ({"input_schema": {"a": "int64", "x": "null"}}, "input_schema", 'column 2 "x": type "null"', "no null"),
    ({"input_schema": "x: int64"}, "input_schema", "neither columns nor base64", ".arrow"),
    ({"input_schema": "nowhere.arrow"}, "input_schema", '"nowhere.arrow" cannot be read', "Arrow IPC file"),
    ({"input_schema": "junk.arrow"}, "input_schema", '"junk.arrow" is no Arrow IPC file', "columns out"),
    ({"input_schema": "folder.arrow"}, "input_schema", '"folder.arrow" is no regular file', "columns out"),
    ({"input_schema": "time.arrow"}, "input_schema", 'column 1 "t": type "time64"', "as string"),
    ({"sha256": "ab" * 31}, "sha256", "is no SHA-256", "64"),
    ({"sha256": "sha256:" + "ab" * 32}, "sha256", "is no SHA-256", "64"),
    ({"sha256": "zz" * 32}, "sha256", "is no SHA-256", "64"),
    ({"labels": ["vision"]}, "labels", "is no object", "write"),
    ({"labels": "vision"}, "labels", "is no object", "write"),
    ({"labels": {"tier": ["a"]}}, "labels.tier", "is no text, number or truth value", "write a text"),
]


@pytest.fixture
def folder(folder: Path) -> Path:
    """Schemas in files, too."""
    schema = pa.schema([("x", pa.list_(pa.float32(), 10))], metadata={"made by": "somebody"})
    with pa.OSFile(str(folder / "columns.arrow"), "wb") as file, pa.ipc.new_file(file, schema):
        pass
    with pa.OSFile(str(folder / "stream.arrow"), "wb") as file, pa.ipc.new_stream(file, schema):
        pass
    with (
        pa.OSFile(str(folder / "time.arrow"), "wb") as file,
        pa.ipc.new_file(file, pa.schema([("t", pa.time64("us"))])),
    ):
        pass
    (folder / "junk.arrow").write_bytes(b"no Arrow at all")
    (folder / "folder.arrow").mkdir()
    (folder / "sub").mkdir()
    return folder


def named(index: int, fields: dict[str, Any]) -> dict[str, Any]:
    """A row of its own: the same twice would be a problem of another sort."""
    return {"name": f"model-{index}", "path": "model.onnx"} | fields


def test_every_right_row_becomes_its_entry(extension, write, checked, folder):
    """One manifest of them all; and the entries come in its order."""
    rows = [named(index, fields) for index, (fields, _) in enumerate(GOOD)]
    entries, problems = checked(write(extension, rows))
    assert [str(problem) for problem in problems] == []
    assert len(entries) == len(rows)
    for index, (entry, (fields, expected)) in enumerate(zip(entries, GOOD, strict=True)):
        wanted = {"name": f"model-{index}"} | expected
        assert {key: getattr(entry, key) for key in wanted} == wanted, fields
        assert entry.source == os.path.join(folder, entry.path)  # noqa: PTH118 - as written
    lines = [entry.line for entry in entries]
    assert lines == sorted(set(lines))


def test_every_wrong_row_is_named(extension, write, checked):
    """Its field, what is wrong, what would be right; and nothing else is wrong with it."""
    for fields, field, what, remedy in BAD:
        entries, problems = checked(write(extension, [named(0, fields)]))
        assert entries == [], fields
        assert [problem.field for problem in problems] == [field], fields
        (problem,) = problems
        assert what in problem.what
        assert remedy in problem.remedy
        assert len(str(problem)) < 1_000


def test_all_problems_of_all_rows_come_in_one_go(extension, write, checked):
    """In the manifest's order, each with its place; right rows are no matter."""
    rows = [named(2 * index, fields) for index, (fields, *_) in enumerate(BAD)]
    rows = [row for index, bad in enumerate(rows) for row in (bad, named(2 * index + 1, {}))]
    entries, problems = checked(write(extension, rows))
    assert len(entries) == len(BAD)
    assert [problem.field for problem in problems] == [field for _, field, _, _ in BAD]
    places = [problem.place for problem in problems]
    assert len(set(places)) == len(places)


def test_everything_that_is_wrong_with_one_row_is_named(extension, write, checked):
    """One field after the other, without "is missing" for what only cannot be read."""
    row = {
        "name": "A b",
        "path": "nowhere.pt",
        "workspace_id": "x",
        "visibility": "hidden",
        "version": "a\tb",
        "python_version": "2.7",
        "requirements": "numpy",
        "arch": "sparc",
        "accel": "gpu",
        "framework_config": {"a": 1},
        "input_schema": {"x": "y"},
        "sha256": "0",
        "labels": "none",
    }
    _, problems = checked(write(extension, [row]))
    assert {problem.field for problem in problems} == {
        "name", "path", "workspace_id", "visibility", "version", "python_version", "requirements", "arch", "accel",
        "framework_config", "input_schema", "output_schema", "sha256", "labels",
    }  # fmt: skip
    assert len({problem.place for problem in problems}) == 1


def test_the_same_entry_twice_is_named_with_the_place_of_its_twin(extension, write, checked):
    """Same path, or same declared digest, with the same settings for one model."""
    digest = "ab" * 32
    rows = [
        {"name": "a", "path": "model.onnx", "sha256": digest},
        {"name": "b", "path": "model.onnx"},
        {"name": "a", "path": "model.onnx", "sha256": digest},
        {"name": "a", "path": "other.onnx", "sha256": digest},
    ]
    entries, problems = checked(write(extension, rows))
    assert [entry.name for entry in entries] == ["a", "b"]
    assert [problem.field for problem in problems] == ["name", "name"]
    first = {".csv": "line 2", ".jsonl": "line 1", ".json": "item 1", ".toml": "item 1"}.get(extension, "1")
    assert all(first in problem.what for problem in problems)
    assert all("version labels" in problem.remedy for problem in problems)


DIFFERENCES: list[dict[str, Any]] = [
    {"name": "other"},
    {"path": "other.onnx"},
    {"version": "2"},
    {"workspace": "other"},
    {"visibility": "public"},
    {"framework": "tensorflow"},
    {"python_version": "3.9"},
    {"requirements": ["numpy"]},
    {"arch": "arm"},
    {"accel": "cuda"},
]


def test_one_difference_makes_another_entry(extension, write, checked):
    """Versions of one model with different content are what a manifest is for."""
    row = {"name": "a", "path": "model.onnx"}
    for difference in DIFFERENCES:
        entries, problems = checked(write(extension, [row, row | difference]))
        assert problems == [], difference
        assert len(entries) == 2, difference


def test_what_holds_anyway_makes_no_difference(extension, write, checked):
    """Nor do labels: they are not part of a version."""
    row = {"name": "a", "path": "model.onnx"}
    for same in (
        {"visibility": "private"},
        {"python_version": "3.8"},
        {"framework": "onnx"},
        {"accel": "none"},
        {"labels": {"a": "b"}},
    ):
        entries, problems = checked(write(extension, [row, row | same]))
        assert (len(entries), len(problems)) == (1, 1), same


def test_an_unknown_field_is_named_with_the_nearest(extension, write, checked):
    """A typing error must not silently publish something else."""
    _, problems = checked(write(extension, [{"name": "a", "path": "model.onnx", "visibilty": "public"}]))
    assert len(problems) == 1
    assert '"visibilty"' in problems[0].what
    assert problems[0].remedy == 'did you mean "visibility"?'


def test_many_unknown_fields_are_no_matter(extension, write, checked):
    """A wrong file in place of a manifest is not worth a million messages."""
    row = {"name": "a"} | {f"column{number}": "x" for number in range(3_000)}
    _, problems = checked(write(extension, [row]))
    assert 1 <= len(problems) <= 23


def test_a_manifest_without_rows_is_a_problem(extension, write, checked):
    """Nobody means to publish nothing."""
    rows = [] if extension not in (".csv", ".parquet", ".arrow", ".feather") else [{"name": None, "path": None}]
    path = write(extension, rows)
    if extension == ".csv":
        path.write_text("name,path\n")
    entries, problems = checked(path)
    assert entries == []
    assert problems
    if extension in (".csv", ".jsonl", ".json", ".yaml", ".yml", ".toml"):
        assert [problem.what for problem in problems] == ["holds no entries"]


def test_a_schema_file_is_relative_to_the_manifest(extension, write, checked, tmp_path, monkeypatch):
    """As paths of models are: a manifest moves with its folder."""
    monkeypatch.chdir("/")
    path = write(extension, [{"name": "a", "path": "model.pt", "input_schema": "columns.arrow", "output_schema": X10}])
    entries, problems = checked(path)
    assert problems == []
    assert entries[0].source == str(path.parent / "model.pt")
    assert entries[0].input_schema == entries[0].output_schema == X10


def test_a_manifest_may_be_named_relatively(extension, write, checked, monkeypatch):
    """Sources are absolute all the same: nothing later depends on the working directory."""
    path = write(extension, [{"name": "a", "path": "model.onnx"}])
    monkeypatch.chdir(path.parent)
    (entry,) = checked(path.name).entries
    assert entry.path == "model.onnx"
    assert entry.source == str(path.parent / "model.onnx")


def test_base64_of_another_arrow_is_sent_as_it_stands(extension, write, checked):
    """The registry echoes the text; only what it decodes to is compared."""
    text = base64.b64encode(pa.schema([("x", pa.int64())], metadata={"k": "v"}).serialize().to_pybytes()).decode()
    (entry,) = checked(write(extension, [{"name": "a", "path": "model.onnx", "input_schema": text}])).entries
    assert entry.input_schema == text
    assert decode(text) == pa.schema([("x", pa.int64())])

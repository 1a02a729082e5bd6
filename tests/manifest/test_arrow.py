"""Parquet and Arrow: columns of any type that says the same, and files that are not what they seem."""

import datetime as dt
import decimal
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from bulkload.core.contract.schemas import parse_schema

BOTH = (".parquet", ".arrow")


@pytest.fixture(params=BOTH)
def check_table(request, folder, checked):
    """Checks a table in both formats."""

    def check_table(table):
        path = folder / f"manifest{request.param}"
        if request.param == ".parquet":
            parquet.write_table(table, path)
        else:
            feather.write_feather(table, path, compression="lz4")
        return checked(path)

    return check_table


def table(**columns: Any) -> pa.Table:
    """One row, or as many as the given columns have: "a", "b" ..."""
    count = max(map(len, columns.values()), default=1)
    return pa.table({"name": list("abcdefgh"[:count]), "path": ["model.onnx"] * count} | columns)


def test_nested_columns_are_lists_and_objects(check_table):
    rows = table(
        path=pa.array(["model.zip"]),
        framework=pa.array(["custom"]).dictionary_encode(),
        requirements=pa.array([["numpy", "scipy"]]),
        input_schema=pa.array([[{"name": "x", "type": "int64"}]]),
        output_schema=pa.array([{"y": "float32"}]),
        framework_config=pa.array([{"model_path": "./m/", "n": 3}]),
        labels=pa.array([[("team", "vision")]], pa.map_(pa.string(), pa.string())),
        workspace_id=pa.array([14], pa.int32()),
        version=pa.array([7], pa.uint8()),
        python_version=pa.array([3.8]),
    )
    entries, problems = check_table(rows)
    assert problems == []
    (entry,) = entries
    assert entry.conversion.requirements == ("numpy", "scipy")
    assert entry.conversion.python_version == "3.8"
    assert entry.conversion.framework_config == {"framework": "custom", "config": {"model_path": "./m/", "n": 3}}
    assert entry.input_schema == parse_schema({"x": "int64"})
    assert entry.output_schema == parse_schema({"y": "float32"})
    assert entry.labels == {"team": "vision"}
    assert (entry.workspace, entry.version) == ("14", "7")


def test_a_struct_has_all_its_keys_in_every_row_and_means_only_those_with_a_value(check_table):
    rows = table(
        labels=pa.array([{"team": "vision"}, {"tier": "3"}]),
        accel=pa.array([{"qaic": {"num_cores": 1, "ctx_len": None}}, None]),
    )
    first, second = check_table(rows).entries
    assert (first.labels, second.labels) == ({"team": "vision"}, {"tier": "3"})
    assert (first.conversion.accel, second.conversion.accel) == ({"qaic": {"num_cores": 1}}, None)


def test_a_null_is_a_field_not_given(check_table):
    (entry,) = check_table(table(version=pa.array([None], pa.string()), arch=pa.nulls(1))).entries
    assert (entry.version, entry.conversion.arch) == (None, None)


@pytest.mark.parametrize(
    ("column", "what"),
    [
        (pa.array([1.5]), "1.5 is no text"),
        (pa.array([14.0]), "14.0 is no text"),
        (pa.array([True]), "true is no text"),
        (pa.array([b"bytes"]), "is no text"),
        (pa.array([["a"]]), "is no text"),
        (pa.array([{"a": "b"}]), "is no text"),
        (pa.array([dt.date(2024, 5, 1)]), "is no text"),
        (pa.array([dt.datetime(2024, 5, 1)]), "is no text"),  # noqa: DTZ001
        (pa.array([decimal.Decimal("1.10")]), "is no text"),
        (pa.array([2**62], pa.timestamp("us")), "cannot be read"),
    ],
    ids=["float", "whole float", "bool", "bytes", "list", "struct", "date", "time", "decimal", "endless time"],
)
def test_a_column_of_the_wrong_type_is_named_row_by_row(column, what, check_table):
    entries, problems = check_table(table(workspace=column))
    assert entries == []
    (problem,) = problems
    assert (problem.place, problem.field) == ("row 1", "workspace")
    assert what in problem.what
    assert "text" in problem.remedy


def test_a_whole_float_is_told_the_number_that_it_was(check_table):
    """pandas makes floats of a column of integers with a gap."""
    (problem,) = check_table(table(workspace_id=pa.array([14.0]))).problems
    assert '"14"' in problem.remedy


@pytest.mark.parametrize(("field", "value"), [("labels", 3), ("requirements", 3), ("input_schema", 1.5), ("accel", 2)])
def test_a_number_in_a_column_of_objects_is_named(field, value, check_table):
    _, problems = check_table(table(**{field: pa.array([value])}))
    assert [problem.field for problem in problems] == [field]


def test_a_time_in_framework_config_is_no_json(check_table):
    moment = pa.array([{"since": dt.date(2024, 5, 1)}])
    _, problems = check_table(table(framework=pa.array(["custom"]), framework_config=moment))
    assert "framework_config.since" in [problem.field for problem in problems]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_text_that_is_no_utf8_is_named_with_its_row(kind, check_table):
    texts = pa.array([b"a", b"\xff"], pa.binary() if kind == pa.string() else pa.large_binary()).view(kind)
    rows = table(version=texts)
    entries, problems = check_table(rows)
    assert [entry.name for entry in entries] == ["a"]
    (problem,) = problems
    assert (problem.place, problem.field) == ("row 2", "version")
    assert "UTF-8" in problem.remedy


def test_a_key_twice_in_a_map_is_named(check_table):
    labels = pa.array([[("a", "1"), ("a", "2")]], pa.map_(pa.string(), pa.string()))
    (problem,) = check_table(table(labels=labels)).problems
    assert (problem.field, problem.what) == ("labels.a", 'key "a" stands twice')


def test_keys_of_a_map_that_are_no_text_are_named(check_table):
    labels = pa.array([[(1, "a")]], pa.map_(pa.int64(), pa.string()))
    (problem,) = check_table(table(labels=labels)).problems
    assert (problem.field, problem.what) == ("labels", "key 1 is no text")


def test_bad_json_in_a_cell_is_named(check_table):
    (problem,) = check_table(table(labels=pa.array(['{"a": ']))).problems
    assert (problem.place, problem.field) == ("row 1", "labels")
    assert "is no JSON" in problem.what


def test_a_column_twice_is_named(check_table):
    twice = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["name", "name", "path"])
    (problem,) = check_table(twice).problems
    assert problem.what == 'column "name" stands twice'


def test_an_unknown_column_is_named_once_for_all_rows(check_table):
    rows = pa.table({"name": ["a"] * 100, "path": ["model.onnx"] * 100, "famework": ["onnx"] * 100})
    (problem,) = check_table(rows).problems
    assert problem.remedy == 'did you mean "framework"?'


def test_a_table_without_rows_or_columns_is_a_problem(check_table):
    assert [problem.what for problem in check_table(table().slice(0, 0)).problems] == ["holds no entries"]
    assert [problem.what for problem in check_table(pa.table({})).problems] == ["holds no entries"]


@pytest.mark.parametrize("extension", BOTH)
@pytest.mark.parametrize("keep", [0, 1, 4, 7, 8, 100, -1, -4, -8])
def test_a_truncated_file_is_named(extension, keep, write, checked):
    path = write(extension, [{"name": "a", "path": "model.onnx"}])
    path.write_bytes(path.read_bytes()[:keep])
    entries, problems = checked(path)
    assert entries == []
    (problem,) = problems
    assert "is no whole" in problem.what
    assert problem.remedy == "write it anew"


def test_damage_that_leads_outside_of_the_file_is_named(folder, checked):
    """Arrow believes its files: reading this one unchecked crashes the process."""
    path = folder / "manifest.arrow"
    feather.write_feather(table(name=["x" * 23]), path, compression="uncompressed")
    data = path.read_bytes()
    text = b"x" * 23
    offsets = (0).to_bytes(4, "little") + len(text).to_bytes(4, "little")
    damaged = (0).to_bytes(4, "little") + (2**31 - 24).to_bytes(4, "little")
    assert data.count(offsets + text) == 1
    path.write_bytes(data.replace(offsets + text, damaged + text))
    entries, problems = checked(path)
    assert entries == []
    assert ["is no whole Arrow IPC file" in problem.what for problem in problems] == [True]


@pytest.mark.parametrize(("extension", "other"), [(".parquet", ".arrow"), (".arrow", ".parquet"), (".parquet", ".csv")])
def test_a_file_under_another_formats_name_is_named(extension, other, write, checked):
    path = write(extension, [{"name": "a", "path": "model.onnx"}])
    renamed = path.rename(path.with_suffix(other))
    entries, problems = checked(renamed)
    assert entries == []
    assert problems


def test_one_batch_of_many_rows_is_read_in_pieces(folder, checked):
    count = 3_000
    batch = pa.record_batch({"name": [f"m{n}" for n in range(count)], "path": ["model.onnx"] * count})
    path = folder / "manifest.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)
    entries, problems = checked(path)
    assert problems == []
    assert [entry.line for entry in entries] == list(range(1, count + 1))

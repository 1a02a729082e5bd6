"""``bulkload manifest``: every format into every other, and a schema that editors can use."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

QUICKSTART = Path(__file__).parents[2] / "manifests" / "quickstart.yaml"


def test_paths_still_lead_to_the_same_files(bulkload, tmp_path):
    """The result may lie anywhere: the offline check finds every file from there."""
    (tmp_path / "deep" / "folder").mkdir(parents=True)
    target = tmp_path / "deep" / "folder" / "m.csv"
    assert bulkload("manifest", "convert", QUICKSTART, "-o", target).returncode == 0
    assert bulkload("plan", target, "--offline", "--sandbox").returncode == 0


def test_a_broken_manifest_is_exit_4_and_the_old_result_stays(bulkload, tmp_path):
    """Every problem is named; nothing is written over."""
    (tmp_path / "bad.jsonl").write_text('{"name": "a"\n{"nmae": "b"}\n')
    (tmp_path / "out.csv").write_text("precious")
    result = bulkload("manifest", "convert", "bad.jsonl", "-o", "out.csv")
    assert result.returncode == 4
    assert "line 1" in result.stderr
    assert "line 2" in result.stderr
    assert (tmp_path / "out.csv").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "out.csv"]


def test_standard_input_and_output_can_be_piped(bulkload):
    """For jq before and anything after."""
    line = json.dumps({"name": "a", "path": "a.onnx", "labels": {"team": "vision"}})
    result = bulkload("manifest", "convert", "-", "--format", "csv", stdin=line)
    assert result.stdout == 'name,path,labels\na,a.onnx,"{""team"": ""vision""}"\n'


@pytest.mark.parametrize("words", [["x.csv"], ["x.csv", "--format", "xml"], ["x.csv", "-o", "y.txt"]])
def test_an_unknown_format_is_exit_2(words, bulkload):
    """And names the known ones."""
    result = bulkload("manifest", "convert", *words)
    assert result.returncode == 2
    assert "parquet" in result.stderr


def test_the_json_schema_takes_the_samples_and_refuses_what_the_check_refuses(bulkload):
    """A valid schema; the sample manifest passes, and common slips do not."""
    schema = json.loads(bulkload("manifest", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(yaml.safe_load(QUICKSTART.read_text()))
    good = {"name": "a", "path": "a.onnx"}
    assert validator.is_valid([good])
    slips: tuple[dict[str, Any], ...] = (
        {"name": "A"}, {"framwork": "onnx"}, {"framework": "onxx"}, {"arch": "x64"}, {"sha256": "abc"},
        {"labels": {"a": []}}, {"input_schema": [{"name": "x"}]}, {"visibility": "secret"},
    )  # fmt: skip
    for slip in slips:
        assert not validator.is_valid({"models": [good | slip]}), slip
    assert not validator.is_valid([{"name": "a"}])

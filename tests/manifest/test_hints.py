"""A hint names the cause of what is wrong, in the manifest's own words, and never leads astray."""

import datetime as dt

import pyarrow as pa
import pytest
from pyarrow import parquet


@pytest.fixture
def wrong(write, checked):
    """The one problem of a row with these fields, as (what, remedy)."""

    def wrong(**fields):
        row = {"name": "a", "path": "model.onnx", "framework": "onnx"} | fields
        entries, problems = checked(write(".jsonl", [row]))
        assert entries == []
        (problem,) = problems
        assert problem.field == next(iter(fields))
        return problem.what, problem.remedy

    return wrong


# Links that lead nowhere.


def test_a_pruned_cache_of_hugging_face_is_named(folder, wrong):
    snapshot = folder / "models--org--m" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    (snapshot / "model.onnx").symlink_to("../../blobs/3c4d")
    what, remedy = wrong(path="models--org--m/snapshots/0a1b/model.onnx")
    assert what.endswith("is a link to ../../blobs/3c4d, which is not there")
    assert "Hugging Face cache was pruned" in remedy


def test_a_link_of_git_annex_is_named(folder, wrong):
    (folder / "gone.onnx").symlink_to(".git/annex/objects/xx/yy/SHA256E-s1--z")
    assert "git annex get" in wrong(path="gone.onnx")[1]


def test_a_folder_that_is_a_link_to_nowhere_is_named(folder, wrong):
    (folder / "latest").symlink_to("/mnt/models/v7")
    what, remedy = wrong(path="latest/model.onnx")
    assert what == f"latest/model.onnx leads through the link {folder}/latest to /mnt/models/v7, which is not there"
    assert "bring back" in remedy


def test_a_link_to_a_link_to_nowhere_is_named(folder, wrong):
    (folder / "one.onnx").symlink_to("two.onnx")
    (folder / "two.onnx").symlink_to("gone")
    assert "is a link to two.onnx, which is not there" in wrong(path="one.onnx")[0]


# Files that another tool keeps elsewhere.


@pytest.mark.parametrize(
    ("beside", "remedy"),
    [
        ("weights.pkl.dvc", "`dvc pull weights.pkl.dvc`"),
        ("weights.pkl.lfs", "`git lfs pull`"),
        ("weights.pkl.incomplete", "has not finished: weights.pkl.incomplete"),
        ("weights.pkl.part", "has not finished"),
        ("weights.pkl.gz", "unpack weights.pkl.gz"),
    ],
)
def test_what_stands_in_a_files_place_is_named(beside, remedy, folder, wrong):
    (folder / beside).write_bytes(b"x")
    assert remedy in wrong(path="weights.pkl")[1]


def test_a_folder_that_dvc_keeps_is_named(folder, wrong):
    (folder / "zoo.dvc").write_bytes(b"x")
    assert "`dvc pull zoo.dvc`" in wrong(path="zoo/deep/weights.pkl")[1]


def test_a_folder_where_a_zip_is_named(folder, wrong):
    (folder / "saved").mkdir()
    assert wrong(path="saved.zip", framework="tensorflow")[1] == 'name the folder itself, "saved/": it is sent as a zip'


def test_another_number_is_another_file(folder, wrong):
    (folder / "model-7.onnx").write_bytes(b"x")
    assert "did you mean" not in wrong(path="model-8.onnx")[1]


# Places that are no files.


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("models:/ccfraud/3", "mlflow artifacts download --artifact-uri models:/ccfraud/3"),
        ("runs:/0a1b/model", "mlflow artifacts download"),
        ("mlflow-artifacts:/1/2/model", "mlflow artifacts download"),
        ("dbfs:/models/a.onnx", "name it as /dbfs/models/a.onnx"),
        ("s3:/bucket/a.onnx", "aws s3 cp"),
        ("s3://bucket/a.onnx", "aws s3 cp"),
        ("gs://bucket/a.onnx", "gcloud storage cp"),
        ("hf://org/model", "hf download"),
        ("abfss://c@a.dfs.core.windows.net/a", "download it"),
        ("https:/example.com/a.onnx", "download it"),
        ("unheard-of://a", "download it"),
        ("file:/models/a.onnx", "write the path without file:/"),
        ("file:///models/a%20b.onnx", "its % signs"),
        ("C:\\models\\a.onnx", "/ between folders"),
        ("\\\\server\\share\\a.onnx", "/ between folders"),
        ("~/models/a.onnx", "~ is not read as a home folder"),
    ],
)
def test_a_place_that_is_no_local_file_is_told_what_to_do(path, remedy, wrong):
    assert remedy in wrong(path=path)[1]


def test_a_file_may_be_called_like_a_place(folder, write, checked):
    (folder / "s3:").mkdir()
    (folder / "s3:" / "a.onnx").write_bytes(b"model")
    assert len(checked(write(".jsonl", [{"name": "a", "path": "s3:/a.onnx"}])).entries) == 1


# Values that are none.


@pytest.mark.parametrize("word", ["nan", "None", "NULL", "undefined", "N/A", "${TEAM}"])
def test_a_workspace_that_is_a_gap_is_not_made(word, wrong):
    what, remedy = wrong(workspace=word)
    assert "looks like a" in what
    assert "leave it out" in remedy


def test_a_gap_from_the_command_line_is_named_there(write, checked):
    """A variable of a script that was never set, say."""
    (problem,) = checked(write(".jsonl", [{"name": "a", "path": "model.onnx"}]), workspace="undefined").problems
    assert (problem.place, problem.field) == ("--workspace", "workspace")


@pytest.mark.parametrize(("field", "word"), [("name", "nan"), ("path", "nan"), ("framework", "None")])
def test_a_gap_in_other_fields_is_called_one(field, word, wrong):
    assert "looks like a gap" in " ".join(wrong(**{field: word}))


# Words of the manifest.


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (dt.date(1970, 1, 1), '"1970-01-01"'),
        (dt.datetime(2024, 5, 1, 12, 30), '"2024-05-01T12:30:00"'),  # noqa: DTZ001
        (1.5, '"1.5"'),
        (True, '"true"'),
    ],
)
@pytest.mark.parametrize("extension", [".toml", ".parquet"])
def test_what_is_no_text_is_quoted_as_the_manifest_writes_it(extension, value, remedy, folder, checked):
    path = folder / f"manifest{extension}"
    if extension == ".parquet":
        parquet.write_table(pa.table({"name": ["a"], "path": ["model.onnx"], "version": [value]}), path)
    else:
        text = {True: "true"}.get(value, value) if isinstance(value, bool) else value
        path.write_text(f'models = [{{name = "a", path = "model.onnx", version = {text}}}]\n')
    (problem,) = checked(path).problems
    assert problem.remedy == f"write it as text, in quotes: {remedy}"


@pytest.mark.parametrize("extension", [".toml", ".yaml", ".json"])
def test_labels_take_any_scalar(extension, check_text):
    text = {
        ".toml": 'models = [{name = "a", path = "model.onnx", labels = {n = 1.5, b = true, d = 2024-05-01, i = 0x10}}]',
        ".yaml": "- {name: a, path: model.onnx, labels: {n: 1.5, b: true, d: 2024-05-01, i: 16, gone: null}}",
        ".json": '[{"name": "a", "path": "model.onnx", "labels": {"n": 1.5, "b": true, "d": "2024-05-01", "i": 16}}]',
    }[extension]
    (entry,) = check_text(extension, text).entries
    assert entry.labels == {"n": "1.5", "b": "true", "d": "2024-05-01", "i": "16"}


@pytest.mark.parametrize(("key", "value"), [("a", "x" * 1_025), ("k" * 1_025, "x")])
def test_a_label_is_short(key, value, write, checked):
    (problem,) = checked(write(".jsonl", [{"name": "a", "path": "model.onnx", "labels": {key: value}}])).problems
    assert problem.what == "has 1,025 characters, more than 1,024"


def test_labels_are_few(wrong):
    assert wrong(labels={f"l{n}": "x" for n in range(65)})[0] == "has 65 of them, more than 64"

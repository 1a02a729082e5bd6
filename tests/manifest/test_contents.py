"""What stands where a model should be is said before anything is sent, with what brings the model; and no more.

Only what cannot be mistaken is a problem. What a framework probably refuses is a warning, and stops nothing.
"""

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bulkload.core.bounds import FILE_HEAD_BYTES
from bulkload.core.model.records import Entry, Notice, Problem
from bulkload.manifest import check

SCHEMA = {"x": "float32"}
ONNX = b"\x08\x08\x3a\x02\x62\x00\x42\x02\x10\x11"
# As a real one begins, which the registry took.
REAL_ONNX_HEAD = b"00000001" + ONNX
FRAMEWORKS = ("onnx", "sklearn", "xgboost", "pytorch", "keras", "tensorflow", "custom", "python", "vllm")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n" % (b"4d7a" * 16)
DVC = b"outs:\n- md5: a304afb96060aad90176268345e10355\n  size: 37891850\n  hash: md5\n  path: data.xml\n"
HTML = b"<!DOCTYPE html>\n<html lang='en'><head><title>Sign in</title></head><body>Sign in to continue</body></html>"
S3_XML = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)

Found = tuple[list[str], list[str]]


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Found]:
    """Problems and warnings about a file of some content."""

    def judged(framework: str, content: bytes, name: str = "model.bin") -> Found:
        (tmp_path / name).write_bytes(content)
        row = {"name": "a", "path": name, "framework": framework, "input_schema": SCHEMA, "output_schema": SCHEMA}
        manifest = tmp_path / "manifest.jsonl"
        manifest.write_text(json.dumps(row))
        found = list(check(str(manifest), overrides={}, workspace=None, workspace_needed=False))
        problems = [str(one) for one in found if isinstance(one, Problem)]
        notices = [str(one) for one in found if isinstance(one, Notice)]
        assert bool(problems) is not any(isinstance(one, Entry) for one in found)
        return problems, notices

    return judged


def zipped(files: Mapping[str, bytes], comment: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.comment = comment
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.onnx"))
    return stream.getvalue()


def part(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def tensor(*, location: bytes | None = None, data: bytes = b"") -> bytes:
    found = varint(2 << 3) + b"\x01" + part(8, b"weight")
    if location is not None:
        found += part(13, part(1, b"location") + part(2, location)) + part(13, part(1, b"offset") + part(2, b"0"))
        return found + varint(14 << 3) + b"\x01"
    return found + part(9, data)


def onnx_model(*tensors: bytes, nodes: int = 1) -> bytes:
    graph = part(1, part(1, b"x") + part(2, b"y") + part(4, b"Relu")) * nodes + part(2, b"graph")
    graph += b"".join(part(5, one) for one in tensors) + part(12, part(1, b"y"))
    return b"\x08\x08" + part(2, b"pytorch") + part(7, graph) + part(8, b"\x10\x11")


# What is no model at all


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (LFS, "Git LFS pointer", "git lfs pull"),
        (b"version https://hawser.github.com/spec/v1\noid sha256:1\nsize 1\n", "Git LFS pointer", "git lfs pull"),
        (DVC, "DVC", "dvc pull"),
        (b"md5: 1\nouts:\n- path: m.onnx\n  md5: 2\n", "DVC", "dvc pull"),
        (b"/annex/objects/SHA256E-s3--abc.onnx\n", "git-annex pointer", "git annex get"),
        (b"../.git/annex/objects/Kj/0x/SHA256E-s3--abc/SHA256E-s3--abc", "git-annex pointer", "git annex get"),
        (b"# xet version 0\nfilesize = 12\nhash = 'ab'\n", "Xet pointer", "git xet"),
        (b"../../blobs/4d7a0b", "symbolic link", "the file that it leads to"),
        (HTML, "HTML page", "download it again"),
        (b"\xef\xbb\xbf\r\n  <html><body>Bad Gateway</body></html>", "HTML page", "download it again"),
        (b"<!-- a comment -->\n<HTML>", "HTML page", "download it again"),
        (S3_XML, "AccessDenied", "download it again"),
        (b"<Error><Code>NoSuchKey</Code></Error>", "XML", "download it again"),
        (b"404: Not Found", "refusal", "download it again"),
        (b"Entry not found", "refusal", "download it again"),
        (b"Access to model x/y is restricted. You must be authenticated.", "refusal", "download it again"),
        (b"Invalid username or password.", "refusal", "download it again"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF", "name"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "picture", "name"),
        (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ", "AppleDouble", "._"),
        (b"bplist00\xd4\x01\x02", "macOS", "cloud"),
        (b"SQLite format 3\x00" + bytes(80), "SQLite", "name"),
        (b"PAR1" + bytes(80), "Parquet", "name"),
        (b"GGUF\x03\x00\x00\x00", "GGUF", "zip"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "NumPy", "name"),
        (struct.pack("<Q", 22) + b'{"__metadata__":{}}   ' + bytes(9), "safetensors", "framework"),
        (tarred(), "tar archive", "unpack"),
        (b"\x28\xb5\x2f\xfd" + bytes(20), "zstd", "unpack"),
        ("\ufeffThis is a text\r\n".encode("utf-16-le") * 3, "UTF-16", "name"),
        (b"\x1c\x00\x00\x00TFL3\x14\x00", "TensorFlow Lite", "SavedModel"),
    ],
)  # fmt: skip
def test_what_is_unmistakably_something_else_is_a_problem_of_every_framework(
    content: bytes, what: str, remedy: str, judged: Callable[..., Found]
) -> None:
    for framework in FRAMEWORKS:
        (problem,), notices = judged(framework, content)
        assert what in problem
        assert remedy in problem.partition("; ")[2]
        assert not notices


@pytest.mark.parametrize("framework", ["onnx", "pytorch", "keras", "tensorflow", "custom", "vllm"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'{"error": "Repository not found"}', "JSON"),
        (b'[{"message": "rate limit"}]\n', "JSON"),
        (b"# Model card\n\nThis model does things.\n\n", "a text"),
        ("# Größe\n\nDas Modell kann es.\n\n".encode() * 1000, "a text"),
        (b"name,path\na,b\nc,d\n", "a text"),
    ],
)
def test_texts_are_no_models_where_no_model_is_a_text(
    framework: str, content: bytes, what: str, judged: Callable[..., Found]
) -> None:
    ((problem,), _) = judged(framework, content)
    assert f"is {what}, not a model" in problem


@pytest.mark.parametrize(
    "content",
    [
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\nhunter2\n",
        b"root:$6$hunter2:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n",
        b'{"type": "service_account", "private_key": "hunter2"}',
        b"<settings><password>hunter2</password></settings>",
        b"aws_secret_access_key = hunter2\n\n",
    ],
)
def test_no_message_shows_what_a_file_holds(content: bytes, judged: Callable[..., Found]) -> None:
    """A manifest may name a file that is none of its writer's business."""
    ((problem,), _) = judged("onnx", content)
    assert "hunter2" not in problem


# What is another kind of model, or half of one


@pytest.mark.parametrize(
    ("framework", "name", "content", "what", "remedy"),
    [
        ("onnx", "m.onnx", zipped({"m.onnx": ONNX}), "is a zip", "unpack it"),
        ("sklearn", "m.pkl", zipped({"m.pkl": b"N."}), "is a zip", "unpack it"),
        ("onnx", "m.onnx", onnx_model(tensor(data=bytes(9000)))[:-500], "cut off", "again"),
        ("onnx", "m.onnx", onnx_model(tensor(data=bytes(900_000)))[:200_000], "graph are missing", "again"),
        ("onnx", "m.onnx", b"\x1f\x8b\x08\x00" + bytes(20), "compressed (gzip)", "unpack it"),
        ("custom", "m.zip", b"\x1f\x8b\x08\x00" + bytes(20), "compressed (gzip)", "unpack it"),
        ("onnx", "m.onnx", pickle.dumps({"a": [1, 2, 3]}, 4), "is a pickle", "sklearn"),
        ("keras", "m.h5", pickle.dumps({"a": [1, 2, 3]}, 2), "is a pickle", "sklearn"),
        ("custom", "m.zip", pickle.dumps({"a": 1}, 5), "is a pickle", "zip"),
        ("onnx", "m.onnx", b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5", "keras"),
        ("sklearn", "m.pkl", b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5", "keras"),
        ("xgboost", "m.ubj", b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{L", "XGBoost's own format", "pickle"),
        ("xgboost", "m.json", b'{"learner":{"attributes":{},"feature_names":[]}}', "XGBoost's own format", "pickle"),
        ("sklearn", "m.json", b'{"learner":{"attributes":{},"feature_names":[]}}', "XGBoost's own format", "pickle"),
        ("xgboost", "m.bst", b"binf" + bytes(200), "XGBoost's own format", "pickle"),
        ("xgboost", "m.model", b"\x00\x00\x00\x3f" + bytes(132) + b"\x0f" + bytes(7) + b"binary:logistic\x06"
         + bytes(7) + b"gbtree" + bytes(50), "XGBoost's own format", "pickle"),
        ("xgboost", "m.txt", b"booster[0]:\n0:[f1<0.5] yes=1,no=2,missing=1\n", "XGBoost's own format", "pickle"),
        ("sklearn", "m.txt", b"tree\nversion=v4\nnum_class=1\n", "LightGBM", "pickle"),
        ("tensorflow", "frozen.pb", b"\x0a\x16\x0a\x05input\x12\x0bPlaceholder\x2a\x00", "bare graph", "zip"),
        ("tensorflow", "m", b"\x0a\x16\x0a\x05input\x12\x0bPlaceholder\x2a\x00" + b"\x0a\x00", "bare graph", "zip"),
        ("tensorflow", "saved_model.pb", b"\x08\x01\x12\x02\x0a\x00", "bare .pb", "zip"),
        ("keras", "saved_model.pb", b"\x08\x01\x12\x02\x0a\x00", "bare .pb", "zip"),
        ("custom", "m.zip", b"PK\x05\x06" + bytes(18), "holds nothing", "zip"),
        ("custom", "m.zip", zipped({"m.py": b"x = 1\n" * 999})[:-30], "cut off", "again"),
        ("pytorch", "m.pt", zipped({"m/data.pkl": bytes(70_000)})[:-1], "cut off", "again"),
        ("vllm", "m.zip", zipped({"m/a": bytes(200_000)})[:100_000], "cut off", "again"),
    ],
)  # fmt: skip
def test_a_model_of_another_kind_is_a_problem_where_that_is_certain(
    framework: str, name: str, content: bytes, what: str, remedy: str, judged: Callable[..., Found]
) -> None:
    (problem,), notices = judged(framework, content, name)
    assert what in problem
    assert remedy in problem
    assert not notices


def test_an_hdf5_file_that_was_cut_off(judged: Callable[..., Found]) -> None:
    head = bytearray(b"\x89HDF\r\n\x1a\n" + bytes(88))
    head[40:48] = (5000).to_bytes(8, "little")
    ((problem,), _) = judged("keras", bytes(head), "m.h5")
    assert "cut off" in problem
    assert "stored_eof = 5000" in problem


@pytest.mark.parametrize(
    ("framework", "name", "content", "what"),
    [
        ("sklearn", "m.joblib", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x13joblib.numpy_pickle\x94\x8c\x11"
         b"NumpyArrayWrapper\x94\x93\x94" + bytes(100), "joblib.dump"),
        ("sklearn", "m.joblib", b"\x78\x9c" + bytes(30), "compressed (zlib)"),
        ("xgboost", "m.joblib", b"\x1f\x8b\x08\x00" + bytes(30), "compressed (gzip)"),
        ("pytorch", "m.pt", zipped({"m/data.pkl": b"N.", "m/data/0": bytes(9), "m/version": b"3"}), "torch.save"),
        ("pytorch", "m.pth", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(90), "torch.save"),
        ("pytorch", "m.pt", zipped({"m/archive_format": b"pt2"}), "without TorchScript"),
    ],
)  # fmt: skip
def test_what_is_probably_refused_is_a_warning_and_stops_nothing(
    framework: str, name: str, content: bytes, what: str, judged: Callable[..., Found]
) -> None:
    problems, (notice,) = judged(framework, content, name)
    assert not problems
    assert what in notice
    assert "may not" in notice


# Weights elsewhere


@pytest.mark.parametrize(
    "content",
    [
        onnx_model(tensor(location=b"model.onnx.data")),
        onnx_model(tensor(data=bytes(100)), tensor(location=b"model.onnx.data"), tensor(location=b"model.onnx.data")),
        onnx_model(tensor(data=bytes(3 * FILE_HEAD_BYTES)), tensor(location=b"model.onnx.data")),
        onnx_model(tensor(location=b"model.onnx.data"), nodes=8_000),
        b"00000001" + onnx_model(tensor(location=b"model.onnx.data")),
    ],
)
def test_onnx_whose_weights_lie_elsewhere_is_half_a_model(content: bytes, judged: Callable[..., Found]) -> None:
    """What PyTorch's exporter writes: the registry takes one file."""
    ((problem,), _) = judged("onnx", content, "model.onnx")
    assert "model.onnx.data" in problem
    assert "onnx.save" in problem


@pytest.mark.parametrize(
    "content",
    [
        onnx_model(tensor(data=b"location" * 10)),
        onnx_model(tensor(data=bytes(3 * FILE_HEAD_BYTES)), part(8, b"location")),
        onnx_model(part(13, part(1, b"location") + part(2, b"x")) + varint(14 << 3) + b"\x00" + part(9, b"data")),
        onnx_model(part(8, b"external_data location")),
    ],
)
def test_a_whole_onnx_model_passes_whatever_it_calls_its_tensors(content: bytes, judged: Callable[..., Found]) -> None:
    assert judged("onnx", content, "model.onnx") == ([], [])


# What passes


@pytest.mark.parametrize(
    ("framework", "name", "content"),
    [
        ("onnx", "m.onnx", ONNX),
        ("onnx", "m.onnx", REAL_ONNX_HEAD),
        ("onnx", "m.onnx", b"\xff" * 3000),
        ("onnx", "m.onnx", bytes(3000)),
        ("sklearn", "m.pkl", b"N."),
        *(("sklearn", "m.pkl", pickle.dumps({"a": [1.5, "text\n" * 20, b"gbtree" * 9]}, p)) for p in range(6)),
        *(("xgboost", "m.pkl", pickle.dumps(["line\nline\nline\n", 1], p)) for p in range(6)),
        ("python", "step.py", b"import pandas as pd\n\n\ndef process_data(input_data):\n    return input_data\n"),
        ("python", "step.py", b"{}\n\n\ndef process_data(input_data):\n    return input_data\n"),
        ("python", "step.zip", zipped({"step.py": b"def process_data(x): ..."})),
        ("custom", "m.zip", zipped({"m.py": b"x = 1"}, comment=b"made by a tool" * 4000)),
        ("keras", "m.keras", zipped({"config.json": b"{}", "model.weights.h5": b""})),
        ("tensorflow", "m.zip", zipped({"m/saved_model.pb": b"\x08\x01", "m/variables/x": b""})),
        ("pytorch", "m.pt", zipped({"m/data.pkl": b"N.", "m/code/__torch__.py": b"", "m/constants.pkl": b"N."})),
        ("pytorch", "m.pt", zipped({f"m/{n:0200}": b"" for n in range(999)})),
    ],
)
def test_what_a_registry_takes_passes_without_a_word(
    framework: str, name: str, content: bytes, judged: Callable[..., Found]
) -> None:
    assert judged(framework, content, name) == ([], [])


def test_an_empty_file_and_one_that_is_a_folder_are_said_as_before(judged, tmp_path: Path) -> None:
    ((problem,), _) = judged("onnx", b"")
    assert "is empty" in problem


def test_a_file_that_a_framework_is_missing_for_is_looked_at_all_the_same(tmp_path: Path) -> None:
    """One problem does not hide the other."""
    (tmp_path / "m.pkl").write_bytes(LFS)
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"name": "a", "path": "m.pkl"}\n')
    found = list(check(str(manifest), overrides={}, workspace=None, workspace_needed=False))
    assert {one.field for one in found if isinstance(one, Problem)} == {"path", "framework"}


def test_the_real_models_pass_without_a_word(shared: Path) -> None:
    """30 files of the vendor's tutorials."""
    manifest = str(shared / "models" / "manifest.jsonl")
    found = list(check(manifest, overrides={}, workspace="1", workspace_needed=True))
    assert len(found) == 30
    assert all(isinstance(one, Entry) for one in found)

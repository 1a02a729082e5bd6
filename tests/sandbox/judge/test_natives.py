"""Files that the registry loads natively: what they are is seen in them, not in their first bytes or their names."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkload.core.formats import protobuf
from bulkload.sandbox.judge import natives
from bulkload.sandbox.judge.natives import NATIVE_FAULTS

SAVED_MODEL = b"\x08\x01\x12\x02\x12\x00"
SIMPLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)
any_example = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)


def fault(framework: str, content: bytes, tmp_path: Path) -> str | None:
    path = tmp_path / "model"
    path.write_bytes(content)
    return NATIVE_FAULTS[framework](path)


def part(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return bytes((number << 3 | 2, len(content))) + content


IR, OPSET, GRAPH = b"\x08\x08", part(8, b"\x10\x11"), part(7, part(12, b""))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (IR + GRAPH + OPSET, None),
        (OPSET + GRAPH + IR, None),  # fields come in any order
        (b"00000001" + IR + GRAPH + OPSET, None),  # as a real one begins
        (IR + part(2, b"producer") + GRAPH + OPSET + part(99 % 31, b"new") + b"\xa5\x06" + bytes(4), None),
        (IR + part(7, part(1, b"node") + part(12, b"y")) + OPSET, None),
        (b"", "no ir_version"),
        (GRAPH + OPSET, "no ir_version"),
        (IR + OPSET, "no graph"),
        (IR + GRAPH, "no opset_import"),
        (IR + part(7, part(1, b"node")) + OPSET, "its graph has no output"),
        (IR + b"\x38\x01" + OPSET, "no graph"),  # field 7, but a number
        (IR + part(7, b"\x62\x05") + OPSET, "truncated"),
        ((IR + GRAPH + OPSET)[:-1], "truncated"),
        (b"just some text", "truncated"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "not an ONNX model"),
        (b"\x00" * 20, "a field without a number"),
        (b"\x0b" * 20, "wire type 3"),
        (b"\x08" + b"\xff" * 20, "a number that does not end"),
    ],
)
def test_onnx_is_what_parses_as_a_model_with_a_graph(content: bytes, expected: str | None, tmp_path: Path) -> None:
    """ir_version, graph and opset_import; fields that nobody knows are skipped."""
    found = fault("onnx", content, tmp_path)
    assert (found is None) is (expected is None)
    assert (expected or "") in (found or "")


def test_an_onnx_model_of_more_fields_than_any_has_is_not_walked_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk is bounded."""
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 100)
    assert "more than 100 fields" in (fault("onnx", IR * 200, tmp_path) or "")


@pytest.mark.parametrize("framework", ["tensorflow", "keras"])
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"saved_model.pb": SAVED_MODEL, "variables/variables.index": b""}, None),
        ({"m/saved_model.pb": SAVED_MODEL, "m/variables/variables.index": b"", "__MACOSX/m/._x": b"junk"}, None),
        ({"m/saved_model.pb": SAVED_MODEL[2:], "m/variables/a": b""}, None),
        ({"a/b/saved_model.pb": SAVED_MODEL, "a/b/variables/a": b""}, "no saved_model.pb"),
        ({"__MACOSX/saved_model.pb": SAVED_MODEL}, "no saved_model.pb"),
        ({"m/saved_model.pb": SAVED_MODEL}, "no variables"),
        ({"m/saved_model.pb": SAVED_MODEL, "variables/a": b""}, "no variables"),
        ({"m/saved_model.pb": b"", "m/variables/a": b""}, "holds no graph"),
        ({"m/saved_model.pb": b"\x08\x01", "m/variables/a": b""}, "holds no graph"),
        ({"m/saved_model.pb": b"some text", "m/variables/a": b""}, "holds no graph"),
        ({"m/saved_model.pb": SAVED_MODEL[:-1], "m/variables/a": b""}, "holds no graph"),
        ({"a/saved_model.pb": SAVED_MODEL, "b/saved_model.pb": SAVED_MODEL}, "more than one SavedModel"),
    ],
)
def test_a_saved_model_is_a_folder_with_a_graph_and_variables(
    framework: str, files: dict[str, bytes], expected: str | None, tmp_path: Path, zipped: Callable[..., bytes]
) -> None:
    """Flat or in one folder."""
    found = fault(framework, zipped(files), tmp_path)
    assert (found is None) is (expected is None)
    assert (expected or "") in (found or "")


def test_a_large_graph_in_a_saved_model_is_not_decompressed_whole(tmp_path: Path, zipped: Callable[..., bytes]) -> None:
    """Its beginning says enough."""
    graph = b"\x12\x80\x80\x80\x20" + b"\x12\xfb\xff\xff\x1f" + bytes(64 * 1024 * 1024 - 5)
    files = {"m/saved_model.pb": b"\x08\x01" + graph, "m/variables/a": b""}
    assert fault("tensorflow", zipped(files, zipfile.ZIP_DEFLATED), tmp_path) is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["m/data.pkl", "m/constants.pkl", "m/code/__torch__.py", "m/version"], None),
        (["data.pkl", "constants.pkl", "code/__torch__.py"], None),
        (["m/data.pkl", "m/data/0", "m/version"], "torch.jit.save"),  # torch.save
        (["m/data.pkl", "m/constants.pkl", "n/code/a.py"], "torch.jit.save"),
        (["m/main.py"], "no data.pkl"),
        ([], "no data.pkl"),
    ],
)
def test_torchscript_is_a_zip_with_data_constants_and_code(
    names: list[str], expected: str | None, tmp_path: Path, zipped: Callable[..., bytes]
) -> None:
    """In one folder, whatever its name."""
    found = fault("pytorch", zipped(dict.fromkeys(names, "")), tmp_path)
    assert (found is None) is (expected is None)
    assert (expected or "") in (found or "")


@pytest.mark.parametrize("framework", ["onnx", "tensorflow", "pytorch", "keras", "sklearn", "xgboost"])
def test_a_file_of_another_framework_is_an_error_and_so_is_nothing(
    framework: str, tmp_path: Path, model: Callable[[str], bytes]
) -> None:
    """A sentence that says what is not there; the reason fits on one line."""
    alike = {"sklearn": "xgboost", "xgboost": "sklearn", "keras": "tensorflow"}
    others = {"onnx", "tensorflow", "pytorch", "keras", "sklearn", "custom"} - {framework, alike.get(framework)}
    for content in (b"", b"text\n" * 100, bytes(1000), *(model(other) for other in sorted(others))):
        found = fault(framework, content, tmp_path)
        assert found is not None
        assert "\n" not in found


def hdf5(version: int, place: int, length: int) -> bytes:
    head = bytearray(b"\x89HDF\r\n\x1a\n" + bytes(88))
    head[8] = version
    head[place : place + 8] = length.to_bytes(8, "little")
    return bytes(head)


@pytest.mark.parametrize(("version", "place"), [(0, 40), (1, 44), (2, 28), (3, 28)])
def test_hdf5_must_be_as_long_as_it_says(version: int, place: int, tmp_path: Path) -> None:
    """A file that was cut is found out as the library does it."""
    assert fault("keras", hdf5(version, place, 96), tmp_path) is None
    cut = fault("keras", hdf5(version, place, 97), tmp_path)
    assert cut == "The model file is not a Keras model: truncated file: eof = 96, stored_eof = 97."


def test_other_forms_of_keras(tmp_path: Path, zipped: Callable[..., bytes]) -> None:
    """Keras 3's own zip passes; a superblock of the future, or half of one, does not."""
    assert fault("keras", zipped({"config.json": "{}", "model.weights.h5": ""}), tmp_path) is None
    assert "superblock" in (fault("keras", hdf5(9, 40, 96), tmp_path) or "")
    assert "superblock" in (fault("keras", hdf5(0, 40, 96)[:20], tmp_path) or "")


@any_example
@given(value=SIMPLE, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL), data=st.data())
def test_every_pickle_passes_and_none_that_was_cut(value: Any, protocol: int, data: Any, tmp_path: Path) -> None:
    """All protocols; what follows the end is not looked at, as by Python itself."""
    content = pickle.dumps(value, protocol)
    assert fault("sklearn", content, tmp_path) is None
    assert fault("xgboost", content + b"more", tmp_path) is None
    cut = data.draw(st.integers(0, len(content) - 1))
    assert fault("sklearn", content[:cut], tmp_path) is not None


@any_example
@given(content=st.binary(max_size=200))
def test_any_bytes_are_judged_by_every_framework(content: bytes, tmp_path: Path, model: Callable[[str], bytes]) -> None:
    """No other exception comes out."""
    for framework in NATIVE_FAULTS:
        for whole in (content, model(framework)[:20] + content):
            found = fault(framework, whole, tmp_path)
            assert found is None or found


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Ran out of input"),
        (b".", "pop from empty list"),
        (b"\x80\x04.", "pop from empty list"),
        (b"\x80\x06N.", "unsupported pickle protocol: 6"),
        (b"\x80\x04\x8e" + b"\xff" * 8 + b"data.", "pickle data was truncated"),
        (b"cos\nsystem", "pickle data was truncated"),
        (b"\x01\x02", r"invalid load key, '\x01'"),
    ],
)
def test_a_bad_pickle_is_told_in_pythons_words(content: bytes, reason: str, tmp_path: Path) -> None:
    """Also one that claims an argument of 2**64 bytes, which is not read."""
    assert fault("sklearn", content, tmp_path) == f"The model file cannot be unpickled: {reason}."


class Trap:
    """Leaves a trace where it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_a_pickle_is_walked_and_never_loaded(tmp_path: Path) -> None:
    """What it would do does not happen."""
    trace = tmp_path / "trace"
    assert fault("sklearn", pickle.dumps(Trap(trace)), tmp_path) is None
    assert not trace.exists()


def test_a_joblib_dump_passes(tmp_path: Path) -> None:
    """Its arrays lie between the opcodes."""
    content = pickle.dumps("joblib.numpy_pickle NumpyArrayWrapper")[:-1] + b"b\x01\x02\x03raw array"
    assert fault("sklearn", content, tmp_path) is None


def test_a_pickle_of_very_many_parts_is_not_walked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk is bounded."""
    monkeypatch.setattr(natives, "MAX_OPCODES", 100)
    assert fault("sklearn", b"N0" * 100 + b"\x01", tmp_path) is None

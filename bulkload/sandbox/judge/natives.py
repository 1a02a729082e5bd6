"""Files of the frameworks that the registry loads natively: opened by what they are, without their libraries.

INFERENCE throughout: no refusal of such a file was ever seen, so these sentences are the sandbox's own.
"""

import pickletools
from collections.abc import Callable
from io import SEEK_CUR, SEEK_END
from pathlib import Path
from typing import BinaryIO

from bulkload.core.bounds import FILE_HEAD_BYTES
from bulkload.core.formats import contents, protobuf
from bulkload.core.formats.contents import HDF5_HEAD_BYTES
from bulkload.sandbox.judge.archives import Archive, NotAZipError, open_archive

SAVED_MODEL = "saved_model.pb"
SAVED_MODEL_HEAD_BYTES = 64 * 1024
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

HIGHEST_PROTOCOL = max(info.proto for info in pickletools.opcodes)
OPCODES = {info.code.encode("latin-1"): info for info in pickletools.opcodes}
LENGTH_BYTES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
TWO_LINES = frozenset({b"c", b"i"})  # GLOBAL and INST: module and name, a line each
HEADING = frozenset({b"\x80", b"\x95"})  # PROTO and FRAME
MAX_OPCODES = 1_000_000  # a second or so; what is well formed that far passes
MAX_LINE_BYTES = 1024 * 1024
JOBLIB_ARRAY = b"NumpyArrayWrapper"


def onnx_fault(path: Path) -> str | None:
    """What is wrong with an ONNX model, None when nothing is."""
    with path.open("rb") as file:
        size = file.seek(0, SEEK_END)

        def read_at(place: int, length: int) -> bytes:
            file.seek(place)
            return file.read(length)

        fault = protobuf.onnx_fault(protobuf.Message(read_at, size, most_fields=protobuf.MAX_FIELDS))
        if fault is not None:
            return f"The model file is not an ONNX model: {fault}."
        location = protobuf.external_data(protobuf.Message(read_at, size, most_fields=protobuf.MAX_FIELDS))
    return None if location is None else f"The model file names weights in another file: {location!r}."


def torchscript_fault(path: Path) -> str | None:
    """What is wrong with a file of torch.jit.save, None when nothing is."""
    try:
        with open_archive(path) as archive:
            names = archive.names
    except NotAZipError:
        return "The model file is not a TorchScript archive: it is no zip."
    roots = [name.removesuffix("data.pkl") for name in names if name.rpartition("/")[2] == "data.pkl"]
    if not roots:
        return "The model file is not a TorchScript archive: it has no data.pkl."
    for root in roots:
        if f"{root}constants.pkl" in names and any(name.startswith(f"{root}code/") for name in names):
            return None
    return "The model file is not a TorchScript archive: it holds no code (was it saved with torch.jit.save?)."


def tensorflow_fault(path: Path) -> str | None:
    """What is wrong with a zipped SavedModel folder, None when nothing is."""
    try:
        with open_archive(path) as archive:
            return _saved_model_fault(archive)
    except NotAZipError:
        return "The model file is not a SavedModel: it is no zip."


def keras_fault(path: Path) -> str | None:
    """What is wrong with an HDF5 file or a zipped SavedModel folder, None when nothing is."""
    with path.open("rb") as file:
        head, size = file.read(HDF5_HEAD_BYTES), file.seek(0, SEEK_END)
    if head.startswith(HDF5_SIGNATURE):
        cut = contents.hdf5_fault(size, head)
        return None if cut is None else f"The model file is not a Keras model: {cut}."
    try:
        with open_archive(path) as archive:
            if {"config.json", "model.weights.h5"} <= set(archive.names):
                return None  # Keras 3's own zip: nobody saw what becomes of it
            return _saved_model_fault(archive)
    except NotAZipError:
        return "The model file is not a Keras model: it is neither HDF5 nor a zipped SavedModel."


def pickle_fault(path: Path) -> str | None:
    """What is wrong with a pickle, None when nothing is: walked to its end, nothing is loaded."""
    with path.open("rb") as file:
        if (native := contents.native_booster(file.read(FILE_HEAD_BYTES))) is not None:
            return f"The model file {native.what}."
        file.seek(0)
        size = file.seek(0, SEEK_END)
        file.seek(0)
        reason = _walk_pickle(file, size)
        if reason is None:
            return None
        file.seek(0)
        if JOBLIB_ARRAY in file.read(MAX_LINE_BYTES):
            return None  # joblib puts arrays between the opcodes
    return f"The model file cannot be unpickled: {reason}."


NATIVE_FAULTS: dict[str, Callable[[Path], str | None]] = {
    "onnx": onnx_fault,
    "tensorflow": tensorflow_fault,
    "pytorch": torchscript_fault,
    "keras": keras_fault,
    "sklearn": pickle_fault,
    "xgboost": pickle_fault,
}


def _saved_model_fault(archive: Archive) -> str | None:
    names = archive.names
    # Flat, or in one folder.
    found = [name for name in names if name.rpartition("/")[2] == SAVED_MODEL and name.count("/") <= 1]
    if not found:
        return "The model file is not a SavedModel: it has no saved_model.pb, flat or in one folder."
    if len(found) > 1:
        return f"The model file holds more than one SavedModel: {', '.join(sorted(found)[:3])}."
    folder = found[0].removesuffix(SAVED_MODEL)
    if not any(name.startswith(f"{folder}variables/") for name in names):
        return "The model file is not a SavedModel: it has no variables folder."
    graph = archive.read(found[0], SAVED_MODEL_HEAD_BYTES)
    message = protobuf.Message(lambda place, size: graph[place : place + size], archive.size(found[0]))
    if not protobuf.is_saved_model(message):
        return "The model file is not a SavedModel: saved_model.pb holds no graph."
    return None


def _walk_pickle(file: BinaryIO, size: int) -> str | None:
    """Why a pickle does not reach its STOP, in the words of Python's own unpickler; None when it does."""
    if size == 0:
        return "Ran out of input"
    holds_something = False
    for _ in range(MAX_OPCODES):
        code = file.read(1)
        if code == b".":
            return None if holds_something else "pop from empty list"
        info = OPCODES.get(code)
        if info is None:
            return f"invalid load key, {chr(code[0])!r}" if code else "pickle data was truncated"
        if code == b"\x80":
            protocol = int.from_bytes(file.read(1), "little")
            if protocol > HIGHEST_PROTOCOL:
                return f"unsupported pickle protocol: {protocol}"
        elif not _skip_argument(file, code, info.arg, size):
            return "pickle data was truncated"
        holds_something = holds_something or code not in HEADING
    return None


def _skip_argument(file: BinaryIO, code: bytes, argument: pickletools.ArgumentDescriptor | None, size: int) -> bool:
    """Go past an opcode's argument without reading what is long. False when the file ends before it does."""
    if argument is None:
        return True
    if argument.n == pickletools.UP_TO_NEWLINE:
        lines = 2 if code in TWO_LINES else 1
        return all(file.readline(MAX_LINE_BYTES).endswith(b"\n") for _ in range(lines))
    length = argument.n
    if length in LENGTH_BYTES:
        prefix = file.read(LENGTH_BYTES[length])
        length = int.from_bytes(prefix, "little")
    if file.tell() + length > size:
        return False
    file.seek(length, SEEK_CUR)
    return True

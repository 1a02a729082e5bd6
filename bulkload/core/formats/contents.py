"""What a file's bytes say against publishing it: looked at, never loaded. Pure: the bytes come in.

Certain is what no model of its framework can be; likely is what its framework probably refuses, and only warned of.
"""

import re

from bulkload.core.bounds import FILE_END_BYTES, FILE_HEAD_BYTES, MOST_MODEL_FIELDS
from bulkload.core.formats.protobuf import Message, ReadAt, external_data, is_graph, is_saved_model, missing_bytes
from bulkload.core.formats.signatures import (
    Content,
    any_text,
    compression,
    is_safetensors,
    is_text,
    other_kind,
    pointer_or_page,
)
from bulkload.core.text.words import shown

_PICKLES = frozenset({"sklearn", "xgboost"})
# Of these a folder is never the model.
_ONE_FILE = _PICKLES | {"onnx", "pytorch"}
# Of these a bare .py may be published.
_STEPS = "python"
_ZIPPED = frozenset({"custom", "python", "tensorflow", "vllm", "sglang"})
_HDF5 = b"\x89HDF\r\n\x1a\n"
# Where HDF5's superblock says how long the file is, by the version of the superblock.
_HDF5_LENGTH_AT = {0: 40, 1: 44, 2: 28, 3: 28}
HDF5_HEAD_BYTES = 64
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
# The first bytes of pickles of protocol 0, which are texts.
_TEXT_PICKLE = b"(c]}N)ILFSVPg"
_ZIP, _ZIP_END, _ZIP_ENTRY = b"PK\x03\x04", b"PK\x05\x06", b"PK\x01\x02"
_ZIP_END_BYTES, _ZIP_ENTRY_BYTES = 22, 46
_JOBLIB = (b"joblib.numpy_pickle", b"NumpyArrayWrapper")
# zlib at its usual levels.
_ZLIB = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")
_LZMA = b"\x5d\x00\x00"
# What torch.save wrote before it wrote zips: pickles, then bytes.
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# A word with its length before it, as its older binary format has it.
_BOOSTER = re.compile(rb"\x06\x00{7}gbtree|\x08\x00{7}gblinear|\x04\x00{7}dart")

# A model has few fields besides its graph. Fewer bytes may be missing of what only looks like one.
_FEW_FIELDS, _LEAST_MISSING_BYTES = 64, 64

_UNPACK = "unpack it; where a folder is meant, name the folder"
_PICKLE_THE_MODEL = "publish the pickled model: pickle.dump(model, file)"
_SCRIPT_IT = "publish TorchScript: torch.jit.script(model).save(path)"
_CUT_OFF = "copy or download it again"


def look(framework: str, path: str, size: int, head: bytes, read_at: ReadAt) -> Content | None:
    """What is wrong with a file of ``size`` bytes that begins with ``head`` (``FILE_HEAD_BYTES``, or all of it).

    ``path`` or its end: for extensions; ``read_at`` gives further bytes. None: nothing that can be seen.
    """
    if is_text(head):
        return _text(framework, path, head)
    if head.startswith((_ZIP, _ZIP_END)):
        return _zip(framework, size, head, read_at)
    if head.startswith(_HDF5):
        return _hdf5(framework, size, head)
    found = other_kind(head) or _compressed(framework, head) or _safetensors(size, head)
    return found or _unpacked(framework, path, size, head, read_at)


def folder_content(framework: str) -> Content | None:
    """What is wrong with a folder, which is sent as a zip."""
    if framework in _ONE_FILE:
        return Content(f"is a folder, and {framework} is one file", "name the model's file inside it")
    return None


def _unpacked(framework: str, path: str, size: int, head: bytes, read_at: ReadAt) -> Content | None:
    if _PICKLE.match(head):
        return _pickle(framework, size, head, read_at)
    if framework == "onnx":
        return _onnx(size, head, read_at)
    if framework in ("tensorflow", "keras"):
        return _bare_graph(framework, path, size, head, read_at)
    return native_booster(head) if framework in _PICKLES else None


def _text(framework: str, path: str, head: bytes) -> Content | None:
    found = pointer_or_page(head)
    if found is not None:
        return found
    if framework in _PICKLES:
        if head.startswith(b"tree\nversion="):
            return Content("is LightGBM's own format, not a pickle", _PICKLE_THE_MODEL)
        if head.startswith((b"booster[", b"{")) and (found := native_booster(head)) is not None:
            return found
        if head[:1] in _TEXT_PICKLE:
            return None
    return None if framework == _STEPS and path.lower().endswith(".py") else any_text(head)


def _safetensors(size: int, head: bytes) -> Content | None:
    if not is_safetensors(head, size):
        return None
    what = "is a safetensors file, which holds weights alone and which no framework takes as a bare file"
    return Content(what, "publish the model in the form of its framework")


def _compressed(framework: str, head: bytes) -> Content | None:
    packed = compression(head)
    if packed is None and framework in _PICKLES:
        # Too short to be told from other kinds, but no pickle begins like that.
        packed = "zlib" if head[:2] in _ZLIB else "lzma" if head[:3] == _LZMA else None
    if packed is None:
        return None
    if framework in _PICKLES and packed != "zstd":
        what = f"is compressed ({packed}), as joblib.dump does on request: the registry may not be able to load it"
        return Content(what, _PICKLE_THE_MODEL, certain=False)
    return Content(f"is compressed ({packed})", _UNPACK)


# Zips


def _zip(framework: str, size: int, head: bytes, read_at: ReadAt) -> Content | None:
    if framework == "onnx" or framework in _PICKLES:
        return Content("is a zip", "unpack it and name the model inside")
    place, end = _zip_end(size, read_at)
    if end is None:
        return Content("is a zip that was cut off: its directory is missing at the end", _CUT_OFF)
    entries = int.from_bytes(end[10:12], "little")
    if entries == 0 and head.startswith(_ZIP_END):
        return Content("is a zip that holds nothing", "name the model's folder itself, or zip it again")
    if framework != "pytorch":
        return None
    names = _zip_names(end, entries, place, read_at)
    if names is None or any(b"/code/" in b"/" + name for name in names):
        return None
    if any(name.endswith(b"data.pkl") for name in names):
        what = "is a file of torch.save (a state dict, or a whole model), not TorchScript: it holds no code"
    else:
        what = "is a zip without TorchScript in it"
    return Content(f"{what}; the registry may not be able to load it", _SCRIPT_IT, certain=False)


def _zip_end(size: int, read_at: ReadAt) -> tuple[int, bytes | None]:
    """Where the end record stands, and the record. None where there is none: a comment may follow it."""
    last = read_at(max(0, size - _ZIP_END_BYTES), _ZIP_END_BYTES)
    if last.startswith(_ZIP_END):
        return size - len(last), last
    start = max(0, size - FILE_END_BYTES - _ZIP_END_BYTES)
    tail = read_at(start, size - start)
    place = tail.rfind(_ZIP_END)
    if place < 0 or place + _ZIP_END_BYTES > len(tail):
        return 0, None
    return start + place, tail[place : place + _ZIP_END_BYTES]


def _zip_names(end: bytes, entries: int, place: int, read_at: ReadAt) -> list[bytes] | None:
    """The names in a zip's directory; None where that is large, or not where it should be."""
    length = int.from_bytes(end[12:16], "little")
    if not 0 < length <= min(FILE_HEAD_BYTES, place):
        return None
    directory, names, at = read_at(place - length, length), list[bytes](), 0
    while directory.startswith(_ZIP_ENTRY, at) and at + _ZIP_ENTRY_BYTES <= len(directory):
        name, extra, comment = (int.from_bytes(directory[at + n : at + n + 2], "little") for n in (28, 30, 32))
        names.append(directory[at + _ZIP_ENTRY_BYTES : at + _ZIP_ENTRY_BYTES + name])
        at += _ZIP_ENTRY_BYTES + name + extra + comment
    return names if len(names) == entries else None


# Other binary kinds


def _hdf5(framework: str, size: int, head: bytes) -> Content | None:
    if framework != "keras":
        return Content("is an HDF5 file, as Keras writes it", "publish it as keras, or name the model's own file")
    fault = hdf5_fault(size, head)
    return None if fault is None else Content(f"is an HDF5 file that was cut off: {fault}", _CUT_OFF)


def hdf5_fault(size: int, head: bytes) -> str | None:
    """Why HDF5 refuses a file that begins as its own do, in its words; None where it does not."""
    at = _HDF5_LENGTH_AT.get(head[8] if len(head) > 8 else -1)
    if at is None or len(head) < HDF5_HEAD_BYTES:
        return "its HDF5 superblock cannot be read"
    stored = int.from_bytes(head[at : at + 8], "little")
    return f"truncated file: eof = {size}, stored_eof = {stored}" if size < stored else None


def _pickle(framework: str, size: int, head: bytes, read_at: ReadAt) -> Content | None:
    if framework in _PICKLES:
        if any(word in head for word in _JOBLIB):
            what = "was written by joblib.dump, with arrays beside the pickle: the registry may not be able to load it"
            return Content(what, _PICKLE_THE_MODEL, certain=False)
        return None
    if not head.startswith(_OLD_TORCH) and read_at(size - 1, 1) != b".":
        return None
    if framework == "pytorch":
        what = "is a pickle, as old versions of torch.save write it, not TorchScript: the registry may not load it"
        return Content(what, _SCRIPT_IT, certain=False)
    zipped = framework in _ZIPPED or framework.startswith("hugging-face-")
    remedy = "name the model's folder" if zipped else "publish it as sklearn or xgboost, or name the model's own file"
    return Content("is a pickle", remedy)


def _onnx(size: int, head: bytes, read_at: ReadAt) -> Content | None:
    missing = missing_bytes(Message(read_at, size, most_fields=_FEW_FIELDS, head=head))
    if missing >= _LEAST_MISSING_BYTES:
        return Content(f"is an ONNX model that was cut off: {missing:,} bytes of its graph are missing", _CUT_OFF)
    # Read whole, it can name another file only with this word in it.
    if size <= len(head) and b"location" not in head:
        return None
    location = external_data(Message(read_at, size, most_fields=MOST_MODEL_FIELDS, head=head))
    return None if location is None else external_content(location)


def external_content(location: str) -> Content:
    """An ONNX model whose weights lie in another file."""
    where = f" ({shown(location)})" if location else ""
    what = f"keeps weights in another file{where}, and the registry takes one file: the model would be half there"
    return Content(
        what, "write it whole: onnx.save(onnx.load(path), path), or torch.onnx.export(..., external_data=False)"
    )


def _bare_graph(framework: str, path: str, size: int, head: bytes, read_at: ReadAt) -> Content | None:
    message = Message(read_at, size, most_fields=100, head=head)
    if is_graph(message):
        what = "is a bare graph (a frozen one?), not a zipped SavedModel"
    elif path.lower().endswith((".pb", ".pbtxt")) or is_saved_model(message):
        what = "is a bare .pb, not a zipped SavedModel"
    else:
        return None
    also = " or an .h5 file" if framework == "keras" else ""
    return Content(what, f"publish the SavedModel folder (saved_model.pb with variables/) as a zip{also}")


def native_booster(head: bytes) -> Content | None:
    """XGBoost's own formats. JSON and UBJSON begin with an object that has a learner."""
    is_object = head[:1] == b"{" and b"learner" in head[:200]
    is_binary = head.startswith((b"binf", b"CONFIG-offset:", b"booster[")) or _BOOSTER.search(head[:1024])
    if is_object or is_binary:
        return Content("is XGBoost's own format (save_model), not a pickle", _PICKLE_THE_MODEL)
    return None

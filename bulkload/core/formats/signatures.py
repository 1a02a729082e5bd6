"""What a file's beginning says that it is, where that cannot be mistaken: nothing that a real model begins with.

The registry itself takes any bytes as ONNX (a real model begins with the eight characters `00000001`), so nothing is
refused for what it lacks: only for what it certainly is instead.
"""

import re
from typing import NamedTuple

from bulkload.core.text.words import printable


class Content(NamedTuple):
    """What is wrong with a file's content, and the remedy. ``certain``: no model of this framework looks like that."""

    what: str
    remedy: str
    certain: bool = True


# Bytes of texts, whatever their language: all but control characters.
_TEXT = bytes({9, 10, 12, 13, *range(32, 127), *range(128, 256)})
_BOM = b"\xef\xbb\xbf"
TEXT_BYTES = 4096
_FIRST_BYTES = 16
_FEW_LINES = 2
_SHOWN_CHARACTERS = 60

_DOWNLOAD = "download it again, signed in, and look at what comes"
_POINTERS: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (
        re.compile(rb"version https?://(git-lfs\.github\.com|hawser\.github\.com|git-media\.io)/"),
        "is a Git LFS pointer, not the model",
        "fetch the model: `git lfs pull`",
    ),
    (re.compile(rb"# xet version \d"), "is a Git Xet pointer, not the model", "fetch the model: `git xet checkout`"),
    (
        re.compile(rb"(?:\.\./|\./)*(?:\.git)?/annex/objects/"),
        "is a git-annex pointer, not the model",
        "fetch the model: `git annex get`",
    ),
    (
        re.compile(
            rb"(?=(?s:.{0,2000}?)^outs:\s*$)(?=(?s:.{0,2000}?)^-?\s*(md5|etag|checksum|hash|path):)", re.MULTILINE
        ),
        "is a DVC file that stands for the model",
        "fetch the model with `dvc pull`, and name it without .dvc",
    ),
    (
        re.compile(rb"\.{1,2}/[^\s]+\s*\Z"),
        "holds the path of another file: a symbolic link that was copied as text",
        "name the file that it leads to",
    ),
)
_PAGES: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"(<!--(?s:.){0,1000}?-->\s*)?<(!doctype\s+html|html|head|body)\b", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"<(\?xml|Error>|[A-Za-z]+Result|html:)"), "an XML document"),
    (re.compile(rb"<[A-Za-z!?][^>]{0,1000}>"), "a document with tags (HTML or XML)"),
)
# What object stores say that is wrong, and what a page is about.
_TITLE = re.compile(rb"<Code>\w{1,60}(?=</Code>)|<title>[^<]{1,200}(?=</title>)", re.IGNORECASE)
_REFUSAL = re.compile(
    rb"(error:?\s+)?(\d{3}:?\s+)?(not found|forbidden|unauthori[sz]ed|access (denied|to )|bad (gateway|request)"
    rb"|internal server error|service unavailable|gateway time-?out|too many requests|moved permanently|entry not found"
    rb"|repository not found|invalid (username|credentials|token)|permission denied|authentication required"
    rb"|no such (key|bucket)|file not found|please (log|sign) in)",
    re.IGNORECASE,
)

_NAME_IT = "name the model's own file"
# Beginnings of other kinds of files; four bytes are the shortest that no model begins with by chance.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x00\x05\x16\x07", "holds what macOS keeps beside a file (AppleDouble, ._...)", "name the file without ._"),
    (b"\x00\x05\x16\x00", "holds what macOS keeps beside a file (AppleSingle)", _NAME_IT),
    (b"bplist00", "is a placeholder or property list of macOS", "let the file be downloaded from the cloud first"),
    (b"%PDF-", "is a PDF", _NAME_IT),
    (b"\x89PNG\r\n\x1a\n", "is a picture (PNG)", _NAME_IT),
    (b"\xff\xd8\xff\xe0", "is a picture (JPEG)", _NAME_IT),
    (b"\xff\xd8\xff\xe1", "is a picture (JPEG)", _NAME_IT),
    (b"GIF87a", "is a picture (GIF)", _NAME_IT),
    (b"GIF89a", "is a picture (GIF)", _NAME_IT),
    (b"\x7fELF", "is a program or library (ELF)", _NAME_IT),
    (b"MZ\x90\x00", "is a program of Windows", _NAME_IT),
    (b"SQLite format 3\x00", "is an SQLite database", _NAME_IT),
    (b"PAR1", "is a Parquet file", _NAME_IT),
    (b"ARROW1\x00\x00", "is an Arrow file", _NAME_IT),
    (b"\x93NUMPY", "is a NumPy array", _NAME_IT),
    (b"GGUF", "is a GGUF model, which no framework takes as a bare file", "name the model's folder, or zip it"),
    (b"\x00\x00\x00\x01Bud1", "is what macOS keeps of a folder (.DS_Store)", _NAME_IT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a document of Windows (OLE)", _NAME_IT),
    (b"L\x00\x00\x00\x01\x14\x02\x00", "is a shortcut of Windows", "name the file that it leads to"),
    (b"CBM1", "is CatBoost's own format", "publish it as custom, with code that loads it"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive", "unpack it; where a folder is meant, name the folder"),
    (b"Rar!\x1a\x07", "is a RAR archive", "unpack it; where a folder is meant, name the folder"),
)
_BY_FIRST_BYTE = {start[0]: tuple(s for s in _SIGNATURES if s[0][0] == start[0]) for start, _, _ in _SIGNATURES}


def is_text(head: bytes) -> bool:
    """Whether a file begins as texts do, in UTF-8."""
    if head[:_FIRST_BYTES].translate(None, _TEXT):
        return False
    sample = head[:TEXT_BYTES]
    if sample.translate(None, _TEXT):
        return False
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character may be cut at the end.
        return error.start > len(sample) - 4 and len(head) > TEXT_BYTES
    return True


def pointer_or_page(head: bytes) -> Content | None:
    """A text that stands where a model should be, whatever the framework."""
    text = head[:TEXT_BYTES].removeprefix(_BOM).lstrip()
    for pattern, what, remedy in _POINTERS:
        if pattern.match(text):
            return Content(what, remedy)
    for pattern, what in _PAGES:
        if pattern.match(text):
            return Content(f"is {what}, not a model{_quoted(_TITLE.search(text))}", _DOWNLOAD)
    refusal = _REFUSAL.match(text) if len(text) < TEXT_BYTES else None
    if refusal is not None:
        return Content(f"holds a refusal, not a model{_quoted(refusal)}", _DOWNLOAD)
    return None


def any_text(head: bytes) -> Content | None:
    """A text of several lines, or JSON: for frameworks of which no file is a text."""
    text = head[:TEXT_BYTES].removeprefix(_BOM).lstrip()
    if text[:1] in (b"{", b"[") and text[1:].lstrip()[:1] in (b'"', b"{", b"[", b"]", b"}"):
        return Content("is JSON, not a model", _DOWNLOAD)
    if text.count(b"\n") >= _FEW_LINES:
        return Content("is a text, not a model", _NAME_IT)
    return None


def other_kind(head: bytes) -> Content | None:
    """A file of another kind, by its first bytes, whatever the framework."""
    for start, what, remedy in _BY_FIRST_BYTE.get(head[0] if head else -1, ()):
        if head.startswith(start):
            return Content(what, remedy)
    if head[4:8] == b"TFL3":
        return Content("is a TensorFlow Lite model", "publish the SavedModel folder, as a zip")
    if head[257:262] == b"ustar":
        return Content("is a tar archive", "unpack it; where a folder is meant, name the folder")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") and head[2:64].count(0) * 3 >= len(head[2:64]) > 8:
        return Content("is a text in UTF-16, not a model", _NAME_IT)
    return None


def is_safetensors(head: bytes, size: int) -> bool:
    """A length of eight bytes, then so much JSON."""
    return head[8:10] in (b'{"', b"{}") and 2 <= int.from_bytes(head[:8], "little") <= size - 8


def compression(head: bytes) -> str | None:
    """The name of a compression of one file."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        return "bzip2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    return "lz4" if head.startswith(b"\x04\x22\x4d\x18") else None


def _quoted(found: re.Match[bytes] | None) -> str:
    """Words of a page or a refusal, for a message. Of other texts nothing is shown: they may be anybody's secrets."""
    if found is None:
        return ""
    text = found[0].rpartition(b">")[2].decode("utf-8", "replace")
    words = " ".join(text.replace('"', "'").split())
    return f' ("{printable(words[:_SHOWN_CHARACTERS])}{"..." if len(words) > _SHOWN_CHARACTERS else ""}")'

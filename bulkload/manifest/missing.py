"""Why a file is not there, and what brings it: a look around the place where it should be."""

import os
import unicodedata
from pathlib import Path

from bulkload.core.text.words import gap_hint, nearest, shown
from bulkload.system.file_names import local_path, path_text

# A search for what was meant takes milliseconds: it is done for the first missing files, not for a million of them, and
# not in folders where it would take longer.
MOST_SUGGESTIONS = 100
MOST_NAMES = 2_000

_RELATIVE = "check the path; it is relative to the manifest's folder"
# What stands in a file's place -> what brings the file itself; {} is what stands there.
_STAND_INS = {
    ".dvc": "DVC keeps it elsewhere: fetch it with `dvc pull {}`",
    ".lfs": "Git LFS keeps it elsewhere: fetch it with `git lfs pull`",
    **dict.fromkeys(
        (".incomplete", ".part", ".partial", ".crdownload", ".download", ".tmp", ".aria2"),
        "its download has not finished: {} is there",
    ),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".lz4"), "it is packed: unpack {}"),
}


class Missing:
    """Looks for the causes of files that are not there; the first of them only."""

    def __init__(self) -> None:
        self._left = MOST_SUGGESTIONS

    def cause(self, path: str, source: str) -> tuple[str, str]:
        """What is wrong with a path that leads to nothing, and the remedy. ``source``: the path from the root."""
        source = local_path(source)
        # Not limited: nothing else can be said about a link.
        link = dangling_link(source)
        if link is not None:
            return link
        if self._left == 0:
            return "does not exist", _RELATIVE
        self._left -= 1
        return "does not exist", _remedy(path, source)


def dangling_link(source: str) -> tuple[str, str] | None:
    """The first link on the way that leads nowhere: what it is, where it leads, and what to do."""
    whole = Path(source)
    for place in (*reversed(whole.parents), whole):
        if not os.path.lexists(place):
            return None
        if place.is_symlink() and not place.exists():
            target = str(place.readlink())
            subject = "is a link" if place == whole else f"leads through the link {_bare(str(place))}"
            return f"{subject} to {_bare(target)}, which is not there", _link_remedy(str(place), target)
    return None


def _link_remedy(place: str, target: str) -> str:
    if "/blobs/" in f"/{target}" and "/snapshots/" in place:
        return "the Hugging Face cache was pruned, or its blobs were not copied: download the model again"
    if ".git/annex/objects" in target:
        return "git-annex keeps it elsewhere: fetch it with `git annex get`"
    return "bring back what the link leads to, or name another file"


def _remedy(path: str, source: str) -> str:
    gap = gap_hint(path)
    if gap is not None:
        return f"{gap}; name the model's file"
    if path.startswith("~"):
        return "~ is not read as a home folder; write the whole path"
    for other in (path.strip(), path.replace("\\", "/").strip()):
        if other != path and os.path.isfile(_beside(source, local_path(path), local_path(other))):  # noqa: PTH113
            return f"write it as {shown(other)}"
    folder, name = os.path.split(path)
    stand_in = _stand_in(source)
    if stand_in is not None:
        return stand_in
    names = _names_in(os.path.dirname(source))  # noqa: PTH120
    if names is None:
        return f"there is no folder {shown(folder)} in the manifest's folder; check the path"
    return _among(names, folder, name)


def _among(names: list[str], folder: str, name: str) -> str:
    """What the folder has instead."""
    same = next((other for other in names if _composed(other) == _composed(name)), None)
    if same is not None and same != name:
        return "rename the file: its name looks the same, but is written with other Unicode characters (NFC, NFD)"
    stem = name.removesuffix(".zip")
    if stem != name and stem in names:
        return f"name the folder itself, {shown(os.path.join(folder, stem, ''))}: it is sent as a zip"  # noqa: PTH118
    if len(names) <= MOST_NAMES:
        # Another number is another file, not a typing error.
        near = nearest(name, [other for other in names if _digits(other) == _digits(name)])
        if near is not None:
            return f"did you mean {shown(os.path.join(folder, near))}?"  # noqa: PTH118
    return _RELATIVE


def _stand_in(source: str) -> str | None:
    """What stands beside the file, or beside a folder above it, for a tool that keeps it elsewhere."""
    for ending, remedy in _STAND_INS.items():
        if os.path.lexists(source + ending):
            return remedy.format(_bare(os.path.basename(source) + ending))  # noqa: PTH119
    for folder in Path(source).parents:
        if os.path.lexists(folder):
            return None
        if os.path.lexists(f"{folder}.dvc"):
            return _STAND_INS[".dvc"].format(_bare(f"{folder.name}.dvc"))
    return None


def _beside(source: str, path: str, other: str) -> str:
    return other if os.path.isabs(other) else source.removesuffix(path) + other  # noqa: PTH117


def _digits(name: str) -> list[str]:
    return [character for character in name if character.isdigit()]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _names_in(folder: str) -> list[str] | None:
    try:
        return [path_text(name) for name in os.listdir(folder)]  # noqa: PTH208
    except (OSError, ValueError):
        return None


def _bare(path: str) -> str:
    return shown(path_text(path))[1:-1]

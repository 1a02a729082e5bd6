"""YAML: composed whole, because an anchor may reach anywhere; each value keeps its line.

A text field takes a scalar as it is written, so that ``version: 1.10`` and ``version: 2024-05-01`` stay what they look
like. Elsewhere numbers, ``true``, ``false`` and ``null`` mean what they mean in JSON.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from bulkload.manifest.rows import WORD_FIELDS, Found, Reader

if TYPE_CHECKING:
    import yaml

DEEPEST = 64
# Aliases may repeat what they name, but not without end: at most so many values for each byte of the file.
VALUES_A_BYTE = 10
VALUES_AT_LEAST = 100_000

_TAG = "tag:yaml.org,2002:"


class YamlProblem(ValueError):
    """Something that a manifest cannot hold."""

    def __init__(self, node: "yaml.Node", what: str, remedy: str) -> None:
        super().__init__(what)
        self.line = node.start_mark.line + 1
        self.remedy = remedy


class Yaml(Reader):
    """``{defaults, models}`` or a bare list."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows; a place is the line on which an item begins."""
        import yaml

        text = stream.read()
        try:
            node = yaml.compose(text, Loader=yaml.CSafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f"line {mark.line + 1}" if mark is not None else ""
            what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
            yield self.problem(place, f"is no YAML: {what}", "check indentation, quotes and encoding (UTF-8)")
            return
        except (UnicodeDecodeError, RecursionError, ValueError) as error:
            yield self.problem("", f"is no YAML: {error}", "save the file as UTF-8")
            return
        if node is None:
            yield self.problem("", "is empty", "write a list of entries, or {defaults: {...}, models: [...]}")
            return
        try:
            document = _Builder(len(text)).document(node)
        except YamlProblem as problem:
            yield self.problem(f"line {problem.line}", str(problem), problem.remedy)
            return
        yield from self.document(document, _places(node))


def _places(root: "yaml.Node") -> dict[int, str]:
    """Item number -> the line it begins on."""
    import yaml

    models = root
    if isinstance(root, yaml.MappingNode):
        models = next((value for key, value in root.value if getattr(key, "value", None) == "models"), root)
    if not isinstance(models, yaml.SequenceNode):
        return {}
    return {number: f"line {item.start_mark.line + 1}" for number, item in enumerate(models.value, start=1)}


class _Builder:
    """Nodes into values."""

    def __init__(self, size_bytes: int) -> None:
        self._left = max(VALUES_AT_LEAST, VALUES_A_BYTE * size_bytes)

    def document(self, node: "yaml.Node") -> Any:
        return self._value(node, (), 0)

    def _value(self, node: "yaml.Node", path: tuple[str, ...], depth: int) -> Any:
        import yaml

        self._left -= 1
        if depth > DEEPEST or self._left < 0:
            raise YamlProblem(node, "is nested too deep or repeats itself without end", "write the values out")
        if not node.tag.startswith(_TAG):
            raise YamlProblem(node, f"the tag {node.tag} means nothing here", "write a plain value")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, path, depth + 1) for item in node.value]
        return _scalar(node, words_only=bool(path) and path[0] in WORD_FIELDS)

    def _mapping(self, node: "yaml.MappingNode", path: tuple[str, ...], depth: int) -> dict[str, Any]:
        import yaml

        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise YamlProblem(key, "a key is no text", "write key: value")
            if key.tag == _TAG + "merge":
                for source in self._merge_sources(value, path, depth):
                    merged = {**source, **merged}
                continue
            name = key.value
            if name in own:
                raise YamlProblem(key, f"key {name!r} stands twice", "remove one of them")
            # "defaults" and "models" hold entries; below them a field decides how its scalars are read.
            inside = path or (() if name in ("defaults", "models") and depth == 0 else (name,))
            own[name] = self._value(value, inside, depth + 1)
        return {**merged, **own}

    def _merge_sources(self, node: "yaml.Node", path: tuple[str, ...], depth: int) -> list[dict[str, Any]]:
        import yaml

        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        sources = [self._value(source, path, depth + 1) for source in nodes]
        if not all(isinstance(source, dict) for source in sources):
            raise YamlProblem(node, "<< takes an object", "write <<: *anchor")
        return sources


def _scalar(node: "yaml.Node", *, words_only: bool) -> Any:
    kind = node.tag.removeprefix(_TAG)
    text: str = node.value
    if kind == "null":
        return None
    if words_only:
        return text
    if kind == "bool":
        # YAML 1.1 reads yes, no, on and off as truth values; people mean the words.
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError:
        pass  # 0x1F, 1_000 and 12:30 are numbers to YAML 1.1 alone: they stay words
    return text

"""YAML: entries are built one after the other, from the parser's events; a place is a line."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from bulkload.core.bounds import MOST_NAMED_ENTRIES
from bulkload.core.model.records import Problem
from bulkload.manifest.rows import Found, Reader
from bulkload.manifest.shapes import (
    FORM,
    TOO_MANY_NAMES,
    Kind,
    Shape,
    key_twice,
    named_row,
    shape_of,
    unknown_keys,
)
from bulkload.manifest.yaml_events import Builder, YamlProblem, line_of, strange_tag
from bulkload.manifest.yaml_scalars import NULLS, Plain, meanings

if TYPE_CHECKING:
    import yaml


class Yaml(Reader):
    """A list, ``{defaults, models}``, ``{name: {...}}``, or one entry."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows; a place is the line on which an item begins."""
        import yaml

        data = self.whole(stream)
        if isinstance(data, Problem):
            yield data
            return
        try:
            yield from self._document(data)
        except YamlProblem as problem:
            yield self.problem(f"line {problem.line}", str(problem), problem.remedy)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
            place = f"line {mark.line + 1}" if mark is not None else ""
            yield self.problem(place, f"is no YAML: {what}", "check indentation, quotes and encoding (UTF-8)")

    def _document(self, data: bytes) -> Iterator[Found]:
        builder = Builder(data)
        event = builder.begin()
        if event is None:
            return
        tag = strange_tag(event) if builder.is_list(event) or builder.is_object(event) else None
        if tag is not None:
            yield self.problem("", tag.what, tag.remedy)
            return
        if builder.is_list(event):
            yield from self._entries(builder)
        elif builder.is_object(event):
            yield from self._object(builder, event, _Outline(data))
        elif not _is_null(builder.value(event)):
            yield self.problem("", "has no list of entries", FORM)
        builder.end()

    def _entries(self, builder: Builder) -> Iterator[Found]:
        """Rows of the list that has begun."""
        number = 0
        while not builder.is_end(event := builder.next()):
            number += 1
            yield from self.row(number, f"line {line_of(event)}", _fields(builder.value(event)))

    def _object(self, builder: Builder, event: "yaml.Event", outline: "_Outline") -> Iterator[Found]:
        if outline.is_too_long:
            yield self.problem("", *TOO_MANY_NAMES)
            builder.skip(event)
        elif outline.shape is Shape.SINGLE:
            yield from self.row(1, f"line {line_of(event)}", _fields(builder.value(event)))
        else:
            if outline.has_late_defaults:
                yield from self.defaults(_fields(outline.defaults()))
            if outline.shape is Shape.LISTED:
                yield from unknown_keys(self, outline.keys)
            yield from self._several(builder, outline)

    def _several(self, builder: Builder, outline: "_Outline") -> Iterator[Found]:
        """What stands below the keys of the document."""
        seen: set[str] = set()
        has_models = False
        while not builder.is_end(event := builder.next()):
            key, line = builder.key(event), line_of(event)
            value = builder.next()
            is_named = outline.shape is Shape.NAMED and key != "defaults"
            if key in seen and (is_named or key in ("defaults", "models")):
                twice = key_twice(key)
                yield self.problem(f"line {line}", twice.what, twice.remedy, field="" if is_named else key)
                builder.value(value)
            elif is_named:
                yield from named_row(self, len(seen) + 1, f"line {line}", key, _fields(builder.value(value)))
            elif key == "defaults":
                fields = builder.value(value)
                if not outline.has_late_defaults:
                    yield from self.defaults(_fields(fields))
            elif key == "models":
                has_models = True
                yield from self._models(builder, value)
            else:
                # It is told already; what it anchors may be meant below.
                builder.value(value)
            seen.add(key)
        if outline.shape is Shape.LISTED and not has_models:
            yield self.problem("", "has no list of entries", FORM)

    def _models(self, builder: Builder, event: "yaml.Event") -> Iterator[Found]:
        tag = strange_tag(event) if builder.is_list(event) or builder.is_object(event) else None
        if tag is not None:
            yield self.problem("", tag.what, tag.remedy, field="models")
            builder.skip(event)
        elif builder.is_list(event):
            yield from self._entries(builder)
        else:
            place, models = f"line {line_of(event)}", builder.value(event)
            if isinstance(models, list):  # by an alias
                for number, fields in enumerate(models, start=1):
                    yield from self.row(number, place, _fields(fields))
            elif isinstance(models, dict) and shape_of(_kinds(models)) is Shape.NAMED:
                for number, (key, fields) in enumerate(models.items(), start=1):
                    yield from named_row(self, number, place, key, _fields(fields))
            else:
                yield self.problem("", "has no list of entries", FORM)


class _Outline:
    """The keys of a document that is an object, read before its values: they say what it is."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        builder = Builder(data)
        builder.begin()
        members: list[tuple[str, Kind]] = []
        while not builder.is_end(event := builder.next()):
            key = builder.key(event)
            value = builder.next()
            members.append((key, _kind(builder, value)))
            self.is_too_long = len(members) > MOST_NAMED_ENTRIES
            # Nothing that follows can change what it is.
            if self.is_too_long or (key == "models" and any(before == "defaults" for before, _ in members)):
                break
            builder.skip(value)
        else:
            self.is_too_long = False
        self.keys = [key for key, _ in members]
        self.shape = shape_of((key, kind) for key, kind in members if key != "<<")
        entries = ["models"] if self.shape is Shape.LISTED else [key for key in self.keys if key != "defaults"]
        first_entry = next((at for at, key in enumerate(self.keys) if key in entries), len(self.keys))
        self.has_late_defaults = "defaults" in self.keys[first_entry:]

    def defaults(self) -> Any:
        """The defaults, where they stand below entries to which they belong."""
        builder = Builder(self._data)
        builder.begin()
        while not builder.is_end(event := builder.next()):
            is_wanted = builder.key(event) == "defaults"
            value = builder.next()
            if is_wanted:
                return builder.value(value)
            builder.skip(value)
        return None


def _kind(builder: Builder, event: "yaml.Event") -> Kind:
    if builder.is_list(event):
        return Kind.LIST
    return Kind.OBJECT if builder.is_object(event) or builder.is_alias(event) else Kind.SCALAR


def _kinds(models: dict[str, Any]) -> list[tuple[str, Kind]]:
    return [(key, Kind.OBJECT if isinstance(value, dict) else Kind.SCALAR) for key, value in models.items()]


def _fields(value: Any) -> Any:
    """The fields of an entry as they are meant; anything else as it is."""
    return meanings(value) if isinstance(value, dict) else None if _is_null(value) else value


def _is_null(value: Any) -> bool:
    return isinstance(value, Plain) and value in NULLS

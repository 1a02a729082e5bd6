"""YAML, built from the parser's events: one value at a time, within bounds, each on its line."""

import sys
from typing import TYPE_CHECKING, Any

from bulkload.core.bounds import DEEPEST_JSON, MOST_VALUES
from bulkload.core.text.words import shown
from bulkload.manifest.rows import UnreadableValue
from bulkload.manifest.yaml_scalars import Plain

if TYPE_CHECKING:
    import yaml

# Aliases may repeat what they name, but not without end: at most so many values for each byte of the file.
VALUES_A_BYTE = 4
VALUES_AT_LEAST = 100_000

_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = {f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float")}
_TEXT_TAGS = {"!", f"{_TAG}str"}
_OTHER_TAGS = {None, "!", f"{_TAG}seq", f"{_TAG}map"}


class YamlProblem(ValueError):
    """Something that no manifest can hold."""

    def __init__(self, line: int, what: str, remedy: str) -> None:
        super().__init__(what)
        self.line = line
        self.remedy = remedy


class _TooManyValues(Exception):
    """A value that is no entry."""


class Builder:
    """Events into values. All methods raise ``YamlProblem`` and ``yaml.YAMLError``."""

    def __init__(self, data: bytes) -> None:
        import yaml

        self._yaml = yaml
        self._events = yaml.parse(data, Loader=yaml.CSafeLoader)
        self._open = 0
        # Anchor -> its value and how many values that is when written out; None while it is being read.
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._anchored = 0
        self._left = max(VALUES_AT_LEAST, VALUES_A_BYTE * len(data))
        # Of the value that is being built.
        self._count = 0

    def next(self) -> "yaml.Event":
        """The next event."""
        event: yaml.Event = next(self._events)
        if isinstance(event, self._yaml.CollectionStartEvent):
            self._open += 1
        elif isinstance(event, self._yaml.CollectionEndEvent):
            self._open -= 1
        return event

    def begin(self) -> "yaml.Event | None":
        """The event with which the document's value begins; None where there is no document."""
        for event in self._events:
            if isinstance(event, self._yaml.DocumentStartEvent):
                return self.next()
        return None

    def end(self) -> None:
        """See that no second document follows."""
        for event in self._events:
            if isinstance(event, self._yaml.DocumentStartEvent):
                raise YamlProblem(line_of(event), "a second document begins", "write one document a file")

    def is_list(self, event: "yaml.Event") -> bool:
        """Whether a list begins."""
        return isinstance(event, self._yaml.SequenceStartEvent)

    def is_object(self, event: "yaml.Event") -> bool:
        """Whether an object begins."""
        return isinstance(event, self._yaml.MappingStartEvent)

    def is_alias(self, event: "yaml.Event") -> bool:
        """Whether what follows was written elsewhere."""
        return isinstance(event, self._yaml.AliasEvent)

    def is_end(self, event: "yaml.Event") -> bool:
        """Whether a list or an object ends."""
        return isinstance(event, self._yaml.CollectionEndEvent)

    def key(self, event: "yaml.Event") -> str:
        """The key that this event is."""
        if not isinstance(event, self._yaml.ScalarEvent):
            raise YamlProblem(line_of(event), "a key is no text", "write key: value")
        return str(event.value)

    def skip(self, event: "yaml.Event") -> None:
        """Read over the value that begins with this event."""
        outside = self._open - self._yaml_opens(event)
        while self._open > outside:
            self.next()
            self._bound_depth(event, self._open - outside)

    def value(self, event: "yaml.Event") -> Any:
        """The value that begins with this event; ``UnreadableValue`` where it holds more values than an entry may."""
        outside = self._open - self._yaml_opens(event)
        self._count = 0
        try:
            return self._value(event, 0)[0]
        except _TooManyValues:
            while self._open > outside:
                self.next()
            return UnreadableValue(f"holds more than {MOST_VALUES:,} values", "write an entry in fewer words")
        finally:
            self._left -= self._count
            if self._left < 0:
                raise self._endless(event)

    def _yaml_opens(self, event: "yaml.Event") -> int:
        return isinstance(event, self._yaml.CollectionStartEvent)

    def _bound_depth(self, event: "yaml.Event", depth: int) -> None:
        # The parser's time grows with the square of it.
        if depth > DEEPEST_JSON:
            raise YamlProblem(line_of(event), f"is nested deeper than {DEEPEST_JSON}", "write it flatter")

    def _value(self, event: "yaml.Event", depth: int) -> tuple[Any, int]:
        """A value, and how many it is when aliases are written out."""
        self._bound_depth(event, depth)
        if isinstance(event, self._yaml.AliasEvent):
            return self._alias(event)
        self._add(1)
        anchor = event.anchor  # type: ignore[attr-defined] # all other events of values have one
        if anchor is not None:
            self._anchors[anchor] = None
        if isinstance(event, self._yaml.ScalarEvent):
            built: tuple[Any, int] = (_scalar(event), 1)
        elif isinstance(event, self._yaml.SequenceStartEvent):
            built = self._sequence(event, depth)
        else:
            built = self._mapping(event, depth)
        if anchor is not None:
            self._anchored += built[1]
            if self._anchored > MOST_VALUES:
                raise YamlProblem(line_of(event), f"anchors name more than {MOST_VALUES:,} values", "write them out")
            self._anchors[anchor] = built
        return built

    def _add(self, count: int) -> None:
        self._count += count
        if self._count > MOST_VALUES:
            raise _TooManyValues

    def _endless(self, event: "yaml.Event") -> YamlProblem:
        return YamlProblem(line_of(event), "aliases repeat themselves without end", "write the values out")

    def _alias(self, event: "yaml.AliasEvent") -> tuple[Any, int]:
        name = event.anchor
        built = None if name is None else self._anchors.get(name)
        if built is None:
            what = "inside of what it names" if name in self._anchors else "but no anchor of that name is above"
            raise YamlProblem(line_of(event), f"an alias *{name} stands {what}", "write the value out")
        if self._count + built[1] > MOST_VALUES:
            raise self._endless(event)
        self._add(built[1])
        return built

    def _sequence(self, event: "yaml.Event", depth: int) -> tuple[Any, int]:
        items: list[Any] = []
        size = 1
        while not self.is_end(inner := self.next()):
            value, inner_size = self._value(inner, depth + 1)
            items.append(value)
            size += inner_size
        return _untagged(event, items), size

    def _mapping(self, event: "yaml.Event", depth: int) -> tuple[Any, int]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        size = 1
        while not self.is_end(inner := self.next()):
            key, _ = self._value(inner, depth + 1)
            value, inner_size = self._value(self.next(), depth + 1)
            size += inner_size
            if not isinstance(key, str):
                raise YamlProblem(line_of(inner), "a key is no text", "write key: value")
            if isinstance(key, Plain) and key == "<<":
                for source in value if isinstance(value, list) else [value]:
                    if not isinstance(source, dict):
                        raise YamlProblem(line_of(inner), "<< takes an object", "write <<: *anchor")
                    merged = {**source, **merged}
                continue
            name = sys.intern(str(key)) if len(key) < 20 else str(key)  # the same few in every row
            if name in own:
                value = UnreadableValue(f"key {shown(name)} stands twice", "remove one of them")
            own[name] = value
        return _untagged(event, {**merged, **own}), size


def _scalar(event: "yaml.ScalarEvent") -> Any:
    text = str(event.value)
    # Without a tag style says it: only a scalar without quotes may be something other than text.
    if event.tag is None or event.tag in _SCALAR_TAGS:
        return Plain(text) if event.tag is not None or not event.style else text
    return text if event.tag in _TEXT_TAGS else _tagged(event)


def _untagged(event: "yaml.Event", value: Any) -> Any:
    return value if event.tag in _OTHER_TAGS else _tagged(event)  # type: ignore[attr-defined]


def strange_tag(event: "yaml.Event") -> UnreadableValue | None:
    """What is wrong with the tag of a list or an object."""
    tag = getattr(event, "tag", None)
    return None if tag in _OTHER_TAGS else _tagged(event)


def _tagged(event: "yaml.Event") -> UnreadableValue:
    return UnreadableValue(f"the tag {shown(event.tag)} means nothing here", "write a plain value")  # type: ignore[attr-defined]


def line_of(event: "yaml.Event") -> int:
    """The line on which an event stands, counted from 1."""
    return event.start_mark.line + 1 if event.start_mark is not None else 0

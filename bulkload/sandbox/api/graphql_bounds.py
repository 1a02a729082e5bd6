"""How much one GraphQL question may cost: before it is carried out by its text, then by what it leads to."""

import re
import time
from typing import Any

import msgspec

from bulkload.core.bounds import (
    DEEPEST_GRAPHQL,
    DEEPEST_JSON,
    GRAPHQL_SECONDS,
    MOST_GRAPHQL_FIELDS,
    MOST_GRAPHQL_TOKENS,
    MOST_GRAPHQL_VALUES,
)

# A longer text counts as several values.
CHARACTERS_A_VALUE = 100
# What is no text and no comment: its brackets count.
TOKEN_PATTERN = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*+"""|"(?:[^"\\\n]|\\.)*+"|#[^\n]*+|[{}()\[\]]', re.DOTALL)


class TooMuchError(Exception):
    """A question is beyond a bound; the text says which."""


class ExceededError(BaseException):
    """The same while it is carried out. No Exception: these are errors of one field, after which the others go on."""


class Budget:
    """What the answer to one question may still cost: values, and time from now on."""

    def __init__(self) -> None:
        self._values = MOST_GRAPHQL_VALUES
        self._until = time.monotonic() + GRAPHQL_SECONDS

    def spend(self, values: int = 1) -> None:
        """Take one value, or several. Raises ExceededError."""
        self._values -= values
        if self._values < 0:
            raise ExceededError(f"the answer has more than {MOST_GRAPHQL_VALUES:,} values")
        if time.monotonic() > self._until:
            raise ExceededError(f"the answer was not there after {GRAPHQL_SECONDS:g} s")

    def resolve(self, resolver: Any, source: Any, info: Any, **arguments: Any) -> Any:
        """Middleware of graphql-core: every field of every row is a value, those of the schema as well."""
        self.spend()
        value = resolver(source, info, **arguments)
        if isinstance(value, str):
            self.spend(len(value) // CHARACTERS_A_VALUE)
        elif getattr(info.return_type, "name", None) == "jsonb":
            self.spend(len(msgspec.json.encode(value)) // CHARACTERS_A_VALUE)
        return value


def parse_bounded(query: str) -> Any:
    """The document of a question. Raises TooMuchError, and GraphQLError for what is none."""
    from graphql import parse

    depth = 0
    for token in TOKEN_PATTERN.findall(query):
        depth += 1 if token in {"{", "(", "["} else -1 if token in {"}", ")", "]"} else 0
        if depth > DEEPEST_JSON:
            raise TooMuchError(f"the query has more than {DEEPEST_JSON} open brackets")
    document = parse(query, no_location=True, max_tokens=MOST_GRAPHQL_TOKENS)
    _check_size(document)
    return document


def _check_size(document: Any) -> None:
    fragments = {node.name.value: node for node in document.definitions if node.kind == "fragment_definition"}
    sizes: dict[str, tuple[int, int]] = {}

    def fragment_size(name: str) -> tuple[int, int]:
        if name not in sizes:
            sizes[name] = (0, 0)  # as long as it is being measured: one inside itself is refused by validation
            sizes[name] = size(fragments[name].selection_set) if name in fragments else (0, 0)
        return sizes[name]

    def size(selections: Any) -> tuple[int, int]:
        """How many fields these selections come to, and how deep, with fragments written out."""
        fields, depth = 0, 0
        for node in selections.selections if selections is not None else ():
            if node.kind == "fragment_spread":
                inner_fields, inner_depth = fragment_size(node.name.value)
            else:
                inner_fields, inner_depth = size(node.selection_set)
            own = int(node.kind == "field")
            fields += own + inner_fields
            depth = max(depth, own + inner_depth)
        return fields, depth

    measured = [size(node.selection_set) for node in document.definitions if hasattr(node, "selection_set")]
    if sum(fields for fields, _ in measured) > MOST_GRAPHQL_FIELDS:
        raise TooMuchError(f"the query has more than {MOST_GRAPHQL_FIELDS:,} fields")
    if max((depth for _, depth in measured), default=0) > DEEPEST_GRAPHQL:
        raise TooMuchError(f"the query is nested more than {DEEPEST_GRAPHQL} deep")

"""JSON and TOML: one document, read whole."""

import re
import tomllib
from collections.abc import Iterator
from typing import BinaryIO

from bulkload.core.records import Problem
from bulkload.manifest.rows import NOT_UTF8, SAVE_AS_UTF8, Found, NotJson, Reader, parse_json

_TOML_PLACE = re.compile(r"^(.*) \(at line (\d+), column (\d+)\)$", re.DOTALL)


class Json(Reader):
    """``{defaults, models}`` or a bare list."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, by item."""
        data = self.whole(stream)
        if isinstance(data, Problem):
            yield data
            return
        if not data.strip():
            return
        try:
            document = parse_json(data.decode("utf-8"))
        except UnicodeDecodeError:
            yield self.problem("", NOT_UTF8, SAVE_AS_UTF8)
        except NotJson as error:
            remedy = "mend it there; for one object a line use .jsonl"
            yield self.problem(f"line {error.line}", f"is no JSON: {error}", remedy)
        else:
            yield from self.document(document)


class Toml(Reader):
    """``[defaults]`` and ``[[models]]``."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, by item."""
        data = self.whole(stream)
        if isinstance(data, Problem):
            yield data
            return
        if not data.strip():
            return
        try:
            document = tomllib.loads(data.decode("utf-8"))
        except UnicodeDecodeError:
            yield self.problem("", NOT_UTF8, SAVE_AS_UTF8)
        except (ValueError, RecursionError) as error:  # TOMLDecodeError, or a number of too many digits
            placed = _TOML_PLACE.match(str(error))
            what = f"{placed[1]} at column {placed[3]}" if placed else str(error)
            yield self.problem(f"line {placed[2]}" if placed else "", f"is no TOML: {what}", "mend it there")
        else:
            yield from self.document(document)

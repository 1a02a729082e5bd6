"""JSON and TOML: one document, read whole."""

import tomllib
from collections.abc import Iterator
from typing import BinaryIO

from bulkload.manifest.line_formats import BOM, ENCODING, SAVE_AS_UTF8
from bulkload.manifest.rows import Found, NotJson, Reader, parse_json


class Json(Reader):
    """``{defaults, models}`` or a bare list."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, by item."""
        try:
            document = parse_json(stream.read().removeprefix(BOM).decode("utf-8"))
        except UnicodeDecodeError:
            yield self.problem("", ENCODING, SAVE_AS_UTF8)
        except NotJson as error:
            yield self.problem("", f"is no JSON: {error}", "mend it there; for one object a line use .jsonl")
        else:
            yield from self.document(document)


class Toml(Reader):
    """``[defaults]`` and ``[[models]]``."""

    def read(self, stream: BinaryIO) -> Iterator[Found]:
        """The rows, by item."""
        try:
            document = tomllib.loads(stream.read().removeprefix(BOM).decode("utf-8"))
        except UnicodeDecodeError:
            yield self.problem("", ENCODING, SAVE_AS_UTF8)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            yield self.problem("", f"is no TOML: {error}", "mend it there")
        else:
            yield from self.document(document)

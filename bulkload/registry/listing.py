"""``models/list`` while it arrives: unpaged, of any size, about 1.5 kB a version. Nothing of it is kept here."""

from typing import Any

import aiohttp
import anyio
import ijson

from bulkload.core.bounds import LARGEST_LISTING_BYTES, LISTING_SECONDS, SLOWEST_LISTING_BYTES_PER_SECOND
from bulkload.core.formats.json_bounds import JsonBounds
from bulkload.core.model.records import RegistryVersion
from bulkload.registry import answers
from bulkload.registry.redaction import Secrets

# Of {"models": [{"model_versions": [{...}]}]}.
_LEVEL_OF_ITEMS = 5
# What a parser raises for what is no JSON, or beyond its bounds.
NO_LISTING = (ijson.JSONError, UnicodeDecodeError, ValueError)


class ListingParser:
    """Makes versions of the pieces of a listing. Both methods raise ``NO_LISTING``."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._bounds = JsonBounds(level=_LEVEL_OF_ITEMS)
        self._nodes = ijson.sendable_list()
        self._parser = ijson.items_coro(self._nodes, "models.item.model_versions.item", use_float=True)
        self._opening = _ListOpening()

    @property
    def is_list(self) -> bool:
        """Whether it holds a list of models, so that an empty one means that there are none."""
        return self._opening.seen

    def feed(self, piece: bytes) -> list[RegistryVersion]:
        """The versions that are complete with this piece."""
        self._bounds.feed(piece)
        self._opening.feed(piece)
        self._parser.send(piece)
        versions = [found for node in self._nodes if (found := answers.version_from(node, self._secrets)) is not None]
        self._nodes.clear()
        return versions

    def close(self) -> None:
        """Nothing more comes."""
        self._parser.close()


class _ListOpening:
    """Looks for the start of the list in ``{"models": [...]}``, which the parser of its items does not tell."""

    def __init__(self) -> None:
        self.seen = False
        self._events = ijson.sendable_list()
        self._parser: Any = ijson.parse_coro(self._events)

    def feed(self, piece: bytes) -> None:
        if self.seen:
            return
        self._parser.send(piece)
        self.seen = any(event[:2] == ("models", "start_array") for event in self._events)
        self._events.clear()


class Pace:
    """Whether a listing comes quickly enough, and is not too much. Time that we take ourselves does not count."""

    def __init__(self, slow_start: float) -> None:
        """``slow_start``: seconds after which it must come at a speed."""
        # What is wrong with it.
        self.trouble: str | None = None
        self._slow_start = slow_start
        self._seconds = 0.0
        self._bytes = 0

    async def next_piece(self, content: aiohttp.StreamReader) -> bytes:
        """What has come by now; empty at the end."""
        began = anyio.current_time()
        piece = await content.readany()
        self._seconds += anyio.current_time() - began
        self._bytes += len(piece)
        if self._bytes > LARGEST_LISTING_BYTES:
            self.trouble = f"an answer of more than {LARGEST_LISTING_BYTES >> 20:,} MiB"
        elif self._seconds > LISTING_SECONDS:
            self.trouble = f"no whole answer within {LISTING_SECONDS:g} s"
        elif self._bytes < (self._seconds - self._slow_start) * SLOWEST_LISTING_BYTES_PER_SECOND:
            self.trouble = f"too slow: {self._bytes:,} bytes in {self._seconds:.0f} s"
        return piece

"""From a manifest to checked entries."""

from bulkload.manifest.checking import check
from bulkload.manifest.overriding import parse_overrides

__all__ = ["check", "parse_overrides"]

"""From a manifest to checked entries."""

from bulkload.manifest.checking import check, place_of
from bulkload.manifest.files import Outside
from bulkload.manifest.overriding import parse_overrides
from bulkload.manifest.problems import problem_list

__all__ = ["Outside", "check", "parse_overrides", "place_of", "problem_list"]

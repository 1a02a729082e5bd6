"""What comes before what: a row before ``--set``, ``--set`` before ``defaults``."""

from collections.abc import Mapping, Sequence
from typing import Any

from bulkload.core.model.errors import UsageError
from bulkload.core.text.words import did_you_mean
from bulkload.manifest.json_text import NotJson, from_text
from bulkload.manifest.rows import FIELDS

_NOT_SET = ("name", "path")


def parse_overrides(words: Sequence[str]) -> dict[str, str]:
    """``--set field=value`` words as a mapping. Raises ``UsageError``."""
    found: dict[str, str] = {}
    for word in words:
        field, sign, value = word.partition("=")
        if not sign:
            raise UsageError(f"--set {word}: write it as --set FIELD=VALUE")
        if field not in FIELDS or field in _NOT_SET:
            known = [name for name in FIELDS if name not in _NOT_SET]
            raise UsageError(f"--set {field}: is no field that can be set; {did_you_mean(field, known)}")
        if not value:
            raise UsageError(f"--set {field}: is empty; write it as --set {field}=VALUE, or leave it out")
        try:
            from_text(field, value)
        except NotJson as error:
            raise UsageError(f"--set {field}: is no JSON: {error}") from None
        found[field] = value
    return found


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Null and empty text are fields not given."""
    if isinstance(fields, dict) and None not in (values := fields.values()) and "" not in values:
        return fields
    return {field: value for field, value in fields.items() if value is not None and value != ""}


def over(shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """``own`` before ``shared``; workspace and workspace_id are one thing, so that either replaces both."""
    merged = shared | own
    if "workspace" in own or "workspace_id" in own:
        for field in ("workspace", "workspace_id"):
            if field not in own:
                merged.pop(field, None)
    return merged

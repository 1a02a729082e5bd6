"""Two equalities, and the keys that follow from them.

``same_content`` asks "is this already there?"; ``could_be_ours`` asks "did the upload whose answer was lost make it?".
The registry rewrites what it is given (a default arch, custom's ``model_path``), so both compare normal forms.
"""

import hashlib
from collections.abc import Set as AbstractSet
from enum import IntEnum
from functools import lru_cache
from pathlib import PurePosixPath

import msgspec

from bulkload.core.contract.frameworks import FRAMEWORKS
from bulkload.core.contract.schemas import canonical
from bulkload.core.model.records import Conversion, Entry, RegistryVersion


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is apart from its bytes, in normal form: equal contents give equal records."""

    workspace_id: int
    name: str
    visibility: str
    conversion: str
    # Empty where the framework needs no schemas: the registry may then show them or not.
    schemas: str


class Match(IntEnum):
    """How well a version of the registry answers the question "is it ours?"."""

    NO = 0
    # The same bytes under the same name, but the conversion was rewritten, or the registry does not show enough to say:
    # never to be sent again.
    NEAR = 1
    EXACT = 2


def content_of_entry(entry: Entry, workspace_id: int, default_arch: str | None) -> Content:
    """The content that publishing ``entry`` makes."""
    return Content(
        workspace_id=workspace_id,
        name=entry.name,
        visibility=entry.visibility,
        conversion=_conversion_of_entry(entry, default_arch),
        schemas=_normal_schemas(entry.conversion.framework, entry.input_schema, entry.output_schema),
    )


def content_of_version(version: RegistryVersion, default_arch: str | None) -> Content | None:
    """The content of a version as the registry shows it; None where it does not show the conversion."""
    if version.conversion is None:
        return None
    return Content(
        workspace_id=version.workspace_id,
        name=version.name,
        visibility=version.visibility,
        conversion=normal_conversion(version.conversion, default_arch, version.file_name),
        schemas=_normal_schemas(version.conversion.framework, version.input_schema, version.output_schema),
    )


def same_content(content: Content, sha256: str, version: RegistryVersion, default_arch: str | None) -> bool:
    """Whether ``version`` is what publishing this content with these bytes would make."""
    return version.sha256 == sha256 and content_of_version(version, default_arch) == content


def could_be_ours(
    content: Content,
    sha256: str,
    file_name: str,
    fence: AbstractSet[int],
    version: RegistryVersion,
    default_arch: str | None,
) -> Match:
    """Whether the upload of this content, sent when the ids in ``fence`` existed already, may have made ``version``."""
    if (version.workspace_id, version.name) != (content.workspace_id, content.name) or version.version_id in fence:
        return Match.NO
    # What the registry does not show speaks neither for nor against.
    if version.sha256 not in (None, sha256) or version.file_name not in (None, file_name):
        return Match.NO
    is_exact = version.file_name is not None and same_content(content, sha256, version, default_arch)
    return Match.EXACT if is_exact else Match.NEAR


def normal_conversion(conversion: Conversion, default_arch: str | None, file_name: str | None) -> str:
    """The conversion as canonical JSON: equal text means that the registry converts in the same way."""
    return _encode(
        [
            conversion.framework,
            conversion.python_version,
            conversion.requirements,
            conversion.arch or default_arch or "",
            _normal_value(conversion.accel) or "none",
            _normal_framework_config(conversion, file_name),
        ]
    )


# Conversions in which the file's name may stand.
_WITH_MODEL_PATH = frozenset(
    name for name, rule in FRAMEWORKS.items() if rule.default_config is not None and "model_path" in rule.default_config
)


def _conversion_of_entry(entry: Entry, default_arch: str | None) -> str:
    conversion = entry.conversion
    if (
        conversion.requirements
        or conversion.framework_config is not None
        or isinstance(conversion.accel, dict)
        or conversion.framework in _WITH_MODEL_PATH
    ):
        return normal_conversion(conversion, default_arch, _file_name(entry.path))
    return _conversion_of_words(conversion, default_arch)


def _file_name(path: str) -> str:
    name = PurePosixPath(path).name
    return f"{name}.zip" if path.endswith("/") else name


@lru_cache
def _conversion_of_words(conversion: Conversion, default_arch: str | None) -> str:
    """What nearly all entries of a manifest have is one of a few, and small."""
    return normal_conversion(conversion, default_arch, None)


def _normal_framework_config(conversion: Conversion, file_name: str | None) -> object:
    rule = FRAMEWORKS.get(conversion.framework)
    defaults = rule.default_config if rule is not None else None
    given = (conversion.framework_config or {}).get("config")
    if given is None and defaults is None:
        return None
    config: dict[str, object] = dict(defaults or {})
    if isinstance(given, dict):
        # null asks for the default.
        config |= {key: value for key, value in given.items() if value is not None}
    model_path = config.get("model_path")
    if isinstance(model_path, str):
        config["model_path"] = normal_model_path(model_path, file_name)
    return _normal_value(config)


def _normal_value(value: object) -> object:
    """A JSON value as the registry may show it again: keys without a value do not count, and 1.0 is 1."""
    if isinstance(value, dict):
        return {key: _normal_value(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_normal_value(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def normal_model_path(model_path: str, file_name: str | None) -> str:
    """``./model/``, ``model`` and the registry's rewritten ``<file name>/model`` are one."""
    parts = PurePosixPath(model_path).parts
    prefix = PurePosixPath(file_name).parts if file_name else ()
    # As often as it stands there: a path that was copied from the registry is rewritten once more.
    while prefix and parts[: len(prefix)] == prefix:
        parts = parts[len(prefix) :]
    return "/".join(parts)


def _normal_schemas(framework: str, input_schema: str | None, output_schema: str | None) -> str:
    rule = FRAMEWORKS.get(framework)
    if rule is None or not rule.needs_schemas:
        return ""
    return _encode([canonical(input_schema), canonical(output_schema)])


def entry_key(entry: Entry, workspace_id: int, default_arch: str | None) -> str:
    """The key under which a ledger knows this entry: 32 hexadecimal digits."""
    content = content_of_entry(entry, workspace_id, default_arch)
    return _digest([*msgspec.structs.astuple(content), entry.version, entry.path]).hex()


def offline_keys(entry: Entry) -> tuple[bytes, ...]:
    """16-byte digests of which two entries of one manifest must share none.

    One by path and, where a digest is declared, one by that: the same content with the same settings for one model,
    unless the ``version`` labels differ. Known before the registry is asked, so workspaces count as they are written.
    """
    content = msgspec.structs.astuple(content_of_entry(entry, 0, None))
    settings = [*content, entry.workspace, entry.version]
    by_path = _digest([*settings, "path", entry.path])
    return (by_path,) if entry.sha256 is None else (by_path, _digest([*settings, "sha256", entry.sha256]))


def _encode(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def _digest(value: object) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=16).digest()

"""The records that pass between the rooms of the house. All are frozen; a change is a new record."""

from typing import Any

import msgspec

# ``accel`` is a word ("cuda") or an object with one key ({"qaic": {...}}).
Accel = str | dict[str, Any] | None


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """How the registry is to convert a model: the ``conversion`` object of the upload metadata."""

    framework: str
    python_version: str = "3.8"
    requirements: tuple[str, ...] = ()
    arch: str | None = None
    accel: Accel = None
    # {"framework": <the same framework>, "config": {...}} or None.
    framework_config: dict[str, Any] | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One row or item of a manifest, checked: one model version to publish."""

    # The line (CSV, JSONL) or the item's number (other formats), counted from 1.
    line: int
    name: str
    # As written in the manifest: part of the entry's key, so that a ledger moves with its checkout.
    path: str
    # What to open: an absolute local path. That of a folder, which is sent as a zip, ends with a /.
    source: str
    # All digits: a workspace id; else a name. None: the sandbox's default one.
    workspace: str | None = None
    visibility: str = "private"
    # The source's own label for this version; never sent.
    version: str | None = None
    conversion: Conversion
    # Base64 of pyarrow.Schema.serialize(), as the API uses it.
    input_schema: str | None = None
    output_schema: str | None = None
    # Lower-case hexadecimal SHA-256 that the file must have.
    sha256: str | None = None
    labels: dict[str, str] = {}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a manifest: where, what, and what would be right."""

    manifest: str
    # "line 3", "row 3", "item 3", or "" for the manifest as a whole.
    place: str
    # The field's name, or "" for the row as a whole.
    field: str
    what: str
    remedy: str
    # What problems of one kind have in common, where that is not ``what`` without its values.
    kind: str = ""

    def __str__(self) -> str:
        """One line: ``models.csv: line 3: framework: unknown framework "pytorh"; did you mean "pytorch"?``."""
        return (
            f"{': '.join(part for part in (self.manifest, self.place, self.field, self.what) if part)}; {self.remedy}"
        )


class Notice(msgspec.Struct, frozen=True):
    """Something about an entry that stops nothing, but that somebody should know."""

    problem: Problem

    def __str__(self) -> str:
        """One line, as of a problem."""
        return str(self.problem)


class Look(msgspec.Struct, frozen=True):
    """What tells one state of a source from another without reading it: equal looks with a mark are equal bytes."""

    # Bytes.
    size: int
    # Of a local file ``inode:mtime_ns:ctime_ns``, of a folder ``folder:`` and a digest of these of all its files; None:
    # the place tells nothing but the size.
    mark: str | None


class RegistryVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One model version as the registry shows it (``get_version_by_id``, ``models/list``)."""

    version_id: int
    name: str
    workspace_id: int
    visibility: str = "private"
    conversion: Conversion | None = None
    input_schema: str | None = None
    output_schema: str | None = None
    status: str | None = None
    sha256: str | None = None
    size: int | None = None
    file_name: str | None = None
    # The UUID that delete_model_versions wants (``file_info.version``).
    uuid: str | None = None
    error_summary: str | None = None
    # ISO 8601, with a fraction of any width.
    created_at: str | None = None


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace as ``workspaces/list`` shows it."""

    workspace_id: int
    name: str

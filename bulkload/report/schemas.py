"""Schemas as people write them in a manifest: columns of a name and a type."""

from typing import TYPE_CHECKING

from bulkload.core.contract.schemas import SchemaProblem, decode

if TYPE_CHECKING:
    import pyarrow as pa

# What pyarrow calls some types, and what manifests call them.
_NAMES = {
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
    "date32[day]": "date32",
    "date64[ms]": "date64",
}


def columns_of(text: str | None) -> list[tuple[str, str]] | None:
    """The columns in the API's base64 text; None where there is none, or it cannot be decoded."""
    if not text:
        return None
    try:
        schema = decode(text)
    except SchemaProblem:
        return None
    return [(field.name, type_text(field.type)) for field in schema]


def type_text(kind: "pa.DataType") -> str:
    """An Arrow type in the manifest's language: what ``core.schemas.parse_type`` reads."""
    import pyarrow as pa

    if isinstance(kind, pa.FixedSizeListType):
        item = type_text(kind.value_type)
        # list<T>[N] is N of T: a list of N lists has to say list twice.
        return f"{f'list<{item}>' if pa.types.is_list(kind.value_type) else item}[{kind.list_size}]"
    if isinstance(kind, pa.ListType):
        return f"list<{type_text(kind.value_type)}>"
    if isinstance(kind, pa.StructType):
        fields = (kind.field(index) for index in range(kind.num_fields))
        return f"struct<{', '.join(f'{field.name}: {type_text(field.type)}' for field in fields)}>"
    return _NAMES.get(str(kind), str(kind))

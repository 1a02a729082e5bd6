"""A JSON Schema of manifests, for editors: names, meanings, choices. The offline check knows more than it can say."""

from typing import Any

from bulkload.core.bounds import MOST_LABELS
from bulkload.core.contract.frameworks import ACCELERATORS, ARCHITECTURES, FRAMEWORKS, PYTHON_VERSIONS, VISIBILITIES
from bulkload.core.contract.names import NAME
from bulkload.manifest.entries import SHA256

_TYPE_EXAMPLES = "int64, float32, string, bool, list<T>, T[N] (a list of exactly N), struct<name: T, ...>"


def json_schema() -> dict[str, Any]:
    """The schema of ``{defaults, models}`` and of a bare list, draft 2020-12."""
    entry = {"type": "object", "properties": _properties(), "additionalProperties": False}
    models = {"type": "array", "items": {"$ref": "#/$defs/model"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bulkload manifest",
        "$defs": {
            "entry": entry,
            "model": {"$ref": "#/$defs/entry", "required": ["name", "path"]},
            "schema": _column_schema(),
        },
        "oneOf": [
            models,
            {
                "type": "object",
                "properties": {"defaults": {"$ref": "#/$defs/entry"}, "models": models},
                "required": ["models"],
                "additionalProperties": False,
            },
        ],
    }


def _properties() -> dict[str, Any]:
    """Every field of an entry."""
    workspace = {"type": ["string", "integer"], "description": "All digits: an id; else a name. Or --workspace."}
    schema = {"$ref": "#/$defs/schema"}
    return {
        "name": _text("Model name. One name several times is several versions, published in this order.", NAME.pattern),
        "path": _text("The model's file or folder; relative paths are relative to this manifest's folder."),
        "framework": _choice(
            "What wrote the file. .onnx, .pt, .pth and .h5 say it themselves.", tuple(sorted(FRAMEWORKS))
        ),
        "workspace": workspace,
        "workspace_id": workspace,
        "visibility": _choice("private unless it says otherwise.", VISIBILITIES),
        "version": {"type": ["string", "integer"], "description": "Your own label for this version; never sent."},
        "python_version": {"enum": [*PYTHON_VERSIONS, *map(float, PYTHON_VERSIONS)], "description": "A label: 3.8."},
        "requirements": {"type": "array", "items": {"type": "string"}, "description": "Sent as given."},
        "arch": _choice("Where the model is to run.", ARCHITECTURES),
        "accel": {
            "description": 'An accelerator, or an object with one such as {"qaic": {...}}.',
            "oneOf": [
                {"enum": sorted(ACCELERATORS)},
                {"type": "object", "minProperties": 1, "maxProperties": 1},
            ],
        },
        "framework_config": {
            "type": "object",
            "description": 'For custom, vllm and sglang: {"framework": ..., "config": {...}}, or the inner object.',
        },
        "input_schema": schema,
        "output_schema": schema,
        "sha256": _text("A file with another digest never becomes a version.", SHA256.pattern),
        "labels": {
            "type": "object",
            "maxProperties": MOST_LABELS,
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            "description": "Yours: copied to the results, never sent.",
        },
    }


def _column_schema() -> dict[str, Any]:
    column_type = {"type": "string", "description": f"A type: {_TYPE_EXAMPLES}."}
    return {
        "description": "The model's columns; all frameworks but onnx and tensorflow need them.",
        "oneOf": [
            {"type": "object", "additionalProperties": column_type},
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "type": column_type},
                    "required": ["name", "type"],
                    "additionalProperties": False,
                },
            },
            {"type": "string", "description": "Base64 of pyarrow.Schema.serialize(), or a path that ends in .arrow."},
        ],
    }


def _text(description: str, pattern: str | None = None) -> dict[str, Any]:
    found = {"type": "string", "description": description}
    return found if pattern is None else {**found, "pattern": f"^({pattern})$"}


def _choice(description: str, choices: tuple[str, ...]) -> dict[str, Any]:
    return {"enum": list(choices), "description": description}

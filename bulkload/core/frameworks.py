"""The frameworks of the API and what each of them asks for."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec


class FrameworkRule(msgspec.Struct, frozen=True, kw_only=True):
    """One framework: what the API contract and the vendor's SDK say about it."""

    # File extensions that can mean nothing else.
    extensions: tuple[str, ...] = ()
    needs_schemas: bool = True
    # The SDK sends it to models/upload, where it is ready at once.
    native_route: bool = False
    # What the SDK sends as framework_config.config when nobody says otherwise.
    default_config: Mapping[str, Any] | None = None
    # Key -> what its value must be; None: every key and value goes.
    config_fields: Mapping[str, "ConfigField"] | None = None


class ConfigField(msgspec.Struct, frozen=True, kw_only=True):
    """One key of framework_config.config."""

    kind: type
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the API's rules forbid."""

    # The field, with a path inside it: "framework_config.config.page_size".
    field: str
    what: str
    remedy: str


_FRACTION = ConfigField(kind=float, least=0.0, most=1.0)
_COUNT = ConfigField(kind=int, least=1)
_FLAG = ConfigField(kind=bool)
_WORD = ConfigField(kind=str)

_VLLM = FrameworkRule(
    default_config={
        "gpu_memory_utilization": 0.9,
        "kv_cache_dtype": "auto",
        "max_num_seqs": 256,
        "quantization": "none",
    },
    config_fields={
        "gpu_memory_utilization": _FRACTION,
        "kv_cache_dtype": ConfigField(kind=str, choices=("auto", "fp8", "fp8_e4m3", "fp8_e5m2", "mxint8")),
        "max_num_seqs": _COUNT,
        # 22 values in the vendor's newest release; the server knows which of them it takes.
        "quantization": _WORD,
        "block_size": _COUNT,
        "device_group": ConfigField(kind=list),
        "max_model_len": _COUNT,
        "max_seq_len_to_capture": _COUNT,
        "enable_auto_tool_choice": _FLAG,
        "tool_call_parser": _WORD,
    },
)

_SGLANG = FrameworkRule(
    default_config={
        "chunked_prefill_size": 1024,
        "context_length": 2048,
        "kv_cache_dtype": "auto",
        "max_prefill_tokens": 2048,
        "max_running_requests": 64,
        "mem_fraction_static": 0.8,
        "page_size": 16,
        "quantization": "none",
    },
    config_fields={
        "chunked_prefill_size": _COUNT,
        "context_length": _COUNT,
        "kv_cache_dtype": ConfigField(kind=str, choices=("auto", "fp8_e4m3", "fp8_e5m2")),
        "max_prefill_tokens": _COUNT,
        "max_running_requests": _COUNT,
        "mem_fraction_static": _FRACTION,
        "page_size": _COUNT,
        "quantization": _WORD,
    },
)

# The SDK's default path; every other key goes, such as gpu_memory_utilization.
_CUSTOM = FrameworkRule(default_config={"model_path": "./model/"})

_HUGGING_FACE = (
    "automatic-speech-recognition", "feature-extraction", "image-classification", "image-segmentation",
    "image-to-text", "object-detection", "question-answering", "sentiment-analysis",
    "stable-diffusion-text-2-img", "summarization", "text-classification", "text-generation", "translation",
    "zero-shot-classification", "zero-shot-image-classification", "zero-shot-object-detection",
)  # fmt: skip

FRAMEWORKS: dict[str, FrameworkRule] = {
    "custom": _CUSTOM,
    "keras": FrameworkRule(extensions=(".h5",), config_fields={}),
    "onnx": FrameworkRule(extensions=(".onnx",), needs_schemas=False, native_route=True, config_fields={}),
    "python": FrameworkRule(config_fields={}),
    "pytorch": FrameworkRule(extensions=(".pt", ".pth"), config_fields={}),
    "sglang": _SGLANG,
    "sklearn": FrameworkRule(config_fields={}),
    "tensorflow": FrameworkRule(needs_schemas=False, native_route=True, config_fields={}),
    "vllm": _VLLM,
    "xgboost": FrameworkRule(config_fields={}),
    **{f"hugging-face-{task}": FrameworkRule(config_fields={}) for task in _HUGGING_FACE},
}

# The API's 27th value has no file: it registers an image.
WITHOUT_FILE = "mlflow"

BY_EXTENSION = {extension: name for name, rule in FRAMEWORKS.items() for extension in rule.extensions}

ARCHITECTURES = ("x86", "arm", "power10")
# accel -> architectures that have it; None: all.
ACCELERATORS: dict[str, tuple[str, ...] | None] = {
    "none": None,
    "cuda": None,
    "jetson": ("arm",),
    "openvino": ("x86",),
    "qaic": ("x86",),
    "rocm": ("x86",),
}
# qaic comes with its own settings, never as a bare word.
QAIC_DEFAULTS: dict[str, Any] = {
    "aic_enable_depth_first": False,
    "ctx_len": 128,
    "full_batch_size": 8,
    "mxfp6_matmul": False,
    "mxint8_kv_cache": False,
    "num_cores": 16,
    "num_devices": 1,
    "prefill_seq_len": 32,
}
PYTHON_VERSIONS = ("3.8", "3.9")
VISIBILITIES = ("private", "public")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean "pytorch"?``, or the list of what is known."""
    known = list(known)
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else f"use one of {', '.join(known)}"


def framework_findings(framework: str) -> list[Finding]:
    """Whether the API has this framework for files."""
    if framework in FRAMEWORKS:
        return []
    if framework == WITHOUT_FILE:
        what = "mlflow registers an image and has no file to upload"
        return [Finding(field="framework", what=what, remedy="publish the model file under its own framework")]
    return [
        Finding(field="framework", what=f'unknown framework "{framework}"', remedy=did_you_mean(framework, FRAMEWORKS))
    ]


def engine_findings(arch: str | None, accel: object) -> list[Finding]:
    """Whether arch and accel are known and go together. An absent arch is the registry's default, taken as x86."""
    if arch is not None and arch not in ARCHITECTURES:
        return [Finding(field="arch", what=f'unknown arch "{arch}"', remedy=did_you_mean(arch, ARCHITECTURES))]
    if accel is None:
        return []
    name, findings = _accelerator(accel)
    if name is None:
        return findings
    allowed = ACCELERATORS[name]
    if allowed is not None and (arch or "x86") not in allowed:
        findings.append(
            Finding(
                field="accel",
                what=f'accel "{name}" does not exist for arch "{arch or "x86 (the default)"}"',
                remedy=f"use arch {' or '.join(allowed)}, or another accel",
            )
        )
    return findings


def _accelerator(accel: object) -> tuple[str | None, list[Finding]]:
    """The accelerator's name, where it has a known one, and what is wrong with its form."""
    if isinstance(accel, str):
        if accel not in ACCELERATORS:
            remedy = did_you_mean(accel, ACCELERATORS)
            return None, [Finding(field="accel", what=f'unknown accel "{accel}"', remedy=remedy)]
        if accel == "qaic":
            what = "qaic comes with its settings, as an object"
            return accel, [Finding(field="accel", what=what, remedy='write {"qaic": {"num_cores": 16, ...}}')]
        return accel, []
    if isinstance(accel, dict) and len(accel) == 1:
        name, settings = next(iter(accel.items()))
        if name in ACCELERATORS:
            return name, _qaic_findings(settings) if name == "qaic" else []
    what = "an accel object has exactly one key, an accelerator's name"
    return None, [Finding(field="accel", what=what, remedy='write a word such as "cuda", or {"qaic": {...}}')]


def _qaic_findings(settings: object) -> list[Finding]:
    if not isinstance(settings, dict):
        return [Finding(field="accel.qaic", what="is no object", remedy="write the qaic settings as an object")]
    fields = {name: _FLAG if isinstance(value, bool) else _COUNT for name, value in QAIC_DEFAULTS.items()}
    return _value_findings("accel.qaic", settings, fields)


def config_findings(framework: str, framework_config: Mapping[str, Any]) -> list[Finding]:
    """Whether ``{"framework": ..., "config": {...}}`` fits the framework."""
    findings = []
    if framework_config.get("framework") != framework:
        findings.append(
            Finding(
                field="framework_config.framework",
                what=f"is {framework_config.get('framework')!r}, the entry's framework is {framework!r}",
                remedy="make both the same, or leave it out",
            )
        )
    config = framework_config.get("config")
    if not isinstance(config, dict):
        return [
            *findings,
            Finding(field="framework_config.config", what="is no object", remedy='write {"config": {...}}'),
        ]
    fields = FRAMEWORKS[framework].config_fields
    if fields is None:
        path = config.get("model_path", "")
        if not isinstance(path, str):
            findings.append(
                Finding(field="framework_config.config.model_path", what="is no text", remedy='write "./model/"')
            )
        return findings
    if not fields:
        what = f"{framework} takes no framework_config"
        return [*findings, Finding(field="framework_config", what=what, remedy="leave it out")]
    return findings + _value_findings("framework_config.config", config, fields)


def _value_findings(where: str, values: Mapping[str, Any], fields: Mapping[str, ConfigField]) -> list[Finding]:
    findings = []
    for key, value in values.items():
        rule = fields.get(key)
        if rule is None:
            findings.append(Finding(field=f"{where}.{key}", what="unknown key", remedy=did_you_mean(str(key), fields)))
        elif (wrong := _wrong_value(value, rule)) is not None:
            findings.append(Finding(field=f"{where}.{key}", what=f"is {value!r}", remedy=wrong))
    return findings


def _wrong_value(value: Any, rule: ConfigField) -> str | None:
    """What the value must be; None when it is right."""
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        bool: isinstance(value, bool),
        int: number and isinstance(value, int),
        float: number,
        str: isinstance(value, str) and value != "",
        list: isinstance(value, list),
    }[rule.kind]
    if not fits:
        return f"write {names[rule.kind]}"
    if rule.choices and value not in rule.choices:
        return did_you_mean(str(value), rule.choices)
    if (rule.least is not None and value < rule.least) or (rule.most is not None and value > rule.most):
        limits = f"from {rule.least:g}" + (f" to {rule.most:g}" if rule.most is not None else "")
        return f"write {names[rule.kind]} {limits}"
    return None

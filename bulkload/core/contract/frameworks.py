"""The frameworks of the registry and the rules of the ``conversion`` object, as tables and pure functions.

Sources: the published contract and the vendor's SDK 2026.1.3 (enums, config classes, ``engine_config``). A rule returns
everything that is wrong as ``BrokenRule`` records and never raises, so that one look at a manifest names all of it.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from bulkload.core.text.words import did_you_mean, gap_hint, shown


class BrokenRule(msgspec.Struct, frozen=True):
    """One thing that the API's rules forbid."""

    # The field, with a path inside it: "framework_config.config.page_size".
    field: str
    what: str
    remedy: str
    # See ``Problem``.
    kind: str = ""


class FrameworkRule(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry asks of one framework."""

    # File extensions that can mean nothing else; lower case.
    extensions: tuple[str, ...] = ()
    needs_schemas: bool = True
    # Models served through the OpenAI API have no columns of their own; custom ones may be such models too.
    empty_schemas: bool = False
    # The SDK sends it to models/upload, where it is ready at once.
    native_route: bool = False
    # What the SDK sends as framework_config.config when nobody says otherwise; None: it sends no framework_config.
    default_config: Mapping[str, Any] | None = None


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What one key of a configuration takes."""

    kind: Literal["text", "whole number", "list of whole numbers", "number", "truth value"]
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    nullable: bool = False


_HUGGING_FACE_TASKS = (
    "automatic-speech-recognition", "feature-extraction", "image-classification", "image-segmentation",
    "image-to-text", "object-detection", "question-answering", "sentiment-analysis",
    "stable-diffusion-text-2-img", "summarization", "text-classification", "text-generation", "translation",
    "zero-shot-classification", "zero-shot-image-classification", "zero-shot-object-detection",
)  # fmt: skip

_VLLM_DEFAULTS = {
    "gpu_memory_utilization": 0.9,
    "kv_cache_dtype": "auto",
    "max_num_seqs": 256,
    "quantization": "none",
}
_SGLANG_DEFAULTS = {
    "chunked_prefill_size": 1024,
    "context_length": 2048,
    "kv_cache_dtype": "auto",
    "max_prefill_tokens": 2048,
    "max_running_requests": 64,
    "mem_fraction_static": 0.8,
    "page_size": 16,
    "quantization": "none",
}

FRAMEWORKS: Mapping[str, FrameworkRule] = {
    "custom": FrameworkRule(empty_schemas=True, default_config={"model_path": "./model/"}),
    "keras": FrameworkRule(extensions=(".h5",)),
    "onnx": FrameworkRule(extensions=(".onnx",), needs_schemas=False, native_route=True),
    "python": FrameworkRule(),
    "pytorch": FrameworkRule(extensions=(".pt", ".pth")),
    "sglang": FrameworkRule(empty_schemas=True, default_config=_SGLANG_DEFAULTS),
    "sklearn": FrameworkRule(),
    "tensorflow": FrameworkRule(needs_schemas=False, native_route=True),
    "vllm": FrameworkRule(empty_schemas=True, default_config=_VLLM_DEFAULTS),
    "xgboost": FrameworkRule(),
    **{f"hugging-face-{task}": FrameworkRule() for task in _HUGGING_FACE_TASKS},
}

# The API's 27th value has no file: it registers an image.
WITHOUT_FILE = "mlflow"

FRAMEWORK_OF_EXTENSION = {extension: name for name, rule in FRAMEWORKS.items() for extension in rule.extensions}

# Extensions that leave several frameworks open, for the remedy only: a file's name is never a ground to refuse it.
_CANDIDATES_OF_EXTENSION = {
    ".zip": "custom, python, tensorflow, keras, vllm, sglang or hugging-face-<task>",
    ".pkl": "sklearn or xgboost",
    ".pickle": "sklearn or xgboost",
    ".joblib": "sklearn or xgboost",
    ".py": "python",
}

# What people call a framework where no nearness of spelling leads to its name.
_OTHER_NAMES = {
    "scikit-learn": "sklearn",
    "scikit_learn": "sklearn",
    "torch": "pytorch",
    "torchscript": "pytorch",
    "tf": "tensorflow",
    "xgb": "xgboost",
    "h5": "keras",
    "byop": "custom",
}

# The same for machines.
_OTHER_ARCHITECTURES = {
    "aarch64": "arm",
    "arm64": "arm",
    "armv8": "arm",
    "x86_64": "x86",
    "x86-64": "x86",
    "amd64": "x86",
    "x64": "x86",
    "ppc64le": "power10",
}

VISIBILITIES = ("private", "public")
PYTHON_VERSIONS = ("3.8", "3.9")
ARCHITECTURES = ("x86", "arm", "power10")
# What an absent arch is taken for: the registry's own default is known only when it is asked, and nearly always this.
DEFAULT_ARCHITECTURE = "x86"
# accel -> architectures that have it.
ACCELERATORS = {
    "none": ARCHITECTURES,
    "cuda": ARCHITECTURES,
    "jetson": ("arm",),
    "openvino": ("x86",),
    "qaic": ("x86",),
    "rocm": ("x86",),
}

_TEXT = Setting(kind="text")
_TRUTH = Setting(kind="truth value")
# No bounds: -1 means "off" or "as the model says" in several settings of vLLM and SGLang.
_WHOLE = Setting(kind="whole number")
_WHOLE_OR_NULL = Setting(kind="whole number", nullable=True)
_COUNT = Setting(kind="whole number", least=1)
_FRACTION = Setting(kind="number", least=0, most=1)

_VLLM_QUANTIZATIONS = (
    "none", "aqlm", "awq", "awq_marlin", "bitsandbytes", "compressed-tensors", "deepspeedfp", "experts_int8",
    "fbgemm_fp8", "fp8", "gguf", "gptq", "gptq_marlin", "gptq_marlin24", "hqq", "ipex", "marlin", "modelopt",
    "mxfp6", "neuron_quant", "qqq", "tpu_int8",
)  # fmt: skip
_SGLANG_QUANTIZATIONS = (
    "none", "awq", "awq_marlin", "bitsandbytes", "fp8", "gguf", "gptq", "gptq_marlin", "marlin", "modelopt",
    "w8a8_fp8", "w8a8_int8",
)  # fmt: skip

# framework -> key of framework_config.config -> what it takes.
SETTINGS: Mapping[str, Mapping[str, Setting]] = {
    # Every other key goes too, such as gpu_memory_utilization: it is for the user's own code.
    "custom": {"model_path": _TEXT},
    "vllm": {
        "block_size": _WHOLE_OR_NULL,
        "device_group": Setting(kind="list of whole numbers", nullable=True),
        "enable_auto_tool_choice": Setting(kind="truth value", nullable=True),
        "gpu_memory_utilization": _FRACTION,
        "kv_cache_dtype": Setting(kind="text", choices=("auto", "fp8", "fp8_e4m3", "fp8_e5m2", "mxint8")),
        "max_model_len": _WHOLE_OR_NULL,
        "max_num_seqs": _WHOLE,
        "max_seq_len_to_capture": _WHOLE_OR_NULL,
        "quantization": Setting(kind="text", choices=_VLLM_QUANTIZATIONS),
        "tool_call_parser": Setting(kind="text", nullable=True),
    },
    "sglang": {
        "chunked_prefill_size": _WHOLE,
        "context_length": _WHOLE,
        "kv_cache_dtype": Setting(kind="text", choices=("auto", "fp8_e4m3", "fp8_e5m2")),
        "max_prefill_tokens": _WHOLE,
        "max_running_requests": _WHOLE,
        "mem_fraction_static": _FRACTION,
        "page_size": _WHOLE,
        "quantization": Setting(kind="text", choices=_SGLANG_QUANTIZATIONS),
    },
}
# Settings of vllm that the contract gives to qaic alone.
_QAIC_ONLY = {"kv_cache_dtype": "mxint8", "quantization": "mxfp6"}

QAIC_SETTINGS: Mapping[str, Setting] = {
    "aic_enable_depth_first": _TRUTH,
    "ctx_len": _COUNT,
    "full_batch_size": _COUNT,
    "mxfp6_matmul": _TRUTH,
    "mxint8_kv_cache": _TRUTH,
    "num_cores": _COUNT,
    "num_devices": _COUNT,
    "prefill_seq_len": _COUNT,
}


def framework_findings(framework: str) -> list[BrokenRule]:
    """Whether the API has this framework for files."""
    if framework in FRAMEWORKS:
        return []
    if framework == WITHOUT_FILE:
        what = "mlflow registers an image and has no file to upload"
        return [BrokenRule("framework", what, "publish the model's own file under its own framework")]
    remedy = gap_hint(framework) or _meant(framework, _OTHER_NAMES, FRAMEWORKS)
    return [BrokenRule("framework", f"unknown framework {shown(framework)}", remedy)]


def _meant(word: str, other_names: Mapping[str, str], known: Iterable[str]) -> str:
    meant = other_names.get(word.strip().lower())
    return f'did you mean "{meant}"?' if meant else did_you_mean(word, known)


def missing_framework(extension: str) -> BrokenRule:
    """For an entry whose framework neither the manifest nor the file's extension (lower case) says."""
    what = f"is missing, and the extension {shown(extension)} does not say it" if extension else "is missing"
    return BrokenRule(
        "framework", what, f"use one of {_CANDIDATES_OF_EXTENSION.get(extension) or ', '.join(FRAMEWORKS)}"
    )


def engine_findings(arch: str | None, accel: object) -> list[BrokenRule]:
    """Whether arch and accel are known and go together; None is one not given."""
    findings = []
    if arch is not None and arch not in ARCHITECTURES:
        meant = _meant(arch, _OTHER_ARCHITECTURES, ARCHITECTURES)
        findings.append(BrokenRule("arch", f"unknown arch {shown(arch)}", meant))
    if accel is None:
        return findings
    name = accelerator_name(accel)
    findings += _accelerator_findings(accel)
    if name is not None and (arch is None or arch in ARCHITECTURES):
        having = ACCELERATORS[name]
        if (arch or DEFAULT_ARCHITECTURE) not in having:
            what = f'"{name}" does not exist for arch "{arch or DEFAULT_ARCHITECTURE}"'
            what += " (the default)" if arch is None else ""
            findings.append(BrokenRule("accel", what, f"write arch {' or '.join(having)}, or another accel"))
    return findings


def accelerator_name(accel: object) -> str | None:
    """The accelerator that a word or an object with one key names; None where there is no such accelerator."""
    if isinstance(accel, dict) and len(accel) == 1:
        accel = next(iter(accel))
    return accel if isinstance(accel, str) and accel in ACCELERATORS else None


def _accelerator_findings(accel: object) -> list[BrokenRule]:
    """What is wrong with the form: a word, but for qaic an object with exactly that key."""
    form = 'write a word such as "cuda", or {"qaic": {"num_cores": 16, ...}}'
    name = accelerator_name(accel)
    if name is None:
        if isinstance(accel, str):
            return [BrokenRule("accel", f"unknown accel {shown(accel)}", did_you_mean(accel, ACCELERATORS))]
        return [
            BrokenRule("accel", f"{shown(accel)} is neither a word nor an object with one accelerator as key", form)
        ]
    if isinstance(accel, str):
        return [BrokenRule("accel", "qaic comes with its settings, as an object", form)] if name == "qaic" else []
    settings = accel[name] if isinstance(accel, dict) else None
    if name != "qaic":
        return [BrokenRule("accel", f'"{name}" takes no settings', f'write "{name}" alone')]
    if not isinstance(settings, dict):
        return [BrokenRule("accel.qaic", f"{shown(settings)} is no object", 'write {"qaic": {"num_cores": 16, ...}}')]
    return _settings_findings("accel.qaic", settings, QAIC_SETTINGS)


def whole_config(framework: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """``{"framework": f, "config": {...}}``, also where only the inner object or the outer one's half was written."""
    if not config.keys() <= {"framework", "config"}:
        return {"framework": framework, "config": dict(config)}
    return {"framework": framework, "config": {}, **config}


def config_findings(framework: str, framework_config: Mapping[str, Any], accel: object) -> list[BrokenRule]:
    """Whether ``{"framework": ..., "config": {...}}`` (see ``whole_config``) fits a known framework."""
    known = SETTINGS.get(framework)
    if known is None:
        return [BrokenRule("framework_config", f"{framework} takes none", f"leave it out; only {_listed(SETTINGS)} do")]
    findings = []
    named = framework_config.get("framework")
    if named != framework:
        what = f"is {shown(named)}, the entry's framework is {shown(framework)}"
        findings.append(BrokenRule("framework_config.framework", what, "make both the same, or leave it out"))
    config = framework_config.get("config")
    where = "framework_config.config"
    if not isinstance(config, dict):
        return [*findings, BrokenRule(where, f"{shown(config)} is no object", 'write {"config": {...}}')]
    findings += _settings_findings(where, config, known, others=framework == "custom")
    if framework == "vllm" and accelerator_name(accel) != "qaic":
        for key, value in config.items():
            if value is not None and (key == "device_group" or value == _QAIC_ONLY.get(key)):
                what = f"{shown(value)} goes with accel qaic only"
                findings.append(BrokenRule(f"{where}.{key}", what, 'leave it out, or add accel {"qaic": {...}}'))
    return findings


def _settings_findings(
    where: str, values: Mapping[str, Any], known: Mapping[str, Setting], *, others: bool = False
) -> list[BrokenRule]:
    findings = []
    for key, value in values.items():
        setting = known.get(key)
        if setting is not None:
            wanted = _wanted(setting, value)
            if wanted is not None:
                findings.append(BrokenRule(f"{where}.{key}", f"is {shown(value)}", wanted))
        elif not others:
            findings.append(BrokenRule(f"{where}.{key}", "unknown key", did_you_mean(key, known)))
    return findings


def _wanted(setting: Setting, value: object) -> str | None:
    """What the value must be; None when it is right."""
    if value is None and setting.nullable:
        return None
    if not _is_kind(setting.kind, value):
        wanted = "true or false" if setting.kind == "truth value" else f"a {setting.kind}"
        return f"write {wanted}{', without quotes' if isinstance(value, str) and setting.kind != 'text' else ''}"
    if isinstance(value, str) and setting.choices and value not in setting.choices:
        return did_you_mean(value, setting.choices)
    if isinstance(value, int | float) and not _within(value, setting):
        top = "" if setting.most is None else f" to {setting.most}"
        return f"write a {setting.kind} from {setting.least}{top}"
    return None


def _is_kind(kind: str, value: object) -> bool:
    if kind == "text":
        return isinstance(value, str) and value != ""
    if kind == "truth value":
        return isinstance(value, bool)
    if kind == "list of whole numbers":
        return isinstance(value, list) and all(_is_kind("whole number", item) for item in value)
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (kind == "number" and isinstance(value, float) and math.isfinite(value))


def _within(value: float, setting: Setting) -> bool:
    return (setting.least is None or value >= setting.least) and (setting.most is None or value <= setting.most)


def _listed(words: Iterable[str]) -> str:
    *head, last = words
    return f"{', '.join(head)} and {last}"

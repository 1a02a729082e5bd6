"""The frameworks and the rules of ``conversion`` are the published contract's, whole."""

from itertools import product
from typing import Any

import pytest

from bulkload.core.contract.frameworks import (
    ACCELERATORS,
    ARCHITECTURES,
    FRAMEWORK_OF_EXTENSION,
    FRAMEWORKS,
    PYTHON_VERSIONS,
    QAIC_SETTINGS,
    SETTINGS,
    VISIBILITIES,
    accelerator_name,
    config_findings,
    engine_findings,
    framework_findings,
    missing_framework,
    whole_config,
)
from bulkload.core.text.words import did_you_mean, shown

HUGGING_FACE_TASKS = (
    "automatic-speech-recognition", "feature-extraction", "image-classification", "image-segmentation",
    "image-to-text", "object-detection", "question-answering", "sentiment-analysis", "stable-diffusion-text-2-img",
    "summarization", "text-classification", "text-generation", "translation", "zero-shot-classification",
    "zero-shot-image-classification", "zero-shot-object-detection",
)  # fmt: skip
PLAIN = ("custom", "keras", "onnx", "python", "pytorch", "sglang", "sklearn", "tensorflow", "vllm", "xgboost")
ALL = {*PLAIN, *(f"hugging-face-{task}" for task in HUGGING_FACE_TASKS)}
QAIC = {"qaic": {"num_cores": 16}}
# The qaic settings that the vendor's SDK sends by itself.
QAIC_DEFAULTS = {
    "aic_enable_depth_first": False,
    "ctx_len": 128,
    "full_batch_size": 8,
    "mxfp6_matmul": False,
    "mxint8_kv_cache": False,
    "num_cores": 16,
    "num_devices": 1,
    "prefill_seq_len": 32,
}


def whole(framework: str, **config: Any) -> dict[str, Any]:
    return {"framework": framework, "config": config}


# The table.


def test_the_26_values_of_the_contract_that_have_a_file_are_known() -> None:
    assert set(FRAMEWORKS) == ALL
    assert len(ALL) == 26


@pytest.mark.parametrize("framework", sorted(ALL))
def test_a_framework_of_the_contract_is_taken(framework: str) -> None:
    assert framework_findings(framework) == []


def test_mlflow_is_refused_with_its_reason() -> None:
    (finding,) = framework_findings("mlflow")
    assert finding.field == "framework"
    assert "no file" in finding.what
    assert "own framework" in finding.remedy


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("pytorh", "pytorch"),
        ("PyTorch", "pytorch"),
        ("ONNX", "onnx"),
        (" onnx", "onnx"),
        ("tensorfow", "tensorflow"),
        ("hugging-face-sumarization", "hugging-face-summarization"),
        ("scikit-learn", "sklearn"),
        ("torch", "pytorch"),
        ("xgb", "xgboost"),
        ("BYOP", "custom"),
        ("tf", "tensorflow"),
    ],
)
def test_a_framework_that_is_nearly_right_is_named(written: str, meant: str) -> None:
    (finding,) = framework_findings(written)
    assert shown(written) in finding.what
    assert finding.remedy == f'did you mean "{meant}"?'


def test_a_framework_that_is_like_no_other_gets_the_whole_list() -> None:
    (finding,) = framework_findings("qqqqqqqq")
    assert all(framework in finding.remedy for framework in ALL)


def test_only_onnx_and_tensorflow_need_no_schemas_and_go_without_conversion() -> None:
    assert {name for name, rule in FRAMEWORKS.items() if not rule.needs_schemas} == {"onnx", "tensorflow"}
    assert {name for name, rule in FRAMEWORKS.items() if rule.native_route} == {"onnx", "tensorflow"}


def test_only_models_behind_the_openai_api_may_have_schemas_without_columns() -> None:
    assert {name for name, rule in FRAMEWORKS.items() if rule.empty_schemas} == {"custom", "sglang", "vllm"}


def test_the_extensions_that_say_a_framework() -> None:
    assert FRAMEWORK_OF_EXTENSION == {".onnx": "onnx", ".pt": "pytorch", ".pth": "pytorch", ".h5": "keras"}


def test_the_default_configurations_are_those_that_the_sdk_sends() -> None:
    given = {name: dict(rule.default_config) for name, rule in FRAMEWORKS.items() if rule.default_config is not None}
    assert given == {
        "custom": {"model_path": "./model/"},
        "vllm": {
            "gpu_memory_utilization": 0.9,
            "kv_cache_dtype": "auto",
            "max_num_seqs": 256,
            "quantization": "none",
        },
        "sglang": {
            "chunked_prefill_size": 1024,
            "context_length": 2048,
            "kv_cache_dtype": "auto",
            "max_prefill_tokens": 2048,
            "max_running_requests": 64,
            "mem_fraction_static": 0.8,
            "page_size": 16,
            "quantization": "none",
        },
    }


@pytest.mark.parametrize("framework", ["custom", "vllm", "sglang"])
def test_the_default_configurations_keep_their_own_rules(framework: str) -> None:
    assert config_findings(framework, whole(framework, **(FRAMEWORKS[framework].default_config or {})), None) == []


def test_the_other_words_of_the_contract() -> None:
    assert VISIBILITIES == ("private", "public")
    assert PYTHON_VERSIONS == ("3.8", "3.9")
    assert set(ARCHITECTURES) == {"x86", "arm", "power10"}
    assert set(ACCELERATORS) == {"none", "cuda", "jetson", "openvino", "rocm", "qaic"}
    assert set(QAIC_SETTINGS) == set(QAIC_DEFAULTS)


@pytest.mark.parametrize(
    ("extension", "words"),
    [(".zip", "custom, python"), (".pkl", "sklearn or xgboost"), (".py", "python"), (".bin", "keras"), ("", "keras")],
)
def test_an_extension_that_leaves_it_open_says_between_which(extension: str, words: str) -> None:
    finding = missing_framework(extension)
    assert finding.field == "framework"
    assert (f'"{extension}"' in finding.what) == bool(extension)
    assert words in finding.remedy


# arch and accel.

# The vendor's SDK, engine_config: Acceleration.is_applicable.
APPLICABLE = {
    ("none", "x86"), ("none", "arm"), ("none", "power10"),
    ("cuda", "x86"), ("cuda", "arm"), ("cuda", "power10"),
    ("jetson", "arm"), ("openvino", "x86"), ("qaic", "x86"), ("rocm", "x86"),
}  # fmt: skip


@pytest.mark.parametrize(("accel", "arch"), list(product(ACCELERATORS, (*ARCHITECTURES, None))))
def test_every_pair_of_accel_and_arch_is_judged_as_the_sdk_does(accel: str, arch: str | None) -> None:
    findings = engine_findings(arch, QAIC if accel == "qaic" else accel)
    # An arch that is not given is x86 nearly everywhere; where it is not, one more word settles it.
    if (accel, arch or "x86") in APPLICABLE:
        assert findings == []
    else:
        (finding,) = findings
        assert finding.field == "accel"
        assert f'"{accel}" does not exist for arch "{arch or "x86"}"' in finding.what
        assert ("(the default)" in finding.what) == (arch is None)
        assert f"write arch {'arm' if accel == 'jetson' else 'x86'}" in finding.remedy


@pytest.mark.parametrize("arch", [*ARCHITECTURES, None])
def test_no_accel_goes_with_every_arch(arch: str | None) -> None:
    assert engine_findings(arch, None) == []


def test_an_unknown_arch_and_an_unknown_accel_are_both_named() -> None:
    first, second = engine_findings("x68", "cudo")
    assert (first.field, first.what, first.remedy) == ("arch", 'unknown arch "x68"', 'did you mean "x86"?')
    assert (second.field, second.what, second.remedy) == ("accel", 'unknown accel "cudo"', 'did you mean "cuda"?')


def test_qaic_as_a_word_is_refused_because_it_needs_its_settings() -> None:
    (finding,) = engine_findings("x86", "qaic")
    assert finding.field == "accel"
    assert '{"qaic": {' in finding.remedy


@pytest.mark.parametrize("settings", [{}, QAIC_DEFAULTS, *({key: value} for key, value in QAIC_DEFAULTS.items())])
def test_qaic_takes_any_of_its_settings(settings: dict[str, Any]) -> None:
    assert engine_findings("x86", {"qaic": settings}) == []


@pytest.mark.parametrize(
    ("settings", "field", "remedy"),
    [
        ({"num_cores": 0}, "accel.qaic.num_cores", "whole number from 1"),
        ({"num_cores": -3}, "accel.qaic.num_cores", "whole number from 1"),
        ({"num_cores": "16"}, "accel.qaic.num_cores", "without quotes"),
        ({"num_cores": 1.5}, "accel.qaic.num_cores", "whole number"),
        ({"num_cores": True}, "accel.qaic.num_cores", "whole number"),
        ({"num_cores": None}, "accel.qaic.num_cores", "whole number"),
        ({"mxfp6_matmul": 1}, "accel.qaic.mxfp6_matmul", "true or false"),
        ({"mxfp6_matmul": "true"}, "accel.qaic.mxfp6_matmul", "true or false"),
        ({"num_core": 4}, "accel.qaic.num_core", 'did you mean "num_cores"?'),
    ],
)
def test_a_wrong_setting_of_qaic_is_named(settings: dict[str, Any], field: str, remedy: str) -> None:
    (finding,) = engine_findings("x86", {"qaic": settings})
    assert finding.field == field
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("accel", "field"),
    [
        ({}, "accel"),
        ({"qaic": {}, "cuda": {}}, "accel"),
        ({"cuda": {}}, "accel"),
        ({"none": None}, "accel"),
        ({"gpu": {}}, "accel"),
        ({1: {}}, "accel"),
        ({"qaic": 16}, "accel.qaic"),
        ({"qaic": None}, "accel.qaic"),
        (["cuda"], "accel"),
        (3, "accel"),
        (True, "accel"),
        ("", "accel"),
    ],
)
def test_an_accel_of_any_other_form_is_refused(accel: object, field: str) -> None:
    (finding,) = engine_findings("x86", accel)
    assert finding.field == field
    assert finding.remedy


@pytest.mark.parametrize(("accel", "name"), [("cuda", "cuda"), (QAIC, "qaic"), ("gpu", None), ({}, None), (3, None)])
def test_the_name_of_an_accelerator(accel: object, name: str | None) -> None:
    assert accelerator_name(accel) == name


# framework_config.


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"model_path": "./m/"}, {"framework": "custom", "config": {"model_path": "./m/"}}),
        ({"config": {"a": 1}}, {"framework": "custom", "config": {"a": 1}}),
        ({"framework": "custom"}, {"framework": "custom", "config": {}}),
        ({"framework": "vllm", "config": {}}, {"framework": "vllm", "config": {}}),
        ({"framework": "custom", "a": 1}, {"framework": "custom", "config": {"framework": "custom", "a": 1}}),
        ({}, {"framework": "custom", "config": {}}),
    ],
)
def test_the_inner_object_alone_is_what_people_mean(written: dict[str, Any], meant: dict[str, Any]) -> None:
    assert whole_config("custom", written) == meant


@pytest.mark.parametrize("framework", sorted(ALL - {"custom", "sglang", "vllm"}))
def test_other_frameworks_take_no_framework_config(framework: str) -> None:
    (finding,) = config_findings(framework, whole(framework), None)
    assert (finding.field, finding.what) == ("framework_config", f"{framework} takes none")
    assert "custom, vllm and sglang" in finding.remedy


def test_a_framework_config_of_another_framework_is_refused() -> None:
    (finding,) = config_findings("sglang", whole("vllm", quantization="none"), None)
    assert finding.field == "framework_config.framework"
    assert '"vllm"' in finding.what
    assert '"sglang"' in finding.what


@pytest.mark.parametrize("config", [None, "x", 3, ["a"]])
def test_a_config_that_is_no_object_is_refused(config: object) -> None:
    (finding,) = config_findings("vllm", {"framework": "vllm", "config": config}, None)
    assert finding.field == "framework_config.config"


def test_custom_takes_any_further_keys_for_the_users_own_code() -> None:
    assert config_findings("custom", whole("custom", gpu_memory_utilization=0.9, anything=[1, {"a": None}]), None) == []


@pytest.mark.parametrize("path", ["", 3, None, ["model"]])
def test_customs_model_path_must_be_text(path: object) -> None:
    (finding,) = config_findings("custom", whole("custom", model_path=path), None)
    assert finding.field == "framework_config.config.model_path"


VLLM_QUANTIZATIONS = (
    "aqlm", "awq", "awq_marlin", "bitsandbytes", "compressed-tensors", "deepspeedfp", "experts_int8", "fbgemm_fp8",
    "fp8", "gguf", "gptq", "gptq_marlin", "gptq_marlin24", "hqq", "ipex", "marlin", "modelopt", "mxfp6",
    "neuron_quant", "none", "qqq", "tpu_int8",
)  # fmt: skip
SGLANG_QUANTIZATIONS = (
    "awq", "awq_marlin", "bitsandbytes", "fp8", "gguf", "gptq", "gptq_marlin", "marlin", "modelopt", "none",
    "w8a8_fp8", "w8a8_int8",
)  # fmt: skip
CHOICES = [
    *(("vllm", "quantization", word) for word in VLLM_QUANTIZATIONS),
    *(("vllm", "kv_cache_dtype", word) for word in ("auto", "fp8", "fp8_e4m3", "fp8_e5m2", "mxint8")),
    *(("sglang", "quantization", word) for word in SGLANG_QUANTIZATIONS),
    *(("sglang", "kv_cache_dtype", word) for word in ("auto", "fp8_e4m3", "fp8_e5m2")),
]


@pytest.mark.parametrize(("framework", "key", "word"), CHOICES)
def test_every_word_of_the_contract_is_taken(framework: str, key: str, word: str) -> None:
    assert config_findings(framework, whole(framework, **{key: word}), QAIC if framework == "vllm" else None) == []


def test_no_other_words_are_taken() -> None:
    written = {
        (framework, key, word)
        for framework, settings in SETTINGS.items()
        for key, setting in settings.items()
        for word in setting.choices
    }
    assert written == set(CHOICES)


@pytest.mark.parametrize(
    ("framework", "key", "value"),
    [
        ("vllm", "block_size", 32),
        ("vllm", "block_size", None),
        ("vllm", "device_group", [0, 1]),
        ("vllm", "device_group", None),
        ("vllm", "enable_auto_tool_choice", True),
        ("vllm", "enable_auto_tool_choice", None),
        ("vllm", "gpu_memory_utilization", 0.5),
        ("vllm", "gpu_memory_utilization", 1),
        ("vllm", "max_model_len", 4096),
        ("vllm", "max_model_len", None),
        ("vllm", "max_num_seqs", 8),
        ("vllm", "max_seq_len_to_capture", 8192),
        ("vllm", "tool_call_parser", "hermes"),
        ("vllm", "tool_call_parser", None),
        ("sglang", "mem_fraction_static", 0.75),
        ("sglang", "chunked_prefill_size", -1),  # SGLang's own word for "off"
        ("sglang", "page_size", 1),
    ],
)
def test_a_right_setting_is_taken(framework: str, key: str, value: object) -> None:
    assert config_findings(framework, whole(framework, **{key: value}), QAIC) == []


@pytest.mark.parametrize(
    ("framework", "key", "value", "remedy"),
    [
        ("vllm", "gpu_memory_utilization", "0.9", "a number, without quotes"),
        ("vllm", "gpu_memory_utilization", 90, "a number from 0 to 1"),
        ("vllm", "gpu_memory_utilization", -0.1, "a number from 0 to 1"),
        ("vllm", "gpu_memory_utilization", float("nan"), "a number"),
        ("vllm", "gpu_memory_utilization", None, "a number"),
        ("vllm", "max_num_seqs", 8.0, "a whole number"),
        ("vllm", "max_num_seqs", True, "a whole number"),
        ("vllm", "max_num_seqs", None, "a whole number"),
        ("vllm", "device_group", [0, "1"], "a list of whole numbers"),
        ("vllm", "device_group", 0, "a list of whole numbers"),
        ("vllm", "enable_auto_tool_choice", "yes", "true or false"),
        ("vllm", "tool_call_parser", "", "write a text"),
        ("vllm", "quantization", "awg", 'did you mean "awq"?'),
        ("vllm", "quantization", None, "write a text"),
        ("vllm", "kv_cache_dtype", "fp8_e5m22", 'did you mean "fp8_e5m2"?'),
        ("vllm", "max_num_seq", 8, 'did you mean "max_num_seqs"?'),
        ("vllm", "wholly_unknown_thing", 8, "use one of"),
        ("sglang", "kv_cache_dtype", "fp8", "use one of auto, fp8_e4m3, fp8_e5m2"),
        ("sglang", "kv_cache_dtype", "mxint8", "use one of auto"),
        ("sglang", "mem_fraction_static", 1.5, "a number from 0 to 1"),
        ("sglang", "page_size", "16", "a whole number, without quotes"),
        ("sglang", "max_num_seqs", 256, "use one of"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(
    framework: str, key: str, value: object, remedy: str
) -> None:
    (finding,) = config_findings(framework, whole(framework, **{key: value}), QAIC)
    assert finding.field == f"framework_config.config.{key}"
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("key", "value"), [("kv_cache_dtype", "mxint8"), ("quantization", "mxfp6"), ("device_group", [0])]
)
def test_what_vllm_has_for_qaic_alone_needs_qaic(key: str, value: object) -> None:
    config = whole("vllm", **{key: value})
    assert config_findings("vllm", config, QAIC) == []
    for accel in (None, "none", "cuda"):
        (finding,) = config_findings("vllm", config, accel)
        assert finding.field == f"framework_config.config.{key}"
        assert "qaic" in finding.remedy


def test_every_wrong_setting_is_found_at_once() -> None:
    config = whole("vllm", max_num_seqs="8", quantization="awg", nonsense=1)
    assert len(config_findings("vllm", config, None)) == 3


# Words for people.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", '"plain"'),
        ("tab\t esc\x1b[31m", '"tab\\t esc\\x1b[31m"'),
        ("\u202eright to left", '"\\u202eright to left"'),
        ("half \ud800", '"half \\ud800"'),
        ("modèle", '"modèle"'),
        ("a" * 81, '"' + "a" * 77 + '..."'),
        (None, "null"),
        (True, "true"),
        (1, "1"),
        (1.0, "1.0"),
        pytest.param(10**5000, "a number without end", id="endless"),
    ],
)
def test_a_value_is_shown_so_that_no_terminal_obeys_it(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_large_value_is_shown_cut() -> None:
    nested: Any = "x" * 10_000
    for _ in range(200):
        nested = [nested] * 3
    assert len(shown(nested)) <= 160
    assert len(shown({str(number): "x" * 1_000 for number in range(1_000)})) <= 160


def test_did_you_mean_bears_any_word() -> None:
    assert did_you_mean("x" * 10**7, ("onnx",)) == "use one of onnx"
    assert did_you_mean("", ("onnx", "keras")) == "use one of onnx, keras"

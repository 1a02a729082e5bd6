"""What the registry finds in an archive, in the packager's order and words."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkload.sandbox.api.metadata import FRAMEWORKS
from bulkload.sandbox.judge.archives import NotAZipError
from bulkload.sandbox.judge.content import MAX_MODULE_BYTES, MISSING_REQUIREMENTS, Verdict, judge
from bulkload.sandbox.judge.natives import NATIVE_FAULTS

pytestmark = pytest.mark.anyio
SAMPLES = Path(__file__).parents[3] / "manifests" / "models"
SHARED = Path(__file__).parents[3].parent / "shared" / "models"
INFERENCE = """
class I(Inference):
    expected_model_types = {int}
    def _predict(self, input_data): return input_data
    def set(self, model): self._model = model
"""
BUILDER = """
class B(InferenceBuilder):
    def inference(self): ...
    def create(self, config): ...
"""


def verdict(
    content: bytes, tmp_path: Path, framework: str = "custom", file_name: str = "x.zip", *, strict: bool = True
) -> Verdict:
    path = tmp_path / "content"
    path.write_bytes(content)
    return judge(path, framework, file_name, strict=strict)


def summary(content: bytes, tmp_path: Path, framework: str = "custom", **options: Any) -> str | None:
    return verdict(content, tmp_path, framework, **options).error_summary


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (INFERENCE + BUILDER, None),
        (
            "import mac\nclass I(mac.inference.Inference[int]): pass\n" + BUILDER,
            "The Inference class must contain the predict method.",
        ),
        ("def handle_completion(x): ...", None),
        ("async def handle_chat_completion(x): ...", None),
        ("x = (", "No Python modules found in the model directory: x.zip"),
        ("x = 1", "No Inference-inherited class found in the model directory"),
        (INFERENCE + "class J(I): ...\n" + BUILDER, "Multiple Inference-inherited classes "),
        (INFERENCE, "No InferenceBuilder-inherited class found in the model directory"),
        (
            INFERENCE + BUILDER + BUILDER.replace("class B", "class C"),
            "Multiple InferenceBuilder-inherited classes found: ['B', 'C']. ",
        ),
        (
            INFERENCE + BUILDER.replace("inference(", "other("),
            "The InferenceBuilder class must contain the inference method.",
        ),
        (INFERENCE + BUILDER.replace("create", "make"), "The InferenceBuilder class must contain the create method."),
        (INFERENCE.replace("_predict", "go") + BUILDER, "The Inference class must contain the predict method."),
        (
            INFERENCE.replace("_model = model", "x = 1").replace("expected_x = 1_types", "y") + BUILDER,
            "The Inference class must contain the model member.",
        ),
        (
            INFERENCE.replace("self, input_data)", "self, a, b)") + BUILDER,
            "The Inference class's predict method may only accept a dictionary of numpy arrays.",
        ),
        (
            INFERENCE.replace("input_data)", "input_data: int)") + BUILDER,
            "The Inference class's predict method may only accept a dictionary of numpy arrays.",
        ),
        (
            INFERENCE.replace("expected_model_types", "x") + BUILDER,
            "The Inference class must contain the expected_model_types method.",
        ),
        # In the packager's order: the first of several faults is the one that is told.
        (
            "class I(Inference): ...\nclass B(InferenceBuilder): ...",
            "The InferenceBuilder class must contain the inference method.",
        ),
        (INFERENCE + "class J(I): ...", "Multiple Inference-inherited classes "),
        ("class I(Inference): ...\n" + BUILDER, "The Inference class must contain the predict method."),
    ],
)
def test_a_custom_model_ends_as_the_packager_says(
    tmp_path: Path, archive: Callable[..., bytes], source: str, expected: str | None
) -> None:
    """Modules are parsed, never run."""
    assert summary(archive({"model/main.py": source}), tmp_path) == expected


FALLBACK = """
try:
    from mac.inference import Inference
except ImportError:
    class Inference: ...
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from mac.inference import Inference as Parent\n" + INFERENCE.replace("Inference", "Parent") + BUILDER, None),
        ("import mac.inference as m\n" + INFERENCE.replace("Inference", "m.Inference") + BUILDER, None),
        ("from mac.inference import *\n" + INFERENCE + BUILDER, None),
        ("from .base import Inference\n" + INFERENCE + BUILDER, None),
        (FALLBACK + INFERENCE + BUILDER, None),
        (INFERENCE.replace("I(", "I(Generic[T], ").replace("Inference)", "Inference, ABC)") + BUILDER, None),
        ("if True:\n    class I(Inference): ...\n" + BUILDER, "The Inference class must contain the predict method."),
        ("from shop import Till\nclass I(Till, Inference): ...\n" + BUILDER, None),
        (
            "from openvino import Inference\n" + INFERENCE + BUILDER,
            "No Inference-inherited class found in the model directory",
        ),
        (
            "class Inference: ...\n" + INFERENCE + BUILDER,
            "No Inference-inherited class found in the model directory",
        ),
        (
            "def make():\n    class I(Inference): ...\n" + BUILDER,
            "No Inference-inherited class found in the model directory",
        ),
        (
            "class I(I, Inference): ...\nclass B(C): ...\nclass C(B, InferenceBuilder): ...",
            "Multiple InferenceBuilder-",
        ),
        (INFERENCE.replace("input_data)", "input_data: 'Dict[str, np.ndarray]')") + BUILDER, None),
        (INFERENCE.replace("input_data)", "input_data: mac.types.InferenceData, *, x=1)") + BUILDER, None),
        (INFERENCE.replace("input_data)", "input_data, *, x)") + BUILDER, "The Inference class's predict method may"),
    ],
)
def test_parents_are_found_as_python_would_find_them(
    tmp_path: Path, archive: Callable[..., bytes], source: str, expected: str | None
) -> None:
    """Renamed and relative imports, fallbacks, mixins; classes inside functions and other people's are none."""
    found = summary(archive({"model/main.py": source}), tmp_path)
    assert (found or "").startswith(expected or "")
    assert (found is None) is (expected is None)


def test_classes_of_several_modules_are_one_family(tmp_path: Path, archive: Callable[..., bytes]) -> None:
    """Parents and members are found across modules; the same name in two modules is two classes."""
    base = "class Base:\n    def _predict(self, input_data): ...\n    def set(self, m): self._model = m\n"
    main = "from lib.base import Base\nclass I(Base, Inference):\n    expected_model_types = {int}\n"
    files = {"model/main.py": main, "model/lib/base.py": base, "model/builder.py": BUILDER}
    assert summary(archive(files), tmp_path) is None
    twice = archive({"model/main.py": INFERENCE + BUILDER, "model/old.py": INFERENCE})
    assert summary(twice, tmp_path) == "Multiple Inference-inherited classes "


def test_a_module_that_python_cannot_parse_does_not_hide_the_others(
    tmp_path: Path, archive: Callable[..., bytes]
) -> None:
    """Syntax errors, null bytes, other encodings, and nesting that is too deep for Python itself."""
    broken = {
        "model/a.py": "def (",
        "model/b.py": "x = 1\0",
        "model/c.py": "# coding: klingon\n",
        "model/d.py": "x = " + "(" * 100_000,
        "model/e.py": "x = a" + ".a" * 100_000,
        "model/f.py": "x = " + "-" * 100_000 + "1",
        "model/g.py": "x = 1" + " + 1" * 100_000,
    }
    assert summary(archive(broken), tmp_path) is None
    alone = archive({**broken, "model/main.py": None})
    assert summary(alone, tmp_path) == "No Python modules found in the model directory: x.zip"


def test_modules_are_parsed_and_never_run(tmp_path: Path, archive: Callable[..., bytes]) -> None:
    """Not even imported: what they would do does not happen."""
    trace = tmp_path / "trace"
    source = f"import pathlib\npathlib.Path({str(trace)!r}).touch()\nraise SystemExit\n" + INFERENCE + BUILDER
    assert summary(archive({"model/main.py": source}), tmp_path) is None
    assert not trace.exists()


def test_a_huge_module_is_not_parsed(tmp_path: Path, archive: Callable[..., bytes]) -> None:
    """A syntax tree takes hundreds of times the memory of its source."""
    content = archive({"model/main.py": "#" * MAX_MODULE_BYTES + "\n" + INFERENCE + BUILDER})
    assert summary(content, tmp_path) == "No Python modules found in the model directory: x.zip"


def test_modules_that_lie_higher_are_parsed_first(
    tmp_path: Path, archive: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an archive with more source than is parsed, what somebody vendored is left out, not the model."""
    monkeypatch.setattr("bulkload.sandbox.judge.content.MAX_SOURCE_BYTES", 2000)
    vendored = {f"model/a/vendored/m{number}.py": "x = 1\n" * 100 for number in range(20)}
    assert summary(archive(vendored), tmp_path) is None


def test_ten_thousand_classes_in_a_row_are_judged(tmp_path: Path, archive: Callable[..., bytes]) -> None:
    """A long line of ancestors costs no more than its length."""
    line = "class A0(Inference): ...\n" + "".join(f"class A{n}(A{n - 1}): ...\n" for n in range(1, 10_000))
    assert summary(archive({"model/main.py": line}), tmp_path) == "Multiple Inference-inherited classes "


def test_modules_of_artifacts_and_caches_do_not_count(tmp_path: Path, archive: Callable[..., bytes]) -> None:
    """Nor do packers' junk and folders."""
    content = archive(
        {
            "model/main.py": None,
            "model/artifacts/a.py": "x = 1",
            "__pycache__/b.py": "x = 1",
            "__MACOSX/model/main.py": "x",
        }
    )
    assert summary(content, tmp_path) == "No Python modules found in the model directory: x.zip"


def test_requirements_are_required_unless_an_older_release_is_asked_for(
    tmp_path: Path, archive: Callable[..., bytes]
) -> None:
    """Trap 21."""
    content = archive({"model/requirements.txt": None})
    assert summary(content, tmp_path) == MISSING_REQUIREMENTS
    assert summary(content, tmp_path, strict=False) is None


@pytest.mark.parametrize("strict", [True, False])
def test_requirements_that_pip_cannot_read_are_an_error(
    tmp_path: Path, archive: Callable[..., bytes], strict: bool
) -> None:
    """Before any module is looked at, with the resolver's words on stderr."""
    broken = archive({"model/requirements.txt": "numpy\ntorch=2.0\n", "model/main.py": "x = 1"})
    found = verdict(broken, tmp_path, strict=strict)
    assert found.error_summary == "Could not pip install user provided requirements.txt"
    assert "torch=2.0" in found.logs[0][1]


def test_a_missing_requirements_file_is_told_first(tmp_path: Path, archive: Callable[..., bytes]) -> None:
    """Without logs, as such versions were `error` at their first poll."""
    content = archive({"model/requirements.txt": None, "model/main.py": "x = ("})
    assert verdict(content, tmp_path) == Verdict(MISSING_REQUIREMENTS, ())


@pytest.mark.parametrize(
    "source",
    ["x = (", "x = 1", INFERENCE, INFERENCE + "class J(I): ...\n" + BUILDER, "class I(Inference): ...\n" + BUILDER],
)
def test_the_summary_is_what_follows_error_in_the_logs_up_to_the_line_break(
    tmp_path: Path, archive: Callable[..., bytes], source: str
) -> None:
    """On stderr; lines of the logs hold no line breaks."""
    found = verdict(archive({"model/main.py": source}), tmp_path)
    assert all("\n" not in text for _, text in found.logs)
    assert ("stderr", f"Error: {found.error_summary}") in found.logs


def test_a_custom_model_that_passes_says_so_in_one_line(tmp_path: Path, archive: Callable[..., bytes]) -> None:
    """As the real packager's log."""
    assert verdict(archive(), tmp_path).logs == (("stdout", "custom model validation successful"),)


def test_a_file_name_with_directories_ends_in_the_word_null(tmp_path: Path, archive: Callable[..., bytes]) -> None:
    """As all four such uploads did."""
    assert summary(archive(), tmp_path, file_name="/home/me/x.zip") == "null"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"step/step.py": "def process_data(input_data): return input_data"}, None),
        ({"step/step.py": "x = 1"}, "No process_data function found in the model directory"),
        ({"step/step.py": "async def process_data(input_data): ..."}, None),
        ({"step/step.py": "if True:\n    process_data = print"}, None),
        ({"a.py": "x = 1", "b/c.py": "def process_data(input_data): ..."}, None),
        (
            {"step/step.py": "class A:\n    def process_data(self): ..."},
            "No process_data function found in the model directory",
        ),
        (
            {"step/step.py": "def f():\n    def process_data(x): ..."},
            "No process_data function found in the model directory",
        ),
        ({"step/readme": "x"}, "No Python modules found in the model directory: x.zip"),
        ({"step/step.py": "def process_data(input_data)"}, "No Python modules found in the model directory: x.zip"),
    ],
)
def test_a_python_step_needs_its_function(
    tmp_path: Path, archive: Callable[..., bytes], files: dict[str, str], expected: str | None
) -> None:
    """requirements.txt is optional there."""
    content = archive({"model/main.py": None, "model/requirements.txt": None, **files})
    assert summary(content, tmp_path, "python") == expected


def test_a_python_step_may_be_a_plain_module(tmp_path: Path) -> None:
    """As in older releases; anything else must be a zip."""
    assert summary(b"def process_data(x): ...", tmp_path, "python", file_name="step.py") is None
    assert summary(b"x = 1", tmp_path, "python", file_name="step.py") is not None
    with pytest.raises(NotAZipError):
        summary(b"def process_data(x): ...", tmp_path, "python", file_name="step.zip")


@pytest.mark.parametrize("framework", ["hugging-face-summarization", "vllm", "sglang"])
def test_a_model_folder_must_not_be_empty(tmp_path: Path, zipped: Callable[..., bytes], framework: str) -> None:
    """That is all that is asked of it: such folders have many forms."""
    assert summary(zipped({"config.json": "{}"}), tmp_path, framework) is None
    assert summary(zipped({"model/": "", "__MACOSX/._model": "junk"}), tmp_path, framework) is not None
    with pytest.raises(NotAZipError):
        summary(b"no zip", tmp_path, framework)


def test_a_damaged_archive_is_an_error_with_its_reason(tmp_path: Path, archive: Callable[..., bytes]) -> None:
    """Its directory is there, its entries cannot be read."""
    content = bytearray(archive())
    content[60:90] = b"\0" * 30
    found = verdict(bytes(content), tmp_path)
    assert found.error_summary is not None
    assert found.error_summary.startswith("The uploaded .zip file cannot be unpacked: model/main.py")
    assert found.logs == (("stderr", f"Error: {found.error_summary}"),)


def test_the_smallest_model_of_every_framework_is_ready(tmp_path: Path, model: Callable[[str], bytes]) -> None:
    """And native ones have no logs."""
    for framework in FRAMEWORKS:
        found = verdict(model(framework), tmp_path, framework)
        assert found.ok, framework
        assert framework not in NATIVE_FAULTS or found.logs == ()


# Real files

WITHOUT_REQUIREMENTS = {"postprocess_byop.zip", "postprocess_dc_byop.zip", "preprocess_dc_byop.zip"}
BAD = {
    "byop-llamacpp-inf-no-predict.zip": "The Inference class must contain the predict method.",
    "byop-llamacpp-no-inf-builder.zip": "No InferenceBuilder-inherited class found in the model directory",
}


@pytest.mark.skipif(not SHARED.exists(), reason="the real model files are not there")
@pytest.mark.parametrize("strict", [True, False])
def test_real_models_end_as_they_were_seen_to_end(strict: bool) -> None:
    """Where models.json says how. All others are good, but for three that are so in older releases only."""
    entries = json.loads((SHARED / "models.json").read_text())
    found = {
        entry["file"]: judge(SHARED / entry["file"], entry["framework"], entry["file"], strict=strict)
        for entry in entries
    }
    assert len(found) == 30
    expected = BAD | (dict.fromkeys(WITHOUT_REQUIREMENTS, MISSING_REQUIREMENTS) if strict else {})
    assert {file: end.error_summary for file, end in found.items() if not end.ok} == expected
    for entry in entries:
        if entry["observed_status"] is not None:
            assert found[entry["file"]].ok is (entry["observed_status"] == "ready"), entry["file"]
        if entry["observed_error_summary"] is not None:
            assert (found[entry["file"]].error_summary or "nothing") in entry["observed_error_summary"]


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.*")), ids=lambda sample: sample.name)
def test_the_sample_models_are_good_but_for_the_broken_one(sample: Path) -> None:
    """Each as the framework that its manifest gives it."""
    with (SAMPLES.parent / "quickstart.csv").open(newline="") as rows:
        frameworks = {row["path"]: row["framework"] for row in csv.DictReader(rows)}
    by_extension = {".onnx": "onnx", ".pt": "pytorch", ".h5": "keras"}
    framework = frameworks[f"models/{sample.name}"] or by_extension[sample.suffix]
    assert judge(sample, framework, sample.name, strict=True).ok is not sample.name.startswith("broken")


async def test_a_converted_model_that_is_none_ends_in_error_and_an_uploaded_one_is_never_opened(start: Any) -> None:
    """models/upload has no conversion that could find it out."""
    async with start() as caller:
        converted = await caller.poll(await caller.publish(b"no model"))
        assert (converted["status"], converted["error_summary"] is None) == ("error", False)
        uploaded = await caller.poll(await caller.publish(b"no model", route="models/upload"))
        assert (uploaded["status"], uploaded["error_summary"]) == ("ready", None)
        no_zip = await caller.publish(b"no model", route="models/upload", framework="tensorflow", file_name="a.zip")
        assert (await caller.poll(no_zip))["status"] == "ready"


async def test_what_only_older_releases_let_pass_is_a_setting(start: Any, archive: Callable[..., bytes]) -> None:
    """`strict` is the default."""
    content = archive({"model/requirements.txt": None})
    for strict, status in ((True, "error"), (False, "ready")):
        async with start(strict=strict) as caller:
            version = await caller.publish(content, framework="custom", file_name="x.zip")
            assert (await caller.poll(version))["status"] == status

"""What the registry finds in an archive, in the packager's order and words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkload.sandbox.content import judge

SHARED = Path(__file__).parents[2].parent / "shared" / "models"
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


def summary(content: bytes, tmp_path: Path, framework: str = "custom", file_name: str = "x.zip", **options: Any) -> Any:
    path = tmp_path / "content"
    path.write_bytes(content)
    return judge(path, framework, file_name, **{"strict": True, **options}).error_summary


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
    ],
)
def test_a_custom_model_ends_as_the_packager_says(
    tmp_path: Path, archive: Callable[..., bytes], source: str, expected: str | None
) -> None:
    """Modules are parsed, never run."""
    assert summary(archive({"model/main.py": source}), tmp_path) == expected


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
    assert "requires a requirements.txt" in summary(content, tmp_path)
    assert summary(content, tmp_path, strict=False) is None


def test_a_file_name_with_directories_ends_in_the_word_null(tmp_path: Path, archive: Callable[..., bytes]) -> None:
    """As all four such uploads did."""
    assert summary(archive(), tmp_path, file_name="/home/me/x.zip") == "null"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"step/step.py": "def process_data(input_data): return input_data"}, None),
        ({"step/step.py": "x = 1"}, "No process_data function found in the model directory"),
        ({"step/readme": "x"}, "No Python modules found in the model directory: x.zip"),
    ],
)
def test_a_python_step_needs_its_function(
    tmp_path: Path, archive: Callable[..., bytes], files: dict[str, str], expected: str | None
) -> None:
    """requirements.txt is optional there."""
    content = archive({"model/main.py": None, "model/requirements.txt": None, **files})
    assert summary(content, tmp_path, "python") == expected


def test_a_damaged_archive_is_an_error_and_no_crash(tmp_path: Path, archive: Callable[..., bytes]) -> None:
    """Its directory is there, its entries cannot be read."""
    content = bytearray(archive())
    content[60:90] = b"\0" * 30
    assert summary(bytes(content), tmp_path) is not None


@pytest.mark.skipif(not SHARED.exists(), reason="the real model files are not there")
def test_real_models_end_as_they_were_seen_to_end() -> None:
    """Where models.json says how; every other one is judged without a crash."""
    for entry in json.loads((SHARED / "models.json").read_text()):
        verdict = judge(SHARED / entry["file"], entry["framework"], entry["file"], strict=True)
        if entry["observed_status"] is not None:
            assert verdict.ok is (entry["observed_status"] == "ready"), entry["file"]
        if entry["observed_error_summary"] is not None:
            assert verdict.error_summary in entry["observed_error_summary"]

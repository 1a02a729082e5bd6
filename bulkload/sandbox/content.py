"""What the registry finds in an uploaded file: whether it is what it should be, and how its conversion will end."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

from bulkload.sandbox.metadata import UploadMetadata, bad_request, check_schema
from bulkload.sandbox.modules import Module, custom_fault, read_module, step_fault

NOT_A_ZIP = "Not a valid ZIP file."
MAX_MODULE_BYTES = 4 * 1024 * 1024
MISSING_REQUIREMENTS = "Framework.CUSTOM requires a requirements.txt to be included within the uploaded .zip file"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a conversion ends. `error_summary` is None for `ready`; `logs` are lines as (stream, text)."""

    error_summary: str | None = None
    logs: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the version becomes ready."""
        return self.error_summary is None


def wants_zip(framework: str, file_name: str) -> bool:
    """Whether the file must be a zip. A python step was a plain .py in older releases."""
    if framework == "python":
        return not file_name.lower().endswith(".py")
    return framework in {"custom", "tensorflow", "vllm", "sglang"} or framework.startswith("hugging-face-")


def inspect(path: Path, metadata: UploadMetadata, *, strict: bool) -> Verdict:
    """Check schemas and file of an upload. Raises RefusalError (400) for what is refused at once, without a row."""
    for field, text in (("input_schema", metadata.input_schema), ("output_schema", metadata.output_schema)):
        if text is not None:
            try:
                check_schema(text)
            except ValueError as error:
                raise bad_request(f"{field} {error}") from None
    if wants_zip(metadata.framework, metadata.file_name) and not zipfile.is_zipfile(path):
        raise bad_request(NOT_A_ZIP)
    return judge(path, metadata.framework, metadata.file_name, strict=strict)


def judge(path: Path, framework: str, file_name: str, *, strict: bool) -> Verdict:
    """How the conversion of a file ends. `strict`: what only older releases let pass is an error."""
    if framework == "custom":
        return _verdict_of_custom(path, file_name, strict=strict)
    if framework == "python":
        return _verdict_of_step(path, file_name)
    return Verdict()


def _verdict_of_custom(path: Path, file_name: str, *, strict: bool) -> Verdict:
    if "/" in file_name or "\\" in file_name:
        # All four uploads whose file name held directories ended so, with the word null (fact sheet 1.1).
        return Verdict("null", ())
    names, modules = _read_modules(path)
    if strict and not any(name.rpartition("/")[2] == "requirements.txt" for name in names):
        # No logs: INFERENCE, early failures have none (fact 1.10) and such versions were `error` at the first poll.
        return Verdict(MISSING_REQUIREMENTS, ())
    return _verdict(custom_fault(modules, file_name), "custom model validation successful")


def _verdict_of_step(path: Path, file_name: str) -> Verdict:
    if zipfile.is_zipfile(path):
        modules = _read_modules(path)[1]
    else:
        module = read_module(file_name, path.read_bytes()[:MAX_MODULE_BYTES])
        modules = [] if module is None else [module]
    return _verdict(step_fault(modules, file_name), "python step validation successful")


def _verdict(fault: str | None, success: str) -> Verdict:
    if fault is None:
        return Verdict(None, (("stdout", success),))
    # The summary is what stands after `Error:` in the packager's log, up to the line break.
    return Verdict(fault, (("stdout", "Validating model"), ("stderr", f"Error: {fault}")))


def _read_modules(path: Path) -> tuple[list[str], list[Module]]:
    """The archive's file names without packers' junk, and its modules that Python can parse."""
    modules: list[Module] = []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir() and not _is_junk(entry.filename)]
            for entry in entries:
                if _is_module(entry.filename) and entry.file_size <= MAX_MODULE_BYTES:
                    module = read_module(entry.filename, archive.read(entry))
                    modules += [] if module is None else [module]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError):
        return [], []  # opens, but its entries cannot be read
    return [entry.filename for entry in entries], modules


def _is_junk(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store"


def _is_module(name: str) -> bool:
    folders = name.split("/")[:-1]
    return name.endswith(".py") and not {"artifacts", "__pycache__"} & set(folders)

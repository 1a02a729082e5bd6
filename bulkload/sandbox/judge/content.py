"""What the registry finds in an uploaded file: whether it is what it should be, and how its conversion will end."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bulkload.sandbox.api.metadata import UploadMetadata, bad_request, check_schema
from bulkload.sandbox.judge.archives import Archive, ArchiveError, NotAZipError, open_archive
from bulkload.sandbox.judge.modules import Module, read_module
from bulkload.sandbox.judge.natives import NATIVE_FAULTS
from bulkload.sandbox.judge.packager import custom_fault, step_fault
from bulkload.sandbox.judge.requirements import MAX_REQUIREMENTS_BYTES, PIP_FAULT, unreadable_requirement

NOT_A_ZIP = "Not a valid ZIP file."
# Parsing half a mebibyte takes up to a second and 300 MB; larger modules, and more of them, are taken as not loadable.
MAX_MODULE_BYTES = 512 * 1024
MAX_SOURCE_BYTES = 4 * 1024 * 1024
REQUIREMENTS = "requirements.txt"
MISSING_REQUIREMENTS = "Framework.CUSTOM requires a requirements.txt to be included within the uploaded .zip file"
NOT_PYTHON_FOLDERS = frozenset({"artifacts", "__pycache__"})

Lines = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a conversion ends. `error_summary` is None for `ready`; `logs` are lines as (stream, text)."""

    error_summary: str | None = None
    logs: Lines = ()

    @property
    def ok(self) -> bool:
        """Whether the version becomes ready."""
        return self.error_summary is None


def wants_zip(framework: str, file_name: str) -> bool:
    """Whether a file that is no zip is refused at once, instead of ending in `error`.

    Seen for custom only; INFERENCE for the others that run in a container. A python step was a plain .py in older
    releases.
    """
    if framework == "python":
        return not file_name.lower().endswith(".py")
    return framework in {"custom", "vllm", "sglang"} or framework.startswith("hugging-face-")


def inspect(path: Path, metadata: UploadMetadata, *, strict: bool, judged: bool) -> Verdict:
    """Check schemas of an upload, and its file when it is `judged`: without a conversion nobody opens it.

    Raises RefusalError (400) for what is refused at once, without a row.
    """
    for field, text in (("input_schema", metadata.input_schema), ("output_schema", metadata.output_schema)):
        if text is not None:
            try:
                check_schema(text)
            except ValueError as error:
                raise bad_request(f"{field} {error}") from None
    if not judged:
        return Verdict()
    try:
        return judge(path, metadata.framework, metadata.file_name, strict=strict)
    except NotAZipError:
        raise bad_request(NOT_A_ZIP) from None


def judge(path: Path, framework: str, file_name: str, *, strict: bool) -> Verdict:
    """How the conversion of a file ends. `strict`: what only older releases let pass is an error.

    Raises NotAZipError for a file that is none and should be, see `wants_zip`.
    """
    try:
        if framework in NATIVE_FAULTS:
            return Verdict(NATIVE_FAULTS[framework](path))  # native models have no logs (fact 1.10)
        if framework == "python":
            return _verdict_of_step(path, file_name)
        if framework == "mlflow":
            return Verdict()  # an image, no file
        with open_archive(path) as archive:
            if framework == "custom":
                return _verdict_of_custom(archive, file_name, strict=strict)
            # hugging-face-*, vllm, sglang: their folders have many forms, so all that is asked is that there is one.
            return Verdict() if archive.names else _failed("The uploaded .zip file is empty")  # INFERENCE
    except ArchiveError as error:
        # INFERENCE: an archive that opens, but cannot be read to its end, was never seen.
        return _failed(f"The uploaded .zip file cannot be unpacked: {error}")


def _verdict_of_custom(archive: Archive, file_name: str, *, strict: bool) -> Verdict:
    if "/" in file_name or "\\" in file_name:
        # All four uploads whose file name held directories ended so, with the word null (fact sheet 1.1).
        return Verdict("null")
    requirements = sorted((name for name in archive.names if name.rpartition("/")[2] == REQUIREMENTS), key=_depth)
    if strict and not requirements:
        # No logs: INFERENCE, early failures have none (fact 1.10) and such versions were `error` at the first poll.
        return Verdict(MISSING_REQUIREMENTS)
    for name in requirements[:1]:
        unreadable = unreadable_requirement(archive.read(name, MAX_REQUIREMENTS_BYTES))
        if unreadable is not None:
            # The resolver's own lines are on stderr; how it says this one is INFERENCE.
            return _failed(
                PIP_FAULT, (("stderr", f"error: Couldn't parse requirement in `{REQUIREMENTS}`: {unreadable}"),)
            )
    return _verdict(archive, file_name, custom_fault, "custom model validation successful")


def _verdict_of_step(path: Path, file_name: str) -> Verdict:
    success = "python step validation successful"  # INFERENCE: in the form of custom's
    try:
        with open_archive(path) as archive:
            return _verdict(archive, file_name, step_fault, success)
    except NotAZipError:
        if wants_zip("python", file_name):
            raise
    with path.open("rb") as file:
        module = read_module(file_name, file.read(MAX_MODULE_BYTES))
    fault = step_fault([] if module is None else [module], file_name)
    return Verdict(None, (("stdout", success),)) if fault is None else _failed(fault)


def _verdict(
    archive: Archive, file_name: str, find_fault: Callable[[list[Module], str], str | None], success: str
) -> Verdict:
    fault = find_fault(_read_modules(archive), file_name)
    return Verdict(None, (("stdout", success),)) if fault is None else _failed(fault)


def _failed(fault: str, before: Lines = ()) -> Verdict:
    """The summary is what stands after `Error:` in the packager's log, up to the line break (fact 1.10)."""
    lines = f"Error: {fault}".split("\n")
    return Verdict(fault.partition("\n")[0], before + tuple(("stderr", line) for line in lines))


def _read_modules(archive: Archive) -> list[Module]:
    """The archive's modules that Python can parse. What lies higher comes first, should there be too many."""
    found: list[Module] = []
    left = MAX_SOURCE_BYTES
    for name in sorted(filter(_is_module, archive.names), key=_depth):
        if archive.size(name) > min(MAX_MODULE_BYTES, left):
            continue
        source = archive.read(name, MAX_MODULE_BYTES)
        left -= len(source)
        module = read_module(name, source)
        found += [] if module is None else [module]
    return found


def _depth(name: str) -> int:
    return name.count("/")


def _is_module(name: str) -> bool:
    return name.endswith(".py") and not NOT_PYTHON_FOLDERS & set(name.split("/")[:-1])

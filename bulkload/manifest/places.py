"""Paths that are no local files: URIs with two slashes or one, and the ways of other systems to write a path."""

import re
from pathlib import PurePosixPath

from bulkload.core.text.words import shown

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//|/)?")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")

_DOWNLOAD = "download it and name the file"
_MLFLOW = "download it with `mlflow artifacts download --artifact-uri {}` and name the file"
_OTHER_SCHEMES = (
    "abfs", "abfss", "adl", "az", "azureml", "cos", "ftp", "ftps", "git", "hdfs", "http", "https", "oci", "oss", "r2",
    "s3a", "s3n", "scp", "sftp", "ssh", "wasb", "wasbs",
)  # fmt: skip
# Scheme -> what to do; {} stands for the place. Those that other tools write with one slash, or none, are among them.
_KNOWN = {
    "models": _MLFLOW,
    "runs": _MLFLOW,
    "mlflow-artifacts": _MLFLOW,
    "dbfs": "on Databricks name it as {below}, elsewhere download it with `databricks fs cp {}` and name the file",
    "file": "write the path without {scheme}",
    "s3": "download it with `aws s3 cp {}` and name the file",
    "gs": "download it with `gcloud storage cp {}` and name the file",
    "hf": "download it with `hf download` and name the file",
    **dict.fromkeys(_OTHER_SCHEMES, _DOWNLOAD),
}


def foreign_place(path: str) -> tuple[str, str] | None:
    """What a path is that leads to no local file, and the remedy; None where it may lead to one."""
    found = _URI.match(path)
    if found is not None:
        scheme, slashes = found[1].lower(), found[2] or ""
        if slashes == "//" or scheme in _KNOWN:
            remedy = _KNOWN.get(scheme, _DOWNLOAD)
            if scheme == "file" and "%" in path:
                remedy += ", and its % signs as the characters that they stand for"
            rest = path[found.end() :].lstrip("/")
            below = PurePosixPath("/dbfs", rest)
            words = {"scheme": found[0], "below": shown(str(below))[1:-1]}
            return "is no local file", remedy.format(shown(path)[1:-1], **words)
    if _WINDOWS.match(path):
        return "is a path of Windows", "write it as this system does, with / between folders"
    return None

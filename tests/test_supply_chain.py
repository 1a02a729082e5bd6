"""What is installed is what was locked: every package, for every system, by the hash of its file."""

import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.bill_of_materials import check, locked_versions, name_of

REPOSITORY = Path(__file__).parent.parent
LOCKS = [
    "requirements.lock",
    "requirements-tools.lock",
    "requirements-charts.lock",
    "tests/conformance/requirements.lock",
]
MAKEFILE = (REPOSITORY / "Makefile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_a_version_with_hashes(lock):
    """And no option: where packages come from is the business of whoever installs them."""
    text = (REPOSITORY / lock).read_text().replace(" \\\n", " ")
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(
            r"[A-Za-z0-9._-]+==\S+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", line
        ), line
    assert not re.search(r"https?:|--index|--find-links|--extra|file:", text)


def asked_for() -> list[str]:
    """What the project asks for, but what samples, charts and the tools need."""
    groups, project = PROJECT["dependency-groups"], PROJECT["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    system = PROJECT["build-system"]["requires"]
    return [*project["dependencies"], *extras, *groups["dev"], *groups["build"], *system]


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("requirements.lock", asked_for()),
        ("requirements-tools.lock", PROJECT["dependency-groups"]["tools"]),
        ("requirements-charts.lock", PROJECT["dependency-groups"]["charts"]),
        (
            "tests/conformance/requirements.lock",
            [
                line
                for line in (REPOSITORY / "tests/conformance/requirements.txt").read_text().splitlines()
                if not line.startswith("#")
            ],
        ),
    ],
)
def test_what_is_asked_for_is_locked(lock, requirements):
    """`make lock` was run after the last change of a requirement."""
    locked = locked_versions((REPOSITORY / lock).read_text())
    for text in requirements:
        requirement = Requirement(text)
        if requirement.name == "bulkload":
            continue
        versions = locked.get(name_of(text), set())
        assert versions, f"{text}: run `make lock`"
        assert all(requirement.specifier.contains(Version(version)) for version in versions), f"{text}: run `make lock`"


def test_other_systems_are_locked_too():
    """With files for each: a lock that was made on one system serves on all."""
    text = (REPOSITORY / "requirements.lock").read_text()
    assert re.search(r"^colorama==\S+ ; sys_platform == 'win32'", text, re.MULTILINE)
    files_of_aiohttp = text.partition("\naiohttp==")[2].partition("\naiosignal==")[0].count("--hash")
    assert files_of_aiohttp > 50


def test_make_installs_by_hash_only():
    """But for the project itself, and the libraries that write the samples."""
    lines = MAKEFILE.replace("\\\n", "").replace("$(LOCKED)", "install $(LOCKED)").splitlines()
    installs = [line.strip() for line in lines if re.search(r"/pip .*install", line)]
    assert len(installs) == 9
    for line in installs:
        locked = "$(LOCKED)" in line
        own = "--no-deps --no-build-isolation -e ." in line or "--no-deps --no-index dist/*.whl" in line
        samples = line.endswith(("--group samples", "'pip>=25.1'"))
        assert locked or own or samples, line
    assert "--no-build-isolation -w dist" in MAKEFILE


@pytest.mark.parametrize(("changed", "installed"), [(False, True), (True, False)])
def test_another_file_under_the_same_name_is_not_installed(changed, installed, tmp_path):
    """By the options that the Makefile installs with."""
    options = re.search(r"^LOCKED := (.+)$", MAKEFILE, re.MULTILINE)
    assert options is not None
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    lock = tmp_path / "lock"
    lock.write_text(f"tiny==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    if changed:
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr("evil.py", "")
    place = ["--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / "installed")]
    command = [sys.executable, "-m", "pip", *options[1].split(), "-r", str(lock), *place]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (tmp_path / "installed" / "tiny.py").exists() is installed, result.stderr
    assert ("DO NOT MATCH THE HASHES" in result.stderr) is changed


LOCK = "click==8.5.1 \\\n    --hash=sha256:00\nRich==15.0.0 \\\n"
GOOD: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "metadata": {"component": {"name": "bulkload", "version": "1", "bom-ref": "root"}},
    "components": [{"name": "click", "version": "8.5.1"}, {"name": "rich", "version": "15.0.0"}],
    "dependencies": [{"ref": "root", "dependsOn": ["click", "rich"]}],
}


def test_a_bill_of_materials_is_held_against_wheel_and_lock():
    """What `make sbom` ends with notices a package too few, one too many, and another version."""
    needed = ["click>=8", "rich>=14", 'graphql-core; extra == "sandbox"']
    check(GOOD, needed, "1", LOCK)
    other = [{"name": "click", "version": "8.5.0"}, {"name": "rich", "version": "15.0.0"}]
    for wrong in (GOOD["components"][:1], [*GOOD["components"], {"name": "evil", "version": "1"}], other):
        with pytest.raises(AssertionError):
            check(GOOD | {"components": wrong}, needed, "1", LOCK)
    with pytest.raises(AssertionError):
        check(GOOD, needed, "2", LOCK)

"""`make sbom` ends with this: is the bill beside a wheel the bill of that wheel, with the versions of the lock?

python tests/bill_of_materials.py dist
"""

import json
import re
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent


def name_of(requirement: str) -> str:
    """The normalized name at the beginning of a requirement."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def locked_versions(lock: str) -> dict[str, set[str]]:
    """The versions of each package in a lock; several where they differ by system or Python."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock, re.MULTILINE):
        versions.setdefault(name_of(name), set()).add(version)
    return versions


def check(bill: dict[str, Any], requirements: list[str], version: str, lock: str) -> None:
    """Raises AssertionError with what is wrong."""
    assert bill["bomFormat"] == "CycloneDX"
    root = bill["metadata"]["component"]
    assert (root["name"], root["version"]) == ("bulkload", version), root
    components = {name_of(part["name"]): part["version"] for part in bill["components"]}
    assert "bulkload" not in components, "it is the root"
    locked = locked_versions(lock)
    for name, found in components.items():
        assert found in locked.get(name, set()), f"{name} {found} is not in the lock"
    needed = {name_of(requirement) for requirement in requirements if "extra ==" not in requirement}
    assert needed <= set(components) | {"uvloop"}, f"missing: {needed - set(components)}"
    assert not {"pytest", "ruff", "pip", "graphql-core"} & set(components), "more than the wheel brings"
    edges = {edge["ref"]: edge.get("dependsOn", []) for edge in bill["dependencies"]}
    assert len(edges[root["bom-ref"]]) >= len(needed) - 1, "the wheel needs what it needs"


def main(folder: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().split("\n\n")[0].splitlines()
    requirements = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    bill = json.loads((folder / "bulkload.cdx.json").read_text())
    check(bill, requirements, version, (REPOSITORY / "requirements.lock").read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

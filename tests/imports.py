"""The imports of the package's modules, read from their text: what the pictures of the house are compared with."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import bulkload

PACKAGE = Path(bulkload.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
# Dotted names below bulkload: ``ledger`` for ledger/__init__.py, ``ledger.interface`` for ledger/interface.py.
NAMES = {
    ".".join(module.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): module for module in MODULES
}


@dataclass(frozen=True)
class Import:
    """One import: the dotted name that it brings in, and where it stands."""

    name: str
    line: int


def imports_of(tree: ast.AST, package: str) -> Iterator[Import]:
    """Every import of a module of ``package`` (a dotted name), wherever it stands; relative ones made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            anchor = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*anchor, *([node.module] if node.module else [])])
            yield from (Import(f"{base}.{alias.name}", node.lineno) for alias in node.names)


def room_of(module: Path) -> str:
    """``core`` for bulkload/core/model/states.py, ``__init__`` for bulkload/__init__.py."""
    first = module.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def package_of(module: Path) -> str:
    """``bulkload.core`` for bulkload/core/model/states.py."""
    return ".".join(["bulkload", *module.relative_to(PACKAGE).parent.parts])


@cache
def tree_of(module: Path) -> ast.Module:
    """Its text, read once."""
    return ast.parse(module.read_text(encoding="utf-8"), module.name)


def place_of(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def module_of(name: str) -> str:
    """The module below bulkload that a name leads to: ``ledger.interface`` for ``bulkload.ledger.interface.Seal``."""
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in NAMES:
        parts.pop()
    return ".".join(parts)


def own_imports(tree: ast.AST, package: str) -> Iterator[Import]:
    """The imports of this package's own modules."""
    return (found for found in imports_of(tree, package) if found.name.startswith("bulkload."))

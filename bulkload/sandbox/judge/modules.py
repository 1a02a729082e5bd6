"""A Python module of an archive: parsed, never run, and reduced to what the packager asks about it.

Only these facts are kept: a syntax tree takes hundreds of times the memory of its source, so there is one at a time.
"""

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef
PREDICTING = frozenset({"predict", "_predict"})
DICTIONARY_TYPES = frozenset({"InferenceData", "Dict", "dict", "Mapping", "MutableMapping", "Any"})


@dataclass(frozen=True, slots=True)
class Base:
    """A base class as written: its name before any `as`, and the module it was imported from, when that is known."""

    name: str
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFacts:
    """A class at a module's level. `takes_dictionary` is of its predict method, None when it defines none."""

    name: str
    module: str
    bases: tuple[Base, ...]
    members: frozenset[str]
    takes_dictionary: bool | None


@dataclass(frozen=True, slots=True)
class Module:
    """A module that Python can parse: the functions and other names it defines, and its classes."""

    name: str
    defined: frozenset[str]
    classes: tuple[ClassFacts, ...]


def read_module(name: str, source: bytes) -> Module | None:
    """Parse a module; None when Python cannot, also when it is nested too deeply for it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in other people's strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    statements = list(_own_statements(tree.body))
    imports = _imports(statements)
    # Of a name that is defined twice the later one counts.
    classes = {node.name: node for node in statements if isinstance(node, ast.ClassDef)}
    facts = tuple(_class_facts(node, name, imports) for node in classes.values())
    return Module(name, frozenset(_defined(statements)), facts)


def _own_statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements of a block, also those under `if`, `try`, `with` and loops; not those of functions and classes."""
    waiting = list(body)[::-1]
    while waiting:
        statement = waiting.pop()
        yield statement
        if isinstance(statement, Function | ast.ClassDef):
            continue
        inner: list[ast.stmt] = []
        for child in ast.iter_child_nodes(statement):
            if isinstance(child, ast.stmt):
                inner.append(child)
            elif isinstance(child, ast.ExceptHandler | ast.match_case):
                inner += child.body
        waiting += inner[::-1]


def _imports(statements: Iterable[ast.stmt]) -> dict[str, Base]:
    """What imported names stand for. A relative import comes from the archive itself: its origin is not noted."""
    found: dict[str, Base] = {}
    for statement in statements:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                origin = alias.name if alias.asname else alias.name.partition(".")[0]
                found[alias.asname or origin] = Base(origin.rpartition(".")[2], origin)
        elif isinstance(statement, ast.ImportFrom):
            origin_or_none = None if statement.level else statement.module
            for alias in statement.names:
                found[alias.asname or alias.name] = Base(alias.name, origin_or_none)
    return found


def _class_facts(node: ast.ClassDef, module: str, imports: dict[str, Base]) -> ClassFacts:
    predict = next((child for child in node.body if isinstance(child, Function) and child.name in PREDICTING), None)
    return ClassFacts(
        name=node.name,
        module=module,
        bases=tuple(base for written in node.bases if (base := _base(written, imports)) is not None),
        members=frozenset(_members(node)),
        takes_dictionary=None if predict is None else _takes_one_dictionary(predict),
    )


def _base(written: ast.expr, imports: dict[str, Base]) -> Base | None:
    plain = written.value if isinstance(written, ast.Subscript) else written
    if isinstance(plain, ast.Name):
        return imports.get(plain.id, Base(plain.id))
    if not isinstance(plain, ast.Attribute):
        return None
    root = plain.value
    while isinstance(root, ast.Attribute):
        root = root.value
    known = imports.get(root.id) if isinstance(root, ast.Name) else None
    return Base(plain.attr, None if known is None else known.origin)


def _defined(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """The names that statements define: functions, classes, and assigned names."""
    for statement in statements:
        if isinstance(statement, Function | ast.ClassDef):
            yield statement.name
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
        for target in targets:
            if isinstance(target, ast.Name):
                yield target.id


def _members(node: ast.ClassDef) -> Iterator[str]:
    """Methods, class attributes, and what methods assign to self."""
    yield from _defined(_own_statements(node.body))
    for child in ast.walk(node):
        if isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Store):
            yield child.attr


def _takes_one_dictionary(function: Function) -> bool:
    arguments = function.args
    positional = arguments.posonlyargs + arguments.args
    required_by_name = sum(default is None for default in arguments.kw_defaults)
    if len(positional) - len(arguments.defaults) > 2 or len(positional) < 2 or required_by_name:
        return False
    annotation = positional[1].annotation
    return annotation is None or bool(DICTIONARY_TYPES & set(_words(annotation)))


def _words(annotation: ast.expr) -> Iterator[str]:
    """The names in an annotation, also in one that is written as a string."""
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from "".join(letter if letter.isalnum() else " " for letter in node.value).split()

"""Python modules of an archive, parsed and never run: what the packager would say of them (fact sheet 4.1)."""

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Function = ast.FunctionDef | ast.AsyncFunctionDef
NO_MODULES = "No Python modules found in the model directory: {file}"


@dataclass(frozen=True, slots=True)
class Module:
    """A module that Python can parse."""

    name: str
    tree: ast.Module

    @property
    def functions(self) -> frozenset[str]:
        """The names of its functions."""
        return frozenset(node.name for node in self.tree.body if isinstance(node, Function))

    @property
    def classes(self) -> list[ast.ClassDef]:
        """Its classes."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)]


def read_module(name: str, source: bytes) -> Module | None:
    """Parse a module; None when Python cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in other people's strings
            return Module(name, ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def step_fault(modules: list[Module], file_name: str) -> str | None:
    """What is wrong with a python step, None when nothing is."""
    if not modules:
        return NO_MODULES.format(file=file_name)
    if not any("process_data" in module.functions for module in modules):
        return "No process_data function found in the model directory"  # INFERENCE: wording never seen
    return None


def custom_fault(modules: list[Module], file_name: str) -> str | None:
    """What is wrong with a custom model, in the packager's order and words; None when nothing is."""
    if not modules:
        return NO_MODULES.format(file=file_name)
    if any({"handle_completion", "handle_chat_completion"} & module.functions for module in modules):
        return None
    classes = {node.name: node for module in modules for node in module.classes}
    inferences = [node for node in classes.values() if "Inference" in _bases(node, classes)]
    builders = [node for node in classes.values() if "InferenceBuilder" in _bases(node, classes)]
    return (
        _inheritance_fault(inferences, builders)
        or _builder_fault(builders[0], classes)
        or _inference_fault(inferences[0], classes)
    )


def _inheritance_fault(inferences: list[ast.ClassDef], builders: list[ast.ClassDef]) -> str | None:
    if not inferences:
        return "No Inference-inherited class found in the model directory"
    if len(inferences) > 1:
        return "Multiple Inference-inherited classes "  # cut at the line break, as seen
    if not builders:
        return "No InferenceBuilder-inherited class found in the model directory"
    if len(builders) > 1:
        return f"Multiple InferenceBuilder-inherited classes found: {[node.name for node in builders]}. "
    return None


def _builder_fault(builder: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> str | None:
    members = {name for node in _lineage(builder, classes) for name in _members(node)}
    for method in ("inference", "create"):
        if method not in members:
            return f"The InferenceBuilder class must contain the {method} method."
    return None


def _inference_fault(inference: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> str | None:
    lineage = list(_lineage(inference, classes))
    members = {name for node in lineage for name in _members(node)}
    if not {"predict", "_predict"} & members:
        return "The Inference class must contain the predict method."
    if not {"model", "_model"} & members:
        return "The Inference class must contain the model member."  # INFERENCE: wording never seen
    predict = next((node for node in _functions(lineage) if node.name in {"_predict", "predict"}), None)
    if predict is not None and not _takes_one_dictionary(predict):
        return "The Inference class's predict method may only accept a dictionary of numpy arrays."
    # The annotated return type is not held against it: a model that returns an int was seen to become ready.
    if "expected_model_types" not in members:
        return "The Inference class must contain the expected_model_types method."
    return None


def _takes_one_dictionary(function: Function) -> bool:
    arguments = function.args
    positional = arguments.posonlyargs + arguments.args
    required_by_name = sum(default is None for default in arguments.kw_defaults)
    if len(positional) - len(arguments.defaults) > 2 or len(positional) < 2 or required_by_name:
        return False
    annotation = positional[1].annotation
    return annotation is None or any(word in ast.unparse(annotation) for word in ("InferenceData", "ict", "Any"))


def _bases(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    """The names of all classes that a class inherits from, through those of the archive."""
    return {name for ancestor in _lineage(node, classes) for name in _direct_bases(ancestor)}


def _lineage(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Iterator[ast.ClassDef]:
    seen: set[str] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop(0)
        if current.name in seen:
            continue
        seen.add(current.name)
        yield current
        waiting += [classes[name] for name in _direct_bases(current) if name in classes]


def _direct_bases(node: ast.ClassDef) -> list[str]:
    plain = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return [base.id if isinstance(base, ast.Name) else base.attr for base in plain if isinstance(base, _NAMED)]


_NAMED = (ast.Name, ast.Attribute)


def _functions(nodes: Iterable[ast.ClassDef]) -> Iterator[Function]:
    for node in nodes:
        for member in node.body:
            if isinstance(member, Function):
                yield member


def _members(node: ast.ClassDef) -> set[str]:
    """Methods, class attributes, and what methods assign to self."""
    names = {function.name for function in _functions([node])}
    for child in ast.walk(node):
        if isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Store):
            names.add(child.attr)
    for member in node.body:
        targets = member.targets if isinstance(member, ast.Assign) else []
        targets = [member.target] if isinstance(member, ast.AnnAssign) else targets
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names

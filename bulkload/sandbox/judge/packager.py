"""What the packager says of the modules of a custom model or a python step, in its order and words (fact sheet 4.1).

A fault may have two lines, as in the packager's log: error_summary is the first one.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from bulkload.sandbox.judge.modules import Base, ClassFacts, Module

NO_MODULES = "No Python modules found in the model directory: {file}"
NO_STEP = "No process_data function found in the model directory"  # INFERENCE: wording never seen
HANDLERS = frozenset({"handle_completion", "handle_chat_completion"})
# Base classes outside the archive whose members are known, or are not what the packager looks for.
FAMILIAR = frozenset({"Inference", "InferenceBuilder", "ABC", "Generic", "Protocol", "object"})
PACKAGER_PACKAGE = "mac"
Key = tuple[str, str]  # module and name of a class


def step_fault(modules: Sequence[Module], file_name: str) -> str | None:
    """What is wrong with a python step, None when nothing is."""
    if not modules:
        return NO_MODULES.format(file=file_name)
    return None if any("process_data" in module.defined for module in modules) else NO_STEP


def custom_fault(modules: Sequence[Module], file_name: str) -> str | None:
    """What is wrong with a custom model; None when nothing is."""
    if not modules:
        return NO_MODULES.format(file=file_name)
    if any(HANDLERS & module.defined for module in modules):
        return None
    family = Family(modules)
    inferences, builders = family.heirs_of("Inference"), family.heirs_of("InferenceBuilder")
    return (
        _inference_count_fault(inferences)
        or _builder_count_fault(builders)
        or _builder_fault(builders[0], family)
        or _inference_fault(inferences[0], family)
    )


def _inference_count_fault(inferences: list[ClassFacts]) -> str | None:
    if not inferences:
        return "No Inference-inherited class found in the model directory"
    if len(inferences) > 1:
        # The summary was seen cut after `classes `; what stood on the next line is INFERENCE.
        return f"Multiple Inference-inherited classes \nfound: {[found.name for found in inferences]}. "
    return None


def _builder_count_fault(builders: list[ClassFacts]) -> str | None:
    if not builders:
        return "No InferenceBuilder-inherited class found in the model directory"
    if len(builders) > 1:
        return f"Multiple InferenceBuilder-inherited classes found: {[found.name for found in builders]}. "
    return None


def _builder_fault(builder: ClassFacts, family: "Family") -> str | None:
    for method in ("inference", "create"):
        if family.surely_lacks(builder, {method}):
            return f"The InferenceBuilder class must contain the {method} method."
    return None


def _inference_fault(inference: ClassFacts, family: "Family") -> str | None:
    if family.surely_lacks(inference, {"predict", "_predict"}):
        return "The Inference class must contain the predict method."
    if family.surely_lacks(inference, {"model", "_model"}):
        return "The Inference class must contain the model member."  # INFERENCE: wording never seen
    signatures = (known.takes_dictionary for known in family.lineage(inference) if isinstance(known, ClassFacts))
    if next((fits for fits in signatures if fits is not None), True) is False:
        return "The Inference class's predict method may only accept a dictionary of numpy arrays."
    # The packager looks at the return type next; how, is not known: a model whose predict says that it returns an int
    # was seen to become ready, so no annotation is held against a model.
    if family.surely_lacks(inference, {"expected_model_types"}):
        return "The Inference class must contain the expected_model_types method."
    return None


class Family:
    """The classes of an archive, and what they inherit from each other and from outside."""

    def __init__(self, modules: Sequence[Module]) -> None:
        self._classes = {_key(known): known for module in modules for known in module.classes}
        self._by_name: dict[str, list[ClassFacts]] = {}
        for known in self._classes.values():
            self._by_name.setdefault(known.name, []).append(known)
        # What an import may begin with and stay in the archive.
        self._own = {part for module in modules for part in PurePosixPath(module.name.removesuffix(".py")).parts}
        self._parents = {
            key: [self._resolve(base, known) for base in known.bases] for key, known in self._classes.items()
        }
        self._children: dict[Key, list[Key]] = {}
        for key, parents in self._parents.items():
            for parent in parents:
                if isinstance(parent, ClassFacts):
                    self._children.setdefault(_key(parent), []).append(key)

    def heirs_of(self, name: str) -> list[ClassFacts]:
        """The classes that inherit from the packager's class of that name, directly or through others."""
        heirs: set[Key] = set()
        waiting = [key for key, parents in self._parents.items() if any(self._is(parent, name) for parent in parents)]
        while waiting:
            key = waiting.pop()
            if key not in heirs:
                heirs.add(key)
                waiting += self._children.get(key, [])
        return [known for key, known in self._classes.items() if key in heirs]

    def surely_lacks(self, known: ClassFacts, names: set[str]) -> bool:
        """Whether a class has none of these members. One with a parent that nobody can look into may have any."""
        lineage = list(self.lineage(known))
        if any(isinstance(base, Base) and base.name not in FAMILIAR for base in lineage):
            return False
        return not any(names & ancestor.members for ancestor in lineage if isinstance(ancestor, ClassFacts))

    def lineage(self, known: ClassFacts) -> Iterator[ClassFacts | Base]:
        """A class, its ancestors in the archive, and the bases outside of it where that ends."""
        seen: set[Key] = set()
        waiting: deque[ClassFacts | Base] = deque([known])
        while waiting:
            current = waiting.popleft()
            if isinstance(current, ClassFacts):
                if _key(current) in seen:
                    continue
                seen.add(_key(current))
                waiting += self._parents[_key(current)]
            yield current

    def _is(self, parent: ClassFacts | Base, name: str) -> bool:
        """Whether a parent is the packager's class of that name; without a known import its name is believed."""
        if not isinstance(parent, Base) or parent.name != name:
            return False
        return not self._outside(parent) or _package(parent) == PACKAGER_PACKAGE

    def _resolve(self, base: Base, heir: ClassFacts) -> ClassFacts | Base:
        if self._outside(base):
            return base
        neighbour = self._classes.get((heir.module, base.name))
        if neighbour is not None and neighbour is not heir:
            return neighbour
        return next((known for known in self._by_name.get(base.name, []) if known is not heir), base)

    def _outside(self, base: Base) -> bool:
        return base.origin is not None and _package(base) not in self._own


def _key(known: ClassFacts) -> Key:
    return known.module, known.name


def _package(base: Base) -> str:
    return (base.origin or "").partition(".")[0]

"""Problems of a manifest, for people: one line a kind, with its count and the first places."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bulkload.core.model.records import Problem

# Places that a line names.
FIRST_PLACES = 3
# Kinds that are told apart; what comes beyond is counted together.
MOST_KINDS = 100

# What differs from problem to problem of one kind: words in quotes, and numbers.
_VALUE = re.compile(r'"[^"]*"|\d+(?:[.,]\d+)*')
_PLACE = re.compile(r"(\w+) ([\d,]+)")


@dataclass(slots=True)
class _Group:
    """What is known of one kind."""

    first: list[Problem] = field(default_factory=list)
    count: int = 0
    # All of them say the same, apart from their places.
    same: bool = True

    def add(self, problem: Problem) -> None:
        self.count += 1
        if len(self.first) < FIRST_PLACES:
            self.first.append(problem)
        self.same = self.same and _words(problem) == _words(self.first[0])


def problem_lines(problems: Iterable[Problem], *, each: bool) -> tuple[Iterator[str], bool]:
    """The lines, and whether they show fewer than there are. ``each``: a line a problem."""
    if each:
        return map(str, problems), False
    groups = _grouped(problems)
    lines = (line for group in groups for line in _lines(group))
    return lines, any(_is_cut(group) for group in groups)


def _grouped(problems: Iterable[Problem]) -> list[_Group]:
    groups: dict[tuple[str, ...], _Group] = {}
    for problem in problems:
        key = _kind(problem)
        if key not in groups and len(groups) >= MOST_KINDS:
            key = (problem.field.partition(".")[0],)
            if key not in groups and len(groups) >= 2 * MOST_KINDS:
                key = ()
        groups.setdefault(key, _Group()).add(problem)
    return list(groups.values())


def _kind(problem: Problem) -> tuple[str, ...]:
    return problem.manifest, problem.field, problem.kind or _VALUE.sub("", problem.what)


def _words(problem: Problem) -> tuple[str, ...]:
    return problem.manifest, problem.field, problem.what, problem.remedy


def _is_cut(group: _Group) -> bool:
    return group.count > FIRST_PLACES


def _lines(group: _Group) -> Iterator[str]:
    example = group.first[0]
    if group.count == 1 or (not group.same and group.count <= FIRST_PLACES):
        yield from map(str, group.first)
        return
    what = example.what if group.same else f"for example {example.what}"
    parts = (example.manifest, _places(group), example.field, what)
    yield f"{': '.join(part for part in parts if part)}; {example.remedy}"


def _places(group: _Group) -> str:
    """``lines 3, 4, 5, ... (200,000 in all)``."""
    places = [problem.place for problem in group.first if problem.place]
    split = [_PLACE.fullmatch(place) for place in places]
    if places and all(split) and len({found[1] for found in split if found}) == 1:
        places = [found[2] for found in split if found]
        places[0] = f"{split[0][1] if split[0] else ''}s {places[0]}"
    if group.count > len(places):
        return f"{', '.join(places)}, ... ({group.count:,} in all)" if places else f"{group.count:,} times"
    return f"{', '.join(places[:-1])} and {places[-1]}"

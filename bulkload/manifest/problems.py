"""All problems of a manifest, however many: a program may read each, and memory does not grow with them."""

from typing import Any

from bulkload.core.model.records import Problem
from bulkload.system.spilling import SpilledList


def problem_list() -> SpilledList[Problem]:
    """An empty list of problems; what is beyond the first thousand is kept on disk."""
    return SpilledList(_pack, _unpack)


def _pack(problem: Problem) -> list[str]:
    return [problem.manifest, problem.place, problem.field, problem.what, problem.remedy, problem.kind]


def _unpack(values: list[Any]) -> Problem:
    manifest, place, field, what, remedy, kind = values
    return Problem(manifest=manifest, place=place, field=field, what=what, remedy=remedy, kind=kind)

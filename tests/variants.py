"""Tests of many variants: a part of them for every change, all of them for `make long`."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest


def each_once(*axes: Sequence[Any]) -> list[Any]:
    """All combinations. Those that are not needed for each value of each axis to come up once are `long`."""
    most = max(map(len, axes))
    needed = {tuple(number % len(axis) for axis in axes) for number in range(most)}
    return [
        pytest.param(
            *(axis[place] for axis, place in zip(axes, places, strict=True)),
            marks=() if places in needed else pytest.mark.long,
        )
        for places in product(*(range(len(axis)) for axis in axes))
    ]


def every(number: int, values: Sequence[Any], *, first: int = 0) -> list[Any]:
    """All values. Every ``number``-th one, from the ``first`` on, is for every change; the others are `long`."""
    return [
        pytest.param(value, marks=() if place % number == first else pytest.mark.long)
        for place, value in enumerate(values)
    ]

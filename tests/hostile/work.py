"""Measures work without a clock: the lines that the interpreter runs, and the memory that they ask for."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

LINEAR = 4.5
"""Four times the input may cost this many times as much. A quadratic cost would be sixteen times as much."""


def steps_of(do: Callable[[], object]) -> int:
    """How many lines of Python run. A loop in one line counts each turn."""
    steps = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        do()
    finally:
        sys.settrace(before)
    return steps


def peak_of(do: Callable[[], object]) -> int:
    """The most bytes that Python's objects take at any moment, beside those that are there before."""
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def grows_linearly(cost: Callable[[int], int], small: int) -> int:
    """Check that an input of four times the size costs not much more than four times as much; give that."""
    cost(small)  # what is made once, such as tables of fields, belongs to no size
    low, high = cost(small), cost(4 * small)
    assert high <= LINEAR * low, f"{low} at {small}, {high} at {4 * small}"
    return high

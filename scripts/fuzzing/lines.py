"""Which lines of the product an input reaches, and how many steps of Python it takes there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

# Places of the numbers that make up an arc: of a function, of the line before, and of the line.
_LINE_BITS: Final = 16
ENDLESS_STEPS: Final = 20_000_000
_IS_FUNCTION: Final = 0x2  # CO_NEWLOCALS, which the body of a class has not


class EndlessError(AssertionError):
    """An input took more steps than any input may."""


@dataclass(slots=True)
class Reached:
    """What one input reached: the arcs between lines, and the number of steps of Python."""

    arcs: set[int] = field(default_factory=set[int])
    steps: int = 0


class Tracer:
    """Traces the code below some folders while a function runs."""

    def __init__(self, folders: tuple[str, ...], left_out: tuple[str, ...] = ()) -> None:
        """Trace files whose path holds one of the first texts and none of the others."""
        self._folders = folders
        self._left_out = left_out
        # A number for each function; 0 for one that is not traced.
        self._numbers: dict[CodeType, int] = {}
        self._codes: list[CodeType] = []

    def run(self, function: Callable[[], int], reached: Reached) -> int:
        """What the function gives; `reached` is filled also if it raises.

        A function that takes more than ENDLESS_STEPS is ended by an EndlessError.
        """
        numbers, arcs = self._numbers, reached.arcs

        def call(frame: FrameType, event: str, argument: Any) -> Any:
            code = frame.f_code
            number = numbers.get(code)
            if number is None:
                number = self._number(code)
            if not number:
                return None
            base = number << 2 * _LINE_BITS
            before = 0

            def line(frame: FrameType, event: str, argument: Any) -> Any:
                nonlocal before
                if event == "line":
                    now = frame.f_lineno
                    arcs.add(base | before << _LINE_BITS | now)
                    before = now
                    reached.steps += 1
                    if reached.steps > ENDLESS_STEPS:
                        raise EndlessError(f"more than {ENDLESS_STEPS} steps")
                return line

            return line

        outer = sys.gettrace()
        sys.settrace(call)
        try:
            return function()
        finally:
            sys.settrace(outer)

    def _number(self, code: CodeType) -> int:
        traced = looked_at(code.co_filename, self._folders, self._left_out)
        if traced:
            self._codes.append(code)
        self._numbers[code] = number = len(self._codes) if traced else 0
        return number

    def lines(self, arcs: set[int]) -> set[tuple[str, int]]:
        """The lines at which arcs end, each with its file."""
        mask = (1 << _LINE_BITS) - 1
        return {(self._codes[(arc >> 2 * _LINE_BITS) - 1].co_filename, arc & mask) for arc in arcs}


def looked_at(path: str, folders: tuple[str, ...], left_out: tuple[str, ...]) -> bool:
    """Whether the lines of a file count."""
    return any(each in path for each in folders) and not any(each in path for each in left_out)


def lines_of(root: Path, folders: tuple[str, ...], left_out: tuple[str, ...]) -> int:
    """How many lines inside functions there are in the modules below the folders."""
    return sum(
        len(
            {
                line
                for code in _functions(compile(path.read_text("utf-8"), str(path), "exec"))
                for line in _lines(code)
            }
        )
        for path in sorted(root.rglob("*.py"))
        if looked_at(path.as_posix(), folders, left_out)
    )


def _functions(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & _IS_FUNCTION:
                yield constant
            yield from _functions(constant)


def _lines(code: CodeType) -> set[int]:
    return {line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno}

"""How a table stands on lines: how wide its columns are, and where a cell that is wider goes on.

The widths come from a sample of the rows, so a table of any length can be printed while its rows arrive. No
part of a cell is ever cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SAMPLE_ROWS = 100
SAMPLE_CHARACTERS = 1 << 18
"""The rows that are kept until the widths are known: the first ones, up to either of these."""
PADDED_MAX_CELLS = 60
"""How wide a column is made off a terminal. A longer cell moves the rest of its row to the right."""
FOLDED_MIN_CELLS = 6
"""A column is folded to no less. Where that does not fit, each row becomes a block, with a line a cell."""

_GAPS_CELLS = (3, 2, 1)
"""Between two columns: the first of these with which the columns fit."""
_BREAKS_AFTER = " ,"


@dataclass(frozen=True, slots=True)
class Layout:
    """The form of one table."""

    headers: tuple[str, ...]
    widths: tuple[int, ...]
    """Of the columns, in cells of the terminal. Empty: each row is a block."""
    gap: int
    """Between two columns, in cells."""
    folded: bool
    """Whether a cell that is wider than its column goes on in the next line."""


def lay_out(headers: Sequence[str], sample: Iterable[Sequence[str]], terminal_cells: int | None) -> Layout:
    """The layout for a terminal of this width, or for a file or a pipe (None)."""
    widths = [_width(header) for header in headers]
    for row in sample:
        widths = [max(width, _width(cell)) for width, cell in zip(widths, row, strict=True)]
    if terminal_cells is None:
        widths = [min(width, PADDED_MAX_CELLS) for width in widths]
        return Layout(tuple(headers), tuple(widths), _GAPS_CELLS[0], folded=False)
    for gap in _GAPS_CELLS:
        room = terminal_cells - gap * (len(headers) - 1)
        if sum(min(width, FOLDED_MIN_CELLS) for width in widths) <= room:
            fitting = widths if sum(widths) <= room else _lowered(widths, room)
            return Layout(tuple(headers), tuple(fitting), gap, folded=True)
    return Layout(tuple(headers), (), 0, folded=False)


def _lowered(widths: Sequence[int], room: int) -> list[int]:
    """The widths, the widest of them lowered to one level, with which they fit."""
    level, left, columns = 0, room, len(widths)
    for width in sorted(widths):
        level = left // columns
        if width > level:
            break
        left -= width
        columns -= 1
    return [min(width, level) for width in widths]


def head_lines(layout: Layout) -> list[str]:
    """The names of the columns, and a rule below them."""
    if not layout.widths:
        return []
    rule = "─" * (sum(layout.widths) + layout.gap * (len(layout.widths) - 1))
    return [*row_lines(layout, layout.headers), rule]


def row_lines(layout: Layout, row: Sequence[str]) -> list[str]:
    """The lines of one row."""
    if not layout.widths:
        return [*(f"{header}: {cell}" for header, cell in zip(layout.headers, row, strict=True)), ""]
    if not layout.folded:
        return [_joined(layout, row)]
    columns = [folded(cell, width) for cell, width in zip(row, layout.widths, strict=True)]
    height = max(map(len, columns), default=0)
    return [
        _joined(layout, [column[line] if line < len(column) else "" for column in columns])
        for line in range(height)
    ]


def _joined(layout: Layout, cells: Sequence[str]) -> str:
    padded = [cell + " " * (width - _width(cell)) for cell, width in zip(cells, layout.widths, strict=True)]
    return (" " * layout.gap).join(padded).rstrip()


def folded(cell: str, width: int) -> list[str]:
    """The cell in pieces of at most this width; joined they are the cell. Breaks after a space or a comma."""
    pieces: list[str] = []
    start = after_break = used = 0
    for place, letter in enumerate(cell):
        size = _width(letter)
        while used + size > width and place > start:
            end = after_break if after_break > start else place
            pieces.append(cell[start:end])
            start, used = end, _width(cell[end:place])
        used += size
        if letter in _BREAKS_AFTER:
            after_break = place + 1
    return [*pieces, cell[start:]]


def _width(text: str) -> int:
    """How many cells of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)

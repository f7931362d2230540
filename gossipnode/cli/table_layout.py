"""How a table stands on lines: how wide its columns are, and where a cell that is wider goes on.

The widths come from a sample of the rows, so a table of any length can be printed while its rows arrive. No
part of a cell is ever cut off.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SAMPLE_ROWS = 100
SAMPLE_CHARACTERS = 1 << 18
"""The rows that are kept until the widths are known: the first ones, up to either of these."""
PADDED_MAX_CELLS = 60
"""How wide a column is made off a terminal. A longer cell moves the rest of its row to the right."""
FOLDED_MIN_CELLS = 6
"""A column is folded to no less, and a column of numbers not at all. Where that does not fit, each row is a
block, with a line a cell."""
NARROW_CELLS = 12
NARROW_MAX_LINES = 2
"""A cell on more lines than these in a column narrower than that can hardly be read: each row is a block."""

WORD_MAX_CELLS = 12
"""A word of no more than these is not broken if the columns fit without that."""

_NUMBER = re.compile(r"[0-9,.]*")
_GAPS_CELLS = (3, 2, 1)
"""Between two columns: the first of these with which the columns fit."""
_BREAKS_AFTER = " ,"
_WORD = re.compile(r"[^ ,]+,?")
_INDENT = "  "
"""Before what goes on in the next line of a block."""


@dataclass(frozen=True, slots=True)
class TableLayout:
    """The form of one table."""

    headers: tuple[str, ...]
    widths: tuple[int, ...]
    """Of the columns, in cells of the terminal. Empty: each row is a block."""
    gap: int
    """Between two columns, in cells."""
    terminal_cells: int | None
    """In which what is wider than its column goes on in the next line. None: it is written as it is."""


def lay_out(
    headers: Sequence[str], sample: Sequence[Sequence[str]], terminal_cells: int | None
) -> TableLayout:
    """The layout for a terminal of this width, or for a file or a pipe (None)."""
    widths = [_width(header) for header in headers]
    for row in sample:
        widths = [max(width, _width(cell)) for width, cell in zip(widths, row, strict=True)]
    if terminal_cells is None:
        widths = [min(width, PADDED_MAX_CELLS) for width in widths]
        return TableLayout(tuple(headers), tuple(widths), _GAPS_CELLS[0], None)
    for whole_words in (True, False):
        smallest = [
            _smallest(header, [row[column] for row in sample], widths[column], whole_words=whole_words)
            for column, header in enumerate(headers)
        ]
        for gap in _GAPS_CELLS:
            room = terminal_cells - gap * (len(headers) - 1)
            if sum(smallest) <= room:
                fitting = widths if sum(widths) <= room else _lowered(widths, smallest, room)
                if _readable(sample, fitting):
                    return TableLayout(tuple(headers), tuple(fitting), gap, terminal_cells)
    return TableLayout(tuple(headers), (), 0, terminal_cells)


def _smallest(header: str, cells: Sequence[str], width: int, *, whole_words: bool) -> int:
    """How narrow a column may become. A broken number would be read as two, a broken name as none.

    With `whole_words` no shorter word of a cell is broken either.
    """
    least = max(min(width, FOLDED_MIN_CELLS), *map(_width, header.split()), 1)
    if cells and all(map(_NUMBER.fullmatch, cells)):
        return max(least, *map(len, cells))
    if whole_words:
        words = (_width(word) for cell in cells for word in _WORD.findall(cell))
        return max(least, *(size for size in words if size <= WORD_MAX_CELLS), 0)
    return least


def _lowered(widths: Sequence[int], smallest: Sequence[int], room: int) -> list[int]:
    """The widths, the widest of them lowered to one level, with which they fit; none below its smallest."""
    for level in range(min(max(widths), room), 0, -1):
        lowered = [max(min(width, level), least) for width, least in zip(widths, smallest, strict=True)]
        if sum(lowered) <= room:
            return lowered
    return list(smallest)


def _readable(sample: Sequence[Sequence[str]], widths: Sequence[int]) -> bool:
    return all(
        _width(cell) <= width * NARROW_MAX_LINES
        for row in sample
        for cell, width in zip(row, widths, strict=True)
        if width < NARROW_CELLS
    )


def head_lines(layout: TableLayout) -> list[str]:
    """The names of the columns, and a rule below them."""
    if not layout.widths:
        return []
    rule = "─" * (sum(layout.widths) + layout.gap * (len(layout.widths) - 1))
    return [*row_lines(layout, layout.headers), rule]


def row_lines(layout: TableLayout, row: Sequence[str]) -> list[str]:
    """The lines of one row."""
    if not layout.widths:
        lines = [f"{header}: {cell}" for header, cell in zip(layout.headers, row, strict=True)]
        return [*(part for line in lines for part in _block_line(line, layout.terminal_cells)), ""]
    if layout.terminal_cells is None:
        return [_joined(layout, row)]
    columns = [folded(cell, width) for cell, width in zip(row, layout.widths, strict=True)]
    height = max(map(len, columns), default=0)
    return [
        _joined(layout, [column[line] if line < len(column) else "" for column in columns])
        for line in range(height)
    ]


def _block_line(line: str, terminal_cells: int | None) -> list[str]:
    return [line] if terminal_cells is None else folded_line(line, terminal_cells)


def folded_line(line: str, terminal_cells: int) -> list[str]:
    """A line that is no part of a table, in lines that fit a terminal; what goes on is indented."""
    if _width(line) <= terminal_cells:
        return [line]
    first, *others = folded(line, max(terminal_cells - len(_INDENT), FOLDED_MIN_CELLS))
    return [first, *(_INDENT + other for other in others)]


def _joined(layout: TableLayout, cells: Sequence[str]) -> str:
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

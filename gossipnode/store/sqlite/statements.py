"""Statements with many rows. They come in few lengths, so that few distinct ones are ever prepared.

A statement more would let go of the interpreter's lock once more, and beside a busy loop get it back only
after 5 ms.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias, TypeVar

STATEMENT_ROWS = 256
"""Rows of the largest multi-row statement. A power of two."""


Row = TypeVar("Row")
SqlValue: TypeAlias = int | bytes | None

# Powers of two, and half way between them.
_LENGTHS = sorted({1 << power for power in range(9)} | {3 << power for power in range(7)})


class RowsSql(NamedTuple):
    """A statement with as many rows as needed: head, rows with `between` them, tail."""

    head: str
    row: str
    tail: str = ""
    between: str = ","
    largest: int = STATEMENT_ROWS


def statement_rows(
    rows: Sequence[Row], largest: int = STATEMENT_ROWS, *, filler: Row | None = None
) -> Iterator[Sequence[Row]]:
    """Cut rows into lists for one statement each, of a few lengths up to `largest`.

    The last list is filled up with `filler`, or with its own last row, which must do no harm twice.
    """
    for start in range(0, len(rows), largest):
        part = list(rows[start : start + largest])
        size = next(size for size in _LENGTHS if size >= len(part))
        part += [part[-1] if filler is None else filler] * (min(size, largest) - len(part))
        yield part


def execute_rows(
    connection: sqlite3.Connection,
    sql: RowsSql,
    rows: Sequence[Sequence[SqlValue]],
    *,
    filler: Sequence[SqlValue] | None = None,
) -> None:
    """Run a statement over rows; see `statement_rows` for what fills up the last one."""
    for part in statement_rows(rows, sql.largest, filler=filler):
        connection.execute(rows_text(sql, len(part)), [value for row in part for value in row])


@cache
def rows_text(sql: RowsSql, count: int) -> str:
    """The text of a statement with so many rows."""
    return sql.head + sql.between.join([sql.row] * count) + sql.tail

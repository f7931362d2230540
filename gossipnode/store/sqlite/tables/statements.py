"""Statements over many rows at once, in a few fixed lengths.

Each statement releases the interpreter's lock when it ends, and beside a busy loop the writer's thread gets
the lock back only after 5 ms. So many rows go into one statement. There are few lengths, so that SQLite's
prepared statements stay in the connection's cache.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias, TypeVar

STATEMENT_ROWS = 128
"""Rows of the largest statement. A power of two.

From 3.45 on, SQLite plans an UPDATE about 256 leaves as a scan of all leaves: 12 ms for 100,000 of them, and
0.6 ms with 128.
"""

T = TypeVar("T")
SqlValue: TypeAlias = int | bytes | None

LENGTHS = sorted(
    size
    for power in range(STATEMENT_ROWS.bit_length())
    for size in (1 << power, 3 << power)
    if size <= STATEMENT_ROWS
)
"""The numbers of rows that statements have: the powers of two, and the numbers half way between them."""


class RowsSql(NamedTuple):
    """The parts of a statement over any number of rows: head, the rows with `between` them, tail."""

    head: str
    row: str
    tail: str = ""
    between: str = ","
    largest: int = STATEMENT_ROWS


def statement_rows(
    rows: Sequence[T], largest: int = STATEMENT_ROWS, *, filler: T | None = None
) -> Iterator[Sequence[T]]:
    """Cut rows into lists, each for one statement, with one of a few lengths up to `largest`.

    The last list is filled up to its length with `filler`. Without one its own last row is repeated, so the
    statement must be one in which a repeated row does no harm.
    """
    assert largest <= STATEMENT_ROWS
    for start in range(0, len(rows), largest):
        part = list(rows[start : start + largest])
        size = next(size for size in LENGTHS if size >= len(part))
        part += [part[-1] if filler is None else filler] * (min(size, largest) - len(part))
        yield part


def execute_rows(
    connection: sqlite3.Connection,
    sql: RowsSql,
    rows: Sequence[Sequence[SqlValue]],
    *,
    filler: Sequence[SqlValue] | None = None,
) -> None:
    """Run a statement over all rows; `filler` is that of `statement_rows`."""
    assert connection.in_transaction, "rows change only together with all that depends on them"
    for part in statement_rows(rows, sql.largest, filler=filler):
        connection.execute(rows_text(sql, len(part)), [value for row in part for value in row])


@cache
def rows_text(sql: RowsSql, count: int) -> str:
    """The text of a statement over `count` rows."""
    return sql.head + sql.between.join([sql.row] * count) + sql.tail

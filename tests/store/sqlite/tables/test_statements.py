"""Rows are cut into statements of a few lengths."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.store.sqlite.tables.statements import LENGTHS, statement_rows


@settings(deadline=None)
@given(st.integers(0, 2000), st.sampled_from([1, 64, 128]), st.booleans())
def test_statements_cover_all_rows_in_order(count: int, largest: int, filled: bool) -> None:
    rows = [(row,) for row in range(count)]
    parts = list(statement_rows(rows, largest, filler=(-1,) if filled else None))
    assert all(len(part) <= largest for part in parts)
    assert len(parts) == -(-count // largest)
    flat = [row for part in parts for row in part]
    assert flat[:count] == rows
    assert set(flat[count:]) <= {(-1,) if filled else (count - 1,)}


def test_statements_have_few_lengths() -> None:
    lengths = {len(part) for count in range(1, 129) for part in statement_rows(list(range(count)))}
    assert lengths == set(LENGTHS)
    assert len(lengths) == 14
    assert max(lengths) == 128

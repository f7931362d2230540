"""What is sent at once: parts of a good size, in order, with nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.watch.told_change import in_parts


@given(st.lists(st.binary(max_size=30)), st.integers(1, 60))
def test_parts_hold_everything_in_order_and_are_small(items: list[bytes], most: int) -> None:
    parts = list(in_parts(items, len, most))
    assert [item for part in parts for item in part] == items
    assert parts
    for part in parts:
        assert len(part) <= 1 or sum(map(len, part)) <= most

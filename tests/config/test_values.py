"""Times, as settings and options give them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.config.values import duration, format_duration


@pytest.mark.parametrize(
    ("text", "shortest"),
    [
        ("7d", "7d"),
        ("36h", "36h"),
        ("48h", "2d"),
        ("90m", "90m"),
        ("120m", "2h"),
        ("45s", "45s"),
        ("60s", "1m"),
    ],
)
def test_a_time_is_written_in_its_shortest_form(text: str, shortest: str) -> None:
    assert format_duration(int(duration(text))) == shortest


@given(st.integers(1, 999_999_999))
def test_a_time_is_read_back(seconds: int) -> None:
    assert duration(format_duration(seconds)) == seconds


def test_no_time_at_all() -> None:
    assert format_duration(0) == "0s"

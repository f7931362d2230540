"""Times and sizes, as settings and options give them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.config import values
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


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256MB", 256_000_000),
        ("16 MB", 16_000_000),
        ("1GiB", 1 << 30),
        ("2GB", 2 * 10**9),
        ("64MiB", 64 << 20),
    ],
)
def test_a_size_of_memory(text: str, size: int) -> None:
    assert values.memory_size(text) == size


@pytest.mark.parametrize("wrong", [256, True, "256", "256mb", "-1MB", "0MB", "15MB", "1TB", "1.5GB", ""])
def test_what_is_no_size_of_memory(wrong: object) -> None:
    with pytest.raises(values.WrongValueError, match="expected"):
        values.memory_size(wrong)

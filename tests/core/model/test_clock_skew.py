"""A clock that is too far ahead is said to be so, in words."""

from __future__ import annotations

import pytest

from gossipnode.core.model.clock_skew import clock_problem, span_text
from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS

NOW = 1_800_000_000_000_000_000
SECOND = 1_000_000_000


def test_a_clock_within_the_skew_or_behind_is_no_problem() -> None:
    for asker in (NOW + MAX_CLOCK_SKEW_NANOSECONDS, NOW, 0):
        assert clock_problem("b", NOW, asker) == ""
    assert clock_problem("b", NOW, NOW + MAX_CLOCK_SKEW_NANOSECONDS + 1) == "b's clock is 10 min behind yours"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 min"),
        (3600, "60 min"),
        (7200, "2 h"),
        (2 * 86_400, "2 days"),
        (100 * 365 * 86_400, "36,500 days"),
    ],
)
def test_a_span_is_told_in_its_largest_unit(seconds: int, text: str) -> None:
    assert span_text(seconds * SECOND) == text

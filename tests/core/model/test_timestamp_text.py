from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.tag_value import Timestamp
from gossipnode.core.model.timestamp_text import InvalidTimestampError, format_timestamp, timestamp_of

moments = st.builds(Timestamp, st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 999_999_999))
"""From year 1 to 9999."""


@given(moments)
def test_timestamps_round_trip(moment: Timestamp) -> None:
    assert timestamp_of(format_timestamp(moment)) == moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T01:00:00+01:00", Timestamp(0, 0)),
        ("1969-12-31T23:30:00-00:30", Timestamp(0, 0)),
        ("0001-01-01T00:00:00Z", Timestamp(-62_135_596_800, 0)),
        ("9999-12-31T23:59:59.999999999Z", Timestamp(253_402_300_799, 999_999_999)),
        ("1970-01-01 00:00:00.1z", Timestamp(0, 100_000_000)),
    ],
)
def test_timestamps_of_rfc_3339(text: str, expected: Timestamp) -> None:
    assert timestamp_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:60Z", "2026-02-30T00:00:00Z",
        "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05.1234567890Z", "2026-01-02T03:04:05+24:00",
        "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
    ],
)  # fmt: skip
def test_what_is_no_timestamp(text: str) -> None:
    with pytest.raises(InvalidTimestampError):
        timestamp_of(text)

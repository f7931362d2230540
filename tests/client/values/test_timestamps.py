from __future__ import annotations

import pytest

from gossipnode.client.errors import InvalidInputError
from gossipnode.client.values.timestamps import format_nanoseconds, parse_timestamp
from gossipnode.core.model.tag_value import Timestamp


def test_what_is_no_timestamp_is_wrong_input() -> None:
    assert parse_timestamp("1970-01-01T00:00:01.5Z") == Timestamp(1, 500_000_000)
    with pytest.raises(InvalidInputError, match="'yesterday' is no timestamp: expected RFC 3339"):
        parse_timestamp("yesterday")


def test_stamps_for_people() -> None:
    assert format_nanoseconds(1_500_000_000) == "1970-01-01 00:00:01.500Z"

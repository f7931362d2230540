from __future__ import annotations

from gossipnode.core.model.tag_value import (
    INT64_MAX,
    INT64_MIN,
    NO_VALUE,
    IntArray,
    NoValue,
    StrArray,
    Timestamp,
)


def test_numbers_have_64_bits() -> None:
    assert (INT64_MIN, INT64_MAX) == (-(2**63), 2**63 - 1)


def test_an_empty_array_keeps_the_type_of_its_elements() -> None:
    assert isinstance(StrArray(), StrArray)
    assert not isinstance(StrArray(), IntArray)
    assert not isinstance(IntArray(), StrArray)


def test_a_timestamp_keeps_its_nanoseconds_in_its_order() -> None:
    assert Timestamp(1, 999_999_999) < Timestamp(2, 0) < Timestamp(2, 1)


def test_no_value_is_not_null_and_says_what_it_is() -> None:
    assert isinstance(NO_VALUE, NoValue)
    assert repr(NO_VALUE) == "NO_VALUE"

"""The keys of an index against the order, and the meaning, that criteria give to values."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import (
    INT64_MAX,
    INT64_MIN,
    NO_VALUE,
    IntArray,
    StrArray,
    TagValue,
    Timestamp,
)
from gossipnode.core.query.criteria import Condition, Op, matches, sort_key
from gossipnode.core.query.index_key import (
    INDEX_KEY_MAX_BYTES,
    IndexKind,
    IndexRow,
    index_rows,
    is_cut,
    order_key,
)

ENTITY = Entity("g", "n", "1")

characters = st.one_of(
    st.sampled_from("\0\1\2ab\x7fé\uffff\U0001f600"), st.characters(exclude_categories=["Cs"])
)
numbers = st.one_of(
    st.sampled_from([INT64_MIN, -256, -1, 0, 1, 255, 256, INT64_MAX]), st.integers(INT64_MIN, INT64_MAX)
)


def values(*, longest: int) -> st.SearchStrategy[TagValue]:
    texts = st.text(characters, max_size=longest)
    return st.one_of(
        numbers,
        texts,
        st.builds(Timestamp, st.one_of(st.integers(-3, 3), numbers), st.integers(0, 999_999_999)),
        st.binary(max_size=longest),
        st.lists(numbers, max_size=longest).map(IntArray),
        st.lists(st.text(characters, max_size=3), max_size=longest).map(StrArray),
    )


short = values(longest=3)
any_length = values(longest=90)


def rank(value: TagValue) -> tuple[object, ...]:
    return sort_key({"t": value}, "t", ENTITY)


@given(short, short)
@example("a", "a\0")
@example("a\0", "a\1")
@example(StrArray(("a",)), StrArray(("a", "")))
@example(StrArray(("a", "z")), StrArray(("a\0",)))
@example(StrArray(("a\0",)), StrArray(("a\1",)))
@example(StrArray(("a", "b")), StrArray(("a\0b",)))
@example(IntArray((1,)), IntArray((1, -1)))
@example(Timestamp(-1, 999_999_999), Timestamp(0, 0))
def test_keys_are_ordered_as_their_values(one: TagValue, other: TagValue) -> None:
    assert not is_cut(order_key(one))
    assert not is_cut(order_key(other))
    assert (order_key(one) < order_key(other)) == (rank(one) < rank(other))
    assert (order_key(one) == order_key(other)) == (rank(one) == rank(other))


@given(any_length, any_length)
def test_cutting_never_turns_an_order_round(one: TagValue, other: TagValue) -> None:
    one_key, other_key = order_key(one), order_key(other)
    assert len(one_key) <= INDEX_KEY_MAX_BYTES
    if rank(one) < rank(other):
        assert one_key <= other_key
    if one_key == other_key and not is_cut(one_key):
        assert rank(one) == rank(other)


@pytest.mark.parametrize("tail", ["", "b", "\0", "\U0001f600", "b" * 1000])
def test_long_texts_share_a_key_that_says_so(tail: str) -> None:
    key = order_key("é" * 40 + tail)
    assert key == order_key("é" * 40)
    assert len(key) == INDEX_KEY_MAX_BYTES
    assert is_cut(key)


@pytest.mark.parametrize(
    "value",
    [b"x" * 100, "x" * 100, IntArray(range(100)), StrArray("x" * 100), StrArray(["x" * 100])],
    ids=["bytes", "text", "numbers", "texts", "long-text"],
)
def test_what_is_cut_says_so(value: TagValue) -> None:
    assert is_cut(order_key(value))


@pytest.mark.parametrize("value", [None, NO_VALUE])
def test_null_has_no_place_in_the_order(value: TagValue) -> None:
    assert order_key(value) == b""


def test_a_nonsense_timestamp_of_a_peer_still_has_a_key() -> None:
    keys = [order_key(Timestamp(1, nanos)) for nanos in (-(1 << 31), -1, 0, (1 << 31) - 1)]
    assert keys == sorted(set(keys))


TAGS: dict[str, TagValue] = {
    "n": 5,
    "s": "text",
    "null": None,
    "none": NO_VALUE,
    "ia": IntArray((2, 1, 2)),
    "sa": StrArray(("x" * 99 + "1", "x" * 99 + "2", "y")),
    "empty": StrArray(),
}


@pytest.mark.parametrize("tag", ["n", "s", "ia", "sa", "empty"])
def test_a_value_has_one_whole_row(tag: str) -> None:
    rows = [row for row in index_rows(TAGS, [tag]) if row.kind is not IndexKind.ELEMENT]
    assert rows == [IndexRow(tag, IndexKind.WHOLE, order_key(TAGS[tag]))]


@pytest.mark.parametrize("tag", ["null", "none", "missing"])
def test_a_record_without_a_value_has_a_row_too(tag: str) -> None:
    assert index_rows(TAGS, [tag]) == [IndexRow(tag, IndexKind.ABSENT, b"")]


@pytest.mark.parametrize(
    ("tag", "elements"),
    [
        ("ia", [order_key(1), order_key(2)]),
        # Two elements that differ only after the cut have one row.
        ("sa", [order_key("x" * 99), order_key("y")]),
        ("empty", []),
        ("s", []),
    ],
)
def test_an_element_has_the_key_that_it_has_alone(tag: str, elements: list[bytes]) -> None:
    found = [row.key for row in index_rows(TAGS, [tag]) if row.kind is IndexKind.ELEMENT]
    assert sorted(found) == elements


def test_only_the_tags_asked_for_have_rows() -> None:
    assert index_rows(TAGS, []) == []
    assert {row.tag for row in index_rows(TAGS, ["n", "s"])} == {"n", "s"}


@given(any_length)
def test_what_is_equal_is_found_by_its_key(value: TagValue) -> None:
    keys = {row.key for row in index_rows({"t": value}, ["t"])}
    for asked in value if isinstance(value, StrArray | IntArray) else [value]:
        assert matches(Condition("t", Op.EQ, asked), {"t": value})
        assert order_key(asked) in keys

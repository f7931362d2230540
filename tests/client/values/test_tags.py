from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.client import IntArray, InvalidInputError, StrArray, Timestamp
from gossipnode.client.values.tags import given_tags, read_tags
from gossipnode.core.model.tag_value import INT64_MAX, INT64_MIN, NO_VALUE

int64 = st.integers(INT64_MIN, INT64_MAX)
text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.one_of(
    text,
    int64,
    st.binary(),
    st.none(),
    st.lists(text, min_size=1),
    st.lists(int64, min_size=1),
    st.builds(Timestamp, st.integers(0, 10**10), st.integers(0, 999_999_999)),
)


@given(st.dictionaries(text.filter(lambda key: 0 < len(key.encode()) < 256), values))
def test_what_is_written_is_what_is_read(tags: dict[str, Any]) -> None:
    back = read_tags(given_tags(tags))
    assert back == tags
    assert list(back) == list(tags)
    assert [type(value) for value in back.values()] == [type(value) for value in tags.values()]


def test_arrays() -> None:
    tags = given_tags({"a": ["x"], "b": (1, 2), "c": StrArray(()), "d": IntArray(()), "e": StrArray(["y"])})
    assert tags == {"a": StrArray(["x"]), "b": IntArray([1, 2]), "c": (), "d": (), "e": StrArray(["y"])}
    assert [type(value) for value in tags.values()] == [StrArray, IntArray, StrArray, IntArray, StrArray]
    assert read_tags(tags) == {"a": ["x"], "b": [1, 2], "c": [], "d": [], "e": ["y"]}


def test_a_tag_without_any_value_reads_as_none() -> None:
    assert read_tags({"a": NO_VALUE}) == {"a": None}


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ({"a": []}, "tag 'a': an empty list has no type: write StrArray(()) or IntArray(())"),
        ({"a": ()}, "an empty list has no type"),
        ({"a": ["x", 1]}, "tag 'a': a list holds texts, or whole numbers, and nothing else"),
        ({"a": [True]}, "a list holds texts"),
        ({"a": [1.5]}, "a list holds texts"),
        ({"a": StrArray([1])}, None),
        ({"a": True}, "tag 'a': a bool is no tag value: expected a text, a whole number"),
        ({"a": 1.5}, "a float is no tag value"),
        ({"a": datetime(2026, 1, 1)}, "a datetime is no tag value"),
        ({"a": {"b": 1}}, "a dict is no tag value"),
        ({"a": 1 << 63}, "tag 'a': 9223372036854775808 is out of range"),
        ({"a": 10**5000}, "a number of 16610 bits is out of range"),
        ({"a": [1 << 63]}, "out of range"),
        ({"a": "\ud800"}, r"tag 'a': '\\ud800' is no valid Unicode text"),
        ({"a": ["\ud800"]}, "no valid Unicode text"),
        ({"": 1}, "a tag has an empty key"),
        ({"k" * 256: 1}, "longer than 255 bytes"),
        ({1: 1}, "tag 1: a key is a text"),
        ([("a", 1)], "tags are a mapping of texts to values, not list"),
        (None, "tags are a mapping"),
    ],
)
def test_what_is_no_tag(tags: Any, problem: str | None) -> None:
    if problem is None:
        # The items of a list decide its type, even if it is called a StrArray.
        assert given_tags(tags) == {"a": IntArray([1])}
        return
    with pytest.raises(InvalidInputError) as caught:
        given_tags(tags)
    assert problem.replace("\\\\", "\\") in str(caught.value)
    assert "\n" not in str(caught.value)

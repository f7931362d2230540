"""Tags as an application has them: plain Python values, checked on their way in.

Arrays are lists here. An empty list does not say what it is a list of, so an application writes
`StrArray(())` or `IntArray(())` in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeGuard, cast

from gossipnode.client.errors import InvalidInputError
from gossipnode.client.values.tag_checks import check_int64, check_tag_key, check_text
from gossipnode.core.model.tag_value import IntArray, NoValue, StrArray, TagValue, Timestamp

Tag: TypeAlias = str | int | bytes | list[str] | list[int] | Timestamp | None
"""The value of a tag as it is read."""

GivenTag: TypeAlias = (
    str | int | bytes | list[str] | list[int] | tuple[str, ...] | tuple[int, ...] | Timestamp | None
)
"""The value of a tag as it may be written: lists and tuples are arrays."""

_KINDS = "a text, a whole number, bytes, a list of texts or of whole numbers, a Timestamp or None"
_EMPTY = "an empty list has no type: write StrArray(()) or IntArray(()), from gossipnode.client"


def read_tags(tags: Mapping[str, TagValue]) -> dict[str, Tag]:
    """Tags of a record, in their order. A tag without any value reads as None, as null does."""
    return {key: _read(value) for key, value in tags.items()}


def _read(value: TagValue) -> Tag:
    if isinstance(value, StrArray | IntArray):
        return cast("list[str] | list[int]", list(value))
    return None if isinstance(value, NoValue) else value


def given_tags(tags: Mapping[str, GivenTag]) -> dict[str, TagValue]:
    """Tags to be written, in their order.

    Raises:
        InvalidInputError: names the tag and what is wrong with it.
    """
    if not isinstance(cast("object", tags), Mapping):
        raise InvalidInputError(f"tags are a mapping of texts to values, not {type(tags).__name__}")
    given: dict[str, TagValue] = {}
    for key, value in tags.items():
        if not isinstance(cast("object", key), str):
            raise InvalidInputError(f"tag {key!r}: a key is a text")
        check_tag_key(key)
        try:
            given[key] = _given(value)
        except InvalidInputError as error:
            raise InvalidInputError(f"tag {key[:80]!r}: {error}") from None
    return given


def _given(value: object) -> TagValue:
    if value is None or isinstance(value, bytes | Timestamp):
        return value
    if isinstance(value, str):
        return check_text(value)
    if _is_number(value):
        return check_int64(value)
    if isinstance(value, list | tuple):
        return _given_array(cast("Sequence[object]", value))
    raise InvalidInputError(f"a {type(value).__name__} is no tag value: expected {_KINDS}")


def _given_array(value: Sequence[object]) -> TagValue:
    if not value:
        if isinstance(value, StrArray | IntArray):
            return value
        raise InvalidInputError(_EMPTY)
    texts = [check_text(item) for item in value if isinstance(item, str)]
    numbers = [check_int64(item) for item in value if _is_number(item)]
    if len(texts) == len(value):
        return StrArray(texts)
    if len(numbers) == len(value):
        return IntArray(numbers)
    raise InvalidInputError("a list holds texts, or whole numbers, and nothing else")


def _is_number(value: object) -> TypeGuard[int]:
    # A bool is an int to Python, but a program that writes one does not mean a number.
    return isinstance(value, int) and not isinstance(value, bool)

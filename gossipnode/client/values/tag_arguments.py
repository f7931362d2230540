"""Keys, tags and criteria of a command line: GROUP/NAME/ID, `key=text`, `key:int=5`, `n > 5`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches

from gossipnode.client.errors import InvalidInputError
from gossipnode.client.values.property_json import decode_base64
from gossipnode.client.values.tag_checks import check_int64, check_tag_key
from gossipnode.client.values.timestamps import parse_timestamp
from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.property import Entity, parse_entity
from gossipnode.core.model.tag_value import IntArray, StrArray, TagValue
from gossipnode.core.query.criteria import Criteria, InvalidCriteriaError
from gossipnode.core.query.expression import parse_expression

EXAMPLES = (
    "key=text, key:int=5, key:str[]=a,b, key:int[]=1,2, key:binary=BASE64, "
    "key:timestamp=2026-01-02T03:04:05Z, key:null="
)


def parse_key(text: str) -> Entity:
    """Read GROUP/NAME/ID; the id may hold "/".

    Raises:
        InvalidInputError: names the key and what is wrong with it.
    """
    try:
        return parse_entity(text)
    except InvalidEntityError as error:
        said = str(error)
        raise InvalidInputError(said if text[:80] in said else f"{text[:80]!r} is no key: {said}") from None


def where_argument(text: str) -> Criteria:
    """Read a `--where` expression.

    Raises:
        InvalidInputError: names the column and what was expected there.
    """
    try:
        return parse_expression(text)
    except InvalidCriteriaError as error:
        said = str(error)
        raise InvalidInputError(f"--where{',' if said.startswith('column ') else ':'} {said}") from None


def parse_tags(arguments: Iterable[str]) -> dict[str, TagValue]:
    """Read tags, in their order.

    Raises:
        InvalidInputError: names the tag and what is wrong with it.
    """
    tags: dict[str, TagValue] = {}
    for argument in arguments:
        key, value = _parse_tag(argument)
        if key in tags:
            raise InvalidInputError(f"tag {key!r} is given twice")
        tags[key] = value
    return tags


def _parse_tag(argument: str) -> tuple[str, TagValue]:
    left, equals, text = argument.partition("=")
    if not equals:
        raise InvalidInputError(f"{argument[:80]!r} is no tag: expected one of {EXAMPLES}")
    key, colon, kind = left.rpartition(":")
    if not colon:
        key, kind = left, "str"
    parser = _PARSERS.get(kind)
    if parser is None:
        near = get_close_matches(kind, _PARSERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_PARSERS)}"
        raise InvalidInputError(f"tag {key[:80]!r} has an unknown type {kind[:40]!r}: {hint}")
    check_tag_key(key)
    try:
        return key, parser(text)
    except InvalidInputError as error:
        raise InvalidInputError(f"tag {key[:80]!r}: {error}") from None


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        # What the shell handed over was not UTF-8.
        raise InvalidInputError(f"{text[:40]!r} is no UTF-8 text") from None
    return text


def _int64(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,4000}", text):
        raise InvalidInputError(f"{text[:40]!r} is no whole number")
    return check_int64(int(text))


def _str_array(text: str) -> StrArray:
    return StrArray(_text(text).split(",")) if text else StrArray()


def _int_array(text: str) -> IntArray:
    return IntArray(_int64(item.strip()) for item in text.split(",")) if text else IntArray()


def _null(text: str) -> None:
    if text:
        raise InvalidInputError(f"null takes no value, got {text[:40]!r}")


_PARSERS: dict[str, Callable[[str], TagValue]] = {
    "str": _text,
    "int": _int64,
    "str[]": _str_array,
    "int[]": _int_array,
    "binary": decode_base64,
    "timestamp": parse_timestamp,
    "null": _null,
}

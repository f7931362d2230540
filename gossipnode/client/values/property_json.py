"""A property as JSON, in the form that `get`, `query`, `export` and `import` share.

Nothing is lost on the way: 64-bit integers, the order of tags, nanoseconds, the type of an empty list.
Reading is strict, and says in one line what is wrong; the caller adds the number of the line.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NoReturn, TypeAlias, cast

from gossipnode.client.errors import InvalidInputError
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.client.values.tag_checks import check_int64, check_tag_key, check_text
from gossipnode.client.values.timestamps import parse_timestamp
from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS
from gossipnode.core.model.property import Entity, check_entity
from gossipnode.core.model.tag_value import (
    INT64_MAX,
    INT64_MIN,
    NO_VALUE,
    IntArray,
    NoValue,
    StrArray,
    TagValue,
    Timestamp,
)
from gossipnode.core.model.timestamp_text import format_timestamp

JsonValue: TypeAlias = "str | int | list[JsonValue] | dict[str, JsonValue] | None"
UINT32_MAX = (1 << 32) - 1

_KEYS = (
    "group",
    "name",
    "id",
    "tags",
    "create_revision",
    "mod_revision",
    "updated_at",
    "delete_time",
    "metadata_id",
)
_SHOWN_TYPES = (
    'a text, a whole number, a list, null, {"binary": "..."}, {"timestamp": "..."}, '
    '{"str[]": []} or {"int[]": []}'
)


def property_to_json(record: StoredProperty) -> dict[str, JsonValue]:
    """The property as plain JSON values. A stamp that is absent (0, or no time) is left out."""
    shown: dict[str, JsonValue] = {
        "group": record.entity.group,
        "name": record.entity.name,
        "id": record.entity.id,
        "tags": tags_to_json(record.tags),
    }
    if record.create_revision:
        shown["create_revision"] = record.create_revision
    if record.mod_revision:
        shown["mod_revision"] = record.mod_revision
    if record.updated_at is not None:
        shown["updated_at"] = format_timestamp(record.updated_at)
    shown["delete_time"] = record.delete_time
    if record.metadata_id:
        shown["metadata_id"] = record.metadata_id
    return shown


def tags_to_json(tags: Mapping[str, TagValue]) -> dict[str, JsonValue]:
    """Tags as a JSON object, in their order."""
    return {key: _value_to_json(value) for key, value in tags.items()}


def _value_to_json(value: TagValue) -> JsonValue:
    if isinstance(value, StrArray):
        return list(value) if value else {"str[]": []}
    if isinstance(value, IntArray):
        return list(value) if value else {"int[]": []}
    if isinstance(value, Timestamp):
        return {"timestamp": format_timestamp(value)}
    if isinstance(value, bytes):
        return {"binary": base64.b64encode(value).decode("ascii")}
    return {} if isinstance(value, NoValue) else value


def dump_json(value: object) -> str:
    """One line of JSON. Text stays readable: only what JSON demands is escaped."""
    return json.dumps(value, ensure_ascii=False)


def property_from_json(line: str | bytes, *, group: str | None = None) -> StoredProperty:
    """Read one property.

    If `group` is given, the property must belong to it, and the line need not name a group.

    Raises:
        InvalidInputError: one line that says what is wrong with it.
    """
    fields = _parse_object(line)
    for key in fields:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_KEYS)}"
            raise InvalidInputError(f"unknown key {key[:80]!r}: {hint}")
    return StoredProperty(
        entity=_entity(fields, group),
        tags=_tags(fields.get("tags", {})),
        create_revision=_integer(fields, "create_revision", INT64_MIN, INT64_MAX),
        mod_revision=_integer(fields, "mod_revision", 0, STAMP_MAX_NANOSECONDS),
        updated_at=_updated_at(fields),
        delete_time=_integer(fields, "delete_time", 0, STAMP_MAX_NANOSECONDS),
        metadata_id=_integer(fields, "metadata_id", 0, UINT32_MAX),
    )


def _parse_object(line: str | bytes) -> dict[str, Any]:
    try:
        text = line.decode() if isinstance(line, bytes) else line
        found = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"not UTF-8 text (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise InvalidInputError("not a property: nested too deep") from None
    except InvalidInputError:
        raise
    except ValueError:
        # Python refuses to read an integer of thousands of digits.
        raise InvalidInputError("a number is out of the range of 64 bits") from None
    if not isinstance(found, dict):
        raise InvalidInputError("not a property: expected a JSON object")
    return cast("dict[str, Any]", found)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidInputError(f"key {key[:80]!r} is given twice")
            seen.add(key)
    return found


def _no_float(text: str) -> NoReturn:
    raise InvalidInputError(f"{text[:40]} is no whole number: a property holds none but whole ones")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_no_float, parse_constant=_no_float)


def _entity(fields: dict[str, Any], group: str | None) -> Entity:
    parts: list[str] = []
    for key in ("group", "name", "id"):
        value = fields.get(key, group if key == "group" else None)
        if not isinstance(value, str):
            problem = "is missing" if key not in fields else "must be a text"
            raise InvalidInputError(f"{key!r} {problem}")
        parts.append(value)
    entity = Entity(*parts)
    if group is not None and entity.group != group:
        raise InvalidInputError(f"belongs to group {entity.group[:80]!r}, not to {group!r}")
    try:
        check_entity(entity)
    except InvalidEntityError as error:
        raise InvalidInputError(str(error)) from None
    return entity


def _integer(fields: dict[str, Any], key: str, smallest: int, largest: int) -> int:
    value = fields.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInputError(f"{key!r} must be a whole number")
    if not smallest <= value <= largest:
        raise InvalidInputError(f"{key!r} is out of range: {smallest} to {largest}")
    return value


def _updated_at(fields: dict[str, Any]) -> Timestamp | None:
    value = fields.get("updated_at")
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInputError("'updated_at' must be a timestamp as text")
    return parse_timestamp(value)


def _tags(found: object) -> dict[str, TagValue]:
    if not isinstance(found, dict):
        raise InvalidInputError("'tags' must be an object of keys and values")
    tags: dict[str, TagValue] = {}
    for key, value in cast("dict[str, Any]", found).items():
        check_tag_key(key)
        try:
            tags[key] = _value_from_json(value)
        except InvalidInputError as error:
            raise InvalidInputError(f"tag {key[:80]!r}: {error}") from None
    return tags


def _value_from_json(value: object) -> TagValue:
    # The exact type counts: isinstance takes a bool for an int.
    reader = _READERS.get(type(value))
    if reader is None:
        raise InvalidInputError(f"a tag is {_SHOWN_TYPES}")
    return reader(value)


def _null(_value: None) -> None:
    return None


def _array(items: list[Any]) -> TagValue:
    if not items:
        raise InvalidInputError('an empty list has no type: write {"str[]": []} or {"int[]": []}')
    return _str_array(items) if isinstance(items[0], str) else _int_array(items)


def _str_array(items: list[Any]) -> StrArray:
    for item in items:
        if not isinstance(item, str):
            raise InvalidInputError("a list holds texts or whole numbers, not both and nothing else")
        check_text(item)
    return StrArray(items)


def _int_array(items: list[Any]) -> IntArray:
    for item in items:
        if not isinstance(item, int) or isinstance(item, bool):
            raise InvalidInputError("a list holds texts or whole numbers, not both and nothing else")
        check_int64(item)
    return IntArray(items)


def _wrapped(value: dict[str, Any]) -> TagValue:
    if not value:
        return NO_VALUE
    kind, inner = next(iter(value.items()))
    taken, reader = _WRAPPED.get(kind, (None, None))
    if reader is None or len(value) != 1 or type(inner) is not taken:
        raise InvalidInputError(f"a tag is {_SHOWN_TYPES}")
    return reader(inner)


def decode_base64(text: str) -> bytes:
    """Strict base64, with its padding.

    Raises:
        InvalidInputError: it is not base64.
    """
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InvalidInputError(f"{text[:40]!r} is no base64") from None


_READERS: dict[type, Callable[[Any], TagValue]] = {
    str: check_text,
    int: check_int64,
    list: _array,
    dict: _wrapped,
    type(None): _null,
}
_WRAPPED: dict[str, tuple[type, Callable[[Any], TagValue]]] = {
    "binary": (str, decode_base64),
    "timestamp": (str, parse_timestamp),
    "str[]": (list, _str_array),
    "int[]": (list, _int_array),
}

"""Reads betterproto's messages in one strict pass, by the field tables of its classes.

betterproto's own parser accepts truncated input and wrong wire types. This one returns a whole message or
raises an error that names the field. Unknown fields are skipped and, unlike those of a property, not kept.

Measured: 3.5 us for a GetRequest, 11 us for a query with one condition, 0.85 ms for a batch of 256 records
of 2 KB, where betterproto's parser takes 102 us, 540 us and 15 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import betterproto

from gossipnode.wire.bounds.message_bounds import FIELDS_MAX, MESSAGE_FIELDS
from gossipnode.wire.envelope.tables import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    AnyMessage,
    Field,
    Malformed,
    Table,
    Values,
    new_message,
    table_of,
    values_of,
)
from gossipnode.wire.wire_errors import WireError

DEPTH_MAX = 160
"""How many messages may lie within each other. The deepest criteria of the core take two for each level."""

VARINT_MAX_BYTES = 10
_UNKNOWN_STEPS = 4
"""What an unknown field takes of the fields of a message: no honest message has many of them."""
_TOO_MANY_FIELDS = "more fields than a message may have"

_CONTINUED = bytes(range(0x80, 0x100))
"""The bytes that do not end a varint."""

_FIXED_SIZES = {FIXED32: 4, FIXED64: 8}


def decode(cls: type[AnyMessage], data: bytes, fields_max: int = FIELDS_MAX) -> AnyMessage:
    """Read a message of this class from all of `data`.

    If a singular field occurs twice, the last value counts; messages are merged, as protobuf demands.

    No more than `fields_max` fields are read, an enclosed message counting as `MESSAGE_FIELDS` more, and of a
    repeated field no more elements than `bounds.message_bounds` allows.

    Raises:
        WireError: names the message and the path of the field.
    """
    table = table_of(cls)
    message: AnyMessage = new_message(table)
    try:
        _fill(table, data, 0, len(data), values_of(message), 1, iter(range(fields_max)))
    except Malformed as fault:
        raise WireError(f"{cls.__name__}{'.' if fault.path else ''}{fault.path}: {fault.problem}") from None
    return message


def decoder_of(cls: type[AnyMessage], fields_max: int = FIELDS_MAX) -> Callable[[bytes], AnyMessage]:
    """`decode` for one class."""
    return partial(decode, cls, fields_max=fields_max)


# --- reading ---


def _fill(
    table: Table, data: bytes, position: int, end: int, values: Values, depth: int, steps: Iterator[int]
) -> None:
    """Read what lies between two positions into a message's values. Each field, and each end, takes one step.

    Enclosed messages are read where they lie: a copy for each level would multiply a deep message.
    """
    by_key = table.by_key
    for _ in steps:
        if position >= end:
            return
        key = data[position]
        position += 1
        if key > 0x7F:
            key, position = _varint(data, position - 1, end)
        field = by_key.get(key)
        if field is None:
            position = _fill_unusual(table, key, data, position, end, values, steps)
            continue
        try:
            if key & 7 == BYTES:
                size, start = _varint(data, position, end)
                position = start + size
                if position > end:
                    raise _cut_off(size, end - start)
                if field.enclosed is not None:
                    _enclose(field, field.enclosed, data, start, position, values, depth, steps)
                    continue
                raw: Any = data[start:position]
            else:
                raw, position = _raw(key & 7, data, position, end)
            value = field.read(raw)
            if field.repeated:
                _elements(field, values).append(value)
                continue
        except Malformed as fault:
            raise fault.under(_step(field, values)) from None
        if field.group is not None:
            _choose(field.group, field.name, values)
        values[field.name] = value
    raise Malformed(_TOO_MANY_FIELDS)


def _take(steps: Iterator[int], count: int) -> None:
    if count and next(islice(steps, count - 1, None), None) is None:
        raise Malformed(_TOO_MANY_FIELDS)


def _elements(field: Field, values: Values, more: int = 1) -> list[Any]:
    """The list of a repeated field, which has room for some more elements."""
    elements: list[Any] = values.setdefault(field.name, [])
    if len(elements) + more > field.elements_max:
        raise Malformed(f"more than {field.elements_max} elements")
    return elements


def _enclose(
    field: Field,
    cls: type[betterproto.Message],
    data: bytes,
    position: int,
    end: int,
    values: Values,
    depth: int,
    steps: Iterator[int],
) -> None:
    """Read an enclosed message. A second one in a singular field is merged into the first."""
    if depth >= DEPTH_MAX:
        raise Malformed(f"more than {DEPTH_MAX} messages within each other")
    _take(steps, MESSAGE_FIELDS)
    table = table_of(cls)
    if field.repeated:
        elements = _elements(field, values)
        message = new_message(table)
        _fill(table, data, position, end, values_of(message), depth + 1, steps)
        elements.append(message)
        return
    if field.group is not None:
        _choose(field.group, field.name, values)
    message = values.get(field.name)
    if message is None:
        message = values[field.name] = new_message(table)
    _fill(table, data, position, end, values_of(message), depth + 1, steps)


def _choose(group: str, name: str, values: Values) -> None:
    """Make `name` the one field of its oneof that is set."""
    current = values["_group_current"]
    before = current[group]
    if before != name:
        if before is not None:
            values.pop(before, None)
        current[group] = name


def _fill_unusual(
    table: Table, key: int, data: bytes, position: int, end: int, values: Values, steps: Iterator[int]
) -> int:
    """Read packed numbers, skip an unknown field, refuse a known one of the wrong wire type."""
    number, wire = key >> 3, key & 7
    field = table.packed.get(key)
    name = table.by_number.get(number)
    if name is not None and field is None:
        raise Malformed(f"wire type {wire} is not the one of this field", name)
    if number == 0:
        raise Malformed("field number 0")
    if number >= 1 << 29:
        raise Malformed(f"field number {number} is over 2^29 - 1")
    try:
        if field is None:
            _take(steps, _UNKNOWN_STEPS - 1)
            _, position = _stretch(wire, data, position, end)
        else:
            raw, position = _raw(wire, data, position, end)
            numbers = len(raw.translate(None, _CONTINUED))
            elements = _elements(field, values, numbers)
            _take(steps, numbers)
            elements.extend(_unpack(field, raw))
    except Malformed as fault:
        raise fault.under(name or f"field {number}") from None
    return position


def _unpack(field: Field, data: bytes) -> list[Any]:
    unpacked: list[Any] = []
    position = 0
    while position < len(data):
        raw, position = _raw(field.wire, data, position, len(data))
        unpacked.append(field.read(raw))
    return unpacked


def _step(field: Field, values: Values) -> str:
    return f"{field.name}[{len(values.get(field.name, ()))}]" if field.repeated else field.name


def _raw(wire: int, data: bytes, position: int, end: int) -> tuple[Any, int]:
    """The value of a field as it stands on the wire, and the position after it."""
    if wire == VARINT:
        return _varint(data, position, end)
    start, after = _stretch(wire, data, position, end)
    return data[start:after], after


def _stretch(wire: int, data: bytes, position: int, end: int) -> tuple[int, int]:
    """Where the content of a field begins, and where it ends."""
    if wire == BYTES:
        size, position = _varint(data, position, end)
    elif wire == VARINT:
        return position, _varint(data, position, end)[1]
    elif wire in _FIXED_SIZES:
        size = _FIXED_SIZES[wire]
    else:
        raise Malformed(f"wire type {wire} is not supported")
    after = position + size
    if after > end:
        raise _cut_off(size, end - position)
    return position, after


def _cut_off(announced: int, left: int) -> Malformed:
    return Malformed(f"{announced} bytes announced, {left} left")


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """An unsigned 64-bit number, and the position after it."""
    if position < end and data[position] < 0x80:
        return data[position], position + 1
    number = shift = 0
    for byte in data[position : min(end, position + VARINT_MAX_BYTES)]:
        position += 1
        if byte < 0x80:
            number |= byte << shift
            if number >> 64:
                raise Malformed("a varint over 64 bits")
            return number, position
        number |= (byte & 0x7F) << shift
        shift += 7
    if shift == 7 * VARINT_MAX_BYTES:
        raise Malformed(f"a varint of more than {VARINT_MAX_BYTES} bytes")
    raise Malformed("ends within a varint")

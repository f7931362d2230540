"""Messages of protobuf for the fuzzer: made at random from their descriptions, and changed field by field."""

from __future__ import annotations

from random import Random
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gossipnode.wire.envelope.tables import varint

_VARINT, _FIXED64, BYTES, _, _, _FIXED32 = range(6)
_DEPTH_MAX: Final = 4
_ELEMENTS_MAX: Final = 3

TEXTS = (
    "",
    "g",
    "n",
    "i1",
    "i2",
    "a",
    "b",
    "sw",
    "_gossipnode",
    "member",
    "group",
    "é",
    "x/y",
    "name",
    "quorum",
    "\n",
)
NUMBERS = (0, 1, 2, 3, 5, 127, 128, 1000, 2**31 - 1, 2**32 - 1, 2**62, 2**63 - 1, 1_800_000_000 * 10**9)


class WireField(NamedTuple):
    """A field as it stands on the wire. `content` is without the length."""

    number: int
    wire: int
    content: bytes

    def encode(self) -> bytes:
        key = varint(self.number << 3 | self.wire)
        return key + (varint(len(self.content)) if self.wire == BYTES else b"") + self.content


def fields_of(data: bytes) -> list[WireField] | None:
    """The fields of a message, or None if it is none."""
    found: list[WireField] = []
    at = 0
    try:
        while at < len(data):
            key, at = _number(data, at)
            number, wire = key >> 3, key & 7
            begin = at
            if wire == _VARINT:
                _, at = _number(data, at)
            elif wire == BYTES:
                size, begin = _number(data, at)
                at = begin + size
            elif wire in (_FIXED64, _FIXED32):
                at += 8 if wire == _FIXED64 else 4
            else:
                return None
            if at > len(data) or not number:
                return None
            found.append(WireField(number, wire, data[begin:at]))
    except IndexError:
        return None
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at
        if shift > 63:
            raise IndexError


def change_fields(data: bytes, random: Random) -> bytes:
    """A message with one of its fields, at any depth, changed, added, moved or taken away."""
    fields = fields_of(data)
    if not fields:
        return data + WireField(1 + random.randrange(8), BYTES, b"").encode()
    at = random.randrange(len(fields))
    field = fields[at]
    if field.wire == BYTES and fields_of(field.content) and random.randrange(3):
        fields[at] = field._replace(content=change_fields(field.content, random))
        return b"".join(each.encode() for each in fields)
    match random.randrange(9):
        case 0:
            del fields[at]
        case 1:
            fields.insert(random.randrange(len(fields) + 1), field)
        case 2:
            random.shuffle(fields)
        case 3:
            fields[at] = field._replace(number=random.choice([1, 2, 3, 4, 5, 8, 15, 16, 19_000, 2**29 - 1]))
        case 4:
            fields[at : at + 1] = [field] * (2 + random.randrange(6))
        case 5:
            fields[at] = WireField(field.number, BYTES, random.choice(TEXTS).encode())
        case 6:
            fields[at] = WireField(field.number, _VARINT, varint(random.choice(NUMBERS)))
        case 7:
            fields[at] = WireField(field.number, BYTES, b"".join(each.encode() for each in fields))
        case _:
            content = bytearray(field.content or b"\0")
            content[random.randrange(len(content))] ^= 1 << random.randrange(8)
            fields[at] = field._replace(content=bytes(content))
    return b"".join(each.encode() for each in fields)


def any_message(cls: type[Message], random: Random, depth: int = 0) -> Message:
    """A message of a class, with any of its fields."""
    message = cls()
    fill(message, message.DESCRIPTOR, random, depth)
    return message


def fill(message: Any, descriptor: Descriptor, random: Random, depth: int) -> None:
    for field in descriptor.fields:
        if not random.randrange(3):
            continue
        if field.message_type is not None:
            if depth >= _DEPTH_MAX:
                continue
            inner = getattr(message, field.name)
            for _ in range(1 + random.randrange(_ELEMENTS_MAX) if field.is_repeated else 1):
                target = inner.add() if field.is_repeated else inner
                if not field.is_repeated:
                    target.SetInParent()
                fill(target, field.message_type, random, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend(
                any_value(field, random) for _ in range(random.randrange(_ELEMENTS_MAX))
            )
        else:
            setattr(message, field.name, any_value(field, random))


def any_value(field: FieldDescriptor, random: Random) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            if field.type == FieldDescriptor.TYPE_BYTES:
                return random.choice([b"", b"x", bytes(32), random.randbytes(4)])
            return random.choice(TEXTS)
        case FieldDescriptor.CPPTYPE_BOOL:
            return random.randrange(2) == 1
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return random.choice([0.0, 1.5, -1.0, float("inf"), float("nan")])
        case FieldDescriptor.CPPTYPE_ENUM:
            return random.choice(field.enum_type.values).number
        case FieldDescriptor.CPPTYPE_INT32:
            return random.choice([0, 1, 2, -1, 2**31 - 1])
        case FieldDescriptor.CPPTYPE_UINT32:
            return random.choice([0, 1, 2, 3, 2**32 - 1])
        case FieldDescriptor.CPPTYPE_INT64:
            return random.choice([*NUMBERS, -1])
        case _:
            return random.choice(NUMBERS)

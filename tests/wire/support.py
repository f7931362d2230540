"""Recorded data as bytes, and strategies that draw any message of protos/ from its descriptor."""

from __future__ import annotations

import base64
import importlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import betterproto
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import HealthCheck, settings
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
from gossipnode.wire.generated.pb.banyandb.property.v1 import repair_pb2
from gossipnode.wire.property.payload import NANOS_MAX, TIMESTAMP_SECONDS_MAX, TIMESTAMP_SECONDS_MIN


def examples(count: int) -> settings:
    """This number of examples, however slow the machine is."""
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


GOLDEN = Path(__file__).resolve().parent.parent / "golden"
VECTORS = sorted(path.stem for path in (GOLDEN / "vectors").glob("*.json"))
TRANSCRIPTS = sorted(path.stem for path in (GOLDEN / "transcripts").glob("*.json"))
GENERATED = "gossipnode.wire.generated"
FILES = {
    "banyandb.property.v1": ("property", "rpc", "repair", "gossip"),
    "banyandb.model.v1": ("common", "query"),
    "banyandb.database.v1": ("database", "rpc"),
    "banyandb.common.v1": ("common", "trace"),
    "gossipnode.v1": ("access", "node", "reconcile", "replica", "cluster", "watch"),
}


def varint(number: int) -> bytes:
    """A number as protobuf writes it; of a negative one, its 64 bits."""
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def field(number: int, content: bytes) -> bytes:
    """A field of text, bytes or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


@cache
def vector(name: str) -> Any:
    return json.loads((GOLDEN / "vectors" / f"{name}.json").read_text(encoding="utf-8"))


def payloads(name: str) -> list[bytes]:
    return [base64.b64decode(record["property"]) for record in vector(name)["records"]]


def transcript_messages(name: str) -> list[tuple[str, Any, bytes]]:
    """The messages of a session: the side that sent each, its content, and its bytes."""
    seen = json.loads((GOLDEN / "transcripts" / f"{name}.json").read_text(encoding="utf-8"))["messages"]
    kinds = {"client": repair_pb2.RepairRequest, "server": repair_pb2.RepairResponse}
    return [
        (
            entry["dir"],
            entry["message"],
            json_format.ParseDict(entry["message"], kinds[entry["dir"]]()).SerializeToString(),
        )
        for entry in seen
        if "message" in entry
    ]


def all_messages() -> list[tuple[type[betterproto.Message], type[Message]]]:
    """Every message of protos/ in both views."""
    pairs: list[tuple[type[betterproto.Message], type[Message]]] = []
    for package, files in FILES.items():
        ours = importlib.import_module(f"{GENERATED}.bp.{package}")
        for file in files:
            theirs = importlib.import_module(f"{GENERATED}.pb.{package}.{file}_pb2")
            for descriptor in theirs.DESCRIPTOR.message_types_by_name.values():
                for name in (
                    descriptor.name,
                    *(f"{descriptor.name}.{n.name}" for n in descriptor.nested_types),
                ):
                    cls = theirs
                    for part in name.split("."):
                        cls = getattr(cls, part)
                    pairs.append((getattr(ours, betterproto.casing.pascal_case(name)), cls))
    return pairs


TEXTS = st.text(max_size=20) | st.text("ab", max_size=200)
_INTS = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
}


def _scalar(field: Any) -> st.SearchStrategy[Any]:
    kinds = {
        field.TYPE_INT32: _INTS["int32"],
        field.TYPE_INT64: _INTS["int64"],
        field.TYPE_UINT32: _INTS["uint32"],
        field.TYPE_UINT64: _INTS["uint64"],
        field.TYPE_BOOL: st.booleans(),
        field.TYPE_DOUBLE: st.floats(allow_nan=False),
        field.TYPE_STRING: TEXTS,
        field.TYPE_BYTES: st.binary(max_size=20),
        field.TYPE_ENUM: st.integers(0, 12),
    }
    return kinds[field.type]


@st.composite
def messages(draw: st.DrawFn, cls: type[Message], depth: int = 3) -> Message:
    """Any message of a class, a few messages deep, with at most one field of each oneof."""
    message = cls()
    for oneof in (None, *cls.DESCRIPTOR.oneofs):
        if oneof is None:
            fields = [field for field in cls.DESCRIPTOR.fields if field.containing_oneof is None]
        else:
            fields = [draw(st.sampled_from(tuple(oneof.fields)))] if draw(st.integers(0, 3)) else []
        for field in fields:
            _draw_field(draw, message, field, depth)
    return message


def _draw_field(draw: st.DrawFn, message: Message, field: Any, depth: int) -> None:
    if field.message_type is None:
        if field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(_scalar(field), max_size=3)))
        elif field.containing_oneof is not None or draw(st.booleans()):
            setattr(message, field.name, draw(_scalar(field)))
    elif depth > 0:
        inner = field.message_type._concrete_class
        if field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(messages(inner, depth - 1), max_size=2)))
        elif field.containing_oneof is not None or draw(st.booleans()):
            getattr(message, field.name).SetInParent()
            getattr(message, field.name).CopyFrom(draw(messages(inner, depth - 1)))


TIMESTAMPS = st.builds(
    Timestamp,
    st.integers(TIMESTAMP_SECONDS_MIN, TIMESTAMP_SECONDS_MAX),
    st.integers(0, NANOS_MAX) | st.sampled_from([0, 1, 1000, 1_000_000, 500_000_000, 123_000, NANOS_MAX]),
)
TAG_VALUES = st.one_of(
    TEXTS,
    _INTS["int64"],
    st.binary(max_size=20),
    st.none(),
    st.lists(TEXTS, max_size=3).map(StrArray),
    st.lists(_INTS["int64"], max_size=3).map(IntArray),
    TIMESTAMPS,
)
TAGS = st.dictionaries(st.text(min_size=1, max_size=10), TAG_VALUES, max_size=5)

ENTITY = Entity("g", "n", "i/1")
EVERY_TYPE: dict[str, TagValue] = {
    "text": "a",
    "no text": "",
    "number": INT64_MIN,
    "zero": 0,
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "null": None,
    "texts": StrArray(("a", "")),
    "no texts": StrArray(),
    "numbers": IntArray((1, INT64_MAX, -1)),
    "no numbers": IntArray(),
    "moment": Timestamp(-62_135_596_800, 999_999_999),
    "epoch": Timestamp(0, 0),
    "nothing": NO_VALUE,
}

"""Strict parsing of properties, by itself and as peers and clients meet it."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError

from gossipnode.core.model.tag_value import StrArray, Timestamp
from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property
from gossipnode.wire.property.payload import check_property, decode_record
from gossipnode.wire.property.payload_parse import parse
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.wire_errors import UnstorableError, WireError
from tests.wire.support import ENTITY, field

SAMPLE = build_property(
    ENTITY,
    {"k": "v", "n": -1, "many": StrArray(("a", "b")), "at": Timestamp(1, 5)},
    create_revision=3,
    mod_revision=7,
    updated_at=Timestamp(0, 0),
)


def test_unknown_fields_do_not_hide_behind_numbers_that_grow_when_packed() -> None:
    start = build_property(ENTITY, {}, mod_revision=7)
    packed, single = (field(3, field(2, field(5, numbers))) for numbers in (b"\x0a\x01\x05", b"\x08\x05"))
    sent = start + single + single + b"\x78\x01"
    assert len(sent) == len(start + packed + packed)
    assert decode_record(sent, 0).payload == start + packed + packed + b"\x78\x01"


TAG = field(1, b"k")
WRONG = {
    "Property.metadata": b"\x08\x01",
    "Property.tags": b"\x18\x01",
    "Property.updated_at": b"\x20\x01",
    "Property.metadata.mod_revision": field(1, field(5, b"")),
    "Property.metadata.group": field(1, b"\x08\x01"),
    "Property.tags[4].key": field(3, b"\x08\x01"),
    "Property.tags[4].value": field(3, TAG + b"\x10\x01"),
    "Property.tags[4].value.null": field(3, TAG + field(2, field(1, b""))),
    "Property.tags[4].value.str": field(3, TAG + field(2, b"\x10\x01")),
    "Property.tags[4].value.str.value": field(3, TAG + field(2, field(2, b"\x08\x01"))),
    "Property.tags[4].value.int.value": field(3, TAG + field(2, field(4, field(1, b"")))),
    "Property.tags[4].value.str_array.value": field(3, TAG + field(2, field(3, b"\x08\x01"))),
    "Property.tags[4].value.int_array.value": field(3, TAG + field(2, field(5, b"\x0d" + bytes(4)))),
    "Property.tags[4].value.binary_data": field(3, TAG + field(2, b"\x30\x01")),
    "Property.tags[4].value.timestamp.seconds": field(3, TAG + field(2, field(7, field(1, b"")))),
    "Property.updated_at.nanos": field(4, field(2, b"")),
}


@pytest.mark.parametrize("path", WRONG)
def test_a_known_field_with_another_wire_type_is_refused_at_both_doors(path: str) -> None:
    payload = SAMPLE + WRONG[path]
    Property.FromString(payload)  # protobuf's runtime takes it for an unknown field
    with pytest.raises(WireError) as caught:
        decode_record(payload, 0)
    assert str(caught.value).startswith(f"{path}: wire type ")
    assert not isinstance(caught.value, UnstorableError)
    with pytest.raises(WireError) as caught:
        check_property(payload)
    assert str(caught.value).startswith(f"{path.replace('Property', 'property', 1)}: wire type ")


@pytest.mark.parametrize("payload", [b"\x0a", b"\x12\x02\xc3\x28", b"\x00\x01", b"\x0a\x05ab", b"\x7b\x7c"])
def test_malformed_bytes_are_refused(payload: bytes) -> None:
    for door in (lambda: decode_record(payload, 0), lambda: check_property(payload)):
        with pytest.raises(WireError) as caught:
            door()
        assert type(caught.value) is WireError


def test_every_prefix_is_refused_or_ends_with_a_field() -> None:
    for size in range(len(SAMPLE)):
        try:
            Property.FromString(SAMPLE[:size])
        except DecodeError:
            with pytest.raises(WireError, match="malformed"):
                decode_record(SAMPLE[:size], 0)


def test_a_canonical_message_comes_back_as_it_is() -> None:
    message, canonical, has_unknown = parse(Property, SAMPLE)
    assert (message, canonical, has_unknown) == (Property.FromString(SAMPLE), SAMPLE, False)


def test_what_we_do_not_know_is_in_the_canonical_bytes_alone() -> None:
    unknown = field(16, b"new")
    message, canonical, has_unknown = parse(Property, unknown + SAMPLE)
    assert (canonical, has_unknown) == (SAMPLE + unknown, True)
    assert message.SerializeToString() == SAMPLE


def test_a_group_is_refused() -> None:
    with pytest.raises(WireError, match=r"^here: field 15 is a group, which is not supported$"):
        parse(Property, b"\x7b\x7c", "here")

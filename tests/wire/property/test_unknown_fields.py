"""Unknown fields are counted and judged by their bytes, whatever lies around them."""

from __future__ import annotations

import pytest

from gossipnode.wire.bounds.message_bounds import PAGE_MAX_LEAVES, UNKNOWN_FIELDS_MAX
from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property
from gossipnode.wire.generated.pb.banyandb.property.v1.repair_pb2 import DifferTreeSummary
from gossipnode.wire.property.payload import check_property, decode_record
from gossipnode.wire.property.payload_parse import parse
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.property.unknown_fields import check_unknown_fields
from gossipnode.wire.session_codec import decode_server_message
from gossipnode.wire.wire_errors import CrowdedError, InvalidPropertyError, UnstorableError, WireError
from tests.wire.support import ENTITY, field, varint

SAMPLE = build_property(ENTITY, {"k": "v"}, mod_revision=7)
UNKNOWN = b"\x78\x01"


def test_as_many_as_allowed_are_kept_wherever_they_stand() -> None:
    tag = field(3, field(1, b"l") + UNKNOWN * 100 + field(2, UNKNOWN * 100))
    whole = SAMPLE + tag + UNKNOWN * (UNKNOWN_FIELDS_MAX - 200)
    assert parse(Property, whole).canonical.count(UNKNOWN) == UNKNOWN_FIELDS_MAX
    for more in (UNKNOWN, field(3, UNKNOWN), field(1, UNKNOWN)):
        with pytest.raises(CrowdedError, match=f"^Property: more than {UNKNOWN_FIELDS_MAX} unknown fields$"):
            parse(Property, whole + more)


def test_both_doors_of_a_property_refuse_more() -> None:
    crowd = SAMPLE + UNKNOWN * (UNKNOWN_FIELDS_MAX + 1)
    with pytest.raises(UnstorableError, match="unknown fields"):
        decode_record(crowd, 0)
    with pytest.raises(InvalidPropertyError, match="unknown fields"):
        check_property(crowd)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000])
@pytest.mark.parametrize("number", [15, 16, 4000])
def test_unknown_fields_of_every_kind_and_length(size: int, number: int) -> None:
    fields = [
        varint(number << 3) + b"\xff\xff\x01",
        varint(number << 3 | 1) + bytes(8),
        varint(number << 3 | 5) + bytes(4),
        field(number, bytes(size)),
    ]
    check_unknown_fields(Property, b"".join(fields) + SAMPLE, "P", 4)
    with pytest.raises(CrowdedError, match=r"^P: more than 3 unknown fields$"):
        check_unknown_fields(Property, b"".join(fields) + SAMPLE, "P", 3)


def test_numbers_of_a_list_are_known_packed_or_not() -> None:
    for numbers in (field(1, b"\x01\x02"), b"\x08\x01"):
        check_unknown_fields(Property, field(3, field(2, field(5, numbers))), "P", 0)


def test_a_group_in_an_element_is_named() -> None:
    with pytest.raises(WireError, match=r"^P\.tags\[1\]: field 15 is a group, which is not supported$"):
        check_unknown_fields(Property, field(3, b"") + field(3, b"\x7b\x7c"), "P", 9)


def test_a_leaf_full_of_unknown_fields_is_refused() -> None:
    """A leaf has no lists, so its fields are not counted before the page is read."""
    leaf = field(2, UNKNOWN * (2 * PAGE_MAX_LEAVES + 1))
    with pytest.raises(CrowdedError, match=r"differ_tree_summary: more than 147456 unknown fields"):
        decode_server_message(field(2, leaf))


def test_a_page_of_a_newer_peer_is_read() -> None:
    leaf = field(2, b"\x10\x01" + field(3, b"g/n/i") + field(4, b"ab") + UNKNOWN + field(16, b"new"))
    assert len(decode_server_message(field(2, leaf * 1000)).leaves) == 1000  # type: ignore[union-attr]
    with pytest.raises(WireError, match=r"nodes\[1000\]\.sha: wire type 0"):
        decode_server_message(field(2, leaf * 1000 + field(2, b"\x20\x01")))


def test_a_message_that_is_not_canonical_is_not_walked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    from gossipnode.wire.property import payload_parse

    monkeypatch.setattr(payload_parse, "check_unknown_fields", None)
    assert parse(DifferTreeSummary, field(2, field(3, b"e") + b"\x10\x01")).has_unknown is False

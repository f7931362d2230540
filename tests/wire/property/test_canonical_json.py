"""Leaf digests, against trees recorded from a peer and against protobuf's own JSON."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from hashlib import sha512
from json.encoder import py_encode_basestring

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity
from gossipnode.core.session.tree import SlotDigest, make_tree, slot_sha
from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property
from gossipnode.wire.property.canonical_json import Spacing, canonical_json, leaf_digest
from gossipnode.wire.wire_errors import UnstorableError, WireError
from tests.wire.support import TIMESTAMPS, VECTORS, examples, messages, payloads, vector

SPACINGS: dict[str, Spacing] = {"none": "none", "after commas": "commas"}


@pytest.mark.parametrize("name", VECTORS)
def test_text_leaves_slots_and_root_are_the_peers_to_the_byte(name: str) -> None:
    recorded = vector(name)
    spacing = SPACINGS[recorded["json_spacing"]]
    slots: dict[int, list[tuple[Entity, str]]] = defaultdict(list)
    for record, payload in zip(recorded["records"], payloads(name), strict=True):
        assert canonical_json(payload, spacing) == record["canonical_json"]
        entity = Entity(record["group"], record["name"], record["id"])
        slots[slot_of(entity)].append((entity, leaf_digest(payload, record["delete_time"], spacing).hex()))
    leaves = [
        {"entity": entity.text, "slot": slot, "sha": sha}
        for slot in sorted(slots)
        for entity, sha in sorted(slots[slot])
    ]
    assert leaves == recorded["leaves"]
    tree = make_tree(
        SlotDigest(slot, slot_sha(sha for _, sha in sorted(slots[slot]))) for slot in sorted(slots)
    )
    assert [{"slot": slot, "sha": sha} for slot, sha in tree.slots] == recorded["slots"]
    assert tree.root == recorded["root"]


def test_the_digest_covers_the_text_and_the_delete_time_in_decimal() -> None:
    payload = payloads("one")[0]
    for spacing in SPACINGS.values():
        for delete_time in (0, 1_900_000_000_000_000_000):
            digest = leaf_digest(payload, delete_time, spacing)
            assert (
                digest == hashlib.sha512(f"{canonical_json(payload, spacing)}{delete_time}".encode()).digest()
            )
            assert digest == sha512(f"{canonical_json(payload, spacing)}{delete_time}".encode()).digest()


def valid(message: Property) -> bool:
    try:
        json_format.MessageToDict(message)
    except (ValueError, json_format.Error):
        return False
    return True


@st.composite
def properties(draw: st.DrawFn) -> Property:
    """Any property, absent parts and doubled keys included, with moments that JSON can express."""
    message = draw(messages(Property))
    assert isinstance(message, Property)
    moments = [tag.value.timestamp for tag in message.tags if tag.value.HasField("timestamp")]
    if message.HasField("updated_at"):
        moments.append(message.updated_at)
    for moment in moments:
        moment.seconds, moment.nanos = draw(TIMESTAMPS)
    return message


@pytest.mark.slow
@examples(100)
@given(properties())
def test_it_is_what_protobuf_writes(message: Property) -> None:
    payload = message.SerializeToString()
    # An integer in the null field is null whatever it is.
    values = json_format.MessageToDict(message)
    for spacing, separators in (("none", (",", ":")), ("commas", (", ", ":"))):
        expected = json.dumps(values, separators=separators, ensure_ascii=False)
        assert canonical_json(payload, spacing) == expected  # type: ignore[arg-type]


@examples(100)
@given(st.text(st.characters(codec="utf-8") | st.sampled_from('",\\\x00\x01\x02\x1f\x7f\u2028'), min_size=1))
def test_text_is_escaped_as_json_demands_and_no_further(text: str) -> None:
    payload = Property(id=text).SerializeToString()
    for spacing in SPACINGS.values():
        assert canonical_json(payload, spacing) == f'{{"id":{py_encode_basestring(text)}}}'


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (b"", "{}"),
        (b"\x0a\x01k", '{"key":"k"}'),
        (b"\x12\x00", '{"value":{}}'),
        (b"\x12\x05\x12\x03\x0a\x01v", '{"value":{"str":{"value":"v"}}}'),
        (b"\x0a\x01k\x12\x02\x12\x00", '{"key":"k","value":{"str":{}}}'),
        (b"\x0a\x01k\x12\x02\x08\x05", '{"key":"k","value":{"null":null}}'),
    ],
)
def test_parts_that_are_absent_are_left_out(tag: bytes, expected: str) -> None:
    payload = b"\x1a%c%b" % (len(tag), tag)
    assert canonical_json(payload, "none") == f'{{"tags":[{expected}]}}'
    values = json_format.MessageToDict(Property.FromString(payload))
    assert json.dumps(values, separators=(",", ":")) == canonical_json(payload, "none")


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(-62_135_596_801, 0), (253_402_300_800, 0), (0, -1), (0, 1_000_000_000), (2**63 - 1, 0), (-(2**63), 0)],
)
def test_a_moment_without_a_form_in_json_is_unstorable(seconds: int, nanos: int) -> None:
    message = Property()
    message.updated_at.seconds, message.updated_at.nanos = seconds, nanos
    with pytest.raises(UnstorableError, match="timestamp"):
        canonical_json(message.SerializeToString(), "none")


def test_a_broken_payload_is_a_wire_error() -> None:
    with pytest.raises(WireError, match="Property"):
        leaf_digest(b"\x0a\x05", 0, "none")


@pytest.mark.slow
@examples(20)
@given(messages(Property))
def test_what_protobuf_cannot_write_is_refused_and_nothing_else(message: Property) -> None:
    payload = message.SerializeToString()
    if valid(message):
        canonical_json(payload, "none")
    else:
        with pytest.raises(UnstorableError):
            canonical_json(payload, "none")

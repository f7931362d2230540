"""The two ways in for a payload: what a peer may send, and what a client may send."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.limits import PROPERTY_MAX_BYTES
from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import StrArray, Timestamp
from gossipnode.core.model.version import payload_digest
from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property
from gossipnode.wire.property.canonical_json import canonical_json
from gossipnode.wire.property.payload import check_property, decode_record, with_next_revision
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.wire_errors import InvalidPropertyError, UnstorableError, WireError
from tests.records import record
from tests.wire.support import VECTORS, examples, field, payloads, vector

ENTITY = Entity("g", "n", "i/1")
SAMPLE = build_property(
    ENTITY,
    {"k": "v", "n": -1, "many": StrArray(("a", "b")), "at": Timestamp(1, 5)},
    create_revision=3,
    mod_revision=7,
    updated_at=Timestamp(0, 0),
)


def changed(change: Callable[[Property], object], payload: bytes = SAMPLE) -> bytes:
    message = Property.FromString(payload)
    change(message)
    return message.SerializeToString()


@pytest.mark.parametrize("name", VECTORS)
def test_a_peers_record_is_kept_to_the_byte(name: str) -> None:
    for seen, payload in zip(vector(name)["records"], payloads(name), strict=True):
        record = decode_record(payload, seen["delete_time"])
        assert record.entity == (seen["group"], seen["name"], seen["id"])
        assert record.payload == payload
        assert record.version == (
            Property.FromString(payload).metadata.mod_revision,
            seen["delete_time"],
            payload_digest(payload),
        )


def test_equal_content_has_equal_bytes() -> None:
    parts = {
        1: field(1, b"g") + field(2, b"n") + b"\x28\x07",
        2: b"i",
        3: field(1, b"k") + field(2, field(2, field(1, b"v"))),
    }
    forward = b"".join(field(number, part) for number, part in parts.items())
    backward = b"".join(field(number, part) for number, part in reversed(parts.items()))
    stretched = forward.replace(b"\x28\x07", b"\x28\x87\x00", 1).replace(b"\x0a\x08", b"\x0a\x09", 1)
    twice = field(1, field(1, b"old")) + forward
    assert len({forward, backward, stretched, twice}) == 4
    records = {decode_record(data, 0) for data in (forward, backward, stretched, twice)}
    assert [record.payload for record in records] == [forward]


def test_fields_that_we_do_not_know_are_kept() -> None:
    unknown = b"\x78\x01" + field(16, b"new")
    inner = changed(lambda p: p.tags[0].MergeFromString(field(9, b"new")))
    inside = changed(lambda p: p.tags[3].value.timestamp.MergeFromString(field(9, b"x" * 40)))
    for payload in (SAMPLE + unknown, inner, inside):
        record = decode_record(payload, 0)
        assert record.payload == payload
        assert record.version.digest != payload_digest(SAMPLE)
        assert canonical_json(payload, "none") == canonical_json(SAMPLE, "none")
        assert decode_record(unknown + SAMPLE, 0).payload == SAMPLE + unknown


UNSTORABLE: dict[str, tuple[Callable[[Property], object], int]] = {
    "Property.metadata: missing": (lambda p: p.ClearField("metadata"), 0),
    "Property: group is empty": (lambda p: p.metadata.ClearField("group"), 0),
    "Property: id is empty": (lambda p: p.ClearField("id"), 0),
    "Property: name 'a/b' holds a \"/\"": (lambda p: setattr(p.metadata, "name", "a/b"), 0),
    "Property: mod_revision -1": (lambda p: setattr(p.metadata, "mod_revision", -1), 0),
    "Property: mod_revision 4611686018427387905": (
        lambda p: setattr(p.metadata, "mod_revision", 2**62 + 1),
        0,
    ),
    "Property: delete_time 4611686018427387905": (lambda p: None, 2**62 + 1),
    "Property.updated_at: not between": (lambda p: setattr(p.updated_at, "nanos", 10**9), 0),
    "Property.tags[3].value.timestamp: not between": (
        lambda p: setattr(p.tags[3].value.timestamp, "seconds", 253_402_300_800),
        0,
    ),
    "Property: property of": (lambda p: p.tags.add(key="x" * PROPERTY_MAX_BYTES), 0),
}


@pytest.mark.parametrize("text", UNSTORABLE)
def test_what_no_replica_may_store_is_told_from_what_is_broken(text: str) -> None:
    change, delete_time = UNSTORABLE[text]
    with pytest.raises(UnstorableError) as caught:
        decode_record(changed(change), delete_time)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("seconds", [-(2**63), -62_135_596_801, 253_402_300_800, 2**40, 2**63 - 1])
@pytest.mark.parametrize("nanos", [0, -1, 1_000_000_000, -(2**31)])
@pytest.mark.parametrize("extra", [b"", field(9, b"x" * 200)])
def test_no_moment_out_of_range_slips_past_the_quick_look(seconds: int, nanos: int, extra: bytes) -> None:
    def change(message: Property) -> None:
        moment = message.tags.add(key="t").value.timestamp
        moment.seconds, moment.nanos = seconds, nanos
        moment.MergeFromString(extra)

    only = build_property(ENTITY, {"k": "v"}, mod_revision=7)
    with pytest.raises(UnstorableError, match=r"tags\[1\]\.value\.timestamp"):
        decode_record(changed(change, only), 0)


def test_a_peer_may_send_what_a_client_may_not() -> None:
    doubled = changed(lambda p: p.tags.add(key="k"))
    unnamed = changed(lambda p: p.tags.add())
    empty = changed(lambda p: p.ClearField("tags"))
    for payload in (doubled, unnamed, empty):
        assert decode_record(payload, 0).payload == payload
        with pytest.raises(InvalidPropertyError):
            check_property(payload)


def test_a_clients_property_comes_back_canonical_with_its_entity() -> None:
    for data in (SAMPLE, field(2, b"other") + SAMPLE):
        entity, parsed = check_property(data)
        assert (entity, parsed.canonical) == (ENTITY, SAMPLE)


INVALID: dict[str, Callable[[Property], object]] = {
    "property.metadata is missing": lambda p: p.ClearField("metadata"),
    "property.metadata.group is empty": lambda p: p.metadata.ClearField("group"),
    "property.metadata.name is longer than 255 bytes": lambda p: setattr(p.metadata, "name", "ü" * 128),
    "property.metadata.group 'a/b' holds a \"/\", which only an id may": lambda p: setattr(
        p.metadata, "group", "a/b"
    ),
    "property.id is empty": lambda p: p.ClearField("id"),
    "property.id is longer than 4096 bytes": lambda p: setattr(p, "id", "x" * 4097),
    "property.tags is empty: a property has at least one tag": lambda p: p.ClearField("tags"),
    "property.tags[4].key is empty": lambda p: p.tags.add(),
    "property.tags[4].key is longer than 255 bytes": lambda p: p.tags.add(key="ü" * 128),
    "property.tags[4].key is a duplicate of tags[1]": lambda p: p.tags.add(key="n"),
    "property.updated_at: not between the years 1 and 9999, or with nanos not between 0 and 999999999": (
        lambda p: setattr(p.updated_at, "nanos", -1)
    ),
}


@pytest.mark.parametrize("text", INVALID)
def test_a_client_hears_which_field_is_wrong(text: str) -> None:
    with pytest.raises(InvalidPropertyError) as caught:
        check_property(changed(INVALID[text]))
    assert str(caught.value) == text


def test_a_property_may_have_a_mebibyte_and_no_more() -> None:
    def grown(size: int) -> bytes:
        room = size - len(build_property(ENTITY, {"k": b"x" * size})) + size
        return build_property(ENTITY, {"k": b"x" * room})

    largest = grown(PROPERTY_MAX_BYTES)
    assert len(largest) == PROPERTY_MAX_BYTES
    assert check_property(largest)[1].canonical == decode_record(largest, 0).payload == largest
    with pytest.raises(InvalidPropertyError, match=r"^records\[3\] of 1048577 bytes is over 1048576 bytes"):
        check_property(grown(PROPERTY_MAX_BYTES + 1), "records[3]")


@pytest.mark.slow
@examples(200)
@given(st.integers(0, len(SAMPLE)), st.integers(0, 4), st.binary(max_size=4))
def test_whatever_comes_is_refused_or_settled(at: int, dropped: int, put: bytes) -> None:
    payload = SAMPLE[:at] + put + SAMPLE[at + dropped :]
    try:
        record = decode_record(payload, 0)
    except UnstorableError:
        Property.FromString(payload)
    except WireError:
        return
    else:
        assert decode_record(record.payload, 0) == record
        canonical_json(record.payload, "commas")


def test_a_peers_property_with_too_many_tags_is_left_out_and_breaks_nothing() -> None:
    start = Property.FromString(SAMPLE)
    start.ClearField("tags")
    crowded = start.SerializeToString() + field(3, b"") * 500_000
    with pytest.raises(UnstorableError, match=r"^Property.tags: more than 4096 elements$"):
        decode_record(crowded, 0)
    assert len(
        Property.FromString(decode_record(start.SerializeToString() + field(3, b"") * 4096, 0).payload).tags
    )


def test_a_peers_property_with_too_many_unknown_fields_is_left_out() -> None:
    with pytest.raises(UnstorableError, match="more than 131072 fields"):
        decode_record(SAMPLE + b"\x78\x01" * 500_000, 0)
    hidden = field(3, field(1, b"k") + b"\x78\x01" * 2000) * 100
    with pytest.raises(UnstorableError, match="more than 131072 fields"):
        decode_record(SAMPLE + hidden, 0)


def test_a_clients_property_with_too_many_tags_is_refused() -> None:
    tags = {f"k{number}": 1 for number in range(4097)}
    with pytest.raises(InvalidPropertyError, match=r"^property.tags: more than 4096 elements$"):
        check_property(build_property(ENTITY, tags))
    del tags["k0"]
    check_property(build_property(ENTITY, tags))


def test_the_next_revision_of_a_record_changes_nothing_else() -> None:
    held = record("n/x", revision=5, created=2, delete_time=9, k="v")
    assert with_next_revision(held) == record("n/x", revision=6, created=2, delete_time=9, k="v")

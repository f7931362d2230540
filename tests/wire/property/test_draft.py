"""Drafts: a client's property on its way to a new version."""

from __future__ import annotations

import pytest
from hypothesis import given

from gossipnode.core.model.property import Record
from gossipnode.core.model.tag_value import TagValue, Timestamp
from gossipnode.core.model.version import Version, payload_digest
from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property
from gossipnode.wire.property.draft import draft_of, read_draft
from gossipnode.wire.property.payload import decode_record
from gossipnode.wire.property.property_edit import build_property, read_property, read_tags
from gossipnode.wire.wire_errors import InvalidPropertyError
from tests.wire.support import ENTITY, EVERY_TYPE, TAGS, examples


def merged(existing: bytes, incoming: bytes) -> bytes:
    draft = read_draft(incoming).over(existing)
    assert draft.tag_count == len(Property.FromString(existing).tags) or draft.tag_count > 0
    return draft.stamped(create_revision=5, mod_revision=6).payload


def test_merging_replaces_in_place_and_appends_in_order() -> None:
    existing = build_property(ENTITY, {"a": 1, "b": 2, "c": 3}, create_revision=4, metadata_id=9)
    incoming = build_property(ENTITY, {"z": 7, "b": "new", "y": 8})
    view = read_property(merged(existing, incoming))
    assert list(view.tags.items()) == [("a", 1), ("b", "new"), ("c", 3), ("z", 7), ("y", 8)]
    assert (view.create_revision, view.mod_revision, view.metadata_id) == (5, 6, 0)


@pytest.mark.slow
@examples(100)
@given(TAGS, TAGS)
def test_merging_is_what_a_dict_does(old: dict[str, TagValue], new: dict[str, TagValue]) -> None:
    new = {"at least one": 1, **new}
    assert merged(build_property(ENTITY, old), build_property(ENTITY, new)) == build_property(
        ENTITY, {**old, **new}, create_revision=5, mod_revision=6
    )


def test_merging_leaves_one_of_a_key_that_a_peer_stored_twice() -> None:
    message = Property.FromString(build_property(ENTITY, {"a": 1, "b": 2}))
    message.tags.add(key="a").value.int.value = 3
    doubled = message.SerializeToString()
    assert list(read_tags(merged(doubled, build_property(ENTITY, {"c": 4}))).items()) == [
        ("a", 3),
        ("b", 2),
        ("c", 4),
    ]


def test_a_merge_leaves_the_draft_as_it_was() -> None:
    draft = read_draft(build_property(ENTITY, {"b": 2}))
    assert draft.over(build_property(ENTITY, {"a": 1})).tag_count == 2
    assert draft.tag_count == 1


def test_a_stamp_changes_the_revisions_and_the_moment_alone() -> None:
    payload = build_property(
        ENTITY, EVERY_TYPE, create_revision=1, mod_revision=2, updated_at=Timestamp(5, 6)
    )
    record = read_draft(payload).stamped(
        create_revision=3, mod_revision=4, updated_at_ns=1_700_000_000_123_456_789
    )
    assert record.payload == build_property(
        ENTITY,
        EVERY_TYPE,
        create_revision=3,
        mod_revision=4,
        updated_at=Timestamp(1_700_000_000, 123_456_789),
    )
    assert record.version == Version(4, 0, payload_digest(record.payload))
    assert record == decode_record(record.payload, 0)


def test_a_stored_record_is_stamped_as_deleted_with_its_moment_kept() -> None:
    stored = decode_record(
        build_property(ENTITY, {"a": 1}, create_revision=3, mod_revision=4, updated_at=Timestamp(5, 6)), 0
    )
    draft = draft_of(stored)
    assert (draft.entity, draft.create_revision) == (ENTITY, 3)
    tombstone = draft.stamped(create_revision=3, mod_revision=9, delete_time=9)
    assert (tombstone.version.mod_revision, tombstone.version.delete_time) == (9, 9)
    assert read_property(tombstone.payload).updated_at == (5, 6)


def test_a_draft_without_its_tags_keeps_everything_else() -> None:
    stored = decode_record(build_property(ENTITY, {"a": "x" * 2000}, create_revision=3, mod_revision=4), 0)
    bare = draft_of(stored).without_tags().stamped(create_revision=3, mod_revision=9, delete_time=9)
    assert draft_of(bare).tag_count == 0
    assert len(bare.payload) < 60
    assert bare == decode_record(build_property(ENTITY, {}, create_revision=3, mod_revision=9), 9)
    assert draft_of(stored).tag_count == 1


def test_fields_that_we_do_not_know_survive() -> None:
    message = Property.FromString(build_property(ENTITY, {"a": 1, "b": 2}))
    message.tags[0].MergeFromString(b"\x7a\x03tag")
    message.MergeFromString(b"\x7a\x03top")
    payload = message.SerializeToString(deterministic=True)
    incoming = build_property(ENTITY, {"c": 1})
    assert b"\x7a\x03tag" in merged(payload, incoming)
    assert b"\x7a\x03top" in merged(incoming, payload)
    stamped = read_draft(payload).stamped(create_revision=1, mod_revision=2).payload
    assert b"\x7a\x03tag" in stamped
    assert stamped.endswith(b"\x7a\x03top")


def test_what_merging_makes_too_large_is_refused() -> None:
    half = "x" * 600_000
    draft = read_draft(build_property(ENTITY, {"a": half})).over(build_property(ENTITY, {"b": half}))
    with pytest.raises(InvalidPropertyError, match="over 1048576 bytes"):
        draft.stamped(create_revision=1, mod_revision=2)


def test_merging_does_not_gather_more_tags_than_a_property_may_have() -> None:
    first = build_property(ENTITY, {f"a{number}": 1 for number in range(4096)})
    full = read_draft(build_property(ENTITY, {"a1": 2})).over(first)
    assert full.stamped(create_revision=5, mod_revision=6).payload
    over = read_draft(build_property(ENTITY, {"b": 2})).over(first)
    with pytest.raises(InvalidPropertyError, match=r"^property.tags: more than 4096 elements$"):
        over.stamped(create_revision=5, mod_revision=6)


def test_what_an_older_version_stored_with_too_many_tags_can_be_deleted() -> None:
    stored = build_property(ENTITY, {f"a{number}": 1 for number in range(4097)}, mod_revision=4)
    held = Record(ENTITY, Version(4, 0, payload_digest(stored)), stored)
    assert draft_of(held).stamped(create_revision=4, mod_revision=6, delete_time=6).deleted

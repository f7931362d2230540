"""Stored properties, read and rewritten."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.tag_value import IntArray, StrArray, TagValue, Timestamp
from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property
from gossipnode.wire.property.payload import check_property
from gossipnode.wire.property.property_edit import (
    PropertyView,
    build_property,
    project,
    read_property,
    read_tags,
)
from gossipnode.wire.wire_errors import InvalidPropertyError, UnstorableError, WireError
from tests.wire.support import ENTITY, EVERY_TYPE, TAGS, TIMESTAMPS, examples


def exactly(tags: dict[str, TagValue]) -> list[tuple[str, type, TagValue]]:
    """The tags with the types of their values, because 1 equals True and a StrArray equals a tuple."""
    return [(key, type(value), value) for key, value in tags.items()]


def test_every_type_comes_back_as_it_went() -> None:
    payload = build_property(ENTITY, EVERY_TYPE)
    assert exactly(read_tags(payload)) == exactly(EVERY_TYPE)
    kinds = [tag.value.WhichOneof("value") for tag in Property.FromString(payload).tags]
    assert kinds[:4] == ["str", "str", "int", "int"]
    assert kinds[-1] is None


@pytest.mark.slow
@examples(100)
@given(TAGS, st.integers(-(2**63), 2**63 - 1), st.none() | TIMESTAMPS)
def test_a_property_comes_back_as_it_went(
    tags: dict[str, TagValue], revision: int, updated_at: Timestamp | None
) -> None:
    payload = build_property(
        ENTITY,
        tags,
        create_revision=revision,
        mod_revision=~revision,
        updated_at=updated_at,
        metadata_id=2**32 - 1,
    )
    view = read_property(payload)
    assert view == PropertyView(ENTITY, 2**32 - 1, revision, ~revision, updated_at, tags)
    assert exactly(view.tags) == exactly(tags)
    if tags:
        entity, parsed = check_property(payload)
        assert (entity, parsed.canonical) == (ENTITY, payload)


def test_only_the_tags_asked_for_are_read_in_their_own_order() -> None:
    payload = build_property(ENTITY, {"b": 1, "a": 2, "c": 3})
    assert list(read_tags(payload, ["c", "b", "x"]).items()) == [("b", 1), ("c", 3)]
    assert read_tags(payload, []) == {}
    projected = project(payload, {"c", "b"})
    assert projected == build_property(ENTITY, {"b": 1, "c": 3})
    assert project(payload, ()) == build_property(ENTITY, {})


@pytest.mark.parametrize(
    "value", [2**63, True, "\ud800", IntArray((2**63,)), StrArray(("\ud800",)), Timestamp(0, 2**31)]
)
def test_a_value_that_does_not_fit_names_its_tag(value: Any) -> None:
    with pytest.raises(InvalidPropertyError, match=r"^property\.tags: tag 'k': "):
        build_property(ENTITY, {"k": value})


def test_a_stamp_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidPropertyError, match="property: "):
        build_property(ENTITY, {}, mod_revision=2**63)


def test_fields_that_we_do_not_know_survive_a_projection() -> None:
    message = Property.FromString(build_property(ENTITY, {"a": 1, "b": 2}))
    message.tags[0].MergeFromString(b"\x7a\x03tag")
    message.MergeFromString(b"\x7a\x03top")
    result = project(message.SerializeToString(deterministic=True), ["a"])
    assert b"\x7a\x03tag" in result
    assert result.endswith(b"\x7a\x03top")


def test_a_broken_payload_is_a_wire_error() -> None:
    for read in (read_property, read_tags, lambda p: project(p, [])):
        with pytest.raises(WireError, match="Property: malformed"):
            read(b"\x0a")


def test_tags_of_a_stored_property_with_too_many_are_not_read() -> None:
    """An older version took it from a peer. It stays readable as a whole, but no query reads it again."""
    stored = build_property(ENTITY, {f"k{number}": 1 for number in range(4097)})
    with pytest.raises(UnstorableError, match=r"^Property.tags: more than 4096 elements"):
        read_tags(stored, ("k1",))
    assert len(read_property(stored).tags) == 4097

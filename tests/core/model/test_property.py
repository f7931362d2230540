from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.errors import InvalidEntityError, InvalidRecordError
from gossipnode.core.model.limits import PROPERTY_MAX_BYTES, STAMP_MAX_NANOSECONDS
from gossipnode.core.model.property import Entity, Record, ShardId, check_entity, check_record, parse_entity
from gossipnode.core.model.version import Version
from tests.core.support import examples, record


def test_the_text_of_an_entity_joins_its_parts_by_slashes() -> None:
    assert Entity("g", "n", "i/with/slashes").text == "g/n/i/with/slashes"


def test_a_shard_is_named_group_slash_number() -> None:
    assert str(ShardId("g", 3)) == "g/3"


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("g/n/i", Entity("g", "n", "i")),
        ("g/n/i/j", Entity("g", "n", "i/j")),
        ("g/n//", Entity("g", "n", "/")),
        ("ü/名/id", Entity("ü", "名", "id")),
    ],
)
def test_an_entity_is_parsed_from_its_text(text: str, entity: Entity) -> None:
    assert parse_entity(text) == entity
    assert parse_entity(text).text == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "'' is no key: expected GROUP/NAME/ID"),
        ("g/n", "'g/n' is no key: expected GROUP/NAME/ID"),
        ("/n/i", "group is empty"),
        ("g//i", "name is empty"),
        ("g/n/", "id is empty"),
        ("x" * 81, repr("x" * 80) + " is no key: expected GROUP/NAME/ID"),
    ],
)
def test_text_that_is_no_entity_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidEntityError) as error:
        parse_entity(text)
    assert str(error.value) == problem


@pytest.mark.parametrize(
    ("part", "limit"), [("group", 255), ("name", 255), ("id", 4096)], ids=["group", "name", "id"]
)
def test_each_part_of_an_entity_has_a_limit_in_bytes(part: str, limit: int) -> None:
    base = Entity("g", "n", "i")
    check_entity(base._replace(**{part: "x" * limit}))
    # Counted in bytes of UTF-8, not in characters.
    check_entity(base._replace(**{part: "ü" * (limit // 2)}))
    for value in ("x" * (limit + 1), "ü" * (limit // 2 + 1)):
        with pytest.raises(InvalidEntityError) as error:
            check_entity(base._replace(**{part: value}))
        assert str(error.value) == f"{part} is longer than {limit} bytes"


@pytest.mark.parametrize("part", ["group", "name"])
def test_a_slash_is_refused_in_group_and_name(part: str) -> None:
    with pytest.raises(InvalidEntityError) as error:
        check_entity(Entity("g", "n", "i")._replace(**{part: "a/b"}))
    assert str(error.value) == f"{part} 'a/b' holds a \"/\", which only an id may"


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(InvalidEntityError) as error:
        check_entity(Entity("g", "n", "\ud800"))
    assert str(error.value) == "id '\\ud800' is no valid Unicode text"


def test_a_long_wrong_part_is_shown_shortened() -> None:
    with pytest.raises(InvalidEntityError) as error:
        check_entity(Entity("g", "n", "\ud800" + "y" * 500))
    assert str(error.value) == "id " + repr("\ud800" + "y" * 79) + " is no valid Unicode text"
    with pytest.raises(InvalidEntityError) as error:
        check_entity(Entity("/" + "y" * 200, "n", "i"))
    assert repr("/" + "y" * 79) in str(error.value)


unicode_text = st.text(st.characters(codec="utf-8"), max_size=8)


@pytest.mark.slow
@given(
    st.tuples(unicode_text, unicode_text, unicode_text), st.tuples(unicode_text, unicode_text, unicode_text)
)
@examples(100)
def test_entities_order_as_tuples_of_utf8_bytes(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    as_bytes = [tuple(part.encode() for part in entity) for entity in (one, other)]
    assert (Entity(*one) < Entity(*other)) == (as_bytes[0] < as_bytes[1])


def test_the_order_is_not_that_of_the_joined_text() -> None:
    first, second = Entity("g", "a", "x"), Entity("g", "a-b", "x")
    assert first < second
    assert first.text > second.text


def test_a_record_is_deleted_when_it_has_a_delete_time() -> None:
    assert not record("i", 5).deleted
    assert record("i", 5, deleted=1).deleted


@pytest.mark.parametrize(("stamp"), [0, 1, STAMP_MAX_NANOSECONDS])
def test_stamps_within_the_range_are_stored(stamp: int) -> None:
    check_record(Record(Entity("g", "n", "i"), Version(stamp, stamp, b""), b""))


@pytest.mark.parametrize("stamp", [-1, STAMP_MAX_NANOSECONDS + 1])
@pytest.mark.parametrize("what", ["mod_revision", "delete_time"])
def test_stamps_out_of_range_are_refused(what: str, stamp: int) -> None:
    version = Version(1, 0, b"")._replace(**{what: stamp})
    with pytest.raises(InvalidRecordError) as error:
        check_record(Record(Entity("g", "n", "i"), version, b""))
    assert str(error.value) == f"{what} {stamp} is not between 0 and 2^62"


def test_the_largest_stamp_is_2_to_the_62() -> None:
    assert STAMP_MAX_NANOSECONDS == 2**62


def test_a_payload_is_at_most_1_mib() -> None:
    entity, version = Entity("g", "n", "i"), Version(1, 0, b"")
    assert PROPERTY_MAX_BYTES == 1024 * 1024
    check_record(Record(entity, version, bytes(PROPERTY_MAX_BYTES)))
    with pytest.raises(InvalidRecordError) as error:
        check_record(Record(entity, version, bytes(PROPERTY_MAX_BYTES + 1)))
    assert str(error.value) == "property of 1048577 bytes is over 1048576 bytes"


def test_a_record_with_a_wrong_entity_is_refused() -> None:
    with pytest.raises(InvalidEntityError):
        check_record(Record(Entity("g", "", "i"), Version(1, 0, b""), b""))

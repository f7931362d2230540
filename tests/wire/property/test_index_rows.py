"""The rows that a stored property has in tag indexes."""

from __future__ import annotations

from hypothesis import given

from gossipnode.core.model.tag_value import IntArray, StrArray, TagValue
from gossipnode.core.query.index_key import IndexKind, IndexRow, index_rows, order_key
from gossipnode.wire.property.index_rows import payload_rows
from gossipnode.wire.property.property_edit import build_property
from tests.wire.support import ENTITY, EVERY_TYPE, TAGS, examples


@given(TAGS)
@examples(100)
def test_rows_are_those_of_the_tags_that_were_encoded(tags: dict[str, TagValue]) -> None:
    payload = build_property(ENTITY, tags)
    for wanted in ([*tags], [*tags, "not there"], ["not there"], []):
        assert payload_rows(payload, wanted) == index_rows(tags, wanted)


def test_every_type_has_its_rows() -> None:
    payload = build_property(ENTITY, EVERY_TYPE)
    rows = payload_rows(payload, EVERY_TYPE.keys())
    assert {row.tag for row in rows} == EVERY_TYPE.keys()
    assert {row.tag for row in rows if row.kind is IndexKind.ABSENT} == {"null", "nothing"}
    elements = {(row.tag, row.key) for row in rows if row.kind is IndexKind.ELEMENT}
    assert elements == {
        (tag, order_key(element))
        for tag, value in EVERY_TYPE.items()
        if isinstance(value, StrArray | IntArray)
        for element in value
    }


def test_a_tag_that_is_not_there_has_a_row_that_says_so() -> None:
    assert payload_rows(build_property(ENTITY, {"k": "v"}), ("t",)) == [IndexRow("t", IndexKind.ABSENT, b"")]


def test_a_payload_that_cannot_be_read_has_no_rows() -> None:
    assert payload_rows(b"\xff\xff", ("k",)) == []

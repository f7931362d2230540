from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.client.errors import InvalidInputError
from gossipnode.client.values.property_json import dump_json, property_from_json, property_to_json
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import NO_VALUE, IntArray, StrArray, TagValue, Timestamp
from tests.client.values.strategies import moments

FULL = StoredProperty(
    Entity("sw", "service", "a/b"),
    {
        "text": "höhe",
        "number": 9223372036854775807,
        "texts": StrArray(("a", "b")),
        "numbers": IntArray((1, -2)),
        "no texts": StrArray(),
        "no numbers": IntArray(),
        "nothing": None,
        "unset": NO_VALUE,
        "bytes": b"\x00\xff",
        "time": Timestamp(1, 123456789),
    },
    create_revision=1,
    mod_revision=2,
    updated_at=Timestamp(0, 5_000_000),
    delete_time=0,
)


def test_a_property_as_json() -> None:
    assert dump_json(property_to_json(FULL)) == (
        '{"group": "sw", "name": "service", "id": "a/b", "tags": {"text": "höhe", '
        '"number": 9223372036854775807, "texts": ["a", "b"], "numbers": [1, -2], "no texts": {"str[]": []}, '
        '"no numbers": {"int[]": []}, "nothing": null, "unset": {}, "bytes": {"binary": "AP8="}, '
        '"time": {"timestamp": "1970-01-01T00:00:01.123456789Z"}}, "create_revision": 1, "mod_revision": 2, '
        '"updated_at": "1970-01-01T00:00:00.005Z", "delete_time": 0}'
    )


def test_what_is_absent_stays_absent() -> None:
    bare = StoredProperty(Entity("g", "n", "i"), {})
    assert property_to_json(bare) == {"group": "g", "name": "n", "id": "i", "tags": {}, "delete_time": 0}
    assert property_from_json('{"name": "n", "id": "i"}', group="g") == bare
    assert property_to_json(StoredProperty(bare.entity, {}, metadata_id=7))["metadata_id"] == 7


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
int64 = st.integers(-(1 << 63), (1 << 63) - 1)
tag_values: st.SearchStrategy[TagValue] = st.one_of(
    text,
    int64,
    st.binary(max_size=5),
    st.none(),
    st.just(NO_VALUE),
    moments,
    st.lists(text, max_size=3).map(StrArray),
    st.lists(int64, max_size=3).map(IntArray),
)
names = text.filter(lambda part: bool(part) and "/" not in part)
properties = st.builds(
    StoredProperty,
    st.builds(Entity, names, names, text.filter(bool)),
    st.dictionaries(text.filter(bool), tag_values, max_size=5),
    create_revision=int64,
    mod_revision=st.integers(0, 1 << 62),
    updated_at=st.none() | moments,
    delete_time=st.integers(0, 1 << 62),
    metadata_id=st.integers(0, (1 << 32) - 1),
)


@pytest.mark.slow
@given(properties)
def test_a_round_trip_loses_nothing(record: StoredProperty) -> None:
    line = dump_json(property_to_json(record))
    assert "\n" not in line
    back = property_from_json(line.encode(), group=record.entity.group)
    assert back == record
    assert list(back.tags) == list(record.tags)
    for key, value in record.tags.items():
        assert type(back.tags[key]) is type(value)


def line(**fields: object) -> str:
    return json.dumps({"name": "n", "id": "i", "tags": {"k": "v"}} | fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "expected a JSON object"),
        ("[" * 100_000, "nested too deep"),
        (b"\xff", "not UTF-8 text (byte 1)"),
        ('{"name": "n", "name": "m"}', "key 'name' is given twice"),
        ('{"name": "n", "id": "i", "tags": {"a": 1, "a": 2}}', "key 'a' is given twice"),
        (line(tag={}), "unknown key 'tag': did you mean 'tags'?"),
        (line(zzz={}), "unknown key 'zzz': known are group"),
        ('{"id": "i"}', "'name' is missing"),
        (line(id=5), "'id' must be a text"),
        (line(id=""), "id is empty"),
        (line(name="a/b"), "only an id may"),
        (line(group="other"), "belongs to group 'other', not to 'g'"),
        (line(tags=[]), "'tags' must be an object"),
        (line(tags={"": 1}), "a tag has an empty key"),
        (line(tags={"k" * 256: 1}), "longer than 255 bytes"),
        (line(tags={"k": 1 << 63}), "tag 'k': 9223372036854775808 is out of range"),
        (line(tags={"k": 1.5}), "1.5 is no whole number"),
        (line(tags={"k": float("nan")}), "NaN is no whole number"),
        (line(tags={"k": True}), "tag 'k': a tag is a text"),
        (line(tags={"k": []}), """tag 'k': an empty list has no type: write {"str[]": []}"""),
        (line(tags={"k": ["a", 1]}), "tag 'k': a list holds texts or whole numbers"),
        (line(tags={"k": [1, True]}), "tag 'k': a list holds"),
        (line(tags={"k": [[]]}), "tag 'k': a list holds"),
        (line(tags={"k": {"binary": "x"}}), "tag 'k': 'x' is no base64"),
        (line(tags={"k": {"binary": "ä"}}), "tag 'k': 'ä' is no base64"),
        (line(tags={"k": {"binary": 5}}), "tag 'k': a tag is"),
        (line(tags={"k": {"timestamp": "2026-13-01"}}), "tag 'k': '2026-13-01' is no timestamp"),
        (line(tags={"k": {"str[]": [1]}}), "tag 'k': a list holds"),
        (line(tags={"k": {"float": 1}}), "tag 'k': a tag is"),
        (line(tags={"k": {"binary": "", "timestamp": ""}}), "tag 'k': a tag is"),
        (line(tags={"k": "\ud800"}), r"tag 'k': '\ud800' is no valid Unicode text"),
        (line(id="\ud800"), "no valid Unicode text"),
        (line(mod_revision=-1), "'mod_revision' is out of range"),
        (line(delete_time=(1 << 62) + 1), "'delete_time' is out of range"),
        (line(create_revision="5"), "'create_revision' must be a whole number"),
        (line(create_revision=True), "'create_revision' must be a whole number"),
        (line(metadata_id=1 << 32), "'metadata_id' is out of range"),
        (line(updated_at=5), "'updated_at' must be a timestamp as text"),
        ('{"mod_revision": ' + "9" * 5000 + "}", "out of the range of 64 bits"),
    ],
)  # fmt: skip
def test_a_wrong_line_says_what_is_wrong(text: str | bytes, message: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        property_from_json(text, group="g")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.model.tag_value import (
    INT64_MAX,
    INT64_MIN,
    NO_VALUE,
    IntArray,
    StrArray,
    TagValue,
    Timestamp,
)
from gossipnode.core.query.criteria import (
    Condition,
    Criteria,
    LogicalExpression,
    LogicalOp,
    MatchOption,
    Op,
    check_criteria,
    matches,
    sort_key,
)
from gossipnode.core.query.index_key import IndexKind, index_rows, is_cut, order_key
from gossipnode.core.query.search import (
    LABEL_MAX_CHARACTERS,
    Lookup,
    LookupKind,
    Place,
    Search,
    Span,
    lookups,
    place_key,
    place_of,
    tags_needed,
    walk_key,
    wanted_indexes,
)
from tests.core.support import examples

SHARDS = (ShardId("g", 0),)
LONG = "p" * 70
TAGS = ("a", "b")

ONE_SIDED = LogicalExpression(LogicalOp.OR, None, Condition("t", Op.EQ, 1))

texts = st.one_of(
    st.sampled_from(["", "a", "b", "ä", "日本", "日", "\x00", "a\x00", "p" * 62, "p" * 63, LONG, LONG + "q"]),
    st.text(max_size=2),
)
numbers = st.one_of(st.integers(-3, 3), st.sampled_from([INT64_MIN, INT64_MAX]))
times = st.builds(Timestamp, st.integers(-2, 2), st.sampled_from([0, 1, 999_999_999]))
values: st.SearchStrategy[TagValue] = st.one_of(
    texts,
    numbers,
    times,
    st.none(),
    st.just(NO_VALUE),
    st.sampled_from([b"", b"\x00", b"p" * 70]),
    st.lists(texts, max_size=3).map(StrArray),
    st.lists(numbers, max_size=9).map(IntArray),
)
tag_sets = st.dictionaries(st.sampled_from(TAGS), values)


def conditions() -> st.SearchStrategy[Criteria]:
    arrays = st.one_of(st.lists(texts, max_size=3).map(StrArray), st.lists(numbers, max_size=3).map(IntArray))
    name = st.sampled_from(TAGS)
    compared = st.sampled_from([Op.EQ, Op.NE, Op.LT, Op.GT, Op.LE, Op.GE])
    analyzer = st.builds(MatchOption, st.sampled_from(["keyword", "simple"]), st.sampled_from(LogicalOp))
    return st.one_of(
        st.builds(Condition, name, compared, st.one_of(texts, numbers, times)),
        st.builds(Condition, name, st.sampled_from([Op.IN, Op.NOT_IN]), arrays),
        st.builds(
            Condition, name, st.sampled_from([Op.HAVING, Op.NOT_HAVING]), st.one_of(texts, numbers, arrays)
        ),
        st.builds(Condition, name, st.just(Op.MATCH), texts, analyzer),
    )


criteria_trees = st.recursive(
    conditions(),
    lambda inner: st.builds(
        LogicalExpression, st.sampled_from(LogicalOp), st.one_of(inner, st.none()), inner
    ),
    max_leaves=5,
)


def both(*sides: Criteria, op: LogicalOp = LogicalOp.AND) -> Criteria:
    whole = sides[0]
    for side in sides[1:]:
        whole = LogicalExpression(op, whole, side)
    return whole


def found_by(criteria: Criteria | None) -> list[tuple[LookupKind, str]]:
    return [(lookup.kind, lookup.label) for lookup in lookups(Search(SHARDS, criteria=criteria))]


def only_lookup(criteria: Criteria) -> Lookup:
    (lookup,) = lookups(Search(SHARDS, criteria=criteria))
    return lookup


def point(kind: IndexKind, value: TagValue) -> Span:
    return Span(kind, order_key(value), order_key(value))


# --- which lookups there are ---


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Condition("t", Op.EQ, "ok"), (LookupKind.EQUAL, 't = "ok"')),
        (Condition("t", Op.EQ, -5), (LookupKind.EQUAL, "t = -5")),
        (Condition("t", Op.EQ, Timestamp(7, 5)), (LookupKind.EQUAL, "t = 7.000000005s")),
        (Condition("t", Op.MATCH, 'a"b'), (LookupKind.EQUAL, 't = "a\\"b"')),
        (Condition("t", Op.HAVING, "x"), (LookupKind.EQUAL, 't having "x"')),
        (Condition("t", Op.HAVING, IntArray((4, 5))), (LookupKind.EQUAL, "t having 4")),
        (Condition("t", Op.IN, StrArray("ab")), (LookupKind.ONE_OF, 't in ("a", "b")')),
        (Condition("t", Op.IN, IntArray(range(9))), (LookupKind.ONE_OF, "t in (0, 1, 2, ...)")),
        (Condition("t", Op.LT, 5), (LookupKind.RANGE, "t < 5")),
        (Condition("t", Op.GE, "日本"), (LookupKind.RANGE, 't >= "日本"')),
    ],
)
def test_a_condition_that_an_index_can_serve(condition: Condition, expected: tuple[LookupKind, str]) -> None:
    assert found_by(condition) == [expected]
    assert wanted_indexes(Search(SHARDS, criteria=condition)) == {"t"}


@pytest.mark.parametrize(
    "condition",
    [
        None,
        Condition("t", Op.NE, "ok"),
        Condition("t", Op.NOT_IN, StrArray("ab")),
        Condition("t", Op.NOT_HAVING, "x"),
        Condition("t", Op.HAVING, StrArray()),
        Condition("t", Op.MATCH, "ok", MatchOption("standard")),
        both(Condition("t", Op.EQ, 1), Condition("u", Op.EQ, 1), op=LogicalOp.OR),
        both(Condition("t", Op.EQ, 1), Condition("t", Op.NE, 1), op=LogicalOp.OR),
        both(Condition("t", Op.LT, 1), Condition("t", Op.GT, 5), op=LogicalOp.OR),
        both(ONE_SIDED, Condition("t", Op.EQ, 5), op=LogicalOp.OR),
    ],
)
def test_what_no_index_can_serve(condition: Criteria | None) -> None:
    assert found_by(condition) == []
    assert wanted_indexes(Search(SHARDS, criteria=condition)) == set()


def test_equality_looks_for_elements_too_where_they_can_be_equal() -> None:
    assert only_lookup(Condition("t", Op.EQ, 5)).spans == (
        point(IndexKind.WHOLE, 5),
        point(IndexKind.ELEMENT, 5),
    )
    assert only_lookup(Condition("t", Op.EQ, Timestamp(5, 0))).spans == (
        point(IndexKind.WHOLE, Timestamp(5, 0)),
    )
    assert only_lookup(Condition("t", Op.MATCH, "x")).spans == (point(IndexKind.WHOLE, "x"),)


def test_keys_that_are_equal_once_cut_are_looked_up_once() -> None:
    lookup = only_lookup(Condition("t", Op.IN, StrArray((LONG + "a", "x", LONG + "b"))))
    assert lookup.spans == (point(IndexKind.WHOLE, LONG), point(IndexKind.WHOLE, "x"))


def test_conditions_that_must_all_hold_are_alternatives_with_whole_keys_first() -> None:
    criteria = both(
        Condition("r", Op.GT, 1),
        Condition("i", Op.IN, IntArray((1, 2))),
        LogicalExpression(LogicalOp.OR, None, Condition("e", Op.EQ, 1)),
        Condition("n", Op.NE, 1),
        Condition("h", Op.HAVING, 1),
    )
    assert found_by(criteria) == [
        (LookupKind.EQUAL, "e = 1"),
        (LookupKind.EQUAL, "h having 1"),
        (LookupKind.ONE_OF, "i in (1, 2)"),
        (LookupKind.RANGE, "r > 1"),
    ]
    assert wanted_indexes(Search(SHARDS, criteria=criteria, order_by="o")) == {"e", "h", "i", "r", "o"}


def test_ranges_of_one_tag_and_type_are_one() -> None:
    criteria = both(
        Condition("t", Op.GT, 3),
        Condition("t", Op.LE, 9),
        Condition("t", Op.GE, 5),
        Condition("t", Op.LT, "x"),
    )
    number, text = lookups(Search(SHARDS, criteria=criteria))
    assert number.spans == (Span(IndexKind.WHOLE, order_key(5), order_key(9)),)
    assert number.label == "t > 3 and t <= 9 and t >= 5"
    assert text.label == 't < "x"'
    assert text.spans[0].low <= order_key("") < text.spans[0].high == order_key("x")


def test_alternatives_on_one_tag_are_looked_up_together() -> None:
    criteria = both(
        Condition("t", Op.EQ, "a"),
        Condition("t", Op.IN, StrArray("ab")),
        Condition("t", Op.EQ, "c"),
        op=LogicalOp.OR,
    )
    lookup = only_lookup(criteria)
    assert lookup.kind is LookupKind.ONE_OF
    assert lookup.label == 't = "a" or t in ("a", "b") or t = "c"'
    assert len(set(lookup.spans)) == len(lookup.spans) == 5


def test_labels_are_bounded() -> None:
    criteria = both(*(Condition("t", Op.EQ, f"{i}" * 50) for i in range(60)), op=LogicalOp.OR)
    assert len(only_lookup(criteria).label) <= LABEL_MAX_CHARACTERS + 3
    ranges = both(*(Condition("t", Op.GT, f"{i}" * 50) for i in range(60)))
    assert len(only_lookup(ranges).label) <= LABEL_MAX_CHARACTERS + 3
    assert only_lookup(Condition("t", Op.EQ, "x" * 999)).label == 't = "' + "x" * 40 + '..."'


def test_an_index_is_no_help_for_tombstones_and_for_records_that_are_named() -> None:
    criteria = Condition("t", Op.EQ, 1)
    for search in (
        Search(SHARDS, criteria=criteria, order_by="o", tombstones=True),
        Search(SHARDS, criteria=criteria, order_by="o", name="n", ids=frozenset("1")),
    ):
        assert lookups(search) == []
        assert wanted_indexes(search) == set()
    for search in (
        Search(SHARDS, criteria=criteria, order_by="o", name="n"),
        Search(SHARDS, criteria=criteria, order_by="o", ids=frozenset("1")),
    ):
        assert wanted_indexes(search) == {"t", "o"}


def test_the_tags_that_are_needed() -> None:
    criteria = both(Condition("x", Op.NE, 1), Condition("y", Op.EQ, 1), op=LogicalOp.OR)
    assert tags_needed(Search(SHARDS)) == frozenset()
    assert tags_needed(Search(SHARDS, criteria=criteria)) == {"x", "y"}
    assert tags_needed(Search(SHARDS, criteria=criteria, order_by="o")) == {"x", "y", "o"}


def test_names_and_ids() -> None:
    entity = Entity("g", "n", "1")
    for name, ids, expected in (
        ("", "", True),
        ("n", "", True),
        ("n", "12", True),
        ("", "1", True),
        ("m", "1", False),
        ("n", "2", False),
    ):
        assert Search(SHARDS, name=name, ids=frozenset(ids)).names(entity) is expected


@pytest.mark.slow
@examples(200)
@given(criteria_trees, tag_sets)
def test_every_lookup_finds_what_matches(criteria: Criteria, tags: dict[str, TagValue]) -> None:
    criteria = check_criteria(criteria)
    found = lookups(Search(SHARDS, criteria=criteria))
    if not matches(criteria, tags):
        return
    for lookup in found:
        rows = [(row.kind, row.key) for row in index_rows(tags, [lookup.tag])]
        assert any(
            kind == span.kind and span.low <= key <= span.high for kind, key in rows for span in lookup.spans
        )
        if lookup.kind is not LookupKind.RANGE:
            assert all(span.low == span.high for span in lookup.spans)


# --- the order of places ---

entities = st.builds(Entity, st.just("g"), st.sampled_from(["m", "n"]), st.sampled_from(["1", "2", "日"]))


@pytest.mark.slow
@examples(200)
@given(entities, tag_sets, st.booleans())
def test_a_place_compares_as_its_record_does(
    entity: Entity, tags: dict[str, TagValue], descending: bool
) -> None:
    place = place_of(entity, tags, "a")
    assert place.entity == entity
    assert (place.value is NO_VALUE) == (tags.get("a") in (None, NO_VALUE))
    assert place_key(place, "a", descending) == sort_key(tags, "a", entity, descending=descending)
    assert place_of(entity, tags, "") == Place(entity)
    assert place_key(place, "", descending) == (entity,)


places = st.builds(Place, entities, values.map(lambda value: NO_VALUE if value is None else value))


@pytest.mark.slow
@examples(200)
@given(places, places, st.booleans(), st.sampled_from(["", "a"]))
def test_the_key_of_a_search_has_the_order_of_places(
    one: Place, other: Place, descending: bool, order_by: str
) -> None:
    search = Search(SHARDS, order_by=order_by, descending=descending)
    keys, exact = [
        (key(one), key(other)) for key in (search.key, lambda place: place_key(place, order_by, descending))
    ]
    assert (keys[0] < keys[1]) == (exact[0] < exact[1])
    assert (keys[0] > keys[1]) == (exact[0] > exact[1])


@pytest.mark.slow
@examples(200)
@given(places, places, st.booleans())
def test_a_walk_has_the_order_of_places_but_for_values_of_one_cut_key(
    one: Place, other: Place, descending: bool
) -> None:
    keys = [order_key(place.value) for place in (one, other)]
    if not all(keys) or (keys[0] == keys[1] and is_cut(keys[0])):
        return
    walked = [walk_key(key, place.entity, descending) for key, place in zip(keys, (one, other), strict=True)]
    exact = [place_key(place, "a", descending) for place in (one, other)]
    assert (walked[0] < walked[1]) == (exact[0] < exact[1])
    assert (walked[0] == walked[1]) == (exact[0] == exact[1])

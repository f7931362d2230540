"""What a search asks for, and the order of its places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import NO_VALUE, TagValue
from gossipnode.core.query.criteria import Condition, LogicalOp, Op, sort_key
from gossipnode.core.query.index_key import is_cut, order_key
from gossipnode.core.query.search import Place, Search, place_key, place_of, tags_needed, walk_key
from tests.core.query.queries import SHARDS, both, tag_sets, values
from tests.core.support import examples


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

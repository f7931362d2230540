"""Keys compare as their entities do, and lead back to them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity
from gossipnode.store.sqlite.tables.entity_key import (
    END_KEY,
    DamagedKeyError,
    after_group,
    entity_key,
    key_entity,
    key_group,
    name_range,
)

text = st.text(
    st.one_of(st.sampled_from("\0\1\2-/.aé"), st.characters(exclude_categories=["Cs"])), min_size=1
)


entities = st.builds(Entity, text, text, text)


@settings(deadline=None)
@given(entities)
def test_a_key_leads_back_to_its_entity(entity: Entity) -> None:
    assert key_entity(entity_key(entity)) == entity
    assert entity_key(entity) < END_KEY


@settings(deadline=None)
@given(entities, entities)
def test_keys_order_as_entities(one: Entity, two: Entity) -> None:
    assert (entity_key(one) < entity_key(two)) == (one < two)


@settings(deadline=None)
@given(entities, text, text)
def test_a_name_has_a_range_of_its_own(entity: Entity, name: str, group: str) -> None:
    first_part = key_group(entity_key(entity._replace(group=group)))
    low, high = name_range(first_part, name)
    inside = entity.group == group and entity.name == name
    assert (low < entity_key(entity) < high) == inside
    assert low < entity_key(Entity(group, name, entity.id)) < high
    assert (entity_key(entity) > after_group(first_part)) == (entity.group > group)


@pytest.mark.parametrize("key", [b"", b"a", b"a\0b", b"\xff\0b\0c"])
def test_other_bytes_are_no_key(key: bytes) -> None:
    with pytest.raises(DamagedKeyError):
        key_entity(key)

from __future__ import annotations

import pytest
from hypothesis import given
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
from gossipnode.store.sqlite.tables.statements import statement_rows

text = st.text(
    st.one_of(st.sampled_from("\0\1\2-/.aé"), st.characters(exclude_categories=["Cs"])), min_size=1
)
entities = st.builds(Entity, text, text, text)


@given(entities)
def test_a_key_leads_back_to_its_entity(entity: Entity) -> None:
    assert key_entity(entity_key(entity)) == entity
    assert entity_key(entity) < END_KEY


@given(entities, entities)
def test_keys_order_as_entities(one: Entity, two: Entity) -> None:
    assert (entity_key(one) < entity_key(two)) == (one < two)


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


@given(st.integers(0, 2000), st.sampled_from([1, 64, 256]), st.booleans())
def test_statements_cover_all_rows_in_order(count: int, largest: int, filled: bool) -> None:
    rows = [(row,) for row in range(count)]
    parts = list(statement_rows(rows, largest, filler=(-1,) if filled else None))
    assert all(len(part) <= largest for part in parts)
    assert len(parts) == -(-count // largest)
    flat = [row for part in parts for row in part]
    assert flat[:count] == rows
    assert set(flat[count:]) <= {(-1,) if filled else (count - 1,)}


def test_statements_have_few_lengths() -> None:
    lengths = {len(part) for count in range(1, 257) for part in statement_rows(list(range(count)))}
    assert len(lengths) == 16
    assert max(lengths) == 256

"""The trie of an item index: sums of prefixes, and the items that have them."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity
from gossipnode.core.model.version import Version
from gossipnode.core.session.reconcile.item_index import FAN_OUT, LEVEL_MAX, ItemHash, ItemIndex
from tests.core.session.reconcile.reconcile_sides import KEY, OTHER_KEY

MASK = (1 << 64) - 1
HASHES = st.integers(0, MASK) | st.sampled_from([0, MASK, 1 << 60, (1 << 60) + 1, (1 << 60) + 2])


def filled(items: dict[int, tuple[int, int]]) -> ItemIndex:
    index = ItemIndex(KEY)
    for entity_hash, (version_hash, number) in items.items():
        index.put(entity_hash, version_hash, number)
    return index


@given(
    st.dictionaries(HASHES, st.tuples(HASHES, st.integers(0, 1000)), max_size=200),
    st.integers(0, LEVEL_MAX - 1),
    st.sampled_from([1, 2]),
)
def test_sums_are_those_of_the_items_with_a_prefix(
    items: dict[int, tuple[int, int]], level: int, down: int
) -> None:
    index = filled(items)
    down = min(down, LEVEL_MAX - level)
    assert index.count == len(items)
    assert index.root == sum(version for version, _ in items.values()) & MASK
    shift = 64 - 4 * level
    for prefix in {entity_hash >> shift for entity_hash in items} | {0}:
        found = {each: item for each, item in items.items() if each >> shift == prefix}
        columns = index.items(level, prefix)
        rows = zip(columns.entity_hashes, columns.version_hashes, columns.numbers, strict=True)
        assert {each: (version, number) for each, version, number in rows} == found
        assert index.count_at(level, prefix) == len(found)
        longer = 64 - 4 * (level + down)
        expected = [0] * FAN_OUT**down
        for each, (version, _) in found.items():
            expected[(each >> longer) - (prefix << 4 * down)] += version
        assert index.sums(level, prefix, down) == [each & MASK for each in expected]


def test_an_item_takes_the_place_of_the_one_with_its_entity() -> None:
    index = filled({5: (10, 1), 6: (20, 2)})
    index.put(5, 13, 4)
    assert (index.count, index.root, index.find(5), index.find(6), index.find(7)) == (2, 33, 4, 2, None)


def test_the_order_of_writes_does_not_matter() -> None:
    rng = random.Random(1)
    items = {rng.getrandbits(64): (rng.getrandbits(64), number) for number in range(5000)}
    shuffled = dict(rng.sample(sorted(items.items()), len(items)))
    assert filled(items).sums(0, 0, 2) == filled(shuffled).sums(0, 0, 2)


def test_hashes_tell_apart_entities_versions_and_keys() -> None:
    split = [Entity("g", "a/b", "c"), Entity("g", "a", "b/c"), Entity("g/a", "b", "c")]
    hashes = {key.of_entity(entity) for key in (KEY, OTHER_KEY) for entity in split}
    assert len(hashes) == 6
    versions = [Version(1, 0, b"a"), Version(2, 0, b"a"), Version(1, 1, b"a"), Version(1, 0, b"b")]
    assert len({KEY.of_version(entity, version) for entity in (1, 2) for version in versions}) == 8
    assert KEY.check != OTHER_KEY.check
    assert ItemHash(bytes(16)).check == KEY.check

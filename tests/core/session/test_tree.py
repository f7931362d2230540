"""Digests of leaves, slots and trees, and the comparison of slots."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, parse_entity
from gossipnode.core.session.tree import SlotDigest, Tree, compare_slots, leaf_digest, make_tree, slot_sha
from tests.core.session.golden import VECTORS, vector
from tests.core.support import Shelf, examples, record


def test_all_recorded_vectors_are_there() -> None:
    assert VECTORS == ["empty", "one", "order", "tombstones", "types", "types-spaced"]


@pytest.mark.parametrize("name", VECTORS)
def test_a_recorded_tree_is_computed_alike(name: str) -> None:
    recorded = vector(name)
    leaves: dict[int, list[tuple[Entity, str]]] = {}
    for each in recorded["records"]:
        entity = Entity(each["group"], each["name"], each["id"])
        sha = leaf_digest(each["canonical_json"].encode(), each["delete_time"]).hex()
        leaves.setdefault(slot_of(entity), []).append((entity, sha))
    in_order = [(slot, *leaf) for slot in sorted(leaves) for leaf in sorted(leaves[slot])]
    assert [(entity.text, slot, sha) for slot, entity, sha in in_order] == [
        (leaf["entity"], leaf["slot"], leaf["sha"]) for leaf in recorded["leaves"]
    ]
    tree = make_tree(
        SlotDigest(slot, slot_sha(sha for _, sha in sorted(leaves[slot]))) for slot in sorted(leaves)
    )
    assert tree.slots == tuple(SlotDigest(slot["slot"], slot["sha"]) for slot in recorded["slots"])
    assert tree.root == recorded["root"]


def test_the_recorded_order_is_that_of_tuples_and_not_of_joined_text() -> None:
    leaves = vector("order")["leaves"]
    entities = [(leaf["slot"], parse_entity(leaf["entity"])) for leaf in leaves]
    assert entities == sorted(entities)
    assert leaves != sorted(leaves, key=lambda leaf: (leaf["slot"], leaf["entity"]))


def test_a_leaf_covers_its_json_and_its_delete_time() -> None:
    assert leaf_digest(b"{}", 0) == hashlib.sha512(b"{}0").digest()
    assert leaf_digest('{"ü":1}'.encode(), 17) == hashlib.sha512('{"ü":1}17'.encode()).digest()


def test_a_tree_without_leaves_has_an_empty_root() -> None:
    assert make_tree([]) == Tree("", ())


def test_a_root_covers_its_slots_in_order() -> None:
    slots = (SlotDigest(3, "ab"), SlotDigest(9, "cd"))
    assert make_tree(iter(slots)) == Tree(hashlib.sha512(b"abcd").hexdigest(), slots)


@given(st.permutations([record(f"i{number}", number) for number in range(8)]))
@examples(20)
def test_equal_content_gives_equal_roots_whatever_the_order_of_writes(records: list) -> None:
    assert Shelf(records).tree() == Shelf(sorted(records, key=lambda each: each.entity)).tree()


# Comparing slots


class Counted:
    """A list that can be walked once, and counts its steps."""

    def __init__(self, slots: Sequence[SlotDigest]) -> None:
        self.slots = slots
        self.steps = 0
        self.walks = 0

    def __iter__(self) -> Iterator[SlotDigest]:
        self.walks += 1
        for slot in self.slots:
            self.steps += 1
            yield slot


def slots(**shas: str) -> list[SlotDigest]:
    return [SlotDigest(int(name[1:]), sha) for name, sha in shas.items()]


@pytest.mark.parametrize(
    ("client", "server", "mismatch", "missing"),
    [
        ([], [], [], []),
        (slots(s1="a"), slots(s1="a"), [], []),
        (slots(s1="a"), slots(s1="b"), [1], []),
        (slots(s1="a"), [], [], [1]),
        ([], slots(s1="a"), [1], []),
        (slots(s0="a", s2="a"), slots(s1="a", s3="a"), [1, 3], [0, 2]),
        (slots(s1="a", s3="a"), slots(s0="a", s2="a", s3="a"), [0, 2], [1]),
        (slots(s5="a"), slots(s0="a", s1="a", s5="x", s6="a", s7="a"), [0, 1, 5, 6, 7], []),
        (slots(s0="a", s31="a"), slots(s0="a", s31="b"), [31], []),
        (slots(s1="a", s2="b", s3="c"), slots(s2="b"), [], [1, 3]),
    ],
)
def test_slots_are_compared(
    client: list[SlotDigest], server: list[SlotDigest], mismatch: list[int], missing: list[int]
) -> None:
    assert compare_slots(client, server) == (mismatch, missing)


def test_mismatch_and_missing_slots_come_out_of_one_linear_pass() -> None:
    """The second of the three rules: one pass over both lists gives both results, and reads nothing twice."""
    client = Counted(slots(s0="a", s1="b", s4="c", s5="d", s9="e", s30="f"))
    server = Counted(slots(s1="b", s2="x", s4="y", s9="e", s31="z"))
    assert compare_slots(client, server) == ([2, 4, 31], [0, 5, 30])
    assert (client.walks, client.steps) == (1, len(client.slots))
    assert (server.walks, server.steps) == (1, len(server.slots))


digests = st.dictionaries(st.integers(0, 31), st.sampled_from("abc")).map(
    lambda shas: [SlotDigest(slot, shas[slot]) for slot in sorted(shas)]
)


@pytest.mark.slow
@given(digests, digests)
@examples(120)
def test_comparing_is_right_and_linear_for_any_slots(
    client: list[SlotDigest], server: list[SlotDigest]
) -> None:
    counted = Counted(client), Counted(server)
    mismatch, missing = compare_slots(*counted)
    theirs, ours = dict(client), dict(server)
    assert mismatch == sorted(slot for slot in ours if ours[slot] != theirs.get(slot))
    assert missing == sorted(theirs.keys() - ours.keys())
    for each in counted:
        assert (each.walks, each.steps) == (1, len(each.slots))


def test_slots_out_of_order_are_a_fault_of_the_caller() -> None:
    with pytest.raises(AssertionError):
        make_tree([SlotDigest(2, "a"), SlotDigest(1, "b")])
    with pytest.raises(AssertionError, match="not in order"):
        compare_slots([], [SlotDigest(2, "a"), SlotDigest(1, "b")])

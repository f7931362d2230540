"""The value of an epoch: where shards lie by its layouts, what fences depend on, and what a group may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.change_refusals import ChangeRefusedError
from gossipnode.core.cluster.changes import Change
from gossipnode.core.cluster.cluster_metadata import (
    LAYOUTS_MAX,
    ClusterMetadata,
    Group,
    Identity,
    InvalidGroupError,
    check_group,
    with_names_in_order,
)
from gossipnode.core.cluster.placement import AckLevel, replicas_of
from gossipnode.core.model.limits import GROUP_INDEXES_MAX, GROUP_MAX_BYTES, REPLICAS_MAX, SHARDS_MAX
from gossipnode.core.model.property import ShardId
from tests.core.cluster.clusters import (
    KEY,
    born,
    drop,
    formed,
    layout,
    member,
    moving,
    replace_member,
    settle,
)

GROUP = Group("g", shards=32, replicas=2)
OTHER = Group("h", shards=4, replicas=3)


def fences(value: ClusterMetadata) -> dict[ShardId, bytes]:
    return {shard: value.place(shard).fence for shard in value.shards()}


def changed_fences(before: ClusterMetadata, after: ClusterMetadata) -> set[ShardId]:
    """The shards of both values with another fence in the second one."""
    was, now = fences(before), fences(after)
    return {shard for shard in was.keys() & now.keys() if was[shard] != now[shard]}


def stores(value: ClusterMetadata, shard: ShardId) -> tuple[object, ...]:
    """The stores that a shard lies by and is to lie by."""
    placement = value.place(shard)
    coming = [value.members[name].identity for name in placement.coming]
    return placement.settled, placement.lost, coming


# --- the value ---


def test_a_value_whose_last_layout_is_not_of_its_members_is_a_fault_of_ours() -> None:
    value = formed("abc")
    with pytest.raises(AssertionError):
        replace(value, layouts=())
    for wrong in (born("ab"), {**born("ab"), "c": 1}, born("abcd")):
        with pytest.raises(AssertionError):
            replace(value, layouts=(layout(wrong),))


def test_who_leaves_votes_and_is_a_member_without_a_place_in_the_last_layout() -> None:
    value = changes.leave(formed("abc", GROUP), "b")
    assert value.voters == born("abc")
    assert value.is_member(Identity("b", 0))
    assert value.layouts[-1] == layout(born("ac"))
    assert not value.is_member(Identity("b", 1))
    assert not value.is_member(Identity("d", 0))


def test_members_come_in_the_order_of_the_ring() -> None:
    assert list(with_names_in_order([member("c"), member("a"), member("b")])) == ["a", "b", "c"]


def test_the_key_is_not_shown() -> None:
    assert repr(KEY) not in repr(formed())


def test_shards_come_group_by_group() -> None:
    value = formed("abc", replace(OTHER, shards=1), replace(GROUP, shards=2, incarnation=6))
    assert list(value.shards()) == [ShardId("g", 0, 6), ShardId("g", 1, 6), ShardId("h", 0)]


@pytest.mark.parametrize("shard", [ShardId("g", 0, 9), ShardId("g", 32), ShardId("g", -1)])
def test_a_shard_that_is_none_has_no_place(shard: ShardId) -> None:
    with pytest.raises(AssertionError):
        formed("abc", GROUP).place(shard)


# --- where a shard lies ---


def test_a_settled_shard_lies_by_the_last_layout() -> None:
    value = formed("abcde", GROUP)
    assert value.is_settled
    assert list(value.unsettled_shards()) == []
    for shard in value.shards():
        placement = value.place(shard)
        assert placement.settled == placement.coming == replicas_of(shard, "abcde", 2)
        assert not placement.moving
        assert placement.replicas == placement.needed_before == 2


def test_each_shard_lies_by_its_own_layout_and_goes_to_the_last_one() -> None:
    value = formed("ab", replace(GROUP, shards=3, replicas=1))
    for name in "cd":
        value = changes.join(value, member(name))
    first = ShardId("g", 0)
    value = settle(value, [(first, value.place(first).fence)])
    value = changes.join(value, member("e"))
    assert value.layouts == (layout(born("ab")), layout(born("abcd")), layout(born("abcde")))
    assert value.lies == {"g": (1, 0, 0)}
    assert list(value.unsettled_shards()) == list(value.shards())
    for shard, by in zip(value.shards(), ("abcd", "ab", "ab"), strict=True):
        placement = value.place(shard)
        assert placement.settled == replicas_of(shard, by, 1)
        assert placement.coming == replicas_of(shard, "abcde", 1)


def test_a_group_made_during_a_move_lies_by_the_last_layout() -> None:
    value = changes.create_group(moving(born("abc"), born("abcd"), GROUP), OTHER)
    assert "h" not in value.lies
    for number in range(OTHER.shards):
        shard = ShardId("h", number, value.epoch)
        assert not value.place(shard).moving
        assert value.place(shard).settled == replicas_of(shard, "abcd", 3)


def test_a_layout_remembers_how_many_replicas_a_group_had() -> None:
    value = changes.alter_group(formed("abcd", GROUP, OTHER), "g", lambda group: replace(group, replicas=3))
    for shard in value.shards():
        placement = value.place(shard)
        if shard.group == "h":
            assert not placement.moving
            continue
        assert (placement.needed_before, placement.replicas) == (2, 3)
        assert placement.settled == replicas_of(shard, "abcd", 2)
        assert placement.coming == replicas_of(shard, "abcd", 3)


def test_who_is_no_member_any_more_is_lost() -> None:
    value = drop(formed("abcd", OTHER), "b")
    for shard in value.shards():
        placement = value.place(shard)
        assert placement.lost == {"b"} & {*placement.settled}
        assert "b" not in placement.holders


def test_a_new_store_of_a_member_is_lost_and_has_to_be_filled() -> None:
    value = replace_member(formed("abc", OTHER), member("b", 9))
    placement = value.place(ShardId("h", 0))
    assert placement.lost == {"b"}
    assert placement.joining == ("b",)
    assert placement.holders == ("a", "b", "c")


def test_who_leaves_stays_a_source_until_the_shard_has_moved() -> None:
    value = changes.leave(formed("abcd", OTHER), "b")
    for shard in value.shards():
        placement = value.place(shard)
        assert placement.sources == placement.settled
        assert "b" not in placement.coming
    value = settle(value, fences(value).items())
    assert all("b" not in value.place(shard).holders for shard in value.shards())


# --- foreign members ---


def test_with_foreign_members_every_member_holds_every_configured_shard() -> None:
    value = formed("abcde", GROUP, foreign={"p": "p:1"})
    value = changes.create_group(value, OTHER)
    for shard in value.shards():
        placement = value.place(shard)
        if shard.group == "g":
            assert value.foreign_of(shard) == {"p": "p:1"}
            assert placement.settled == tuple("abcde")
            assert placement.replicas == 5
        else:
            assert value.foreign_of(shard) == {}
            assert placement.replicas == 3
            assert len(placement.settled) == 3
    assert "p" not in value.voters


def test_with_foreign_members_the_number_of_replicas_follows_the_layout() -> None:
    value = changes.join(formed("ab", GROUP, foreign={"p": "p:1"}), member("c"))
    placement = value.place(ShardId("g", 0))
    assert (placement.needed_before, placement.replicas) == (2, 3)
    assert (placement.settled, placement.coming) == (("a", "b"), ("a", "b", "c"))
    assert placement.joining == ("c",)


# --- fences ---

STILL: dict[str, Change] = {
    "address": lambda value: changes.join(value, replace(member("a"), address="elsewhere:1")),
    "create": lambda value: changes.create_group(value, Group("new", shards=8)),
    "delete": lambda value: changes.delete_group(value, "h"),
    "indexes": lambda value: changes.alter_group(value, "g", lambda group: replace(group, indexes=("t",))),
    "ack": lambda value: changes.alter_group(value, "h", lambda group: replace(group, ack=AckLevel.ALL)),
}
MOVES: dict[str, Change] = {
    "join": lambda value: changes.join(value, member("f")),
    "replace": lambda value: replace_member(value, member("c", 5)),
    "leave": lambda value: changes.leave(value, "c"),
    "drop": lambda value: drop(value, "c"),
}


@pytest.mark.parametrize("change", STILL.values(), ids=STILL.keys())
@pytest.mark.parametrize("during", [False, True])
def test_what_moves_no_shard_changes_no_fence(change: Change, during: bool) -> None:
    before = moving(born("abcd") if during else born("abcde"), born("abcde"), GROUP, OTHER)
    after = change(before)
    assert after.epoch == before.epoch + 1
    assert changed_fences(before, after) == set()


@pytest.mark.parametrize("change", MOVES.values(), ids=MOVES.keys())
@pytest.mark.parametrize("during", [False, True])
def test_a_change_of_members_changes_the_fences_of_what_it_touches(change: Change, during: bool) -> None:
    before = moving(born("abcd") if during else born("abcde"), born("abcde"), GROUP, OTHER)
    after = change(before)
    touched = {shard for shard in before.shards() if stores(before, shard) != stores(after, shard)}
    assert changed_fences(before, after) == touched
    assert 0 < len(touched) < GROUP.shards + OTHER.shards


def test_settling_changes_the_fences_of_what_moved_alone() -> None:
    before = moving(born("abcd"), born("abcde"), GROUP, OTHER)
    moved = {shard for shard in before.shards() if before.place(shard).moving}
    after = settle(before, fences(before).items())
    assert after.is_settled
    assert changed_fences(before, after) == moved
    assert 0 < len(moved) < GROUP.shards + OTHER.shards


def test_another_number_of_replicas_changes_the_fences_of_that_group_alone() -> None:
    before = moving(born("abcd"), born("abcde"), GROUP, OTHER)
    after = changes.alter_group(before, "g", lambda group: replace(group, replicas=3))
    assert changed_fences(before, after) == {shard for shard in before.shards() if shard.group == "g"}


def test_a_fence_is_of_one_cluster_and_of_one_number_of_shards() -> None:
    value = formed("abc", OTHER)
    elsewhere = replace(value, cluster_id=bytes(16))
    wider = formed("abc", replace(OTHER, shards=5))
    assert changed_fences(value, elsewhere) == changed_fences(value, wider) == {*value.shards()}


def test_the_fence_of_a_move_never_comes_back() -> None:
    """What was filled under it lacks what was written while the shard was to lie elsewhere."""
    with_d = changes.join(formed("abc", GROUP, OTHER), member("d"))
    with_e = changes.join(with_d, member("e"))
    without_e = drop(with_e, "e")
    elsewhere = changed_fences(with_d, with_e)
    assert elsewhere
    for shard in with_d.shards():
        was, now = with_d.place(shard), without_e.place(shard)
        assert (was.settled, was.coming, was.lost) == (now.settled, now.coming, now.lost)
        moves = now.moving and shard in elsewhere
        assert (was.fence == now.fence) is not moves
    again = drop(changes.join(without_e, member("e", 5)), "e")
    assert changed_fences(without_e, again) == changed_fences(with_d, without_e)


def test_the_fence_of_another_number_of_replicas_never_comes_back() -> None:
    value, seen = formed("abc", replace(OTHER, shards=1, replicas=1)), set[bytes]()
    shard = ShardId("h", 0)
    for _ in range(3):
        value = changes.alter_group(value, "h", lambda group: replace(group, replicas=1))
        value = changes.alter_group(value, "h", lambda group: replace(group, replicas=3))
        assert len(value.place(shard).joining) == 2
        assert value.place(shard).fence not in seen
        seen.add(value.place(shard).fence)


def test_the_fence_of_a_store_that_comes_again_never_comes_back() -> None:
    value, seen = formed("abc", replace(OTHER, shards=1)), set[bytes]()
    shard = ShardId("h", 0)
    for _ in range(3):
        value = drop(value, "c")
        value = settle(value, fences(value).items())
        value = changes.join(value, member("c"))
        assert value.place(shard).joining == ("c",)
        assert value.place(shard).fence not in seen
        seen.add(value.place(shard).fence)
        value = settle(value, fences(value).items())


def test_who_came_and_went_is_forgotten_once_all_is_settled() -> None:
    value = drop(changes.join(formed("abc", GROUP, OTHER), member("d")), "d")
    value = changes.alter_group(value, "g", lambda group: replace(group, replicas=3))
    assert (value.movers, value.altered) == ({"d": 3}, {"g": 4})
    value = settle(value, fences(value).items())
    assert value.is_settled
    assert (value.movers, value.altered) == ({}, {})


# --- what a group may be ---


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": ""}, "name: expected 1 to"),
        ({"name": "a/b"}, 'without "/"'),
        ({"name": "\ud800"}, "no valid Unicode text"),
        ({"name": "é" * GROUP_MAX_BYTES}, "name: expected 1 to"),
        ({"name": "a\x1b[2J"}, r"name: expected printable characters, got 'a\\x1b\[2J'"),
        ({"tombstone_retention_seconds": 99_999_999 * 86400}, "expected 3153600000 s at most, got"),
        ({"shards": 0}, "shards: expected 1 to 1024, got 0"),
        ({"shards": SHARDS_MAX + 1}, "shards: expected 1 to 1024, got 1025"),
        ({"replicas": 0}, "replicas: expected 1 to 1024, got 0"),
        ({"replicas": REPLICAS_MAX + 1}, "replicas: expected 1 to 1024, got 1025"),
        ({"tombstone_retention_seconds": 0}, "tombstone_retention: expected a time above 0"),
        ({"ack": AckLevel.LOCAL}, "ack: expected one, quorum or all"),
        ({"indexes": ("",)}, "indexes: '' is no tag key"),
        ({"indexes": tuple(map(str, range(GROUP_INDEXES_MAX + 1)))}, "indexes: expected 16 at most, got 17"),
    ],
)
def test_a_group_that_cannot_be_is_refused_by_its_field(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidGroupError, match=f"^.*{problem}"):
        check_group(replace(GROUP, **change))


def test_what_is_at_a_limit_may_be() -> None:
    check_group(replace(GROUP, name="é" * (GROUP_MAX_BYTES // 2), shards=SHARDS_MAX, replicas=REPLICAS_MAX))
    check_group(replace(GROUP, indexes=tuple(map(str, range(GROUP_INDEXES_MAX)))))


def test_a_change_that_needs_too_many_layouts_has_to_wait() -> None:
    value = formed("ab", Group("g", shards=LAYOUTS_MAX, replicas=1))
    older = tuple(layout({"a": number}) for number in range(1, LAYOUTS_MAX))
    value = replace(value, layouts=(*older, *value.layouts), lies={"g": tuple(range(LAYOUTS_MAX))})
    with pytest.raises(ChangeRefusedError, match=r"^too many moves of shards are under way: wait until some"):
        changes.join(value, member("c"))
    first = ShardId("g", 0)
    settled = settle(value, [(first, value.place(first).fence)])
    assert len(changes.join(settled, member("c")).layouts) == LAYOUTS_MAX

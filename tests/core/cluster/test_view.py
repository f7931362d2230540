"""What a node makes of members and groups: placements, identities, and the fate of old records."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.cluster.view import (
    NEVER_DELETED,
    SYSTEM_GROUP,
    SYSTEM_SHARD,
    VIEW_ID_BYTES,
    ClusterView,
    Fate,
    Group,
    Member,
)
from gossipnode.core.model.property import ShardId
from tests.core.support import examples


def members(names: str, **joined: int) -> dict[str, Member]:
    return {name: Member(name, f"{name}:1", joined.get(name, 0)) for name in names}


def view(names: str = "abc", settled: str | None = None, *groups: Group, **more: int) -> ClusterView:
    known = {group.name: group for group in groups or (Group("g", shards=4, replicas=2),)}
    return ClusterView(members(names, **more), known, dict.fromkeys(names if settled is None else settled, 0))


def test_the_system_group_has_one_shard_on_every_member() -> None:
    seen = view("abcde", "ab")
    placement = seen.placement(SYSTEM_SHARD)
    assert placement is not None
    assert placement.coming == placement.settled == tuple("abcde")
    assert not placement.moving
    assert seen.shard(SYSTEM_GROUP, 0) == SYSTEM_SHARD
    assert seen.shard(SYSTEM_GROUP, 1) is None
    assert seen.shard_count(SYSTEM_GROUP) == 1
    assert SYSTEM_SHARD not in list(seen.shards())


def test_shards_are_those_of_the_groups_as_they_are_now() -> None:
    seen = view("abc", None, Group("g", shards=2, incarnation=7))
    assert list(seen.shards()) == [ShardId("g", 0, 7), ShardId("g", 1, 7)]
    assert seen.shard("g", 1) == ShardId("g", 1, 7)
    for group, number in (("g", 2), ("g", -1), ("h", 0)):
        assert seen.shard(group, number) is None
    assert (seen.shard_count("g"), seen.shard_count("h")) == (2, None)
    for shard in (ShardId("g", 0), ShardId("g", 0, 8), ShardId("g", 5, 7), ShardId("h", 0)):
        assert seen.placement(shard) is None


def test_a_view_is_settled_when_its_members_are_the_settled_ones() -> None:
    assert view("abc").is_settled
    assert not view("abc", "ab").is_settled
    assert not view("ab", "abc").is_settled
    assert not view("abc", None, c=5).is_settled


def test_a_placement_is_computed_once() -> None:
    seen = view()
    shard = ShardId("g", 0)
    assert seen.placement(shard) is seen.placement(shard)


def test_a_view_is_known_by_all_that_placements_follow_from() -> None:
    group = Group("g", shards=4, replicas=2, incarnation=7)
    views = [
        view("abc", None, group),
        view("abcd", "abc", group),
        view("abc", "ab", group),
        view("abc", "abc", group, c=1),
        view("abc", None, replace(group, shards=5)),
        view("abc", None, replace(group, replicas=3)),
        view("abc", None, replace(group, incarnation=1)),
        view("abc", None, replace(group, name="h")),
        view("abc", None, group, Group("h", incarnation=8)),
    ]
    assert len({each.view_id for each in views}) == len(views)
    # Groups of a configuration may differ between nodes.
    assert view("abc", None, group, Group("h")).view_id == views[0].view_id
    assert all(len(each.view_id) == VIEW_ID_BYTES for each in views)


def test_what_moves_nothing_does_not_change_the_view_id() -> None:
    group = Group("g")
    assert (
        view("abc", None, group).view_id
        == view("abc", None, replace(group, ack=AckLevel.ALL, indexes=("t",))).view_id
    )


@pytest.mark.parametrize(
    ("incarnation", "group", "deleted", "fate"),
    [
        (5, Group("g", incarnation=5), {}, Fate.CURRENT),
        (0, Group("g"), {}, Fate.CURRENT),
        (4, Group("g", incarnation=9, follows=6), {}, Fate.DROP),
        (6, Group("g", incarnation=9, follows=6), {}, Fate.DROP),
        (7, Group("g", incarnation=9, follows=6), {}, Fate.MERGE),
        (12, Group("g", incarnation=9, follows=6), {}, Fate.MERGE),
        (0, Group("g", incarnation=9, follows=NEVER_DELETED), {}, Fate.MERGE),
        (4, None, {"g": 6}, Fate.DROP),
        (6, None, {"g": 6}, Fate.DROP),
        (7, None, {"g": 6}, Fate.CURRENT),
        (7, None, {}, Fate.CURRENT),
        (0, None, {"h": 6}, Fate.CURRENT),
    ],
)
def test_the_fate_of_records_follows_from_their_incarnation(
    incarnation: int, group: Group | None, deleted: dict[str, int], fate: Fate
) -> None:
    seen = ClusterView(members("a"), {} if group is None else {"g": group}, deleted=deleted)
    assert seen.fate(ShardId("g", 0, incarnation)) is fate


@pytest.mark.slow
@examples(40)
@given(st.permutations("abcd"), st.permutations("abcd"))
def test_equal_registries_give_equal_views(first: list[str], second: list[str]) -> None:
    settled = dict.fromkeys(second, 0)
    one = ClusterView(members("".join(sorted(first))), {"g": Group("g", shards=3)}, settled)
    two = ClusterView(members("abcd"), {"g": Group("g", shards=3)}, dict(sorted(settled.items())))
    assert one.view_id == two.view_id
    assert one == two
    assert [one.placement(shard) for shard in one.shards()] == [
        two.placement(shard) for shard in two.shards()
    ]


def test_nothing_is_given_up_while_members_change() -> None:
    group = Group("g", shards=32, replicas=1)
    settled, moving = view("ab", None, group), view("abc", "ab", group)
    for shard in settled.shards():
        placement = settled.placement(shard)
        assert placement is not None
        for name in "ab":
            assert settled.gives_up(shard, name) is (name not in placement.holders)
            assert not moving.gives_up(shard, name)
    assert not settled.gives_up(SYSTEM_SHARD, "z")
    assert settled.gives_up(ShardId("g", 0, 5), "a"), "another incarnation"
    assert not settled.gives_up(ShardId("unheard of", 0), "a")


def test_members_with_a_shard_to_fill() -> None:
    group = Group("g", shards=32, replicas=1)
    assert view("ab", None, group).joining == frozenset()
    assert view("abc", "ab", group).joining == {"c"}

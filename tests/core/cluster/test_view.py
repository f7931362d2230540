"""What a node makes of the newest epoch: placements by shard, and which records it must drop."""

from __future__ import annotations

from dataclasses import replace

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import ShardId
from tests.core.cluster.clusters import born, formed, member, moving


def test_a_view_shows_what_its_epoch_says() -> None:
    value = formed("abc", Group("g"), Group("h"))
    seen = ClusterView(value)
    assert (seen.epoch, list(seen.members), list(seen.groups)) == (1, ["a", "b", "c"], ["g", "h"])
    assert seen.metadata is value
    assert list(seen.shards()) == list(value.shards())


def test_a_configuration_is_no_epoch() -> None:
    seen = ClusterView(formed(), formed=False)
    assert seen.epoch == 0
    assert list(seen.members) == ["a", "b", "c"]


def test_shards_are_those_of_the_groups_as_they_are_now() -> None:
    seen = ClusterView(formed("abc", Group("g", shards=2, incarnation=7)))
    assert list(seen.shards()) == [ShardId("g", 0, 7), ShardId("g", 1, 7)]
    assert seen.shard("g", 1) == ShardId("g", 1, 7)
    for group, number in (("g", 2), ("g", -1), ("h", 0)):
        assert seen.shard(group, number) is None
    for shard in (ShardId("g", 0), ShardId("g", 0, 8), ShardId("g", 5, 7), ShardId("g", -1, 7)):
        assert seen.placement(shard) is None
    assert seen.placement(ShardId("h", 0)) is None


def test_a_placement_is_computed_once() -> None:
    seen = ClusterView(formed("abc", Group("g", shards=4, replicas=2)))
    shard = ShardId("g", 0)
    assert seen.placement(shard) is seen.placement(shard)
    assert seen.placement(shard) == seen.metadata.place(shard)


def test_a_view_is_settled_when_every_shard_lies_where_it_belongs() -> None:
    group = Group("g", shards=4, replicas=2)
    assert ClusterView(formed("abc", group)).is_settled
    for members in (born("abcd"), born("ab"), {**born("ab"), "c": 5}):
        assert not ClusterView(moving(born("abc"), members, group)).is_settled


def test_what_is_unsettled_comes_with_its_placement() -> None:
    value = moving(born("ab"), born("abc"), Group("g", shards=3), Group("h"))
    seen = ClusterView(value)
    assert [each.shard for each in seen.unsettled()] == list(value.shards())
    settled = changes.settle(value, [(each.shard, each.fence) for each in seen.unsettled()][:2])
    assert [str(each.shard) for each in ClusterView(settled).unsettled()] == ["g/2", "h/0"]


def test_nothing_is_given_up_while_a_shard_moves() -> None:
    group = Group("g", shards=32, replicas=1)
    settled, during = ClusterView(formed("ab", group)), ClusterView(moving(born("ab"), born("abc"), group))
    moved = 0
    for shard in settled.shards():
        placement, later = settled.placement(shard), during.placement(shard)
        assert placement is not None
        assert later is not None
        moved += later.moving
        for name in "ab":
            assert settled.gives_up(shard, name) is (name not in placement.holders)
            assert during.gives_up(shard, name) is (not later.moving and name not in later.holders)
    assert 0 < moved < 32


def test_a_group_that_does_not_exist_is_given_up() -> None:
    value = formed("abc", Group("g"))
    seen = ClusterView(value)
    assert not seen.gives_up(ShardId("g", 0), "a")
    assert seen.gives_up(ShardId("g", 0, 5), "a"), "another incarnation"
    assert seen.gives_up(ShardId("unheard of", 0), "a")
    assert ClusterView(changes.delete_group(value, "g")).gives_up(ShardId("g", 0), "a")


def test_nothing_is_given_up_before_the_cluster_is_formed() -> None:
    seen = ClusterView(formed("abc", Group("g")), formed=False)
    for shard in (ShardId("g", 0), ShardId("g", 0, 5), ShardId("unheard of", 0)):
        assert not seen.gives_up(shard, "z")


def test_what_moves_nothing_changes_no_placement() -> None:
    value = formed("abc", Group("g", shards=4, replicas=2))

    def indexed(group: Group) -> Group:
        return replace(group, indexes=("t",))

    later: ClusterMetadata = changes.alter_group(value, "g", indexed)
    later = changes.create_group(later, Group("h"))
    later = changes.join(later, replace(member("a"), address="elsewhere:1"))
    assert later.epoch == value.epoch + 3
    assert [later.place(shard) for shard in value.shards()] == [value.place(each) for each in value.shards()]

"""What a node makes of the newest epoch: placements by shard, and which records it must drop."""

from __future__ import annotations

from dataclasses import replace

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group
from gossipnode.core.cluster.rankings import Rankings
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import ShardId
from tests.core.cluster.clusters import born, drop, formed, member, moving, settle


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
    settled = settle(value, [(each.shard, each.fence) for each in seen.unsettled()][:2])
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


def seen(value: ClusterMetadata, before: ClusterView | None = None) -> ClusterView:
    """A view of which every placement has been asked for."""
    view = ClusterView(value, before=before)
    for shard in value.shards():
        assert view.placement(shard) == replace(value, rankings=Rankings()).place(shard)
    return view


def taken_over(before: ClusterView, after: ClusterView) -> int:
    """The number of placements that are the very ones of an earlier view."""
    return sum(after.placement(shard) is before.placement(shard) for shard in after.shards())


def test_placements_that_cannot_have_changed_are_taken_over() -> None:
    value = formed("abcdef", Group("g", shards=32, replicas=2), Group("h"))
    first = seen(value)
    assert first.placed == 33
    for after in (
        changes.join(value, replace(member("a"), address="elsewhere:1")),
        changes.create_group(value, Group("more")),
        changes.delete_group(value, "h"),
        changes.alter_group(value, "g", lambda group: replace(group, indexes=("t",))),
    ):
        assert seen(after, first).placed == ("more" in after.groups)


def test_the_members_that_a_shard_does_not_lie_by_change_nothing() -> None:
    value = formed("abcdef", Group("g", shards=32, replicas=2))
    first = seen(value)
    joined = seen(changes.join(value, member("new")), first)
    stays = sum("new" not in joined.metadata.place(shard).holders for shard in value.shards())
    assert 16 < stays < 32
    assert taken_over(first, joined) == stays
    left = seen(changes.leave(value, "c"), first)
    stays = sum("c" not in first.metadata.place(shard).holders for shard in value.shards())
    assert 16 < stays < 32
    assert taken_over(first, left) == stays


def test_only_the_shards_that_settle_are_placed_again() -> None:
    value = changes.join(formed("abcdef", Group("g", shards=32, replicas=2)), member("new"))
    during = seen(value)
    moving = [each for each in during.unsettled() if each.moving]
    after = settle(value, [(each.shard, each.fence) for each in moving[:3]])
    assert seen(after, during).placed == 3
    assert not after.is_settled


def test_another_number_of_replicas_concerns_its_group_alone() -> None:
    value = formed("abcd", Group("g", shards=8, replicas=2), Group("h", shards=8, replicas=2))
    first = seen(value)
    after = seen(changes.alter_group(value, "g", lambda group: replace(group, replicas=3)), first)
    assert taken_over(first, after) == after.placed == 8
    assert {each.shard.group for each in after.unsettled() if each.moving} == {"g"}


def test_a_shard_that_moves_is_placed_again_when_who_moved_it_has_changed() -> None:
    """The replicas may be the same as before, but what was filled then is not all that was written since."""
    first = seen(formed("abc", Group("g", shards=8, replicas=2)))
    joined = changes.join(first.metadata, member("d", 5))
    moving = seen(joined, first)
    again = changes.join(drop(joined, "d"), member("d", 6))
    back = seen(changes.join(drop(again, "d"), member("d", 5)), moving)
    for shard in back.shards():
        was, now = moving.placement(shard), back.placement(shard)
        assert was is not None
        assert now is not None
        assert (now.fence == was.fence) is (not was.moving)


def test_the_same_number_of_another_group_is_another_shard() -> None:
    value = formed("abcd", Group("g", shards=8, replicas=2))
    first = seen(value)
    made = changes.create_group(changes.delete_group(value, "g"), Group("g", shards=8, replicas=2))
    assert seen(made, first).placed == 8

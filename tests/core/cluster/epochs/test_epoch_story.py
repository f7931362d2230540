"""What is told of a change from one epoch to another."""

from __future__ import annotations

from dataclasses import replace

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group, Member, MemberLayout
from gossipnode.core.cluster.deciding.epoch_story import epoch_story


def value(members: tuple[Member, ...], groups: tuple[Group, ...] = (), epoch: int = 5) -> ClusterMetadata:
    staying = tuple(each.identity for each in members if not each.leaving)
    return ClusterMetadata(
        epoch,
        b"c" * 16,
        {each.name: each for each in members},
        {each.name: each for each in groups},
        (MemberLayout(staying),),
    )


A, B, C = (Member(name, f"{name}:1", birth=7) for name in "abc")
SW = Group("sw", shards=2)


def story(before: ClusterMetadata | None, after: ClusterMetadata) -> list[tuple[str, dict[str, object]]]:
    return [(event.what, event.details) for event in epoch_story(before, after)]


def test_a_cluster_is_formed() -> None:
    assert story(None, value((A, B), (SW,))) == [("cluster formed", {"members": "a, b"})]


def test_members_come_move_leave_and_go() -> None:
    before = value((A, B))
    assert story(before, before) == []
    assert story(before, value((A, B, C))) == [("member added", {"member": "c", "address": "c:1"})]
    moved = value((A, replace(B, address="b:2")))
    assert story(before, moved) == [("member moved", {"member": "b", "address": "b:2", "before": "b:1"})]
    reborn = value((A, replace(B, birth=8, address="b:2")))
    assert story(before, reborn) == [("member replaced", {"member": "b", "address": "b:2"})]
    leaving = value((A, replace(B, leaving=True)))
    assert story(before, leaving) == [("member leaves", {"member": "b"})]
    assert story(leaving, leaving) == []
    assert story(leaving, value((A,))) == [("member gone", {"member": "b"})]


def test_groups_are_made_changed_and_go() -> None:
    none, one = value((A,)), value((A,), (SW,))
    made = ("group made", {"group": "sw", "shards": 2, "replicas": 3})
    assert story(none, one) == [made]
    assert story(one, value((A,), (replace(SW, replicas=2),))) == [("group changed", {"group": "sw"})]
    assert story(one, value((A,), (replace(SW, incarnation=9),))) == [made]
    assert story(one, none) == [("group gone", {"group": "sw"})]


def test_how_shards_settle_is_not_told() -> None:
    one = value((A, B), (SW,))
    assert (
        story(replace(one, lies={"sw": (0, 0)}, layouts=(MemberLayout((A.identity,)), *one.layouts)), one)
        == []
    )

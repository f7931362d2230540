"""The shards of every group and who holds them, in the view of now."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.property import ShardId
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.node.refusals.request_errors import UnknownGroupError
from tests.node.epochs import change, created, joins, settled
from tests.node.support import make_local
from tests.records import entity

FOUR = [ShardId("sw", number) for number in range(4)]


def shards_of(own_name: str, members: str = "abcd") -> ShardMap:
    """What a node knows whose cluster has four shards of one replica each."""
    return make_local(own_name=own_name, groups={"sw": 4}, members=members, replicas=1).shards


async def test_every_shard_has_its_holder_and_each_node_names_its_own() -> None:
    maps = {name: shards_of(name) for name in "abcd"}
    held = {name: await shards.held() for name, shards in maps.items()}
    assert sorted(shard for shards in held.values() for shard in shards) == FOUR
    for name, shards in maps.items():
        for shard in FOUR:
            assert shards.holds(shard) == (shard in held[name]) == (shards.replicas(shard) == (name,))
            assert shards.current(shard) == (shard if shard in held[name] else None)
            assert shards.placement(shard).holders == shards.replicas(shard)


def test_an_entity_belongs_to_the_shard_that_the_core_says() -> None:
    shards = shards_of("a")
    for number in range(20):
        of = entity(f"n/{number}")
        assert shards.shard_of(of) == ShardId("sw", shard_of(of, 4))


def test_groups_have_their_numbers_of_shards() -> None:
    shards = shards_of("a")
    assert shards.groups == {"sw": 4}
    assert shards.shard_count("sw") == 4
    assert shards.shards_of("sw") == FOUR
    assert shards.find("sw", 3) == FOUR[3]
    assert [shards.find(*unknown) for unknown in (("sw", 4), ("nope", 0))] == [None, None]


@pytest.mark.parametrize(
    "ask",
    [
        lambda shards: shards.shard_count("nope"),
        lambda shards: shards.shards_of("nope"),
        lambda shards: shards.shard_of(entity("n/1", "nope")),
        lambda shards: shards.placement(ShardId("nope", 0)),
    ],
)
def test_an_unknown_group_is_told_with_those_that_there_are(ask: Callable[[ShardMap], object]) -> None:
    with pytest.raises(UnknownGroupError, match="'nope' is unknown here; this node has: sw"):
        ask(shards_of("a"))
    assert shards_of("a").replicas(ShardId("nope", 0)) == ()


def test_a_peer_means_the_shard_of_the_present_incarnation() -> None:
    local = make_local(groups={"sw": 1})
    change(local, created("made"))
    assert local.shards.current(ShardId("made", 0)) == ShardId("made", 0, 2)
    assert local.shards.find("made", 0) == ShardId("made", 0, 2)
    assert not local.shards.holds(ShardId("made", 0))


async def test_members_that_change_move_shards_at_once_and_those_who_wait_hear_of_it() -> None:
    local = make_local(own_name="b", members=("a",), groups={"sw": 4}, replicas=1)
    assert await local.shards.held() == []
    changed = local.shards.changed.pending
    change(local, joins("b"))
    assert changed.is_set()
    coming = await local.shards.held()
    # Until a shard is settled the old holder is a replica, too.
    assert [local.shards.replicas(shard) for shard in coming] == [("a", "b")] * len(coming)
    settled(local)
    assert await local.shards.held() == coming != []
    assert [local.shards.replicas(shard) for shard in coming] == [("b",)] * len(coming)

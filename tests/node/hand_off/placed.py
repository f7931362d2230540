"""Which members hold a shard, and clusters whose shards are full of records."""

from __future__ import annotations

from gossipnode.core.cluster.placement import Placement, replicas_of
from gossipnode.core.model.property import ShardId
from gossipnode.sim import Cluster
from tests.node.moving import put_one, value

SHARD = ShardId("sw", 0)
FIVE = "abcde"
RECORDS = 60


def placed(cluster: Cluster, shard: ShardId, at: str = "a") -> Placement:
    found = cluster.view(at).placement(shard)
    assert found is not None
    return found


async def fill(cluster: Cluster, count: int = RECORDS) -> None:
    for number in range(count):
        await put_one(cluster, cluster.names[number % len(cluster.names)], f"n/{number}", number)


async def all_there(cluster: Cluster, names: str, count: int = RECORDS) -> None:
    """All data from every node."""
    for name in names:
        for number in range(count):
            assert await value(cluster, name, f"n/{number}") == number


def joiner_of(cluster: Cluster, shard: ShardId, *, with_: str = "") -> str:
    """A name that no member has yet, and that would get this shard, together with a member."""
    view = cluster.view("a")
    replicas = view.groups[shard.group].replicas
    for name in "defghijklmnop":
        holders = replicas_of(shard, [*view.members, name], replicas)
        if name in holders and set(with_) <= set(holders):
            return name
    raise AssertionError

"""What a node takes over from the epoch before, when it is told of the next one."""

from __future__ import annotations

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group
from gossipnode.core.cluster.deciding.acceptor import AcceptorState
from gossipnode.core.cluster.deciding.epoch_messages import Ballot
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.wire.epochs.metadata_codec import decode_metadata, encode_metadata
from tests.node.support import birth, formed, make_local


def sent(value: ClusterMetadata) -> ClusterMetadata:
    """A value as it comes from another node."""
    return decode_metadata(encode_metadata(value))


def knowing(members: str = "abcdef") -> tuple[ClusterState, ClusterMetadata]:
    """A node that has looked at every shard."""
    local = make_local(groups={"sw": 16}, members=members, replicas=2, ack=AckLevel.QUORUM)
    for shard in local.shards.view.shards():
        assert local.shards.view.placement(shard) is not None
    value = local.cluster.metadata
    assert value is not None
    return local.cluster, value


async def test_where_shards_lie_is_not_computed_again_for_an_epoch_that_changes_nothing_of_it() -> None:
    cluster, value = knowing()
    before = cluster.view
    after = sent(changes.create_group(value, Group("more")))
    assert await cluster.adopt(after, birth("b"))
    assert [cluster.view.placement(shard) for shard in before.shards()] == [
        before.placement(shard) for shard in before.shards()
    ]
    assert cluster.view.placed == 0


async def test_a_newcomer_is_compared_with_what_is_remembered() -> None:
    cluster, value = knowing()
    after = sent(changes.join(value, formed("g").members["g"]))
    assert await cluster.adopt(after, birth("b"))
    for shard in cluster.view.shards():
        cluster.view.placement(shard)
    # Six members would have to be scored for each of sixteen shards otherwise.
    assert after.rankings.scored < 16 * 5


async def test_what_was_accepted_is_kept_when_it_is_decided() -> None:
    cluster, value = knowing()
    accepted = sent(changes.create_group(value, Group("more")))
    cluster.acceptor = AcceptorState(cluster.own.birth, value, Ballot(1, 1), (Ballot(1, 1), accepted))
    assert await cluster.adopt(sent(accepted), birth("b"))
    assert cluster.metadata is accepted
    assert cluster.view.metadata is accepted

"""What a node shows an operator of itself: its status, and the tree of a shard.

A node may hold tens of thousands of shards. To make one message of all of them would take the loop for longer
than other tasks can wait, so the shards of a status are encoded one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gossipnode.core.session.tree import Leaf, Tree
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.tables import make
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.gossipnode.v1 import node_pb2 as pb


def encode_tree(tree: Tree | None) -> v1.TreeResponse:
    """The root and the slots of a tree; None where the node does not hold the shard."""
    if tree is None:
        return v1.TreeResponse(state="missing")
    return v1.TreeResponse(
        state="ready",
        root=tree.root,
        slots=[v1.TreeResponseSlot(slot=slot.slot, sha=slot.sha) for slot in tree.slots],
    )


def encode_leaves(leaves: Iterable[Leaf]) -> v1.TreeResponse:
    """Some leaves of a tree, in their order."""
    return v1.TreeResponse(leaves=[_encode_leaf(leaf) for leaf in leaves])


def _encode_leaf(leaf: Leaf) -> v1.TreeResponseLeaf:
    return make(
        v1.TreeResponseLeaf,
        group=leaf.entity.group,
        name=leaf.entity.name,
        id=leaf.entity.id,
        slot=leaf.slot,
        sha=leaf.sha,
        mod_revision=leaf.version.mod_revision,
        delete_time=leaf.version.delete_time,
        digest=leaf.version.digest,
    )


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What a node says of itself."""

    node: v1.StatusResponse
    """All but its shards."""
    shards: Sequence[bytes]
    """Each as `encode_shard` gives it."""


def encode_shard(shard: pb.ShardStatus) -> bytes:
    """A shard as it stands in an encoded status."""
    return pb.StatusResponse(shards=[shard]).SerializeToString()


def encode_status(status: NodeStatus | v1.StatusResponse) -> bytes:
    """The bytes of an answer."""
    if isinstance(status, NodeStatus):
        # The fields of a message may come in any order.
        return encode(status.node) + b"".join(status.shards)
    return encode(status)

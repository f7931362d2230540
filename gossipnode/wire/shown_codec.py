"""What a node shows an operator of itself: its status, and the tree of a shard.

A node may hold tens of thousands of shards. To make one message of all of them would take the loop for longer
than other tasks can wait, so the shards of a status are encoded one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gossipnode.core.session.reconcile.survey_client import Difference
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


def encode_differences(differences: Iterable[Difference]) -> v1.DiffResponse:
    """Some records that differ between two nodes, in their order."""
    return v1.DiffResponse(differences=[_encode_difference(each) for each in differences])


def _encode_difference(found: Difference) -> v1.DiffResponseDifference:
    entity = found.entity
    said = v1.DiffResponseDifference(group=entity.group, name=entity.name, id=entity.id)
    if found.here is not None:
        said.here = v1.DiffResponseVersion(*found.here)
    if found.there is not None:
        said.there = v1.DiffResponseVersion(*found.there)
    return said


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What a node says of itself."""

    node: v1.StatusResponse
    """All but its shards."""
    shards: Sequence[bytes]
    """Each as `encode_shard` gives it, or their sums."""


def encode_shard(shard: pb.ShardStatus) -> bytes:
    """A shard as it stands in an encoded status."""
    return pb.StatusResponse(shards=[shard]).SerializeToString()


class GroupSums:
    """Sums of shards, by group."""

    def __init__(self) -> None:
        """There are no shards yet."""
        self._sums: dict[str, pb.GroupStatus] = {}

    def add(self, shard: pb.ShardStatus) -> None:
        """Add a shard to the sum of its group."""
        known = self._sums.get(shard.group)
        if known is None:
            known = pb.GroupStatus(group=shard.group, last_converged=shard.last_converged)
            self._sums[shard.group] = known
        known.shards += 1
        known.records += shard.records
        known.tombstones += shard.tombstones
        known.building += shard.tree != "ready"
        known.moving += shard.HasField("moving")
        known.behind += bool(shard.behind)
        known.last_converged = min(known.last_converged, shard.last_converged)

    def encoded(self) -> list[bytes]:
        """Each sum as it stands in an encoded status, in the order in which the groups came."""
        return [pb.StatusResponse(groups=[known]).SerializeToString() for known in self._sums.values()]


def encode_status(status: NodeStatus | v1.StatusResponse) -> bytes:
    """The bytes of an answer."""
    if isinstance(status, NodeStatus):
        # The fields of a message may come in any order.
        return encode(status.node) + b"".join(status.shards)
    return encode(status)

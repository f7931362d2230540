"""The tree of a shard, as the messages that show it to an operator."""

from __future__ import annotations

from collections.abc import Iterable

from gossipnode.core.session.tree import Leaf, Tree
from gossipnode.wire.envelope.tables import make
from gossipnode.wire.generated.bp.gossipnode import v1


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
    )

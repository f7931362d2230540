"""The tree of a shard, as an operator's client reads it."""

from __future__ import annotations

from gossipnode.core.model.property import Entity
from gossipnode.core.model.version import Version
from gossipnode.core.session.tree import Leaf, SlotDigest, Tree
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.generated.pb.gossipnode.v1 import node_pb2
from gossipnode.wire.tree_codec import encode_leaves, encode_tree


def test_root_and_slots() -> None:
    tree = Tree("ab", (SlotDigest(0, "cd"), SlotDigest(31, "ef")))
    read = node_pb2.TreeResponse.FromString(encode(encode_tree(tree)))
    assert (read.state, read.root, len(read.leaves)) == ("ready", "ab", 0)
    assert [(slot.slot, slot.sha) for slot in read.slots] == list(tree.slots)


def test_an_empty_tree_differs_from_none() -> None:
    assert encode_tree(Tree("", ())).state == "ready"
    assert encode_tree(None).state == "missing"


def test_leaves_in_their_order() -> None:
    leaves = [
        Leaf(0, Entity("g", "n", "a/b"), "ab", Version(7, 0, bytes(32))),
        Leaf(31, Entity("g", "n", "c"), "cd", Version(2**62, 2**62, bytes(32))),
    ]
    read = node_pb2.TreeResponse.FromString(encode(encode_leaves(leaves)))
    assert (read.state, read.root) == ("", "")
    assert [
        (leaf.slot, (leaf.group, leaf.name, leaf.id), leaf.sha, leaf.mod_revision, leaf.delete_time)
        for leaf in read.leaves
    ] == [
        (leaf.slot, leaf.entity, leaf.sha, leaf.version.mod_revision, leaf.version.delete_time)
        for leaf in leaves
    ]

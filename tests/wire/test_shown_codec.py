"""The status of a node and the tree of a shard, as an operator's client reads them."""

from __future__ import annotations

from gossipnode.core.model.property import Entity
from gossipnode.core.model.version import Version
from gossipnode.core.session.tree import Leaf, SlotDigest, Tree
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.gossipnode.v1 import node_pb2
from gossipnode.wire.services import NODE_STATUS
from gossipnode.wire.shown_codec import NodeStatus, encode_leaves, encode_shard, encode_status, encode_tree


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


def test_a_status_with_its_shards_encoded_apart_is_read_as_one_message() -> None:
    shards = [
        node_pb2.ShardStatus(
            group="g", shard=number, replicas=["a", "b"], records=number, root="ab", tree="ready"
        )
        for number in range(3)
    ]
    shards[2].moving.CopyFrom(node_pb2.ShardStatus.Moving(to=["c"], done=1, total=2))
    node = v1.StatusResponse(node="a", state="ready", epoch=7, members=[v1.Member(name="a")])
    data = encode_status(NodeStatus(node, [encode_shard(shard) for shard in shards]))
    read = NODE_STATUS.decode_reply(data)
    assert [(shard.group, shard.shard, shard.records) for shard in read.shards] == [
        ("g", 0, 0),
        ("g", 1, 1),
        ("g", 2, 2),
    ]
    assert read.shards[0].replicas == ["a", "b"]
    assert (read.shards[2].moving.to, read.shards[2].moving.total) == (["c"], 2)
    assert (read.node, read.state, read.epoch, read.members[0].name) == ("a", "ready", 7, "a")
    assert NODE_STATUS.decode_reply(NODE_STATUS.encode_reply(read)) == read

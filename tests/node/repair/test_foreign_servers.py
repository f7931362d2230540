"""Sessions that a node opens with a foreign peer, which are another matter than those between own nodes."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from gossipnode.config.settings import DEFAULT_FOREIGN_RETENTION_SECONDS
from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Record
from gossipnode.core.model.tag_value import IntArray
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd
from gossipnode.core.session.messages import (
    AnswerTo,
    DifferSummary,
    PageLeaf,
    PropertyAnswer,
    RootCompare,
    ServerMessage,
)
from gossipnode.core.session.tree import Leaf
from gossipnode.core.session.tree_server import TreeServer
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.repair.shard_store import ShardStore
from gossipnode.rpc import ServerStream
from gossipnode.wire.property.canonical_json import Spacing, leaf_digest
from gossipnode.wire.property.payload import with_next_revision
from gossipnode.wire.services import REPAIR
from tests.node.repair.tree_streams import tree_stream
from tests.node.repair.two_nodes import ADDRESSES, MESSAGE, SHARD, NodeA, Serve
from tests.node.support import NOW, make_local, memory_store
from tests.records import bare_record, entity, prop, record


async def holding(*records: Record, spacing: Spacing = "none") -> LocalState:
    store = memory_store(leaf_digest=partial(leaf_digest, spacing=spacing))
    await store.write([(SHARD, each) for each in records])
    return make_local(store)


async def leaves_of(local: LocalState, slot: int) -> list[Leaf]:
    return await local.store.leaves(SHARD, slot, after=None, limit=10)


async def hop_to_foreign(ours: LocalState, theirs: LocalState) -> Hop:
    """A session of node a with b, which holds `theirs`."""

    async def serve(stream: ServerStream[Any, Any]) -> None:
        session = TreeServer(theirs.shards.groups, page_leaves=10)
        await tree_stream(stream, session, ShardStore(theirs)).run()

    return await hop_to(serve, ours)


async def differ_then(stream: ServerStream[Any, Any], *messages: ServerMessage) -> None:
    """Say that the roots differ, then this, then that there are no more pages."""
    await stream.recv()
    await stream.send_batch([RootCompare(tree_found=True, root_match=False), *messages, DifferSummary(())])
    while await stream.recv_batch(16):
        pass


async def hop_to(serve: Serve, ours: LocalState) -> Hop:
    """A session of node a with b, which is named as a foreign member."""
    node = NodeA(ours)
    async with node.running({REPAIR: serve}) as peers:
        await node.members.sync({"a": ADDRESSES["a"]})
        await node.members.sync(ADDRESSES, {"b"})
        return await peers.repair("b", MESSAGE)


async def test_a_record_that_differs_is_asked_for_before_ours_is_sent() -> None:
    ours = await holding(record("n/x", revision=7, k="new"), record("n/y", revision=2, k="old"))
    theirs = await holding(record("n/x", revision=3, k="old"), record("n/y", revision=9, k="new"))
    hop = await hop_to_foreign(ours, theirs)
    assert (hop.sent, hop.received, hop.skipped) == (1, 2, 0)
    assert (await ours.store.tree(SHARD)) == (await theirs.store.tree(SHARD))


async def test_a_record_that_would_end_the_peer_is_never_sent() -> None:
    bad = record("n/bad", revision=7, k=IntArray())
    ours, theirs = await holding(bad, record("n/x", revision=7)), await holding()
    hop = await hop_to_foreign(ours, theirs)
    assert (hop.sent, hop.skipped) == (1, 1)
    assert hop.reason == "left out: 1 peer cannot store an empty int[], such as sw/n/bad"
    assert await theirs.store.read(SHARD, [bad.entity]) == [None]


async def test_tombstones_older_than_a_week_are_not_offered() -> None:
    old = NOW - DEFAULT_FOREIGN_RETENTION_SECONDS * 1_000_000_000
    ours = await holding(record("n/old", delete_time=old - 1), record("n/new", delete_time=old))
    theirs = await holding()
    hop = await hop_to_foreign(ours, theirs)
    assert (hop.sent, hop.skipped) == (1, 0)
    assert [leaf.entity.id for slot in range(32) for leaf in await leaves_of(theirs, slot)] == ["new"]


async def test_a_record_that_is_too_large_for_us_is_left_out_alone() -> None:
    large = bare_record("n/a", prop("n/a", k="x" * (5 << 20)))
    small = record("n/b", revision=7)

    async def serve(stream: ServerStream[Any, Any]) -> None:
        await differ_then(
            stream, PropertyAnswer(AnswerTo.MISSING, large), PropertyAnswer(AnswerTo.MISSING, small)
        )

    ours = await holding()
    hop = await hop_to(serve, ours)
    assert (hop.end, hop.received, hop.reason) == (HopEnd.REPAIRED, 2, "left out: 1 not storable")
    assert await ours.store.read(SHARD, [small.entity]) == [small]


@pytest.mark.slow
async def test_a_page_may_hold_all_leaves_of_a_large_slot() -> None:
    entities = (entity(f"n/{number:06}{'x' * 1000}") for number in range(200_000))
    leaves = tuple(PageLeaf(3, True, each.text, "0" * 128) for each in entities if slot_of(each) == 3)

    async def serve(stream: ServerStream[Any, Any]) -> None:
        await differ_then(stream, DifferSummary(leaves))

    assert (await hop_to(serve, await holding())).end is HopEnd.REPAIRED


async def test_a_peer_with_another_number_of_slots_is_named_as_such() -> None:
    async def serve(stream: ServerStream[Any, Any]) -> None:
        await differ_then(stream, DifferSummary((PageLeaf(40, True, "sw/n/x", "0" * 128),)))

    hop = await hop_to(serve, await holding())
    assert (hop.end, hop.reason) == (HopEnd.FAILED, "b uses another number of slots")


async def test_the_dialect_of_a_peer_is_learnt_from_a_leaf_and_remembered() -> None:
    """The records are the same: one round trip more, and both roots are equal in the peer's dialect."""
    records = [record(f"n/{number}", revision=5, a="x", b="y") for number in range(70)]
    ours, theirs = await holding(*records), await holding(*records, spacing="commas")
    node, roots = NodeA(ours), []

    async def serve(stream: ServerStream[Any, Any]) -> None:
        session = TreeServer(theirs.shards.groups, page_leaves=10)
        await tree_stream(stream, session, ShardStore(theirs)).run()
        roots.append(session.found_equal)

    async with node.running({REPAIR: serve}) as peers:
        await node.members.sync({"a": ADDRESSES["a"]})
        await node.members.sync(ADDRESSES, {"b"})
        for _ in range(2):
            hop = await peers.repair("b", MESSAGE)
            assert (hop.end, hop.sent, hop.received) == (HopEnd.EQUAL, 0, 0)
        assert node.members.peers["b"].leaf_json == "commas"
    assert roots == [True, True], "the first session was left in the middle"


async def test_what_differs_is_repaired_in_the_dialect_of_the_peer() -> None:
    same = [record(f"n/{number}", revision=5, a="x", b="y") for number in range(40)]
    newer, only_there = record("n/3", revision=9), record("n/there", revision=9)
    ours = await holding(*same, newer)
    theirs = await holding(*same, only_there, spacing="commas")
    hop = await hop_to_foreign(ours, theirs)
    assert (hop.end, hop.sent, hop.received, hop.skipped) == (HopEnd.REPAIRED, 1, 2, 0)
    assert (await hop_to_foreign(ours, theirs)).end is HopEnd.EQUAL


async def test_another_content_of_one_revision_ends_with_the_next_revision() -> None:
    here, there = record("n/x", revision=5, k="a"), record("n/x", revision=5, k="b")
    if here.version < there.version:
        here, there = there, here
    ours, theirs = await holding(here), await holding(there)
    hop = await hop_to_foreign(ours, theirs)
    assert (hop.end, hop.sent, hop.received, hop.skipped) == (HopEnd.REPAIRED, 1, 1, 0)
    for side in (ours, theirs):
        assert await side.store.read(SHARD, [here.entity]) == [with_next_revision(here)]

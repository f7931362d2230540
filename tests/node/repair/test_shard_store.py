"""The store as one session sees it: one shard, as long as this node holds it."""

from __future__ import annotations

import pytest

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.commands import FetchPage, FetchRecords, ReadLeaves, Write
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.refusals.request_errors import ShardGoneError, ViewConflictError
from gossipnode.node.repair.shard_store import CallerView, ShardStore
from gossipnode.store.memory_image import MemoryImage
from tests.node.epochs import change, created, deleted, joins
from tests.node.support import NOW, make_local, memory_store
from tests.records import entity, record

SHARD = ShardId("sw", 0)
NAMED = ShardId("made", 0)
"""The shard as a peer names it, without an incarnation."""


def holding(*, incarnation: int = 7, own_name: str = "a") -> LocalState:
    """A node of a cluster in which a group was made."""
    local = make_local(own_name=own_name, groups={})
    make(local, incarnation)
    return local


def make(local: LocalState, incarnation: int) -> None:
    """Have the group made in the epoch of this number."""
    at = local.cluster.epoch
    change(local, *(joins(f"j{number}") for number in range(at, incarnation - 1)), created("made"))
    assert local.shards.find("made", 0) == ShardId("made", 0, incarnation)


def made(key: str, revision: int = 1) -> Record:
    return record(key, group="made", revision=revision)


async def put(local: LocalState, *records: Record, incarnation: int = 7) -> None:
    await local.store.write([(ShardId("made", 0, incarnation), each) for each in records])


async def test_a_server_learns_its_shard_from_the_clients_first_message() -> None:
    local = holding()
    await put(local, made("n/1"))
    store = ShardStore(local)
    tree = await store.tree(NAMED)
    assert tree == await local.store.tree(ShardId("made", 0, 7))
    assert tree.root
    assert await store.records(FetchRecords((entity("n/1", "made"), entity("n/2", "made")))) == [
        made("n/1"),
        None,
    ]


async def test_a_record_that_is_damaged_counts_as_missing_and_costs_no_other() -> None:
    """The peer sends it again. A session that failed at it would never repair anything."""
    image = MemoryImage()
    local = make_local(memory_store(image=image))
    await local.store.write([(SHARD, record("n/1")), (SHARD, record("n/2"))])
    image.held(SHARD).rotten[entity("n/1")] = b"rotten"
    store = ShardStore(local, SHARD)
    assert await store.tree(SHARD) is not None
    assert await store.records(FetchRecords((entity("n/1"), entity("n/2")))) == [None, record("n/2")]


async def test_leaves_are_read_a_page_at_a_time() -> None:
    local = holding()
    slot = slot_of(entity("n/1", "made"))
    numbered = [made(f"n/{number}") for number in range(200)]
    of_slot = sorted(
        (each for each in numbered if slot_of(each.entity) == slot), key=lambda each: each.entity
    )
    await put(local, *numbered)
    store = ShardStore(local, ShardId("made", 0, 7))
    whole = await store.leaves(ReadLeaves(slot, None, 99))
    assert [leaf.entity for leaf in whole] == [each.entity for each in of_slot]
    assert [leaf.version for leaf in whole] == [each.version for each in of_slot]
    assert await store.leaves(ReadLeaves(slot, whole[0].entity, 2)) == whole[1:3]


async def test_pages_of_records_come_in_the_order_of_the_tree() -> None:
    local = make_local()
    await local.store.write([(SHARD, record(f"n/{number}")) for number in range(10)])
    store = ShardStore(local, SHARD)
    await store.index(SHARD)
    read: list[Record | None] = []
    after, pages = None, 0
    while pages == 0 or after is not None:
        after, page = await store.page(FetchPage(after, 4))
        read += page
        pages += 1
    assert pages == 3
    assert [each.entity for each in read if each] == [
        version.entity for version in await local.store.versions(SHARD, limit=100)
    ]


async def test_a_shard_that_is_not_held_has_no_tree() -> None:
    assert await ShardStore(holding(own_name="nobody")).tree(NAMED) is None
    assert await ShardStore(holding()).tree(ShardId("made", 1)) is None
    assert await ShardStore(holding()).tree(ShardId("nope", 0)) is None


async def test_a_caller_that_sees_another_cluster_is_refused() -> None:
    local = holding()
    fence = local.shards.placement(ShardId("made", 0, 7)).fence.hex()
    for caller in (CallerView(), CallerView("7"), CallerView("7", fence), CallerView("", fence)):
        assert await ShardStore(local, caller=caller).tree(NAMED) is not None
    for caller, problem in (
        (CallerView("6", fence), "a has another incarnation of group 'made'"),
        (CallerView("7", "abcd"), "a sees other members for made/0"),
    ):
        with pytest.raises(ViewConflictError, match=problem):
            await ShardStore(local, caller=caller).tree(NAMED)
    # A caller that gets no tree need not agree with us.
    assert await ShardStore(local, caller=CallerView("6")).tree(ShardId("nope", 0)) is None


async def test_what_a_session_takes_is_stored_on_the_one_way_into_the_store() -> None:
    local = holding()
    store = ShardStore(local, ShardId("made", 0, 7))
    written = local.writer.written.pending
    newer = made("n/1", NOW)
    assert await store.write(Write((newer,))) == [WriteOutcome.STORED]
    assert written.is_set()
    assert local.clock.last == NOW
    assert await store.write(Write((made("n/1", 5), newer))) == [WriteOutcome.OLDER, WriteOutcome.EQUAL]


async def test_a_shard_that_was_given_up_meanwhile_is_not_written_to() -> None:
    """What was dropped stays dropped."""
    local = holding()
    store = ShardStore(local, ShardId("made", 0, 7))
    assert await store.tree(NAMED) is not None
    await store.write(Write((made("n/1"),)))
    change(local, deleted("made"))
    make(local, 9)
    await local.store.drop(ShardId("made", 0, 7))
    with pytest.raises(ShardGoneError, match="shard made/0 is held here no more"):
        await store.write(Write((made("n/2"),)))
    assert local.store.shards() == []


async def test_a_shard_that_this_node_leaves_is_handed_over_although_it_is_not_held() -> None:
    local = holding(incarnation=9)
    old = ShardId("made", 0, 7)
    await put(local, made("n/1"))
    store = ShardStore(local, old, leaving=True)
    assert await store.tree(NAMED) == await local.store.tree(old)
    # What the peer sends is stored, too: nothing is dropped before both sides have the same.
    assert await store.write(Write((made("n/2"),))) == [WriteOutcome.STORED]
    assert (await local.store.counts(old)).records == 2

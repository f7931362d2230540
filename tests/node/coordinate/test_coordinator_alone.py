"""What clients write to a node alone: merged, stamped above what was there, and refused where it must be."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.property import ShardId, check_entity
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.node.coordinate.bulk_writes import ImportedRecord, PreparedImport
from gossipnode.node.coordinate.coordinator import APPLY_ATTEMPTS
from gossipnode.node.coordinate.record_reads import APPLY_PAUSE_MAX_SECONDS
from gossipnode.node.query.delete_by_name import delete_by_name
from gossipnode.node.refusals.request_errors import (
    NotAReplicaError,
    NotStoredError,
    RefusedGroupError,
    ReplicasFullError,
    UnknownGroupError,
)
from gossipnode.store.interface import StoreFullError
from gossipnode.wire.property.draft import draft_of
from gossipnode.wire.property.property_edit import read_property
from gossipnode.wire.wire_errors import WireError
from tests.node.coordinate.bulk.imports import create_revision, import_all, items
from tests.node.support import (
    NOW,
    SECOND,
    Alone,
    Start,
    WallClock,
    make_local,
    memory_store,
    put,
    serve,
    stored,
    tags_of,
)
from tests.records import entity, prop, record

SHARD = ShardId("sw", 0)


async def test_merge_keeps_the_tags_that_do_not_come_in(start: Start) -> None:
    alone = await start()
    first = await alone.coordinator.apply(prop("n/1", a=1, b=2), replace=False)
    second = await alone.coordinator.apply(prop("n/1", b=3, c=4), replace=False)
    assert (first.created, second.created) == (True, False)
    assert draft_of(second.record).tag_count == 3
    assert (second.acknowledged, second.replicas) == (1, alone.local.shards.placement(SHARD).replicas)
    assert tags_of(await stored(alone.local, "n/1")) == {"a": 1, "b": 3, "c": 4}
    assert list(tags_of(second.record)) == ["a", "b", "c"]


async def test_replace_takes_the_new_tags_alone(start: Start) -> None:
    alone = await start()
    await alone.coordinator.apply(prop("n/1", a=1, b=2), replace=False)
    await alone.coordinator.apply(prop("n/1", c=4), replace=True)
    assert tags_of(await stored(alone.local, "n/1")) == {"c": 4}


@pytest.mark.parametrize("replace", [True, False])
async def test_create_revision_stays_and_mod_revision_rises(start: Start, replace: bool) -> None:
    clock = WallClock()
    alone = await start(wall_clock=clock)
    first = (await alone.coordinator.apply(prop("n/1"), replace=False)).record
    clock.now += 5 * SECOND
    second = (await alone.coordinator.apply(prop("n/1"), replace=replace)).record
    assert create_revision(first.payload) == NOW == first.version.mod_revision
    assert create_revision(second.payload) == NOW
    assert second.version.mod_revision == NOW + 5 * SECOND
    assert read_property(second.payload).updated_at == (second.version.mod_revision // SECOND, 0)


async def test_an_apply_to_a_deleted_record_creates_it_again(start: Start) -> None:
    clock = WallClock()
    alone = await start(wall_clock=clock)
    await alone.coordinator.apply(prop("n/1", old=1), replace=False)
    assert (await alone.coordinator.delete(entity("n/1"))).tombstone is not None
    clock.now += SECOND
    applied = await alone.coordinator.apply(prop("n/1", new=1), replace=False)
    assert applied.created
    assert create_revision(applied.record.payload) == NOW + SECOND
    assert tags_of(await stored(alone.local, "n/1")) == {"new": 1}


async def test_delete_leaves_a_tombstone_above_the_record(start: Start) -> None:
    alone = await start()
    live = (await alone.coordinator.apply(prop("n/1", a=1), replace=False)).record
    tombstone = (await alone.coordinator.delete(entity("n/1"))).tombstone
    assert tombstone is not None
    assert tombstone.version > live.version
    assert tombstone.deleted
    assert tombstone.version.mod_revision == tombstone.version.delete_time
    assert create_revision(tombstone.payload) == create_revision(live.payload)
    assert await stored(alone.local, "n/1") == tombstone
    assert (await alone.coordinator.get(entity("n/1"))).record is None


async def test_nothing_live_there_is_no_delete(start: Start) -> None:
    alone = await start()
    assert (await alone.coordinator.delete(entity("n/1"))).tombstone is None
    assert await stored(alone.local, "n/1") is None
    await alone.coordinator.apply(prop("n/1"), replace=False)
    await alone.coordinator.delete(entity("n/1"))
    before = await stored(alone.local, "n/1")
    assert (await alone.coordinator.delete(entity("n/1"))).tombstone is None
    assert await stored(alone.local, "n/1") == before


async def test_get_reads_what_is_live(start: Start) -> None:
    alone = await start()
    applied = await alone.coordinator.apply(prop("n/1", a=1), replace=False)
    assert (await alone.coordinator.get(entity("n/1"))).record == applied.record
    assert (await alone.coordinator.get(entity("n/2"))).record is None


async def test_stamps_of_a_record_rise_while_the_clock_jumps_back(start: Start) -> None:
    clock = WallClock()
    alone = await start(wall_clock=clock)
    stamps: dict[str, list[int]] = {"n/1": [], "n/2": []}
    for jump in (0, -3600, 10, -86_400, 86_400 * 2):
        clock.now += jump * SECOND
        for key, of_key in stamps.items():
            applied = await alone.coordinator.apply(prop(key), replace=False)
            of_key.append(applied.record.version.mod_revision)
    assert all(of_key == sorted(set(of_key)) for of_key in stamps.values())


async def test_a_record_from_the_future_is_superseded_and_leaves_the_clock_alone(start: Start) -> None:
    alone = await start()
    ahead = NOW + 3600 * SECOND
    await put(alone.local, record("n/1", revision=ahead), record("n/2", revision=1, delete_time=ahead))
    over = (await alone.coordinator.apply(prop("n/1"), replace=True)).record
    again = (await alone.coordinator.apply(prop("n/2"), replace=True)).record
    other = (await alone.coordinator.apply(prop("n/3"), replace=True)).record
    assert over.version.mod_revision == ahead + 1
    assert again.version.mod_revision == ahead + 1
    assert other.version.mod_revision < NOW + SECOND
    assert await stored(alone.local, "n/1") == over


@pytest.mark.parametrize("group", ["_x", "_"])
async def test_the_systems_groups_take_no_client_writes(start: Start, group: str) -> None:
    alone = await start(groups={"sw": 1, "_": 1, "_x": 1})
    with pytest.raises(RefusedGroupError):
        await alone.coordinator.apply(prop("n/1", group), replace=False)
    with pytest.raises(RefusedGroupError):
        await alone.coordinator.delete(entity("n/1", group))
    with pytest.raises(RefusedGroupError):
        await delete_by_name(alone.queries, alone.bulk, group, "n", "")
    with pytest.raises(RefusedGroupError):
        await alone.bulk.prepare_import(group, [], keep_versions=True)
    assert (await alone.coordinator.get(entity("n/1", group), ack="local")).record is None


async def test_an_unknown_group_names_those_that_are_there(start: Start) -> None:
    alone = await start(groups={"sw": 1, "flags": 1})
    with pytest.raises(UnknownGroupError, match=r"'nope'.*flags, sw"):
        await alone.coordinator.apply(prop("n/1", "nope"), replace=False)
    with pytest.raises(UnknownGroupError):
        await alone.bulk.prepare_import("nope", [], keep_versions=False)


async def test_a_node_without_a_copy_names_those_that_have_one(nursery: trio.Nursery) -> None:
    alone = await serve(nursery, make_local(own_name="z"))
    batch = [ImportedRecord(prop("n/1"), 0)]

    async def import_kept() -> None:
        await alone.bulk.prepare_import("sw", batch, keep_versions=True)

    async def import_replaced() -> None:
        prepared = await alone.bulk.prepare_import("sw", batch, keep_versions=False)
        assert isinstance(prepared, PreparedImport)
        await prepared.commit()

    for attempt in (
        lambda: alone.coordinator.apply(prop("n/1"), replace=False),
        lambda: alone.coordinator.get(entity("n/1")),
        lambda: alone.coordinator.delete(entity("n/1")),
        import_kept,
        import_replaced,
    ):
        with pytest.raises(NotAReplicaError, match="sw/0: ask one of a, b"):
            await attempt()


async def test_wrong_keys_are_refused(start: Start) -> None:
    alone = await start()
    with pytest.raises(WireError):
        await alone.coordinator.apply(prop("n/"), replace=False)
    with pytest.raises(InvalidEntityError):
        await alone.coordinator.get(entity("n/"))
    with pytest.raises(InvalidEntityError):
        await alone.coordinator.delete(entity("/1"))


async def test_concurrent_merges_of_one_record_all_survive(start: Start, autojump_clock: object) -> None:
    alone = await start(memory_store(commit_seconds=1))
    async with trio.open_nursery() as nursery:
        for i in range(20):

            async def merge(i: int = i) -> None:
                await alone.coordinator.apply(prop("n/1", **{f"tag-{i}": i}), replace=False)

            nursery.start_soon(merge)
    assert tags_of(await stored(alone.local, "n/1")) == {f"tag-{i}": i for i in range(20)}
    assert not alone.steps.locks.held


async def test_a_version_that_came_in_between_is_merged_with(start: Start, autojump_clock: object) -> None:
    """A session stores a newer record while ours is written: we read, merge and stamp a second time."""
    clock = WallClock()
    store = memory_store()
    alone = await start(store, wall_clock=clock)
    write = store.write
    peers = [record("n/1", k="peer", revision=NOW + SECOND)]

    async def overtaken(shard_records: object, **options: int) -> list[WriteResult]:
        if peers:
            await write([(ShardId("sw", 0), peers.pop())])
        return await write(shard_records, **options)  # type: ignore[arg-type]

    store.write = overtaken  # type: ignore[method-assign,assignment]
    applied = await alone.coordinator.apply(prop("n/1", mine=1), replace=False)
    assert not applied.created
    assert tags_of(await stored(alone.local, "n/1")) == {"k": "peer", "mine": 1}


async def test_newer_versions_without_end_are_an_error_and_free_the_lock(start: Start) -> None:
    store = memory_store()
    alone = await start(store)
    writes: list[object] = []

    async def always_older(shard_records: list[object], **_: int) -> list[WriteResult]:
        writes.append(shard_records)
        return [WriteResult(WriteOutcome.OLDER, Version(NOW, 0, b"")) for _ in shard_records]

    store.write = always_older  # type: ignore[method-assign,assignment]
    with pytest.raises(NotStoredError, match="sw/n/1: newer versions keep coming in"):
        await alone.coordinator.apply(prop("n/1"), replace=False)
    assert len(writes) == APPLY_ATTEMPTS
    assert not alone.steps.locks.held


async def test_a_write_over_a_long_way_steps_aside_for_longer(start: Start, autojump_clock: object) -> None:
    """Where a try takes long, two writers that begin again after a moment meet again."""
    store = memory_store()
    alone = await start(store)

    async def older_in_the_end(shard_records: list[object], **_: int) -> list[WriteResult]:
        await trio.sleep(1.0)
        return [WriteResult(WriteOutcome.OLDER, Version(NOW, 0, b"")) for _ in shard_records]

    store.write = older_in_the_end  # type: ignore[method-assign,assignment]
    began = trio.current_time()
    with pytest.raises(NotStoredError, match="newer versions keep coming in"):
        await alone.coordinator.apply(prop("n/1"), replace=False)
    pauses = trio.current_time() - began - APPLY_ATTEMPTS * 1.0
    assert pauses > APPLY_ATTEMPTS * APPLY_PAUSE_MAX_SECONDS


async def test_a_full_store_frees_the_lock(start: Start, autojump_clock: object) -> None:
    store = memory_store()
    alone = await start(store)
    store.set_full(True)
    with pytest.raises((StoreFullError, ReplicasFullError), match="no space left"):
        await alone.coordinator.apply(prop("n/1"), replace=False)
    store.set_full(False)
    with trio.fail_after(1):
        await alone.coordinator.apply(prop("n/1"), replace=False)
    assert not alone.steps.locks.held


@settings(max_examples=30, deadline=None)
@given(
    operations=st.lists(
        st.tuples(
            st.sampled_from(["merge", "replace", "delete", "import", "peer"]),
            st.sampled_from(["n/1", "n/2"]),
            st.integers(0, 3),
            st.integers(-600, 600),
        ),
        max_size=12,
    )
)
def test_versions_never_go_down(operations: list[tuple[str, str, int, int]]) -> None:
    """A stored version only grows, whatever clients and peers do, and however the clock jumps."""

    async def main() -> None:
        clock = WallClock()
        async with trio.open_nursery() as nursery:
            only = {"members": ("a",), "replicas": 1, "ack": AckLevel.QUORUM}
            await check(await serve(nursery, make_local(wall_clock=clock, **only)), clock)
            nursery.cancel_scope.cancel()

    async def check(alone: Alone, clock: WallClock) -> None:
        last: dict[str, Version] = {}
        for what, key, tag, jump in operations:
            clock.now += jump * SECOND
            if what == "delete":
                await alone.coordinator.delete(entity(key))
            elif what == "import":
                await import_all(alone, items(prop(key, **{f"t{tag}": tag})))
            elif what == "peer":
                await put(alone.local, record(key, revision=clock.now + tag * 400 * SECOND))
            else:
                await alone.coordinator.apply(prop(key, **{f"t{tag}": tag}), replace=what == "replace")
            held = await stored(alone.local, key)
            if held is not None:
                check_entity(held.entity)
                assert held.version >= last.get(key, held.version)
                if what in ("merge", "replace", "import"):
                    assert tags_of(held)[f"t{tag}"] == tag
                    assert key not in last or held.version > last[key]
                last[key] = held.version

    trio.run(main)

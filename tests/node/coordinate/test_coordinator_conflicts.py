"""Writers at several nodes that meet, that are parted, and that die in the middle of a write."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing

from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.query.write_answers import WriteAnswers
from gossipnode.node.peers.hello import HELLO_MAX_SECONDS, HELLO_TIMEOUT_SECONDS
from gossipnode.node.refusals.request_errors import TooFewReplicasError
from gossipnode.sim import Cluster, running
from gossipnode.wire.property.draft import read_draft
from tests.node.cluster import N1, put, tags_at, versions
from tests.node.support import tags_of
from tests.records import prop


@pytest.mark.slow
async def test_two_quorum_merges_one_after_the_other_both_survive(autojump_clock: object) -> None:
    """Each of the two writes reaches another pair of replicas."""
    for first, first_lacks, second, second_lacks in (
        ("a", "b", "c", "a"),
        ("a", "c", "b", "a"),
        ("b", "c", "c", "b"),
    ):
        async with running(Cluster()) as cluster:
            cluster.faults.hold((first, first_lacks), (first_lacks, first))
            await put(cluster, first, x=1)
            cluster.faults.heal()
            await trio.sleep(3)
            cluster.faults.hold((second, second_lacks), (second_lacks, second))
            assert tags_of((await put(cluster, second, y=1)).record) == {"x": 1, "y": 1}
            cluster.faults.heal()
            await trio.sleep(20)
            for name in "abc":
                assert await tags_at(cluster, name) == {"x": 1, "y": 1}


@pytest.mark.slow
async def test_an_older_write_is_not_acknowledged_but_made_again_on_top(autojump_clock: object) -> None:
    """b writes between the read and the write of a."""
    async with running(Cluster()) as cluster:
        await put(cluster, "a", x=0)
        steps = cluster.parts("a").coordination.steps
        write, writes = steps.write, 0

        async def late_write(*args: object, **named: object) -> int | None:
            nonlocal writes
            writes += 1
            if writes == 1:
                await trio.sleep(1)
                await put(cluster, "b", y=1)
            return await write(*args, **named)  # type: ignore[arg-type]

        steps.write = late_write  # type: ignore[method-assign]
        applied = await put(cluster, "a", x=1)
        assert writes == 2
        assert tags_of(applied.record) == {"x": 1, "y": 1}
        assert [await tags_at(cluster, name) for name in "abc"] == [{"x": 1, "y": 1}] * 3


@pytest.mark.slow
async def test_a_write_with_an_id_that_was_overtaken_is_made_again_too(autojump_clock: object) -> None:
    """b writes to itself and c between the read and the write of a, which then alone takes the write of a."""
    async with running(Cluster()) as cluster:
        await put(cluster, "a", x=0)
        steps = cluster.parts("a").coordination.steps
        write, writes = steps.write, 0

        async def late_write(*args: object, **named: object) -> int | None:
            nonlocal writes
            writes += 1
            if writes == 1:
                await trio.sleep(1)
                cluster.faults.hold(("b", "a"))
                await put(cluster, "b", y=1)
                cluster.faults.heal()
            return await write(*args, **named)  # type: ignore[arg-type]

        steps.write = late_write  # type: ignore[method-assign]
        applied = await put(cluster, "a", request_id="one", x=1)
        assert writes == 2
        assert tags_of(applied.record) == {"x": 1, "y": 1}
        assert [await tags_at(cluster, name) for name in "abc"] == [{"x": 1, "y": 1}] * 3


@pytest.mark.slow
async def test_overlapping_merges_end_alike_everywhere(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "a", x=0)
        async with trio.open_nursery() as nursery:
            for count in range(10):
                for name in "abc":
                    nursery.start_soon(
                        lambda name=name, count=count: put(cluster, name, **{f"{name}{count}": 1})
                    )
        await trio.sleep(1)
        assert len(set(await versions(cluster, N1))) == 1
        tags = await tags_at(cluster, "a")
        assert [await tags_at(cluster, name) for name in "bc"] == [tags, tags]


@pytest.mark.slow
async def test_writes_of_one_node_to_a_record_never_overlap(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        async with trio.open_nursery() as nursery:
            for count in range(20):
                nursery.start_soon(partial(put, cluster, "a", **{f"t{count}": count}))
        assert await tags_at(cluster, "b") == {f"t{count}": count for count in range(20)}


@pytest.mark.slow
async def test_both_sides_of_a_partition_write_at_one_and_are_equal_after_a_round(
    autojump_clock: object,
) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "a", x=0)
        await cluster.isolate("a")
        await trio.sleep(1)
        await put(cluster, "a", ack="one", minority=1)
        await trio.sleep(1)
        await put(cluster, "b", ack="one", majority=1)
        with pytest.raises(TooFewReplicasError, match="1 of 3 replicas answered, quorum needs 2"):
            await put(cluster, "a", x=1)
        with pytest.raises(TooFewReplicasError, match="1 of 3 replicas answered, quorum needs 2"):
            await tags_at(cluster, "a")
        await put(cluster, "c", quorum=1)
        cluster.faults.heal()
        await trio.sleep(HELLO_MAX_SECONDS + HELLO_TIMEOUT_SECONDS)
        await cluster.round("a")
        assert len(set(await versions(cluster, N1))) == 1
        # The last writer wins per record, not per tag.
        assert await tags_at(cluster, "a", ack="local") == {"x": 0, "majority": 1, "quorum": 1}


@pytest.mark.slow
@pytest.mark.parametrize("cut", [("a", "b"), ("b", "a")])
async def test_a_partition_in_one_direction_stops_no_quorum(
    cut: tuple[str, str], autojump_clock: object
) -> None:
    async with running(Cluster()) as cluster:
        cluster.faults.hold(cut)
        for value, name in enumerate("abcabc"):
            await put(cluster, name, x=value)
            for other in "abc":
                assert await tags_at(cluster, other) == {"x": value}


# Coordinators that die


async def write_until_stopped(cluster: Cluster, name: str, **tags: int) -> None:
    """Do the second half of a write: the record has been read, and now goes to all replicas for a quorum."""
    steps = cluster.parts(name).coordination.steps
    held = (await cluster.held_of(N1))[name]
    stamp = cluster.parts(name).local.clock.next(above=0 if held is None else held.version.stamp)
    record = steps.stamped(read_draft(prop("n/1", **tags)), held, stamp, created=False)
    shards = cluster.nodes[name].parts.local.shards
    placement = shards.placement(shards.shard_of(N1))
    with suppress(TooFewReplicasError):
        await steps.write(placement, (record,), AckLevel.QUORUM, WriteAnswers((record,)))


@pytest.mark.slow
@pytest.mark.parametrize("reached", ["", "a", "b", "ab"])
async def test_a_coordinator_that_dies_in_the_middle_leaves_all_or_nothing_of_a_write(
    reached: str, autojump_clock: object
) -> None:
    before, after = {"x": 1, "y": 1}, {"x": 2, "y": 2}
    async with running(Cluster()) as cluster:
        await put(cluster, "a", **before)
        cluster.faults.hold(*(("a", name) for name in "bc" if name not in reached))
        cluster.stores["a"].set_full("a" not in reached)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(write_until_stopped, cluster, "a", **after))
            await trio.testing.wait_all_tasks_blocked()
            cluster.kill("a")
            await cluster.ended["a"].wait()
            nursery.cancel_scope.cancel()
        cluster.faults.heal()
        seen = [await tags_at(cluster, name) for name in "bc"]
        assert seen == [after if "b" in reached else before] * 2
        held = await cluster.held_of(N1)
        assert tags_of(held["a"]) == (after if "a" in reached else before)


async def test_what_was_acknowledged_outlives_its_coordinator(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        cluster.faults.hold(("a", "c"))
        await put(cluster, "a", x=1)
        cluster.kill("a")
        await cluster.ended["a"].wait()
        cluster.faults.heal()
        assert [await tags_at(cluster, name) for name in "bc"] == [{"x": 1}] * 2

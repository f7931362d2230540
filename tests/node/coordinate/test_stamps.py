"""Stamps of quorum writes follow time, whatever the clocks of the nodes show and whichever write failed."""

from __future__ import annotations

import pytest
import structlog
import trio

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.core.query.replica_messages import ReadRecords, RecordsRead, Wanted
from gossipnode.node.refusals.request_errors import TooFewReplicasError, WrongClockError
from gossipnode.sim import Cluster, running
from tests.node.cluster import N1, put, tags_at, versions
from tests.node.moving import eventually
from tests.node.support import SECOND, tags_of
from tests.records import entity, prop

YEAR = 365 * 24 * 3600 * SECOND


async def fail_at(cluster: Cluster, name: str, **tags: int) -> None:
    """A write that is stored by the node that is asked, and by nobody else."""
    parts = cluster.parts(name)
    write = parts.coordination.steps.write

    async def cut_off(*args: object, **named: object) -> int | None:
        await cluster.isolate(name)
        return await write(*args, **named)  # type: ignore[arg-type]

    parts.coordination.steps.write = cut_off  # type: ignore[method-assign]
    with pytest.raises(TooFewReplicasError):
        await put(cluster, name, **tags)
    parts.coordination.steps.write = write  # type: ignore[method-assign]
    cluster.faults.heal()
    await trio.sleep(30)


@pytest.mark.slow
@pytest.mark.parametrize("restarted", ["", "a", "b", "ab"])
async def test_a_failed_write_of_a_fast_clock_never_comes_back_over_a_later_one(
    restarted: str, autojump_clock: object
) -> None:
    async with running(Cluster(clock_offsets={"c": 300 * SECOND})) as cluster, trio.open_nursery() as nursery:
        await fail_at(cluster, "c", p=1)
        for name in restarted:
            cluster.kill(name)
            await cluster.ended[name].wait()
            await cluster.start(nursery, name)
        await trio.sleep(30)
        await cluster.isolate("c")
        await trio.sleep(30)
        # The failed write may have spread before, and then this one is built upon it.
        written = tags_of((await put(cluster, "a", y=2)).record)
        assert written in ({"y": 2}, {"p": 1, "y": 2})
        cluster.faults.heal()
        await trio.sleep(30)
        assert [await tags_at(cluster, name) for name in "abc"] == [written] * 3
        await cluster.round("a")
        assert len(set(await versions(cluster, N1))) == 1
        assert await tags_at(cluster, "c") == written
        cluster.stop()


async def test_a_coordinator_whose_clock_is_far_ahead_is_refused_in_words(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        cluster.clock_offsets["a"] = 50 * YEAR
        with pytest.raises(TooFewReplicasError, match=r"b's clock is 18,250 days behind yours") as failed:
            await put(cluster, "a", x=1)
        assert "1 of 3 replicas answered, quorum needs 2" in str(failed.value)
        assert set(await versions(cluster, N1)) == {0}
        # The others go on, and this node does once its clock is right.
        first = await put(cluster, "b", x=2)
        cluster.clock_offsets["a"] = 0
        second = await put(cluster, "a", x=3)
        ahead = second.record.version.mod_revision - first.record.version.mod_revision
        assert 0 < ahead < MAX_CLOCK_SKEW_NANOSECONDS


async def test_a_node_with_a_wrong_clock_stamps_nothing_at_any_level(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        cluster.clock_offsets["a"] = YEAR
        with structlog.testing.capture_logs() as logs:
            for _ in range(2):
                with pytest.raises(TooFewReplicasError):
                    await put(cluster, "a", x=1)
        told = [
            line["reason"] for line in logs if line["event"].startswith("the clock of this node is wrong")
        ]
        # It is said once, of the first one that told.
        assert [reason.replace("c's", "b's") for reason in told] == [
            "a's clock is 365 days ahead of b's: set it right; nothing was written"
        ]
        for level in ("one", "local"):
            with pytest.raises(WrongClockError, match="is 365 days ahead of b's, 365 days ahead of c's"):
                await put(cluster, "a", ack=level, x=1)
        assert set(await versions(cluster, N1)) == {0}
        cluster.clock_offsets["a"] = 0
        await put(cluster, "a", ack="one", x=1)


async def test_no_stamp_is_made_that_could_not_be_stored(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        cluster.clock_offsets["a"] = 100 * YEAR
        for level in ("", "one"):
            with pytest.raises(WrongClockError, match="a's clock shows a time after 2116: set it right"):
                await put(cluster, "a", ack=level, x=1)
        cluster.clock_offsets["a"] = 0
        for level in ("", "one"):
            applied = await put(cluster, "a", ack=level, x=1)
            assert applied.record.version.mod_revision < cluster.parts("b").local.clock.now() + SECOND


async def test_a_new_replica_takes_no_stamp_that_an_old_one_may_have_given(autojump_clock: object) -> None:
    cluster = Cluster(groups=("sw:1:4",), clock_offsets={"c": 300 * SECOND})
    async with running(cluster), trio.open_nursery() as nursery:
        await cluster.coordinator("c").apply(prop("n/2", x=1), replace=False)
        floor = cluster.parts("b").local.floors.highest((entity("n/2"),))
        await cluster.join(nursery, "d")
        await eventually(lambda: cluster.view("d").is_settled and "d" in cluster.view("a").members)
        local = cluster.parts("d").local
        assert local.floors.highest((N1,)) >= floor > local.clock.now() + 200 * SECOND
        placement = local.shards.placement(local.shards.shard_of(N1))
        now = local.clock.now()
        request = ReadRecords(placement.shard, placement.fence, (Wanted(N1),), now, now)
        answer = await cluster.parts("d").replica.read(request)
        assert isinstance(answer, RecordsRead)
        assert answer.floor >= floor
        cluster.stop()

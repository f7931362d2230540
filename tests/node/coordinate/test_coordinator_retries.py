"""Requests of clients that come a second time, at the same node or another."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.query.request_lineage import REQUEST_ID_MAX_CHARACTERS
from gossipnode.node.peers.hello import HELLO_MAX_SECONDS, HELLO_TIMEOUT_SECONDS
from gossipnode.node.refusals.request_errors import InvalidRequestIdError, TooFewReplicasError
from gossipnode.sim import Cluster, running
from tests.node.cluster import N1, put, tags_at, versions
from tests.node.support import tags_of
from tests.records import entity, prop


@pytest.mark.slow
@pytest.mark.parametrize("other", ["a", "b", "c"])
async def test_a_retry_is_no_second_write(other: str, autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        first = await put(cluster, "a", request_id="one", x=1)
        await trio.sleep(1)
        await put(cluster, "b", x=2)
        await trio.sleep(1)
        again = await put(cluster, other, request_id="one", x=1)
        assert again.created is first.created is True
        assert tags_of(again.record) == {"x": 2}
        assert await tags_at(cluster, "c") == {"x": 2}


async def test_a_retry_completes_what_too_few_had_taken(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        for name in "bc":
            cluster.stores[name].set_full(True)
        with pytest.raises(TooFewReplicasError):
            await put(cluster, "a", request_id="one", x=1)
        (written, *_) = await versions(cluster, N1)
        for name in "bc":
            cluster.stores[name].set_full(False)
        await trio.sleep(1)
        again = await put(cluster, "b", ack="all", request_id="one", x=1)
        assert again.created
        assert await versions(cluster, N1) == [written] * 3


async def test_the_retry_of_a_delete_says_deleted_again(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "a", x=1)
        first = await cluster.coordinator("a").delete(N1, request_id="one")
        again = await cluster.coordinator("b").delete(N1, request_id="one")
        assert first.tombstone is not None
        assert again.tombstone == first.tombstone
        # Another request finds nothing to delete.
        assert (await cluster.coordinator("c").delete(N1, request_id="two")).tombstone is None


async def test_the_retry_of_a_delete_deletes_nothing_that_came_later(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "a", x=1)
        await cluster.coordinator("a").delete(N1, request_id="one")
        await put(cluster, "b", x=2)
        await cluster.coordinator("c").delete(N1, request_id="one")
        assert await tags_at(cluster, "a") == {"x": 2}


async def test_an_id_of_another_record_means_nothing(autojump_clock: object) -> None:
    """A client that uses an id twice must not find one record in the place of another."""
    cluster = Cluster(groups=("sw:4:3", "other:1:3"))
    async with running(cluster):
        coordinator = cluster.coordinator("a")
        await coordinator.apply(prop("n/1", x=1), replace=False, request_id="one")
        for key, group in (("n/2", "sw"), ("n/3", "sw"), ("n/4", "sw"), ("n/1", "other")):
            applied = await coordinator.apply(prop(key, group, y=1), replace=False, request_id="one")
            assert applied.record.entity == entity(key, group)
            got = await cluster.coordinator("b").get(entity(key, group))
            assert got.record is not None
            assert tags_of(got.record) == {"y": 1}
        assert await tags_at(cluster, "c") == {"x": 1}


async def test_the_retry_of_a_write_that_was_overtaken_is_done_on_top(autojump_clock: object) -> None:
    """Only a took the write, and b and c have a newer one, whose writer had not seen it."""
    async with running(Cluster()) as cluster:
        await put(cluster, "a", x=0)
        for name in "bc":
            cluster.stores[name].set_full(True)
        with pytest.raises(TooFewReplicasError):
            await put(cluster, "a", request_id="one", y=1)
        for name in "bc":
            cluster.stores[name].set_full(False)
        await trio.sleep(1)
        await cluster.isolate("a")
        await put(cluster, "b", x=2)
        # What a missed would be repaired as soon as it is back.
        cluster.nodes["b"].parts.repair.catch_up.missed_writes.forget("a", ShardId("sw", 0))
        cluster.faults.heal()
        await trio.sleep(HELLO_MAX_SECONDS + HELLO_TIMEOUT_SECONDS)
        assert len(set(await versions(cluster, N1))) == 2
        applied = await put(cluster, "a", ack="all", request_id="one", y=1)
        assert tags_of(applied.record) == {"x": 2, "y": 1}
        assert set(await versions(cluster, N1)) == {applied.record.version.mod_revision}


async def test_a_write_hands_on_which_requests_came_before(autojump_clock: object) -> None:
    """b never took the request itself, and hears of it with the next write. Then a and c forget it."""
    async with running(Cluster()) as cluster, trio.open_nursery() as nursery:
        cluster.faults.hold(("a", "b"), ("b", "a"), ("c", "b"), ("b", "c"))
        await put(cluster, "a", request_id="one", x=1)
        cluster.faults.heal()
        await trio.sleep(30)
        await put(cluster, "c", ack="all", request_id="two", x=2)
        for name in "ac":
            cluster.kill(name)
            await cluster.ended[name].wait()
            await cluster.start(nursery, name)
        await trio.sleep(30)
        again = await put(cluster, "b", request_id="one", x=1)
        assert again.created
        assert tags_of(again.record) == {"x": 2}
        cluster.stop()


async def test_an_id_too_long_to_be_remembered_is_refused(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        longest = "i" * REQUEST_ID_MAX_CHARACTERS
        await cluster.coordinator("a").apply(prop("n/1"), replace=False, request_id=longest)
        for attempt in (
            lambda: cluster.coordinator("a").apply(prop("n/1"), replace=False, request_id=longest + "i"),
            lambda: cluster.coordinator("a").delete(entity("n/1"), request_id=longest + "i"),
        ):
            with pytest.raises(InvalidRequestIdError, match="request_id: 129 characters, expected 128"):
                await attempt()

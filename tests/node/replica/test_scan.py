"""A replica as coordinators ask it to search: what it sends, what it refuses, and when it gives up."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipnode.node.replica import scan as replica_scan
from gossipnode.node.replica.scan import STREAM_MESSAGE_BYTES
from gossipnode.node.search.search_turns import SEARCH_STALLED_SECONDS, Places
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster, running
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.query.scan_codec import decode_candidates
from tests.node.asking import asked, every_answer
from tests.node.queried import ALL, keys, put, slow
from tests.node.replica.scanning import OURS, SHARD, a_search_that_nobody_reads, scan_request, under_way
from tests.records import record


@pytest.mark.slow
async def test_a_search_is_answered_in_order_and_says_when_it_is_finished(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster, at="b") as channel:
        records = [record(f"n/{i:03}", s="x" * 10_000) for i in range(100)]
        await put(cluster, "b", *records)
        pages = await every_answer(channel, services.REPLICA_SCAN, scan_request(cluster), **OURS)
        found = [each for page in pages for each in decode_candidates(page, [SHARD])]
        assert [each.payload for each in found] == [each.payload for each in records]
        assert [page.finished for page in pages] == [False] * (len(pages) - 1) + [True]
        assert pages[-1].rows_read == 100
        assert max(page.ByteSize() for page in pages) < STREAM_MESSAGE_BYTES + 11_000


@pytest.mark.slow
async def test_another_view_is_refused(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster, at="b") as channel:
        with pytest.raises(RpcError, match="b sees other members for sw/0") as caught:
            await every_answer(
                channel, services.REPLICA_SCAN, scan_request(cluster, fence=b"12345678"), **OURS
            )
        assert caught.value.status is Status.FAILED_PRECONDITION
        gone = pb.ScanRequest(shards=[pb.ScanShard(group="sw", shard=0, incarnation=7)])
        with pytest.raises(RpcError) as caught:
            await every_answer(channel, services.REPLICA_SCAN, gone, **OURS)
        assert caught.value.status is Status.NOT_FOUND


@pytest.mark.slow
async def test_searches_beyond_what_is_served_at_once_wait_for_their_turn(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_scan, "SCANS_SERVED_AT_ONCE", Places(1, 1))
    cluster = Cluster()
    async with asked(cluster, at="b") as channel:
        await put(cluster, "b", *(record(f"n/{i:03}", s="x" * 100_000) for i in range(100)))
        async with a_search_that_nobody_reads(channel, cluster, "b"):
            with trio.move_on_after(SEARCH_STALLED_SECONDS / 2) as waited:
                await every_answer(channel, services.REPLICA_SCAN, scan_request(cluster), **OURS)
            assert waited.cancelled_caught, "the turn is taken, and its holder may be slow"
            by_key = scan_request(cluster, name="n", ids=frozenset({"007"}))
            pages = await every_answer(channel, services.REPLICA_SCAN, by_key, **OURS)
            assert len([each for page in pages for each in page.candidates]) == 1
        await trio.sleep(0.1)
        assert under_way(cluster, "b") == 0


@pytest.mark.slow
async def test_a_search_that_nobody_reads_gives_its_turn_to_one_that_waits(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_scan, "SCANS_SERVED_AT_ONCE", Places(1, 1))
    cluster = Cluster()
    async with asked(cluster, at="b") as channel:
        await put(cluster, "b", *(record(f"n/{i:03}", s="x" * 100_000) for i in range(100)))
        async with a_search_that_nobody_reads(channel, cluster, "b"):
            pages = await every_answer(channel, services.REPLICA_SCAN, scan_request(cluster), **OURS)
            assert pages[-1].finished
            assert not pages[0].finished, "it says that it is alive while it waits"
            assert len([each for page in pages for each in page.candidates]) == 100
        assert under_way(cluster, "b") == 0


@pytest.mark.slow
async def test_a_large_order_tag_makes_no_message_too_large(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, *(record(f"n/{i:02}", t=f"{i:02}" + "x" * 400_000) for i in range(20)))
        assert await keys(cluster.nodes["a"], order_by="t") == [f"n/{i:02}" for i in range(20)]


@pytest.mark.slow
async def test_a_search_of_a_shard_that_has_to_be_given_up_ends_with_an_error(
    autojump_clock: object,
) -> None:
    """Its copy is dropped then, so a search that simply ended would hide the records that were left."""
    async with running(Cluster()) as cluster:
        admin = cluster.nodes["a"].parts.membership.groups
        await admin.create("g")
        shards = cluster.nodes["b"].parts.local.shards
        shard = shards.shards_of("g")[0]
        held = replica_scan.HeldShards(shards, [SHARD, shard])
        assert held.lost() is None
        await admin.create("h")
        assert held.lost() is None
        await admin.delete("g")
        assert held.lost() == shard


@pytest.mark.slow
async def test_a_client_that_goes_away_ends_the_search_everywhere(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, ALL, *(record(f"n/{i:04}", t=i) for i in range(1000)))
        for name in ALL:
            slow(cluster, name, 1.0)
        with pytest.raises(RpcError) as caught:
            await channel.unary(services.QUERY, banyandb.QueryRequest(groups=["sw"]), timeout=2)
        assert caught.value.status is Status.DEADLINE_EXCEEDED
        await trio.sleep(0.1)
        assert [under_way(cluster, name) for name in ALL] == [0, 0, 0]

"""Requests to a peer that has much to answer: they wait for room, in turn, until their timeouts."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.concurrency.shares import Caller
from gossipnode.core.query.replica_messages import RecordsWritten
from gossipnode.node.peers import exchange_link
from gossipnode.node.peers.exchange_link import CrowdedOutError
from gossipnode.node.peers.members import Peer
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster, running
from tests.node.peers.linked import PEER, Replica, asking, handlers, linked, write
from tests.node.support import tags_of
from tests.records import entity, prop, record


@pytest.mark.slow
async def test_many_large_writes_at_once_are_all_acknowledged(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        took: list[int] = []

        async def apply(number: int) -> None:
            payload = prop(f"n/{number}", big="x" * 1_000_000)
            took.append((await cluster.coordinator("a").apply(payload, replace=False)).acknowledged)

        async with trio.open_nursery() as nursery:
            for number in range(24):
                nursery.start_soon(apply, number)
        assert len(took) == 24
        assert min(took) >= 2
        held = await cluster.held_of(entity("n/23"))
        assert tags_of(held["b"])["big"] == "x" * 1_000_000


async def test_a_request_that_finds_no_room_in_its_time_says_nothing_of_the_peer(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_link, "EXCHANGE_UNDER_WAY_MAX", 1)

    async def never(_: Any) -> Any:
        await trio.sleep_forever()

    async with linked(handlers(write=never)) as pair:
        async with asking(pair.link, {"first": write(record("n/a"))}, seconds=5) as first:
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(RpcError) as caught:
                await pair.link.ask(write(record("n/b")), timeout=2)
            assert trio.current_time() == 2
            assert caught.value.status is Status.RESOURCE_EXHAUSTED
            assert caught.value.message == "no room for it within 2 s"
            assert caught.value.never_processed
        error = first["first"]
        assert isinstance(error, RpcError)
        assert error.status is Status.DEADLINE_EXCEEDED


async def test_room_that_comes_with_the_timeout_comes_too_late(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer is not sent a request that is given up at that moment, nor blamed for it."""
    monkeypatch.setattr(exchange_link, "EXCHANGE_UNDER_WAY_MAX", 1)
    sent: list[Any] = []

    async def never(requests: Any) -> Any:
        sent.extend(requests)
        await trio.sleep_forever()

    async with linked(handlers(write=never)) as pair:
        told: list[object] = []
        for name in ("n/a", "n/b"):
            pair.link.start(write(record(name)), told.append, timeout=2)
        await trio.sleep(3)
        ends = sorted(
            (error.status.name, error.never_processed) for error in told if isinstance(error, RpcError)
        )
        assert ends == [("DEADLINE_EXCEEDED", False), ("RESOURCE_EXHAUSTED", True)]
        assert len(sent) == 1


async def test_a_peer_is_not_blamed_for_a_request_that_was_let_in_late(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A healthy peer with much to do answers the first request in time, and has no time for the second."""
    monkeypatch.setattr(exchange_link, "EXCHANGE_UNDER_WAY_MAX", 1)
    replica = Replica()

    async def slowly(requests: Any) -> Any:
        await trio.sleep(1.5)
        return await replica.write(requests)

    async with linked(handlers(write=slowly)) as pair:
        peer = Peer("b", PEER, pair.channel, pair.link)
        told: list[object] = []

        def tell(answer: object) -> None:
            told.append(answer)
            if isinstance(answer, RpcError):
                peer.request_failed(answer)
            else:
                peer.answered()

        for name in ("n/a", "n/b"):
            pair.link.start(write(record(name)), tell, timeout=2)
        await trio.sleep(2.1)
        assert [type(answer) for answer in told] == [RecordsWritten, CrowdedOutError]
        assert peer.state == "up"


async def test_a_large_request_is_not_overtaken_for_ever_by_small_ones(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_link, "EXCHANGE_UNDER_WAY_BYTES", 100_000)
    replica = Replica()
    may_answer = trio.Event()

    async def wait(requests: Any) -> Any:
        await may_answer.wait()
        return await replica.write(requests)

    large, small = write(record("n/large", k="x" * 90_000)), write(record("n/small", k="x" * 40_000))
    async with linked(handlers(write=wait)) as pair:
        answers: list[object] = []
        for request in (small, large, small, small):
            pair.link.start(request, answers.append, timeout=5)
        await trio.testing.wait_all_tasks_blocked()
        may_answer.set()
        await trio.testing.wait_all_tasks_blocked()
        assert [type(answer) for answer in answers] == [RecordsWritten] * 4
    order = [request.records[0].entity.id for batch in replica.writes for request in batch]
    assert order.index("large") == 1


async def test_a_request_that_is_given_up_while_it_waits_leaves_no_trace(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_link, "EXCHANGE_UNDER_WAY_MAX", 1)
    monkeypatch.setattr(exchange_link, "EXCHANGE_WAITING_MAX", 1)
    monkeypatch.setattr(exchange_link, "EXCHANGE_WAITING_BYTES", 5 * len(record("n/b").payload) + 2000)
    may_answer = trio.Event()
    replica = Replica()

    async def wait(requests: Any) -> Any:
        await may_answer.wait()
        return await replica.write(requests)

    async with linked(handlers(write=wait)) as pair:
        async with asking(pair.link, {"first": write(record("n/a"))}) as first:
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(100):
                with trio.move_on_after(0.01):
                    await pair.link.ask(write(record("n/b")), timeout=5)
            may_answer.set()
        assert isinstance(first["first"], RecordsWritten)
        assert isinstance(await pair.link.ask(write(record("n/c")), timeout=5), RecordsWritten)
    assert [request.records[0].entity.id for batch in replica.writes for request in batch] == ["a", "c"]


async def test_what_waits_for_room_ends_with_the_connection(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_link, "EXCHANGE_UNDER_WAY_MAX", 1)

    async def never(_: Any) -> Any:
        await trio.sleep_forever()

    async with linked(handlers(write=never)) as pair:
        told: list[object] = []
        for name in ("n/a", "n/b", "n/c"):
            pair.link.start(write(record(name)), told.append, timeout=60)
        await trio.testing.wait_all_tasks_blocked()
        pair.wires[-1].snap()
        await trio.testing.wait_all_tasks_blocked()
        assert [type(error) for error in told] == [RpcError] * 3
        assert [error.never_processed for error in told if isinstance(error, RpcError)] == [False, True, True]


async def test_requests_beyond_the_memory_for_a_peer_are_refused_at_once(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_link, "EXCHANGE_UNDER_WAY_MAX", 1)

    async def never(_: Any) -> Any:
        await trio.sleep_forever()

    async with linked(handlers(write=never)) as pair:
        async with asking(pair.link, {"first": write(record("n/a"))}, seconds=5):
            await trio.testing.wait_all_tasks_blocked()
            others = pair.channel.memory.account("test", Caller("others", member=True))
            others.take(pair.channel.memory.shares.capacity)
            large = write(record("n/b", big="x" * 200_000))
            with pytest.raises(RpcError, match="wait for room") as caught:
                await pair.link.ask(large, timeout=2)
            assert trio.current_time() == 0
            assert caught.value.status is Status.RESOURCE_EXHAUSTED

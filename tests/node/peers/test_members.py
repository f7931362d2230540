"""What a node believes of the other members, and why."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import structlog.testing
import trio
import trio.testing

from gossipnode.config.address import Address, parse_address
from gossipnode.node.identity.boot_memory import BootMemory
from gossipnode.node.peers.exchange_link import ExchangeLink
from gossipnode.node.peers.members import PROBE_FRESH_SECONDS, Members, MemberState, Peer, open_members
from gossipnode.rpc import Channel, RpcError, Server, Status
from gossipnode.rpc.server.health import HealthService, ServingStatus
from gossipnode.sim.network import MemoryNetwork
from tests.node.support import memory_store

ADDRESSES = {name: parse_address(f"{name}:7400") for name in "cab"}


class Opened:
    """Channels over a network in memory; counts the dials."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.dials = 0

    def channel(self, name: str, address: Address) -> Channel:
        async def connect() -> trio.abc.Stream:
            self.dials += 1
            return await self.network.connect(address)

        return Channel(connect, authority=name, rng=random.Random(0))


@asynccontextmanager
async def members_of_b(opened: Opened) -> AsyncGenerator[Members]:
    async with open_members("b", ADDRESSES["b"], opened.channel, {}, BootMemory(memory_store())) as members:
        await members.sync(ADDRESSES)
        yield members


async def serve_health(opened: Opened, nursery: trio.Nursery, name: str) -> None:
    server = Server(HealthService({"": ServingStatus.SERVING}).handlers())
    await nursery.start(server.serve, await opened.network.listen(ADDRESSES[name]))


def states(members: Members) -> dict[str, MemberState]:
    return {name: peer.state for name, peer in members.peers.items()}


async def test_members_are_in_ring_order_and_nothing_is_dialed_at_first() -> None:
    opened = Opened()
    async with members_of_b(opened) as members:
        assert members.names == ("a", "b", "c")
        assert list(members.peers) == ["a", "c"]
        assert members.own_address == ADDRESSES["b"]
        assert states(members) == {"a": "unknown", "c": "unknown"}
    assert opened.dials == 0


async def test_members_come_go_and_move() -> None:
    opened = Opened()
    async with members_of_b(opened) as members:
        a, c, changed = members.peers["a"], members.peers["c"], members.changed.pending
        await members.sync(ADDRESSES)
        assert (members.peers, changed.is_set()) == ({"a": a, "c": c}, False)

        moved = {**ADDRESSES, "c": parse_address("elsewhere:7400")}
        await members.sync(moved)
        assert members.peers["a"] is a
        assert (a.gone.is_set(), c.gone.is_set(), changed.is_set()) == (False, True, True)
        assert members.peers["c"].address == moved["c"]

        await members.sync({"aa": parse_address("aa:7400"), **moved})
        assert members.names == ("a", "aa", "b", "c")
        assert list(members.peers) == ["a", "aa", "c"]

        changed = members.changed.pending
        await members.sync({"b": ADDRESSES["b"]})
        assert (members.names, a.gone.is_set(), changed.is_set()) == (("b",), True, True)
    assert opened.dials == 0


async def test_a_member_that_is_named_as_foreign_counts_as_foreign_before_its_hello() -> None:
    async with members_of_b(Opened()) as members:
        await members.sync({**ADDRESSES, "d": parse_address("d:7400")}, {"d"})
        assert [name for name, peer in members.peers.items() if peer.foreign] == ["d"]


async def test_a_probe_asks_those_not_heard_of_lately(autojump_clock: object) -> None:
    opened = Opened()
    async with trio.open_nursery() as nursery:
        await serve_health(opened, nursery, "a")
        async with members_of_b(opened) as members:
            await members.probe()
            assert states(members) == {"a": "up", "c": "down"}
            dials = opened.dials
            await members.probe()
            assert opened.dials == dials
            await serve_health(opened, nursery, "c")
            await trio.sleep(PROBE_FRESH_SECONDS + 0.1)
            await members.probe()
            assert states(members) == {"a": "up", "c": "up"}
        nursery.cancel_scope.cancel()


async def test_members_are_probed_side_by_side(autojump_clock: object) -> None:
    opened = Opened()
    for address in ADDRESSES.values():
        await opened.network.listen(address)
    async with members_of_b(opened) as members:
        began = trio.current_time()
        await members.probe()
        assert trio.current_time() - began == pytest.approx(1, abs=0.1)
        assert states(members) == {"a": "down", "c": "down"}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (Status.UNAVAILABLE, "down"),
        # It may be busy, or the call too large: this says nothing.
        (Status.DEADLINE_EXCEEDED, "unknown"),
        # It answered, if only to refuse.
        (Status.PERMISSION_DENIED, "up"),
        (Status.RESOURCE_EXHAUSTED, "up"),
        (Status.UNIMPLEMENTED, "up"),
    ],
)
async def test_what_a_failed_call_says_of_a_member(status: Status, state: MemberState) -> None:
    channel = Opened().channel("a", ADDRESSES["a"])
    peer = Peer("a", ADDRESSES["a"], channel, ExchangeLink(channel, {}, lambda _boot, _commit: None))
    peer.failed(RpcError(status))
    assert peer.state == state


async def test_a_state_of_a_member_is_told_when_it_changes(autojump_clock: trio.testing.MockClock) -> None:
    opened = Opened()
    with structlog.testing.capture_logs() as logs:
        async with members_of_b(opened) as members, trio.open_nursery() as nursery:
            await serve_health(opened, nursery, "a")
            for _ in range(20):
                await members.probe()
                await trio.sleep(PROBE_FRESH_SECONDS + 1)
            nursery.cancel_scope.cancel()
    told = [(line["event"], line["member"], line["log_level"]) for line in logs]
    assert sorted(told) == [("member down", "c", "warning"), ("member up", "a", "info")]
    (down,) = [line for line in logs if line["event"] == "member down"]
    assert "c cannot be reached" in down["reason"]
    assert down["address"] == "c:7400"

"""Large writes wait for their turn, until their deadlines, and keep neither small ones nor other callers."""

from __future__ import annotations

import pytest
import trio

from gossipnode.concurrency.shares import Caller
from gossipnode.node.coordinate.large_writes import LARGE_WRITE_BYTES, LARGE_WRITES_AT_ONCE, LargeWrites
from gossipnode.sim import Cluster, running
from tests.records import prop

LARGE_CHARACTERS = 1_000_000
COMMIT_SECONDS = 0.1


class Clients:
    """Applies records at node a, each by a client of its own, and notes when each is acknowledged."""

    def __init__(self, cluster: Cluster, nursery: trio.Nursery) -> None:
        self.cluster = cluster
        self.nursery = nursery
        self.took: dict[str, float] = {}

    def apply(self, name: str, size: int, caller: str = "10.0.0.1") -> None:
        self.nursery.start_soon(self._apply, name, size, Caller(caller))

    async def _apply(self, name: str, size: int, caller: Caller) -> None:
        began = trio.current_time()
        payload = prop(f"n/{name}", big="x" * size)
        applied = await self.cluster.coordinator("a").apply(payload, replace=False, caller=caller)
        assert applied.acknowledged >= 2
        self.took[name] = trio.current_time() - began


def slow_disks(cluster: Cluster) -> None:
    for store in cluster.stores.values():
        store.commit_seconds = COMMIT_SECONDS


async def test_a_write_takes_a_turn_from_64_kib_on() -> None:
    writes = LargeWrites()
    caller = Caller("10.0.0.1")
    async with writes.turn(caller, 65_535) as turn:
        assert turn is None
    async with writes.turn(caller, 65_536) as turn:
        assert turn is not None


@pytest.mark.slow
async def test_a_hundred_large_writes_at_once_are_all_acknowledged(autojump_clock: object) -> None:
    """They are more than any queue on their way holds, and take longer than a replica has for one request."""
    async with running(Cluster()) as cluster:
        slow_disks(cluster)
        async with trio.open_nursery() as nursery:
            clients = Clients(cluster, nursery)
            for number in range(100):
                clients.apply(f"large{number}", LARGE_CHARACTERS)
        assert len(clients.took) == 100
        assert max(clients.took.values()) > 1
        assert all(peer.state == "up" for peer in cluster.parts("a").members.peers.values())


@pytest.mark.slow
async def test_small_writes_and_those_of_another_caller_go_on_beside_many_large_ones(
    autojump_clock: object,
) -> None:
    async with running(Cluster()) as cluster:
        slow_disks(cluster)
        async with trio.open_nursery() as nursery:
            clients = Clients(cluster, nursery)
            for number in range(100):
                clients.apply(f"large{number}", LARGE_CHARACTERS)
            for number in range(20):
                await trio.sleep(COMMIT_SECONDS / 10)
                clients.apply(f"small{number}", 10)
            clients.apply("other", LARGE_CHARACTERS, "10.0.0.2")
        small = [seconds for name, seconds in clients.took.items() if name.startswith("small")]
        assert len(small) == 20
        assert max(small) < 10 * COMMIT_SECONDS
        assert clients.took["other"] < 10 * COMMIT_SECONDS
        large = [seconds for name, seconds in clients.took.items() if name.startswith("large")]
        assert len(large) == 100


async def test_a_large_write_that_is_given_up_leaves_its_turn(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        cluster.hang("b")
        cluster.hang("c")
        async with trio.open_nursery() as nursery:
            clients = Clients(cluster, nursery)
            with trio.move_on_after(0.5):
                async with trio.open_nursery() as impatient:
                    gives_up = Clients(cluster, impatient)
                    for number in range(LARGE_WRITES_AT_ONCE + 5):
                        gives_up.apply(f"gone{number}", LARGE_WRITE_BYTES)
            assert gives_up.took == {}
            cluster.faults.heal()
            clients.apply("next", LARGE_WRITE_BYTES)
        assert list(clients.took) == ["next"]

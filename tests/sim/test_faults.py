"""What faults do to the bytes and the connections between two nodes."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gossipnode.config.address import Address
from gossipnode.sim import Faults, FaultyNetwork, MemoryNetwork
from gossipnode.sim.network import MemoryConnection

B = Address("b", 7400)


async def linked(faults: Faults) -> tuple[trio.abc.Stream, trio.abc.Stream]:
    """A connection from a to b: a's end, and b's."""
    network = MemoryNetwork()
    (listener,) = await FaultyNetwork(network, faults, "b").listen(B)
    near = await FaultyNetwork(network, faults, "a").connect(B)
    return near, await listener.accept()


async def test_bytes_pass_where_nothing_is_wrong() -> None:
    near, far = await linked(Faults())
    await near.send_all(b"there")
    assert await far.receive_some(16) == b"there"
    await far.send_all(b"back")
    assert await near.receive_some(16) == b"back"


async def test_bytes_that_are_held_wait_until_the_faults_heal() -> None:
    faults = Faults()
    near, far = await linked(faults)
    faults.hold(("b", "a"))
    await near.send_all(b"there")
    assert await far.receive_some(16) == b"there"
    await far.send_all(b"back")
    heard: list[bytes] = []

    async def hear() -> None:
        heard.append(bytes(await near.receive_some(16)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear)
        await wait_all_tasks_blocked()
        assert heard == []
        faults.heal()
    assert heard == [b"back"]


async def test_a_cut_breaks_connections_and_refuses_new_ones_in_its_direction() -> None:
    faults = Faults()
    near, far = await linked(faults)
    await faults.cut(("a", "b"))
    assert faults.severed == {("a", "b")}
    assert await far.receive_some(16) == b""
    with pytest.raises(trio.ClosedResourceError):
        await near.send_all(b"there")
    assert faults.refuses("a", "b")
    assert not faults.refuses("b", "a")
    with pytest.raises(OSError, match="refused"):
        await FaultyNetwork(MemoryNetwork(), faults, "a").connect(B)
    faults.mend(("a", "b"))
    assert not faults.severed
    await linked(faults)


async def test_bytes_that_are_late_come_later_each_way(autojump_clock: object) -> None:
    faults = Faults()
    near, far = await linked(faults)
    faults.delay(2.0, ("a", "b"))
    faults.delay(0.5, ("b", "a"))
    await near.send_all(b"there")
    assert await far.receive_some(16) == b"there"
    assert trio.current_time() == pytest.approx(2.0)
    await far.send_all(b"back")
    assert await near.receive_some(16) == b"back"
    assert trio.current_time() == pytest.approx(2.5)
    faults.heal()
    await near.send_all(b"there")
    assert trio.current_time() == pytest.approx(2.5)


async def test_a_connection_that_is_being_made_when_its_way_is_cut_is_refused() -> None:
    faults = Faults()

    class CutMeanwhile(MemoryNetwork):
        async def connect(self, address: Address) -> MemoryConnection:
            made = await super().connect(address)
            await faults.cut(("a", "b"))
            return made

    network = CutMeanwhile()
    (listener,) = await network.listen(B)
    with pytest.raises(OSError, match="refused"):
        await FaultyNetwork(network, faults, "a").connect(B)
    far = await listener.accept()
    assert await far.receive_some(1) == b""


async def test_a_network_may_say_by_other_means_which_node_is_at_an_address() -> None:
    faults = Faults()
    network = FaultyNetwork(MemoryNetwork(), faults, "a", lambda address: f"at {address.port}")
    await network.listen(B)
    await faults.cut(("a", "at 7400"))
    with pytest.raises(OSError, match="refused"):
        await network.connect(B)

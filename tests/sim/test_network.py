"""The network in memory keeps the promises of sockets."""

from __future__ import annotations

import errno
import gc
import weakref

import pytest
import trio
import trio.testing

from gossipnode.config.address import Address, parse_address
from gossipnode.sim.network import BACKLOG_CONNECTIONS, MemoryNetwork

HERE = parse_address("a:7400")


async def test_what_is_sent_on_one_end_comes_out_of_the_other() -> None:
    network = MemoryNetwork()
    (listener,) = await network.listen(HERE)
    near = await network.connect(HERE)
    far = await listener.accept()
    await near.send_all(b"there")
    assert await far.receive_some() == b"there"
    await far.send_all(b"back")
    assert await near.receive_some() == b"back"
    assert isinstance(near, trio.abc.HalfCloseableStream)
    await near.send_eof()
    assert await far.receive_some() == b""
    await far.send_all(b"still")
    assert await near.receive_some() == b"still"


async def test_nobody_there_is_a_refused_connection() -> None:
    network = MemoryNetwork()
    with pytest.raises(ConnectionRefusedError) as caught:
        await network.connect(HERE)
    assert caught.value.errno == errno.ECONNREFUSED
    (listener,) = await network.listen(HERE)
    network.unreachable.add(HERE)
    with pytest.raises(ConnectionRefusedError):
        await network.connect(HERE)
    network.unreachable.clear()
    await network.connect(HERE)
    await listener.aclose()
    with pytest.raises(ConnectionRefusedError):
        await network.connect(HERE)


async def test_a_taken_address_is_refused_and_port_0_takes_a_free_one() -> None:
    network = MemoryNetwork()
    await network.listen(HERE)
    with pytest.raises(OSError, match="in use") as caught:
        await network.listen(HERE)
    assert caught.value.errno == errno.EADDRINUSE
    asked = Address("a", 0)
    first, second = await network.listen(asked), await network.listen(asked)
    bound = [network.bound(listeners, asked) for listeners in (first, second)]
    assert len({HERE, *bound}) == 3
    assert all(address.port for address in bound)


async def test_closing_twice_does_not_take_the_address_of_the_next_one() -> None:
    network = MemoryNetwork()
    (old,) = await network.listen(HERE)
    await old.aclose()
    (new,) = await network.listen(HERE)
    await old.aclose()
    near = await network.connect(HERE)
    await new.accept()
    await near.aclose()


async def test_connections_nobody_accepted_end_with_the_listener() -> None:
    network = MemoryNetwork()
    (listener,) = await network.listen(HERE)
    near = await network.connect(HERE)
    await listener.aclose()
    with trio.fail_after(1):
        assert await near.receive_some() == b""


async def test_the_backlog_is_bounded() -> None:
    network = MemoryNetwork()
    await network.listen(HERE)
    for _ in range(BACKLOG_CONNECTIONS):
        await network.connect(HERE)
    with pytest.raises(ConnectionRefusedError):
        await network.connect(HERE)


async def test_accepting_ends_when_the_listener_closes() -> None:
    (listener,) = await MemoryNetwork().listen(HERE)
    async with trio.open_nursery() as nursery:

        async def accept() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await listener.accept()

        nursery.start_soon(accept)
        await trio.testing.wait_all_tasks_blocked()
        await listener.aclose()


async def test_a_cut_breaks_both_ends_of_that_address_alone() -> None:
    network = MemoryNetwork()
    there = parse_address("b:7400")
    (to_a,), (to_b,) = await network.listen(HERE), await network.listen(there)
    cut, kept = await network.connect(HERE), await network.connect(there)
    far_cut, far_kept = await to_a.accept(), await to_b.accept()
    await network.cut(HERE)
    with pytest.raises((trio.ClosedResourceError, trio.BrokenResourceError)):
        await cut.send_all(b"x")
    assert await far_cut.receive_some() == b""
    await kept.send_all(b"x")
    assert await far_kept.receive_some() == b"x"


async def test_closed_connections_are_forgotten() -> None:
    network = MemoryNetwork()
    (listener,) = await network.listen(HERE)
    closed: list[weakref.ref[trio.abc.Stream]] = []
    for _ in range(3 * BACKLOG_CONNECTIONS):
        near = await network.connect(HERE)
        await (await listener.accept()).aclose()
        await trio.aclose_forcefully(near)
        closed.append(weakref.ref(near))
    del near
    await trio.lowlevel.checkpoint()  # lets go of the last call that was cancelled
    gc.collect()
    assert [each() for each in closed] == [None] * len(closed)

"""Hosts that listen at addresses and connect over links, well or not."""

from __future__ import annotations

import errno
import gc
import weakref

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gossipnode.config.address import Address
from gossipnode.sim.world.link_network import BACKLOG
from gossipnode.sim.world.link_stream import LinkConnection, LinkStream
from gossipnode.sim.world.links import Pair
from tests.sim.world.links.linked import AB, BA, B, Linked, seconds_until

# Listening and connecting


async def test_what_is_sent_on_one_end_comes_out_of_the_other() -> None:
    near, far = await Linked().pair()
    await near.send_all(b"there")
    assert await far.receive_some() == b"there"
    await far.send_all(b"back")
    assert await near.receive_some() == b"back"


async def test_connecting_takes_a_packet_there_and_one_back(autojump_clock: object) -> None:
    linked = Linked(0.5)
    linked.links.set_latency(BA, 2.0, 2.0)
    await linked.listen()
    begun = trio.current_time()
    await linked.connect()
    assert trio.current_time() - begun == 2.5


async def test_nobody_there_is_a_refusal_after_the_same_time(autojump_clock: object) -> None:
    linked = Linked(0.5)
    for _ in range(2):
        begun = trio.current_time()
        with pytest.raises(ConnectionRefusedError):
            await linked.connect()
        assert trio.current_time() - begun == 1.0
        await (await linked.listen()).aclose()


async def test_a_taken_address_is_refused_and_port_0_takes_a_free_one() -> None:
    linked = Linked()
    host = linked.network.host("b")
    await linked.listen()
    with pytest.raises(OSError, match="in use") as caught:
        await linked.listen()
    assert caught.value.errno == errno.EADDRINUSE
    asked = Address("b", 0)
    first, second = await host.listen(asked), await host.listen(asked)
    bound = [host.bound(listeners, asked) for listeners in (first, second)]
    assert len({B, *bound}) == 3
    assert all(address.port for address in bound)


async def test_an_address_of_another_host_is_none_to_listen_at() -> None:
    with pytest.raises(OSError, match="assign") as caught:
        await Linked().network.host("a").listen(B)
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_an_address_is_free_once_its_listener_is_closed_and_closing_twice_harms_nobody() -> None:
    linked = Linked()
    old = await linked.listen()
    await old.aclose()
    new = await linked.listen()
    await old.aclose()
    await linked.connect()
    await new.accept()


async def test_accepting_ends_when_the_listener_closes() -> None:
    listener = await Linked().listen()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def accept() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await listener.accept()

        await wait_all_tasks_blocked()
        await listener.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()


async def test_connections_that_nobody_accepted_are_reset_when_the_listener_closes(
    autojump_clock: object,
) -> None:
    linked = Linked(1.0)
    listener = await linked.listen()
    near = await linked.connect()
    begun = trio.current_time()
    await listener.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await near.receive_some()
    assert trio.current_time() - begun == 1.0


async def test_a_listener_that_accepts_nothing_lets_further_connections_wait(autojump_clock: object) -> None:
    linked = Linked()
    listener = await linked.listen()
    for _ in range(BACKLOG):
        await linked.connect()

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def accept() -> None:
            await trio.sleep(30)
            await listener.accept()

        begun = trio.current_time()
        await linked.connect()
        assert trio.current_time() - begun == 30


async def test_two_hosts_of_one_name_have_links_of_their_own(autojump_clock: object) -> None:
    linked = Linked()
    twin = Address("b-twin", B.port)
    await linked.listen()
    (listener,) = await linked.network.host("b-twin").listen(twin)
    linked.links.cut(AB)
    with pytest.raises(ConnectionRefusedError):
        await linked.connect()
    near = await linked.network.host("a").connect(twin)
    far = await listener.accept()
    await near.send_all(b"x")
    assert await far.receive_some() == b"x"


async def test_closed_connections_are_forgotten() -> None:
    linked = Linked()
    listener = await linked.listen()
    closed: list[weakref.ref[LinkStream]] = []

    async def connect() -> None:
        near, far = await linked.connect(), await listener.accept()
        await far.aclose()
        await trio.aclose_forcefully(near)
        closed.extend((weakref.ref(near), weakref.ref(far)))

    for _ in range(3 * BACKLOG):
        await connect()
    await trio.lowlevel.checkpoint()  # lets go of the last call that was cancelled
    gc.collect()
    assert [each() for each in closed] == [None] * len(closed)
    assert not [each for each in gc.get_objects() if type(each) is LinkConnection]


async def test_bytes_are_counted_by_the_link_that_they_were_sent_on() -> None:
    linked = Linked()
    near, far = await linked.pair()
    await near.send_all(b"there")
    linked.links.drop(BA)
    await far.send_all(b"back too")
    assert linked.network.bytes_sent == {AB: 5, BA: 8}


# Links that let nothing through


async def test_a_cut_breaks_connections_and_refuses_new_ones_in_its_direction_alone() -> None:
    linked = Linked()
    listener = await linked.listen()
    near = await linked.connect()
    far = await listener.accept()
    linked.links.cut(BA)
    await near.send_all(b"x")
    linked.links.cut(AB)
    for end in (near, far):
        with pytest.raises(trio.BrokenResourceError):
            await end.receive_some()
    with pytest.raises(ConnectionRefusedError):
        await linked.connect()
    linked.links.mend(AB)
    await linked.connect()


async def test_a_cut_while_a_connection_is_made_refuses_it(autojump_clock: object) -> None:
    linked = Linked(1.0)
    await linked.listen()

    async def connect() -> None:
        with pytest.raises(ConnectionRefusedError):
            await linked.connect()

    assert await seconds_until(connect, 1.5, lambda: linked.links.cut(AB)) == 2.0


@pytest.mark.parametrize(
    ("direction", "dropped_after", "took"),
    [(AB, 0.0, 64.0), (AB, 1.5, 64.0), (BA, 0.0, 62.0), (BA, 3.5, 62.0)],
)
async def test_who_connects_over_a_dropped_link_waits_until_the_packet_gets_through(
    direction: Pair, dropped_after: float, took: float, autojump_clock: object
) -> None:
    linked = Linked(2.0)
    await linked.listen()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def drop() -> None:
            await trio.sleep(dropped_after)
            linked.links.drop(direction)

        assert await seconds_until(linked.connect, 60.0, lambda: linked.links.mend(direction)) == took

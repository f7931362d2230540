"""Hosts that listen and connect over links, what a crash leaves of that, and real nodes that run so."""

from __future__ import annotations

import errno
import gc
import random
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gossipnode.config.address import Address
from gossipnode.core.ring.round import RoundOutcome
from gossipnode.node.world import World
from gossipnode.sim import Cluster, running
from gossipnode.sim.world.link_network import BACKLOG, LinkNetwork
from gossipnode.sim.world.link_stream import LinkStream
from gossipnode.sim.world.links import Links, Pair
from tests.node.cluster import N1, put, tags_at
from tests.node.moving import eventually
from tests.sim.world.linked import AB, BA, B, Linked

Ask = Callable[[], Awaitable[object]]


async def seconds_until(ask: Ask, seconds: float, change: Callable[[], object]) -> float:
    """How long something takes when a change comes after so many seconds."""
    begun = trio.current_time()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def act() -> None:
            await trio.sleep(seconds)
            change()

        await ask()
        ended = trio.current_time()
    return ended - begun


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


# Crashes


async def test_a_process_that_crashes_resets_its_connections_by_the_link(autojump_clock: object) -> None:
    linked = Linked(1.0)
    near, far = await linked.pair()
    await far.send_all(b"before")
    await trio.sleep(0.5)
    begun = trio.current_time()
    linked.network.crash("b", told=True)
    with pytest.raises(trio.BrokenResourceError):
        await far.send_all(b"after")
    with pytest.raises(trio.BrokenResourceError):
        await far.receive_some()
    await far.aclose()
    await near.send_all(b"not known yet")
    await trio.sleep(0.5)
    await near.send_all(b"not known yet")
    assert await near.receive_some() == b"before"
    with pytest.raises(trio.BrokenResourceError):
        await near.receive_some()
    assert trio.current_time() - begun == 1.0
    with pytest.raises(trio.BrokenResourceError):
        await near.send_all(b"x")


async def test_a_reset_does_not_pass_a_dropped_link(autojump_clock: object) -> None:
    linked = Linked(1.0)
    near, _ = await linked.pair()
    linked.links.drop(BA)
    linked.network.crash("b", told=True)

    async def wait() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await near.receive_some()

    assert await seconds_until(wait, 60.0, lambda: linked.links.mend(BA)) == 61.0


async def test_nobody_listens_at_a_process_that_has_crashed_until_another_one_does(
    autojump_clock: object,
) -> None:
    linked = Linked(1.0)
    old = linked.network.host("b")
    listener = await linked.listen()
    linked.network.crash("b", told=True)
    with pytest.raises(ConnectionRefusedError):
        await linked.connect()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()
    for ask in (lambda: old.listen(B), lambda: old.connect(B)):
        with pytest.raises(OSError, match="down") as caught:
            await ask()
        assert caught.value.errno == errno.ENETDOWN
    await linked.listen()
    await linked.connect()


async def test_a_host_without_power_is_silent(autojump_clock: object) -> None:
    linked = Linked(1.0)
    linked.links.set_buffer(AB, 10)
    near, far = await linked.pair()
    await far.send_all(b"before")
    linked.network.crash("b", told=False)
    await far.aclose()
    assert await near.receive_some() == b"before"
    await near.send_all(bytes(10))
    for ask in (near.receive_some, lambda: near.send_all(b"x"), linked.connect):
        with trio.move_on_after(3600) as scope:
            await ask()
        assert scope.cancelled_caught


async def test_a_host_that_has_power_again_answers_and_knows_no_connection_from_before(
    autojump_clock: object,
) -> None:
    linked = Linked(1.0)
    asked, _ = await linked.pair()
    asks_later, _ = await linked.pair()
    linked.network.crash("b", told=False)
    await asked.send_all(b"x")

    async def connect() -> None:
        with pytest.raises(ConnectionRefusedError):
            await linked.connect()

    assert await seconds_until(connect, 60.0, lambda: linked.network.revive("b")) == 61.0
    with pytest.raises(trio.BrokenResourceError):
        await asked.receive_some()
    with trio.move_on_after(60) as scope:
        await asks_later.receive_some()
    assert scope.cancelled_caught
    await asks_later.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await asks_later.receive_some()


async def test_a_host_that_has_power_again_does_not_answer_what_is_dropped(autojump_clock: object) -> None:
    linked = Linked(1.0)
    near, _ = await linked.pair()
    linked.network.crash("b", told=False)
    linked.links.drop(AB)
    linked.network.revive("b")
    await near.send_all(b"x")

    async def wait() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await near.receive_some()

    assert await seconds_until(wait, 60.0, lambda: linked.links.mend(AB)) >= 61.0


@pytest.mark.parametrize("told", [True, False])
async def test_tasks_of_a_crashed_process_are_unwound_and_see_no_errors(
    told: bool, autojump_clock: object
) -> None:
    linked = Linked()
    linked.links.set_buffer(BA, 1)
    listener = await linked.listen()
    await linked.connect()
    far = await listener.accept()
    await far.send_all(b"x")
    asks: Sequence[Ask] = (far.receive_some, lambda: far.send_all(b"x"), listener.accept)
    async with trio.open_nursery() as nursery:
        for ask in asks:
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        linked.network.crash("b", told=told)
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught


async def test_links_make_connections_half_open_until_the_sender_gives_up(autojump_clock: object) -> None:
    linked = Linked()
    near, far = await linked.pair()
    linked.links.half_open("b")
    with pytest.raises(trio.BrokenResourceError):
        await far.send_all(b"x")
    await near.send_all(b"x")
    with trio.move_on_after(3600) as scope:
        await near.receive_some()
    assert scope.cancelled_caught
    await near.aclose()


# Whole nodes


class LinkedCluster(Cluster):
    """Nodes on hosts of their names, with links between them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.links = Links(random.Random(self.seed), (0.001, 0.02))
        self.link_network = LinkNetwork(self.links)

    def world(self, name: str) -> World:
        return replace(super().world(name), network=self.link_network.host(name))

    def crash(self, name: str, *, told: bool) -> None:
        self.link_network.crash(name, told=told)
        self.kill(name)


async def test_nodes_serve_and_repair_over_links(autojump_clock: object) -> None:
    cluster = LinkedCluster()
    to_c = [pair for other in "ab" for pair in ((other, "c"), ("c", other))]
    async with running(cluster):
        await put(cluster, "a", x=1)
        cluster.links.drop(*to_c)
        await put(cluster, "b", y=2)
        assert await tags_at(cluster, "a", ack="quorum") == {"x": 1, "y": 2}
        held = (await cluster.held_of(N1))["c"]
        cluster.links.mend(*to_c)
        await eventually(lambda: cluster.parts("a").members.peers["c"].state == "up")
        assert (await cluster.round("a")).outcome in (RoundOutcome.REPAIRED, RoundOutcome.CONVERGED)
        assert (await cluster.held_of(N1))["c"] != held
        assert len(set((await cluster.roots()).values())) == 1
        assert cluster.link_network.bytes_sent["a", "b"] > 0


@pytest.mark.parametrize("told", [True, False])
async def test_a_node_that_crashed_on_its_host_is_back_after_a_new_start(
    told: bool, autojump_clock: object
) -> None:
    cluster = LinkedCluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        cluster.crash("c", told=told)
        await cluster.ended["c"].wait()
        await put(cluster, "a", x=1)
        await eventually(lambda: cluster.parts("a").members.peers["c"].state != "up")
        cluster.link_network.revive("c")
        await cluster.start(nursery, "c")
        await eventually(lambda: cluster.parts("a").members.peers["c"].state == "up")
        assert (await cluster.round("a")).outcome in (RoundOutcome.REPAIRED, RoundOutcome.CONVERGED)
        assert (await cluster.held_of(N1))["c"] is not None
        cluster.stop()

"""Streams over links: when bytes arrive, in which order, and what an end sees of a connection that ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import check_half_closeable_stream, wait_all_tasks_blocked

from gossipnode.sim.world.link_stream import LinkStream
from tests.sim.world.links.linked import AB, BA, Linked, seconds_until

Send = Callable[[LinkStream], Awaitable[object]]


async def clogged() -> tuple[LinkStream, LinkStream]:
    """Two ends, whose buffers are full."""
    linked = Linked()
    linked.links.set_buffer(AB, 4096)
    linked.links.set_buffer(BA, 4096)
    near, far = await linked.pair()
    for end in (near, far):
        await end.send_all(bytes(4096))
    return near, far


async def test_a_stream_keeps_what_trio_asks_of_streams() -> None:
    await check_half_closeable_stream(lambda: Linked().pair(), clogged)


async def test_a_stream_with_latency_keeps_it_too(autojump_clock: object) -> None:
    async def pair() -> tuple[LinkStream, LinkStream]:
        linked = Linked()
        ends = await linked.pair()
        # Short enough for a check that lets the sender send until it hears that its receiver is gone.
        linked.links.set_latency(AB, 0.0, 1e-6)
        linked.links.set_latency(BA, 1e-6, 2e-6)
        return ends

    await check_half_closeable_stream(pair, None)


# When bytes arrive


async def test_bytes_take_the_latency_of_their_direction(autojump_clock: object) -> None:
    linked = Linked(0.5)
    near, far = await linked.pair()
    linked.links.set_latency(BA, 3.0, 3.0)
    begun = trio.current_time()
    await near.send_all(b"there")
    assert (await far.receive_some(), trio.current_time() - begun) == (b"there", 0.5)
    await far.send_all(b"back")
    assert (await near.receive_some(), trio.current_time() - begun) == (b"back", 3.5)


@pytest.mark.parametrize("latency_before", [0.0, 0.5])
async def test_a_reader_that_waits_already_gets_bytes_when_they_arrive(
    latency_before: float, autojump_clock: object
) -> None:
    linked = Linked(latency_before)
    near, far = await linked.pair()
    begun = trio.current_time()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def send() -> None:
            await trio.sleep(1)
            linked.links.set_latency(AB, 2.0, 2.0)
            await near.send_all(b"x")
            linked.links.set_latency(AB, 0.0, 0.0)
            await trio.sleep(0.5)
            await near.send_all(b"y")

        assert await far.receive_some() == b"xy"
    assert trio.current_time() - begun == 3.0


async def test_a_reader_gets_all_that_has_arrived_up_to_what_it_asks_for(autojump_clock: object) -> None:
    linked = Linked(1.0)
    near, far = await linked.pair()
    for data in (b"ab", b"cd", b"ef"):
        await near.send_all(data)
    assert await far.receive_some(3) == b"abc"
    await trio.sleep(1)
    await near.send_all(b"g")
    assert await far.receive_some(100) == b"def"
    assert await far.receive_some(100) == b"g"


async def test_a_bandwidth_is_shared_by_the_connections_of_a_link(autojump_clock: object) -> None:
    linked = Linked()
    (near, far), (other, other_far) = await linked.pair(), await linked.pair()
    linked.links.set_bandwidth(AB, 100)
    begun = trio.current_time()
    await near.send_all(bytes(200))
    await other.send_all(bytes(100))
    assert len(await far.receive_some()) == 200
    assert trio.current_time() - begun == 2.0
    assert len(await other_far.receive_some()) == 100
    assert trio.current_time() - begun == 3.0


async def test_what_is_sent_is_not_changed_by_a_sender_that_reuses_its_buffer(autojump_clock: object) -> None:
    near, far = await Linked(1.0).pair()
    data = bytearray(b"first")
    await near.send_all(data)
    data[:] = b"other"
    assert await far.receive_some() == b"first"


# Full buffers


async def test_a_sender_waits_while_the_buffer_is_full_and_nobody_reads(autojump_clock: object) -> None:
    linked = Linked(1.0)
    linked.links.set_buffer(AB, 10)
    near, far = await linked.pair()
    await near.send_all(bytes(10))
    with trio.move_on_after(60) as scope:
        await near.send_all(b"x")
    assert scope.cancelled_caught
    assert len(await far.receive_some(5)) == 5
    await near.send_all(b"x")
    assert await far.receive_some() == bytes(5)
    assert await far.receive_some() == b"x"


async def test_more_than_the_buffer_holds_is_sent_as_it_is_read() -> None:
    linked = Linked()
    linked.links.set_buffer(AB, 10)
    near, far = await linked.pair()
    data = bytes(range(95))
    got: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.send_all, data)
        await wait_all_tasks_blocked()
        while sum(map(len, got)) < len(data):
            got.append(bytes(await far.receive_some()))
    assert b"".join(got) == data
    assert max(map(len, got)) == 10


async def send_twenty(near: LinkStream) -> None:
    await near.send_all(bytes(20))


@pytest.mark.parametrize("send", [send_twenty, LinkStream.wait_send_all_might_not_block])
async def test_a_sender_that_waits_hears_that_its_receiver_is_gone(
    send: Send, autojump_clock: object
) -> None:
    linked = Linked(1.0)
    linked.links.set_buffer(AB, 10)
    near, far = await linked.pair()
    await near.send_all(bytes(10))
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def close() -> None:
            await trio.sleep(5)
            await far.aclose()

        begun = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await send(near)
        assert trio.current_time() - begun == 6.0


async def test_a_sender_that_waits_hears_of_a_reset(autojump_clock: object) -> None:
    linked = Linked()
    linked.links.set_buffer(AB, 10)
    near, _ = await linked.pair()
    await near.send_all(bytes(10))

    async def send() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await send_twenty(near)

    assert await seconds_until(send, 5.0, lambda: linked.links.reset(AB)) == 5.0


# Ends


async def test_closing_delivers_what_was_sent_and_then_the_end(autojump_clock: object) -> None:
    near, far = await Linked(1.0).pair()
    await near.send_all(b"last")
    await near.aclose()
    begun = trio.current_time()
    assert await far.receive_some() == b"last"
    assert await far.receive_some() == b""
    assert trio.current_time() - begun == 1.0
    with pytest.raises(trio.BrokenResourceError):
        await far.send_all(b"to nobody")


async def test_what_is_sent_before_the_other_end_is_known_to_be_closed_vanishes(
    autojump_clock: object,
) -> None:
    near, far = await Linked(1.0).pair()
    await far.aclose()
    await near.send_all(b"to nobody")
    await trio.sleep(1)
    with pytest.raises(trio.BrokenResourceError):
        await near.send_all(b"to nobody")


async def test_a_reset_breaks_both_ends_at_once(autojump_clock: object) -> None:
    linked = Linked(1.0)
    near, far = await linked.pair()
    await near.send_all(b"on its way")
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await near.receive_some()

        await wait_all_tasks_blocked()
        linked.links.reset(AB)
    for end in (near, far):
        with pytest.raises(trio.BrokenResourceError):
            await end.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await end.send_all(b"x")
        with pytest.raises(trio.BrokenResourceError):
            await end.send_eof()
    assert trio.current_time() == 2.0  # of the connecting alone
    await near.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await near.receive_some()


# Links that drop everything


async def test_what_is_dropped_arrives_once_the_link_is_mended(autojump_clock: object) -> None:
    linked = Linked(1.0)
    near, far = await linked.pair()
    begun = trio.current_time()
    await near.send_all(b"under way, ")
    linked.links.drop(AB)
    await near.send_all(b"dropped")
    await near.aclose()
    with trio.move_on_after(60) as scope:
        await far.receive_some()
    assert scope.cancelled_caught
    linked.links.mend(AB)
    assert await far.receive_some() == b"under way, dropped"
    assert await far.receive_some() == b""
    assert trio.current_time() - begun == 61.0


async def test_a_reader_that_waits_for_a_dropped_link_gets_its_bytes_once_that_is_mended(
    autojump_clock: object,
) -> None:
    linked = Linked(1.0)
    near, far = await linked.pair()
    linked.links.drop(AB)
    await near.send_all(b"x")
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def mend() -> None:
            await trio.sleep(9)
            linked.links.mend(AB)

        begun = trio.current_time()
        assert await far.receive_some() == b"x"
        assert trio.current_time() - begun == 10.0


async def test_the_other_direction_of_a_dropped_link_goes_on(autojump_clock: object) -> None:
    linked = Linked(1.0)
    near, far = await linked.pair()
    linked.links.drop(AB)
    await far.send_all(b"x")
    assert await near.receive_some() == b"x"

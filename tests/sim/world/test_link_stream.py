"""Streams over links: when bytes arrive, in which order, and what an end sees of a connection that ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, check_half_closeable_stream, wait_all_tasks_blocked

from gossipnode.sim.world.link_stream import LinkStream
from gossipnode.sim.world.scheduler import VirtualClock
from tests.core.support import examples
from tests.sim.world.linked import AB, BA, Linked

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


# Whatever is sent, and however long it takes

CHUNKS = st.lists(st.tuples(st.floats(0, 3), st.integers(0, 300)), max_size=12)
"""How long the sender sleeps, and how much it sends then."""
READS = st.lists(st.integers(1, 400), min_size=1, max_size=5)


class Way:
    """What one end sends to the other in one direction, and what comes of it."""

    def __init__(self, chunks: list[tuple[float, int]], reads: list[int], first: int) -> None:
        self.chunks = chunks
        self.reads = reads
        self.first = first
        self.sent = bytearray()
        self.sent_at: list[tuple[float, int]] = []
        self.got = bytearray()
        self.got_at: list[tuple[float, int]] = []
        self.ended_at = 0.0

    async def send(self, stream: LinkStream) -> None:
        for seconds, size in self.chunks:
            await trio.sleep(seconds)
            data = bytes((self.first + len(self.sent) + at) % 251 for at in range(size))
            self.sent += data
            await stream.send_all(data)
            self.sent_at.append((trio.current_time(), len(self.sent)))
        await stream.send_eof()

    async def receive(self, stream: LinkStream) -> None:
        turn = 0
        while data := await stream.receive_some(self.reads[turn % len(self.reads)]):
            assert len(data) <= self.reads[turn % len(self.reads)]
            turn += 1
            self.got += data
            self.got_at.append((trio.current_time(), len(self.got)))
        self.ended_at = trio.current_time()

    def due_at(self, latency: float, rate: int | None) -> list[tuple[float, int]]:
        """When so many bytes are to have arrived, as a plain model has it."""
        due: list[tuple[float, int]] = []
        free, before = 0.0, 0
        for sent_at, total in self.sent_at:
            begins = sent_at
            if rate is not None:
                begins = free = max(free, sent_at) + (total - before) / rate
            if total > before:
                due.append((begins + latency, total))
            before = total
        return due

    def arrived_at(self, total: int) -> float:
        return next(time for time, so_far in self.got_at if so_far >= total)


async def _talk(linked: Linked, *ways: Way) -> None:
    near, far = await linked.pair()
    there, back = ways
    async with trio.open_nursery() as nursery:
        nursery.start_soon(there.send, near)
        nursery.start_soon(there.receive, far)
        nursery.start_soon(back.send, far)
        nursery.start_soon(back.receive, near)


CLOCKS = st.sampled_from([lambda: MockClock(autojump_threshold=0), VirtualClock])
RATES = st.none() | st.integers(50, 1000)
LATENCIES = st.sampled_from([0.0, 0.001, 0.5, 4.0])


@given(st.tuples(CHUNKS, CHUNKS), READS, st.tuples(LATENCIES, LATENCIES), st.tuples(RATES, RATES), CLOCKS)
@examples(25)
def test_each_end_reads_what_the_other_wrote_at_its_time(
    chunks: tuple[list[tuple[float, int]], ...],
    reads: list[int],
    latencies: tuple[float, float],
    rates: tuple[int | None, int | None],
    clock: Callable[[], trio.abc.Clock],
) -> None:
    ways = [Way(each, reads, first) for first, each in enumerate(chunks)]

    async def run() -> None:
        linked = Linked()
        for pair, latency, rate in zip((AB, BA), latencies, rates, strict=True):
            linked.links.set_latency(pair, latency, latency)
            linked.links.set_bandwidth(pair, rate)
        await _talk(linked, *ways)

    trio.run(run, clock=clock())
    for way, latency, rate in zip(ways, latencies, rates, strict=True):
        assert way.got == way.sent
        for due, total in way.due_at(latency, rate):
            assert way.arrived_at(total) == pytest.approx(due)


@given(CHUNKS, READS, st.lists(st.tuples(st.floats(0, 2), st.sampled_from(range(6))), max_size=10), CLOCKS)
@examples(25)
def test_bytes_keep_their_order_whatever_becomes_of_the_link(
    chunks: list[tuple[float, int]],
    reads: list[int],
    changes: list[tuple[float, int]],
    clock: Callable[[], trio.abc.Clock],
) -> None:
    there, back = Way(chunks, reads, 0), Way(chunks, reads, 1)

    async def run() -> None:
        linked = Linked()
        links = linked.links
        actions: list[Callable[[], object]] = [
            lambda: links.set_latency(AB, 0.0, 5.0),
            lambda: links.set_latency(AB, 0.0, 0.0),
            lambda: links.set_bandwidth(AB, 70),
            lambda: links.set_buffer(AB, 7),
            lambda: links.drop(AB, BA),
            lambda: links.mend(AB, BA),
        ]

        async def change() -> None:
            for seconds, action in changes:
                await trio.sleep(seconds)
                actions[action]()
            links.heal()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(change)
            await _talk(linked, there, back)

    trio.run(run, clock=clock())
    assert (there.got, back.got) == (there.sent, back.sent)

"""Whatever is sent over links, however long it takes: each end reads what the other wrote, at its time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from gossipnode.sim.world.link_stream import LinkStream
from gossipnode.sim.world.scheduler import VirtualClock
from tests.core.support import examples
from tests.sim.world.links.linked import AB, BA, Linked

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

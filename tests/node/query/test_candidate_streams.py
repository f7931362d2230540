"""The candidates of one replica: a stream that ends, breaks off or stops, and how far it reads ahead."""

from __future__ import annotations

import itertools

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.query.replica_messages import Candidate
from gossipnode.core.query.search import Place
from gossipnode.node.query.candidate_streams import CandidateStream
from gossipnode.rpc import RpcError, Status
from gossipnode.store.interface import StoreError
from gossipnode.wire.wire_errors import WireError
from tests.records import record

SHARD = ShardId("sw", 0)


def page(*numbers: int) -> list[Candidate]:
    places = [Place(record(f"n/{number}").entity) for number in numbers]
    return [Candidate(place, SHARD, Version(1, 0, b""), None) for place in places]


async def taken(stream: CandidateStream) -> list[Candidate]:
    """All that is left in a stream."""
    found: list[Candidate] = []
    while await stream.head() is not None:
        found.append(stream.pop())
    return found


async def test_a_stream_gives_what_was_added_in_order() -> None:
    async def fill(stream: CandidateStream) -> None:
        await stream.add(page(1, 2))
        await stream.add([])
        await stream.add(page(3))

    stream = CandidateStream("b", [SHARD], fill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.run)
        assert await taken(stream) == page(1, 2, 3)
    assert (stream.candidates, stream.failure) == (3, "")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (RpcError(Status.UNAVAILABLE, "it is gone"), "it is gone"),
        (RpcError(Status.UNAVAILABLE), "UNAVAILABLE"),
        (StoreError("the disk is full"), "the disk is full"),
        (WireError("no sense"), "no sense"),
    ],
)
async def test_who_finds_that_a_stream_has_ended_finds_why(error: Exception, failure: str) -> None:
    """Else one that broke off would pass for one that has no more to say."""

    async def fill(stream: CandidateStream) -> None:
        await stream.add(page(1))
        await trio.lowlevel.checkpoint()
        raise error

    for _ in range(20):
        stream = CandidateStream("b", [SHARD], fill)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.run)
            assert await taken(stream) == page(1)
            assert stream.failure == failure


@pytest.mark.slow
async def test_a_defect_in_a_search_is_told_as_what_it_is() -> None:
    async def fill(stream: CandidateStream) -> None:
        raise RuntimeError("its text is for the log alone")

    stream = CandidateStream("b", [SHARD], fill)
    await stream.run()
    assert await taken(stream) == []
    assert stream.failure == "internal error"


async def test_a_stream_reads_no_further_ahead_than_it_has_room() -> None:
    begun: list[int] = []

    async def fill(stream: CandidateStream) -> None:
        for number in itertools.count():
            begun.append(number)
            await stream.add(page(number))

    stream = CandidateStream("b", [SHARD], fill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.run)
        for number in range(5):
            await trio.testing.wait_all_tasks_blocked()
            assert len(begun) <= number + 3
            assert await stream.head() is not None
            stream.pop()
        stream.stop()
    assert stream.failure == ""

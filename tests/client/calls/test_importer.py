from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

import pytest
import trio

from gossipnode.client.calls.importer import BATCHES_IN_FLIGHT, Batch, Importer
from gossipnode.client.calls.node_client import NodeClient
from gossipnode.client.errors import BadRecordError, FailedError, NotFoundError
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.core.model.property import Entity
from gossipnode.rpc import RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from gossipnode.wire.property.property_edit import read_property
from tests.client.support import node_client

Stream = ServerStream[messages.ImportRequest, messages.ImportResponse]


class FakeNode:
    """Takes batches as a node does: all of a batch or nothing, and a bad record ends the call."""

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)
        self.stored: list[str] = []
        self.calls = 0
        self.waiting = 0

    async def take(self, stream: Stream) -> None:
        self.calls += 1
        while (batch := await stream.recv()) is not None:
            ids = [read_property(record.property).entity.id for record in batch.records]
            for position, id_ in enumerate(ids):
                if id_ in self.bad:
                    await stream.send(messages.ImportResponse(bad_record=position, problem=f"{id_} is bad"))
                    return
            self.stored += ids
            await stream.send(messages.ImportResponse(records=len(ids)))


def client_of(handler: Callable[[Stream], Awaitable[None]]) -> AbstractAsyncContextManager[NodeClient]:
    return node_client({services.NODE_IMPORT: handler})


def batches_of(*sizes: int) -> list[Batch]:
    batches: list[Batch] = []
    place = 0
    for size in sizes:
        batches.append(Batch())
        for _ in range(size):
            place += 1
            batches[-1].add(StoredProperty(Entity("g", "n", str(place)), {"a": 1}), place)
    return batches


async def given(batches: Sequence[Batch], error: Exception | None = None) -> AsyncGenerator[Batch]:
    for batch in batches:
        yield batch
    if error is not None:
        raise error


async def test_batches_are_written_in_order() -> None:
    node = FakeNode()
    async with client_of(node.take) as client:
        importer = Importer(node=client, group="g")
        await importer.run(given(batches_of(3, 1, 2, 5, 1, 1, 4)))
    assert node.stored == [str(number) for number in range(1, 18)]
    assert (importer.written, node.calls) == (17, 1)


async def test_no_batch_at_all() -> None:
    async with client_of(FakeNode().take) as client:
        importer = Importer(node=client, group="g")
        await importer.run(given([]))
    assert importer.written == 0


@pytest.mark.parametrize("bad", range(1, 14))
async def test_a_bad_record_stops_the_import_at_its_batch(bad: int) -> None:
    node = FakeNode(str(bad))
    with pytest.RaisesGroup(
        pytest.RaisesExc(BadRecordError, match=f"line {bad}: {bad} is bad"), flatten_subgroups=True
    ):
        async with client_of(node.take) as client:
            importer = Importer(node=client, group="g")
            await importer.run(given(batches_of(2, 2, 2, 2, 2, 2, 1)))
    assert node.stored == [str(number) for number in range(1, (bad - 1) // 2 * 2 + 1)]
    assert importer.written == len(node.stored)


@pytest.mark.parametrize("bad", [{1}, {13}, {1, 2}, {3, 5, 7}, {2, 3, 12, 13}, set(range(1, 14))])
async def test_bad_records_can_be_skipped(bad: set[int]) -> None:
    node = FakeNode(*map(str, bad))
    told: list[int] = []
    async with client_of(node.take) as client:
        importer = Importer(node=client, group="g", on_bad=lambda place, _problem: told.append(place))
        await importer.run(given(batches_of(2, 2, 2, 2, 2, 2, 1)))
    assert told == sorted(bad)
    assert node.stored == [str(number) for number in range(1, 14) if number not in bad]
    assert importer.written == len(node.stored)


async def test_an_error_of_the_input_comes_after_what_was_before_it() -> None:
    node = FakeNode()
    with pytest.RaisesGroup(pytest.RaisesExc(BadRecordError, match="line 7"), flatten_subgroups=True):
        async with client_of(node.take) as client:
            importer = Importer(node=client, group="g")
            await importer.run(given(batches_of(2, 2, 2), BadRecordError("line 7: wrong")))
    assert (len(node.stored), importer.written) == (6, 6)


async def test_a_refused_call() -> None:
    async def refuse(stream: Stream) -> None:
        await stream.recv()
        raise RpcError(Status.NOT_FOUND, "group 'g' is unknown")

    with pytest.RaisesGroup(pytest.RaisesExc(NotFoundError, match="'g' is unknown"), flatten_subgroups=True):
        async with client_of(refuse) as client:
            await Importer(node=client, group="g").run(given(batches_of(1, 1, 1, 1, 1, 1)))


async def test_a_call_that_ends_too_early() -> None:
    async def leave(stream: Stream) -> None:
        await stream.recv()

    with pytest.RaisesGroup(pytest.RaisesExc(FailedError, match="ended the import"), flatten_subgroups=True):
        async with client_of(leave) as client:
            await Importer(node=client, group="g").run(given(batches_of(1)))


async def test_only_so_many_batches_are_under_way() -> None:
    waiting = 0
    most = 0

    async def slow(stream: Stream) -> None:
        nonlocal waiting, most
        taken: list[messages.ImportRequest] = []
        async with trio.open_nursery() as nursery:
            send, receive = trio.open_memory_channel[messages.ImportRequest](100)

            async def read() -> None:
                nonlocal waiting, most
                async with send:
                    while (batch := await stream.recv()) is not None:
                        waiting += 1
                        most = max(most, waiting)
                        await send.send(batch)

            nursery.start_soon(read)
            async for batch in receive:
                await trio.testing.wait_all_tasks_blocked()
                taken.append(batch)
                waiting -= 1
                await stream.send(messages.ImportResponse(records=len(batch.records)))

    async with client_of(slow) as client:
        await Importer(node=client, group="g").run(given(batches_of(*[1] * 20)))
    assert most == BATCHES_IN_FLIGHT

"""An import over a real channel: answers in order, nothing written after a bad record, and no lock left."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from gossipnode.node.endpoints.import_call import IMPORT_BATCHES_UNANSWERED, IMPORT_MAX_RECORDS, ImportCall
from gossipnode.rpc import Channel, ClientStream, RpcError, Server, ServerStream, Status
from gossipnode.store.memory import MemoryStore
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.services import NODE_IMPORT
from tests.node.peers.issuing import open_to_all
from tests.node.support import NOW, Alone, all_records, make_local, memory_store, serve, stored, tags_of
from tests.records import prop

Import = ClientStream[v1.ImportRequest, v1.ImportResponse]


class Served:
    """The import of a node alone, and a channel to it."""

    def __init__(self, alone: Alone) -> None:
        self.alone = alone
        self.shards = alone.local

    @property
    def locked(self) -> bool:
        """Whether any record is held locked."""
        return bool(self.alone.steps.locks.held)

    async def _serve(self, stream: ServerStream[v1.ImportRequest, v1.ImportResponse]) -> None:
        await ImportCall(stream, self.alone.bulk, open_to_all()).run()

    @asynccontextmanager
    async def call(self) -> AsyncGenerator[Import]:
        server = Server({NODE_IMPORT: self._serve})
        async with trio.open_nursery() as nursery:

            async def connect() -> trio.abc.Stream:
                ours, theirs = trio.testing.memory_stream_pair()
                nursery.start_soon(server.serve_stream, theirs)
                return ours

            async with Channel(connect) as channel:
                async with channel.stream(NODE_IMPORT, timeout=None) as stream:
                    yield stream
            nursery.cancel_scope.cancel()


async def serving(nursery: trio.Nursery, store: MemoryStore | None = None) -> Served:
    return Served(await serve(nursery, make_local(store, groups={"sw": 2})))


def batch(*payloads: bytes, **options: object) -> v1.ImportRequest:
    deleted = int(options.pop("delete_time", 0))  # type: ignore[call-overload]
    records = [v1.Record(property=payload, delete_time=deleted) for payload in payloads]
    return v1.ImportRequest(**{"group": "sw", "records": records, **options})  # type: ignore[arg-type]


async def answers(stream: Import) -> list[v1.ImportResponse]:
    await stream.half_close()
    found: list[v1.ImportResponse] = []
    while more := await stream.recv_batch(16):
        found += more
    return found


async def test_each_batch_is_answered_in_order_once_it_is_durable(nursery: trio.Nursery) -> None:
    served = await serving(nursery)
    async with served.call() as stream:
        for size in (1, 5, 0, 3):
            await stream.send(batch(*(prop(f"n/{size}-{i}") for i in range(size))))
            answer = await stream.recv()
            assert answer is not None
            assert (answer.records, answer.bad_record) == (size, None)
            found = await all_records(served.shards)
            assert sum(key.startswith(f"n/{size}-") for key in found) == size
        assert await answers(stream) == []
    assert not served.locked


async def test_batches_in_flight_are_all_answered(nursery: trio.Nursery, autojump_clock: object) -> None:
    served = await serving(nursery, memory_store(commit_seconds=1))
    async with served.call() as stream:
        for number in range(10):
            await stream.send(batch(prop(f"n/{number}"), prop("n/same", number=number)))
        assert [answer.records for answer in await answers(stream)] == [2] * 10
    assert tags_of(await stored(served.shards, "n/same")) == {"number": 9}
    assert not served.locked


async def test_a_bad_record_refuses_its_batch_and_nothing_later_is_written(nursery: trio.Nursery) -> None:
    served = await serving(nursery)
    async with served.call() as stream:
        await stream.send(batch(prop("n/1")))
        await stream.send(batch(prop("n/2"), b"\xff", prop("n/3")))
        await stream.send(batch(prop("n/4")))
        first, second = await answers(stream)
    assert (first.records, first.bad_record) == (1, None)
    assert second.bad_record == 1
    assert second.problem
    assert set(await all_records(served.shards)) == {"n/1"}
    assert not served.locked


async def test_a_bad_first_record_is_told_from_none(nursery: trio.Nursery) -> None:
    served = await serving(nursery)
    async with served.call() as stream:
        await stream.send(batch(prop("n/1", "other")))
        (answer,) = await answers(stream)
    assert answer.bad_record == 0


async def test_stamps_are_kept_where_asked_for(nursery: trio.Nursery) -> None:
    served = await serving(nursery)
    async with served.call() as stream:
        await stream.send(batch(prop("n/1"), keep_versions=True, delete_time=NOW))
        assert [answer.records for answer in await answers(stream)] == [1]
    held = await stored(served.shards, "n/1")
    assert held is not None
    assert (held.version.mod_revision, held.version.delete_time) == (0, NOW)


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        (batch(prop("n/1"), group="nope"), Status.NOT_FOUND, "group 'nope' is unknown here"),
        (batch(prop("n/1"), group="_gossipnode"), Status.PERMISSION_DENIED, "system's own"),
        (
            batch(prop("n/1"), ack="most"),
            Status.INVALID_ARGUMENT,
            "ack 'most': expected one of local, one, quorum, all",
        ),
        (batch(*[b""] * (IMPORT_MAX_RECORDS + 1)), Status.INVALID_ARGUMENT, "records: 4097"),
    ],
)
async def test_a_wrong_call_ends_with_a_status(
    nursery: trio.Nursery, asked: v1.ImportRequest, status: Status, said: str
) -> None:
    served = await serving(nursery)
    async with served.call() as stream:
        await stream.send(asked)
        with pytest.raises(RpcError) as caught:
            await stream.recv()
    assert caught.value.status is status
    assert said in caught.value.message


async def test_a_full_disk_ends_the_call_and_frees_every_lock(nursery: trio.Nursery) -> None:
    served = await serving(nursery)
    assert isinstance(served.shards.store, MemoryStore)
    served.shards.store.set_full(True)
    async with served.call() as stream:
        for number in range(3):
            await stream.send(batch(prop(f"n/{number}")))
        with pytest.raises(RpcError) as caught:
            await stream.recv()
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        await trio.testing.wait_all_tasks_blocked()
        assert not served.locked


async def test_a_client_that_reads_no_answers_keeps_no_locks(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """Other clients must be able to write the records that such a client has sent."""
    served = await serving(nursery)

    class Deaf:
        """A client with much to say, whose window for answers is closed."""

        sent = 0

        async def recv(self) -> v1.ImportRequest:
            self.sent += 1
            await trio.lowlevel.checkpoint()
            return batch(prop(f"n/{self.sent}"), prop("n/same"))

        async def send(self, message: object) -> None:
            await trio.sleep_forever()

    deaf = Deaf()
    async with trio.open_nursery() as calls:
        calls.start_soon(ImportCall(deaf, served.alone.bulk, open_to_all()).run)  # type: ignore[arg-type]
        await trio.testing.wait_all_tasks_blocked()
        assert not served.locked
        with trio.fail_after(1):
            await served.alone.coordinator.apply(prop("n/same", mine=1), replace=False)
        # Its batches do not fill our memory.
        assert deaf.sent == IMPORT_BATCHES_UNANSWERED + 1
        calls.cancel_scope.cancel()


async def test_a_client_that_goes_away_leaves_nothing(nursery: trio.Nursery, autojump_clock: object) -> None:
    served = await serving(nursery, memory_store(commit_seconds=5))
    async with served.call() as stream:
        for number in range(3):
            await stream.send(batch(prop(f"n/{number}"), prop("n/same")))
        await trio.sleep(2)
        assert served.locked
    await trio.sleep(10)
    assert not served.locked

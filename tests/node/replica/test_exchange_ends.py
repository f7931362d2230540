"""How the far end of a link ends: with its answers given, and no defect told."""

from __future__ import annotations

import trio
import trio.testing

from gossipnode.core.query.replica_messages import ReadRecords, RecordsRead, RecordsWritten
from gossipnode.rpc import Status
from gossipnode.wire.services import REPLICA_EXCHANGE
from tests.node.peers.linked import PEER, Replica, asking, batch_of, handlers, linked, read, refused, write
from tests.records import record


async def test_stopping_answers_what_was_read_and_takes_no_more(autojump_clock: object) -> None:
    replica = Replica()
    replica.store.commit_seconds = 1.0
    async with linked(replica) as pair:
        async with asking(pair.link, {"write": write(record("n/a"))}) as answers:
            await trio.testing.wait_all_tasks_blocked()
            replica.exchange.stop()
            await pair.server.drain(grace_seconds=60)
            assert trio.current_time() == 1
        assert isinstance(answers["write"], RecordsWritten)
        assert (await refused(pair.link, read("a"))).status is Status.UNAVAILABLE


async def test_a_stopped_exchange_refuses_new_streams(autojump_clock: object) -> None:
    replica = Replica()
    replica.exchange.stop()
    async with linked(replica) as pair:
        error = await refused(pair.link, read("a"))
        assert (error.status, error.message) == (Status.UNAVAILABLE, "the node is stopping")


async def test_a_peer_that_ends_its_half_still_gets_its_answers(autojump_clock: object) -> None:
    async def slow(request: ReadRecords) -> RecordsRead:
        await trio.sleep(1)
        return RecordsRead((None,))

    async with linked(handlers(read=slow)) as pair:
        async with pair.channel.stream(REPLICA_EXCHANGE, timeout=5) as stream:
            await stream.send(batch_of(read("a")))
            await stream.half_close()
            batch = await stream.recv()
            assert batch is not None
            assert len(batch.replies) == 1
            assert await stream.recv() is None


async def test_a_stream_that_breaks_while_the_node_stops_is_no_defect(autojump_clock: object) -> None:
    async def never(request: ReadRecords) -> RecordsRead:
        await trio.sleep_forever()
        raise AssertionError

    async with linked(handlers(read=never)) as pair:
        async with asking(pair.link, {number: read("a") for number in range(3)}):
            await trio.testing.wait_all_tasks_blocked()
            await pair.network.cut(PEER)
            await pair.kill()

"""Requests of clients to a small cluster in memory, given up at any point: nothing is left at any node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import trio

from gossipnode.concurrency.fair_turns import FairTurns
from gossipnode.node.coordinate.entity_locks import EntityLocks
from gossipnode.node.coordinate.read_repair import READ_REPAIR_WORKERS
from gossipnode.node.peers.exchange_link import ExchangeLink
from gossipnode.node.repair.origin import KEPT_ROUNDS
from gossipnode.node.repair.reports import REPORT_LANES
from gossipnode.node.repair.session_slots import SessionSlots
from gossipnode.node.replica.exchange import EXCHANGE_HANDLED_AT_ONCE
from gossipnode.rpc import Channel, RpcError
from gossipnode.rpc.server.reply_budget import ReplyBudget
from gossipnode.sim import Cluster, running
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.gossipnode.v1 import watch_pb2
from gossipnode.wire.watch_codec import TOKENS_KEPT
from tests.leaks.calls import CALL_SECONDS, first_of, give_up, grown
from tests.leaks.calls import REMEMBERED as REMEMBERED_BY_CONNECTIONS
from tests.leaks.counting import all_of, count_alive, left_behind
from tests.records import prop

AT_ONCE = 12
"""Requests that run at the same time."""

TURNS_BITS = 9
"""A request is given up after a number of turns of other tasks that has fewer bits."""

COMMIT_SECONDS = 0.06
"""How long a store takes to write, so that some deadlines come first."""

REST_SECONDS = 120.0
KEYS = 24
"""Records that there are, so that requests meet each other, and what a node stores does not grow."""

NODES = 3
_LINKS = NODES * (NODES - 1)
_ROUNDS = NODES * KEPT_ROUNDS
_VALUES = 4 * _ROUNDS + NODES * (2 * KEYS + READ_REPAIR_WORKERS)
REMEMBERED = {
    # The tasks of an exchange park when they have nothing to do.
    "gossipnode.node.replica.exchange._Exchange._work": _LINKS * EXCHANGE_HANDLED_AT_ONCE,
    # Each lane of reports has a task, which still knows the last one that it has sent.
    "gossipnode.node.repair.reports.Reports._send_to": _LINKS * REPORT_LANES,
    "gossipnode.core.ring.round.Report": _LINKS * REPORT_LANES,
    "gossipnode.core.ring.round.Ended": _LINKS * REPORT_LANES,
    "gossipnode.core.ring.round.Forwarded": _LINKS * REPORT_LANES,
    "gossipnode.core.ring.round.EndedWell": _LINKS * REPORT_LANES,
    "trio.lowlevel.Task": _LINKS * EXCHANGE_HANDLED_AT_ONCE,
    "builtins.coroutine": 2 * _LINKS * EXCHANGE_HANDLED_AT_ONCE,
    "trio._core._traps.WaitTaskRescheduled": _LINKS * EXCHANGE_HANDLED_AT_ONCE,
    # The latest rounds, the records in the stores, and the last one that each worker of a read repair wrote.
    "gossipnode.core.ring.round.Round": _ROUNDS,
    "gossipnode.core.ring.round.Hop": 4 * _ROUNDS,
    "gossipnode.core.query.newest.Stale": NODES * READ_REPAIR_WORKERS,
    "gossipnode.core.model.arrival.Arrival": NODES * READ_REPAIR_WORKERS,
    "gossipnode.core.model.property.Record": _VALUES,
    "gossipnode.core.model.property.Entity": _VALUES,
    "gossipnode.core.model.property.ShardId": _VALUES,
    "gossipnode.core.model.version.Version": _VALUES,
    "builtins.tuple": 2 * _VALUES,
    # What each replica remembers of requests is kept by the record.
    "gossipnode.core.query.request_lineage.KeptLineage": NODES * KEYS,
    "gossipnode.core.query.request_lineage.Lineage": NODES * KEYS,
    # Made when they are first needed.
    "gossipnode.store.memory_index.WantedIndex": 2 * NODES,
    "gossipnode.core.query.index_key.IndexRow": 2 * NODES * KEYS,
    # A store keeps how each record came.
    "gossipnode.store.memory_shard.KeptChange": NODES * KEYS,
    # A store keeps the leaf of each record that it has hashed.
    "gossipnode.core.session.tree.Leaf": NODES * KEYS,
    # The item index of a shard has buckets for its records.
    "gossipnode.core.session.reconcile.item_index._TrieNode": NODES * KEYS,
    "gossipnode.wire.envelope.tables.Field": 100,
    # The latest tokens are not encoded again.
    "gossipnode.core.watch.watch_token.WatchToken": TOKENS_KEPT,
    "gossipnode.core.watch.watch_token.FeedPosition": TOKENS_KEPT * NODES,
    **REMEMBERED_BY_CONNECTIONS,
}
"""What nodes keep of the latest requests, and never more of it."""


@dataclass
class Requests:
    """Some requests, and how they ended."""

    random: Random
    ends: dict[str, int] = field(default_factory=dict)

    def ended(self, how: str) -> None:
        self.ends[how] = self.ends.get(how, 0) + 1

    def payload(self) -> bytes:
        number, size = self.random.randrange(KEYS), self.random.choice((1, 3000))
        return prop(f"n/{number}", k=self.random.randrange(100), v="v" * size)

    async def one(self, channels: dict[str, Channel]) -> None:
        """One request, which ends in one way or the other."""
        random = self.random
        records = (self.apply, self.delete, self.get, self.query, self.import_, self.export)
        ask = random.choice((*records, self.repair, self.watch, self.wait, self.explain))
        deadline = random.choice((None, 0.001, 0.05, 2.0))
        channel = channels[random.choice(sorted(channels))]
        try:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    if random.randrange(4):
                        turns = random.randrange(1 << random.randrange(1, TURNS_BITS))
                        nursery.start_soon(give_up, scope, turns)
                    await ask(channel, deadline)
                    nursery.cancel_scope.cancel()
        except* RpcError as errors:
            self.ended(first_of(errors).status.name)
        else:
            self.ended("given up" if scope.cancelled_caught else "answered")

    async def apply(self, channel: Channel, deadline: float | None) -> None:
        request = v1.ApplyRequest(property=self.payload(), ack=self.random.choice(("", "all", "one")))
        await channel.unary(services.NODE_APPLY, request, timeout=deadline)

    async def delete(self, channel: Channel, deadline: float | None) -> None:
        request = v1.DeleteRequest(group="sw", name="n", id=str(self.random.randrange(KEYS)))
        await channel.unary(services.NODE_DELETE, request, timeout=deadline)

    async def get(self, channel: Channel, deadline: float | None) -> None:
        request = v1.GetRequest(group="sw", name="n", id=str(self.random.randrange(KEYS)))
        await channel.unary(services.NODE_GET, request, timeout=deadline)

    async def query(self, channel: Channel, deadline: float | None) -> None:
        query = banyandb.QueryRequest(groups=["sw"], limit=self.random.choice((1, 100)))
        if self.random.randrange(2):
            query.order_by = banyandb.QueryOrder(tag_name="k")
        await self.answers(channel, services.NODE_QUERY, [v1.QueryRequest(query=query)], deadline)

    async def export(self, channel: Channel, deadline: float | None) -> None:
        await self.answers(channel, services.NODE_EXPORT, [v1.ExportRequest(group="sw")], deadline)

    async def import_(self, channel: Channel, deadline: float | None) -> None:
        batches: list[object] = []
        for _ in range(self.random.randrange(4)):
            records = [v1.Record(property=self.payload()) for _ in range(self.random.randrange(6))]
            batches.append(v1.ImportRequest(records=records))
        await self.answers(channel, services.NODE_IMPORT, batches, deadline)

    async def repair(self, channel: Channel, deadline: float | None) -> None:
        await self.answers(channel, services.NODE_REPAIR, [v1.RepairRequest(group="sw", wait=True)], deadline)

    async def watch(self, channel: Channel, deadline: float | None) -> None:
        """A watch has no end of its own."""
        request = v1.WatchRequest(group="sw", ack=self.random.choice(("", "quorum")))
        await self.answers(channel, services.WATCH, [request], deadline or 2.0)

    async def wait(self, channel: Channel, deadline: float | None) -> None:
        identity = str(self.random.randrange(KEYS))
        request = watch_pb2.WaitRequest(group="sw", name="n", id=identity, milliseconds=500)
        await channel.unary(services.WAIT, request, timeout=deadline)

    async def explain(self, channel: Channel, deadline: float | None) -> None:
        identity = str(self.random.randrange(KEYS))
        request = watch_pb2.ExplainRequest(group="sw", name="n", id=identity)
        await channel.unary(services.EXPLAIN, request, timeout=deadline)

    async def answers(
        self, channel: Channel, method: object, requests: list[object], deadline: float | None
    ) -> None:
        """Send requests, and take what comes; now and then the stream is left before its end."""
        async with channel.stream(method, timeout=deadline) as stream:  # type: ignore[arg-type]
            for request in requests:
                await stream.send(request)
            await stream.half_close()
            while await stream.recv() is not None:
                if not self.random.randrange(8):
                    return


async def make_requests(requests: Requests, count: int, channels: dict[str, Channel]) -> None:
    left = iter(range(count))

    async def some() -> None:
        for _ in left:
            await requests.one(channels)

    with trio.fail_after(count * CALL_SECONDS):
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(some)
    await trio.sleep(REST_SECONDS)


async def leaks_of_requests(count: int, *, seed: int, warm_up: int) -> tuple[list[str], dict[str, int], int]:
    """What `count` requests have left behind; how they ended; and how many bytes more are traced."""
    requests = Requests(Random(seed))
    cluster = Cluster(groups=("sw:2:3",), seed=seed)
    async with running(cluster):
        for store in cluster.stores.values():
            store.commit_seconds = COMMIT_SECONDS
        async with cluster.channel("a") as first, cluster.channel("b") as second:
            channels = {"a": first, "b": second}
            await make_requests(requests, warm_up, channels)
            requests.ends.clear()
            before = await count_alive()
            await make_requests(requests, count, channels)
            after = await count_alive()
            found = left_behind(before, after, calls=count, remembered=REMEMBERED)
            found += left_at_nodes()
    return found, requests.ends, grown(before, after)


def left_at_nodes() -> Iterator[str]:
    """Locks, turns, places and queue entries that are still taken."""
    for locks in all_of(EntityLocks):
        yield from (f"the lock of {entity.text}" for entity in locks.held)
    for turns in all_of(FairTurns):
        yield from ["a turn"] * turns.held + ["one that waits for a turn"] * turns.waiting
    for slots in all_of(SessionSlots):
        yield from (f"{shares.held} session slots" for shares in slots._shares.values() if shares.held)
    for link in all_of(ExchangeLink):
        queued = (link._under_way, link._queued, link._waiting)
        yield from (f"request {number} of a link" for entries in queued for number in entries)
        assert (link._bytes, link._waiting_bytes) == (0, 0)
    for budget in all_of(ReplyBudget):
        yield from ["room for replies"] * bool(budget._held)
    for semaphore in all_of(trio.Semaphore):
        if semaphore.max_value is not None:
            yield from ["a place of a semaphore"] * (semaphore.max_value - semaphore.value)
    for limiter in all_of(trio.CapacityLimiter):
        yield from ["a token"] * int(limiter.borrowed_tokens)

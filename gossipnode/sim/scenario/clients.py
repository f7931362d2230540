"""The clients of a simulated cluster: the real library, over the simulated network.

What a client was asked to do and what it heard is written into the history, and nothing that it cannot know.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from gossipnode.client.calls.importer import Batch, Importer
from gossipnode.client.calls.node_client import NodeClient
from gossipnode.client.calls.query_run import Records
from gossipnode.client.cluster_client import Client, open_client
from gossipnode.client.errors import ClientError, FailedError, NoNodeError, UnreachableError
from gossipnode.client.transport.trio_transport import TrioTransport
from gossipnode.client.values.given import Ack
from gossipnode.client.values.results import Property
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.client.values.tags import GivenTag, given_tags
from gossipnode.client.values.watched import WatchEvent
from gossipnode.config.address import Address
from gossipnode.core.model.property import parse_entity
from gossipnode.rpc import Channel
from gossipnode.rpc.client.dialing import Connect
from gossipnode.sim.history.history import History, WatchView
from gossipnode.sim.history.operations import (
    Apply,
    Asked,
    Delete,
    Deleted,
    Failed,
    Get,
    Heard,
    Import,
    Imported,
    Nothing,
    Operation,
    Query,
    Row,
    Rows,
    Stored,
    Tags,
)
from gossipnode.sim.world.link_network import LinkNetwork
from gossipnode.sim.world.machines import address_of

CLIENT = "client"
"""The host of a client that names none."""

WATCHER = "watcher"
"""The host of a client that watches."""

TOOK_IT = " replicas took it"
"""In the words of a coordinator that could not store a write at as many replicas as it should."""

TIMEOUT_SECONDS = 10.0
"""How long an operation may take over all its tries, unless it says something else."""

WATCH_AGAIN_SECONDS = 1.0
"""How long a client waits that could not go on with its watch at any node."""

READ_SLOWLY_RECORDS = 1
"""How many records a reader takes that then takes no more."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How an operation is carried out, beside what is asked."""

    ack: Ack = "quorum"
    timeout_seconds: float = TIMEOUT_SECONDS
    """How long it may take over all its tries."""
    request: str = ""
    """Operations of one name are one write to the cluster, tried again. Empty: it stands alone."""
    pad_bytes: int = 0
    """The size of a tag that a write has beside the others. The history does not have it."""

    @property
    def pad(self) -> dict[str, str]:
        """That tag."""
        return {"pad": "p" * self.pad_bytes} if self.pad_bytes else {}


class RequestIds(random.Random):
    """The numbers by which a client tells writes apart: a named request has the same at every client."""

    request = ""
    """The name of the request that is asked for next, if it has one."""

    def getrandbits(self, k: int, /) -> int:
        """So many bits; those of the named request, if there is one, but only once."""
        name, self.request = self.request, ""
        return random.Random(f"request {name}").getrandbits(k) if name else super().getrandbits(k)


class Clients:
    """Clients by the host that they run on and the nodes that they know."""

    def __init__(self, network: LinkNetwork, nursery: trio.Nursery, history: History, seed: int) -> None:
        """No client yet. Each lives in `nursery` once it is needed."""
        self._network = network
        self._nursery = nursery
        self._history = history
        self._seed = seed
        self._clients: dict[tuple[str, tuple[str, ...], float], Client] = {}
        self._ids: dict[tuple[str, tuple[str, ...], float], RequestIds] = {}
        self._unread: list[Records] = []
        self._starting = trio.Lock()

    async def client(
        self, host: str, nodes: Sequence[str], timeout_seconds: float = TIMEOUT_SECONDS
    ) -> Client:
        """The client on a host that knows these nodes, the first of which it asks first."""
        key = host, tuple(nodes), timeout_seconds
        # Two operations may want it in the same instant. A second one would draw the same request numbers.
        async with self._starting:
            if key not in self._clients:
                self._clients[key] = await self._nursery.start(self._keep, *key)
        return self._clients[key]

    async def _keep(
        self,
        host: str,
        nodes: tuple[str, ...],
        timeout_seconds: float,
        *,
        task_status: trio.TaskStatus[Client],
    ) -> None:
        rng = RequestIds(f"{self._seed} client {host} {' '.join(nodes)}")
        self._ids[host, nodes, timeout_seconds] = rng

        @asynccontextmanager
        async def transport(address: Address) -> AsyncGenerator[TrioTransport]:
            async with Channel(self._dial(host, address), authority=str(address), rng=rng) as channel:
                yield TrioTransport(channel)

        addresses = [address_of(node) for node in nodes]
        async with open_client(addresses, timeout_seconds, transport, rng) as client:
            task_status.started(client)
            await trio.sleep_forever()

    def _dial(self, host: str, address: Address) -> Connect:
        async def connect() -> trio.abc.Stream:
            return await self._network.host(host).connect(address)

        return connect

    # Operations

    async def do(self, host: str, nodes: Sequence[str], asked: Asked, manner: Manner) -> Operation:
        """Carry out one operation, and note what was asked and heard."""
        operation = Operation(
            1 + len(self._history.operations),
            host,
            nodes[0],
            manner.ack,
            asked,
            began=trio.current_time(),
            # An import is a stream to one node.
            others=() if isinstance(asked, Import) else tuple(nodes[1:]),
            began_place=self._history.next_place(),
        )
        self._history.operations.append(operation)
        try:
            operation.heard = await self._ask(host, nodes, asked, manner)
        except ClientError as error:
            maybe = isinstance(error, UnreachableError | FailedError) and not isinstance(error, NoNodeError)
            # A node that says how many replicas took a write has given it up; another one may try on.
            over = maybe and len(nodes) == 1 and TOOK_IT in str(error)
            operation.heard = Failed(type(error).__name__, str(error), maybe, over)
        operation.ended, operation.ended_place = trio.current_time(), self._history.next_place()
        return operation

    async def read_slowly(self, host: str, nodes: Sequence[str], group: str) -> None:
        """Begin to read all records of a group in the order of a tag, and take none after the first."""
        client = await self.client(host, nodes)
        records = client.query(group, order_by="x", limit=None)
        taken = 0
        async for _ in records:
            taken += 1
            if taken == READ_SLOWLY_RECORDS:
                break
        self._unread.append(records)

    def watch(self, host: str, nodes: Sequence[str], group: str) -> None:
        """Watch a group until the end of the run. What is believed to be there is in the history."""
        watched = WatchView(host, group)
        self._history.watched.append(watched)
        self._nursery.start_soon(self._watch, nodes, watched)

    async def _watch(self, nodes: Sequence[str], watched: WatchView) -> None:
        token = ""
        while True:
            client = await self.client(watched.client, nodes)
            try:
                async for event in client.watch(watched.group, since=token):
                    token = event.token or token
                    _hear(watched, event)
            except ClientError:
                watched.breaks += 1
                await trio.sleep(WATCH_AGAIN_SECONDS)

    async def _ask(self, host: str, nodes: Sequence[str], asked: Asked, manner: Manner) -> Heard:
        ack = manner.ack
        if isinstance(asked, Import):
            return await self._import(host, nodes[0], asked, manner)
        client = await self.client(host, nodes, manner.timeout_seconds)
        # Nothing else of this client runs until it has drawn the number of the request.
        self._ids[host, tuple(nodes), manner.timeout_seconds].request = manner.request
        match asked:
            case Apply(key, tags, replace):
                given: dict[str, GivenTag] = {**tags, **manner.pad}
                applied = await client.apply(*parse_entity(key), given, replace, ack)
                record = applied.property
                return Stored(record.mod_revision, _tags(record), applied.created)
            case Delete(key):
                return Deleted(await client.delete(*parse_entity(key), ack))
            case Get(key):
                found = await client.get(*parse_entity(key), ack)
                return Nothing() if found is None else _row(found)
            case Query(group):
                rows = [_row(record) async for record in client.query(group, limit=None, ack=ack)]
                return Rows(tuple(rows))

    async def _import(self, host: str, node: str, asked: Import, manner: Manner) -> Heard:
        tags = given_tags({**asked.tags, **manner.pad})

        async def batches() -> AsyncGenerator[Batch]:
            batch = Batch()
            for place, key in enumerate(asked.keys, 1):
                batch.add(StoredProperty(parse_entity(key), tags), place)
            yield batch

        address = address_of(node)
        async with Channel(
            self._dial(host, address), authority=str(address), rng=random.Random(0)
        ) as channel:
            importer = Importer(
                NodeClient(channel, address, manner.timeout_seconds),
                parse_entity(asked.keys[0]).group,
                ack=manner.ack,
            )
            with trio.move_on_after(manner.timeout_seconds):
                await importer.run(batches())
                return Imported(importer.written)
        return Failed("UnreachableError", f"{node}: the import did not end in time", maybe=True)


def _tags(record: Property) -> Tags:
    return {name: value for name, value in record.tags.items() if isinstance(value, int)}


def _hear(watched: WatchView, event: WatchEvent) -> None:
    """Believe what an event says."""
    watched.events += 1
    match event.event:
        case "put":
            tags = {name: value for name, value in (event.tags or {}).items() if isinstance(value, int)}
            watched.records[event.key] = event.mod_revision, tags
        case "delete" | "purge":
            watched.records.pop(event.key, None)
        case "gap":
            watched.gaps += 1
            watched.ready = False
            watched.records.clear()
        case "ready":
            watched.ready = True
        case "conflict":
            # It comes after the put that tells the version.
            watched.overlapped.append(event.key)
        case _:
            return


def _row(record: Property) -> Row:
    return Row(record.key, record.mod_revision, _tags(record))

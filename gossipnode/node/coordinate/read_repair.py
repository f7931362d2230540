"""Read repair: replicas that a read found stale get the newest version, after the reader has its answer.

A stale copy that does not fit into the queue is dropped and counted. A round repairs it later.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog
import trio

from gossipnode.core.model.arrival import Arrival, Through
from gossipnode.core.query.newest import Stale
from gossipnode.core.query.replica_messages import RecordsWritten, WriteRecords
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.peers.members import Members
from gossipnode.node.replica.replica import Replica
from gossipnode.rpc import RpcError
from gossipnode.store.interface import StoreError

READ_REPAIR_QUEUE_RECORDS = 1024
READ_REPAIR_QUEUE_BYTES = 16 << 20
"""Stale copies that may wait, and the bytes of the records that are to be written to them."""

READ_REPAIR_WORKERS = 4
"""Stale copies that are written to at once."""


class ReadRepair:
    """Writes newest versions back, a few at a time."""

    def __init__(self, shards: ShardMap, members: Members, own: Replica) -> None:
        """Write to `own` here, and to the other replicas over their links."""
        self._shards = shards
        self._members = members
        self._own = own
        self._in, self._out = trio.open_memory_channel[Stale](READ_REPAIR_QUEUE_RECORDS)
        self._waiting_bytes = 0
        self.repaired = 0
        """Stale copies that were written to."""
        self.dropped = 0
        """Stale copies left to the next round, because too many waited, or the replica did not take it."""
        self._log = structlog.get_logger("gossipnode.coordinator")

    def offer(self, stale: Iterable[Stale]) -> None:
        """Have stale copies repaired, as far as the queue has room."""
        for each in stale:
            size = len(each.record.payload)
            if self._waiting_bytes + size > READ_REPAIR_QUEUE_BYTES:
                self.dropped += 1
                continue
            try:
                self._in.send_nowait(each)
            except trio.WouldBlock:
                self.dropped += 1
            else:
                self._waiting_bytes += size

    async def run(self) -> None:
        """Write what is offered, until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(READ_REPAIR_WORKERS):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        async for stale in self._out:
            self._waiting_bytes -= len(stale.record.payload)
            assert self._waiting_bytes >= 0, self._waiting_bytes
            try:
                taken = await self._write(stale)
            except StoreError:
                taken = False
            except Exception:  # noqa: BLE001 - a defect, logged with its traceback
                self._log.exception("read repair failed", peer=stale.replica)
                taken = False
            if taken:
                self.repaired += 1
            else:
                self.dropped += 1

    async def _write(self, stale: Stale) -> bool:
        placement = self._shards.view.placement(stale.shard)
        if placement is None:
            return False
        arrival = Arrival(Through.READ_REPAIR, self._shards.own_name)
        request = WriteRecords(stale.shard, placement.fence, (stale.record,), arrival=arrival, copies=True)
        if stale.replica == self._shards.own_name:
            (reply,) = await self._own.write([request])
            return isinstance(reply, RecordsWritten)
        peer = self._members.peers.get(stale.replica)
        if peer is None or peer.state == "down":
            return False
        try:
            await peer.link.ask(request, timeout=REPLICA_SECONDS)
        except RpcError as error:
            # From now on, repairs of a replica that hangs are dropped, and do not hold up those of other
            # replicas.
            peer.request_failed(error)
            return False
        return True

"""A new replica takes over the stamp floors of its source before it copies records.

The source may have taken the stamp of a write that failed, and that may still come. The new replica then
takes no lower one.
"""

from __future__ import annotations

from gossipnode.core.cluster.placement import Placement
from gossipnode.core.query.replica_messages import ReadRecords, RecordsRead
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.peers.members import Peer
from gossipnode.rpc import RpcError


async def raise_floors(local: LocalState, peer: Peer, placement: Placement) -> str:
    """Raise our floors to the highest one of a source; gives why that was not done, or "".

    Raises:
        StoreError: the ceiling was not kept.
    """
    request = ReadRecords(placement.shard, placement.fence, ())
    try:
        answer = await peer.link.ask(request, timeout=REPLICA_SECONDS)
    except RpcError as error:
        return error.message or str(error)
    if not isinstance(answer, RecordsRead):
        return "its answer does not fit"
    if answer.floor:
        await local.floors.raise_all(answer.floor)
    return ""

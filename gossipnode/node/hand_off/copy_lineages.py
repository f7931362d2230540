"""A new replica copies from a source which requests of clients its records include.

A client whose request got no answer may try it again after the record has moved. Then the new replica must
know, as the one before it did, that the request is done.
"""

from __future__ import annotations

from gossipnode.core.cluster.placement import Placement
from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.property import Entity
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.peers.members import Members, Peer
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.lineage_codec import decode_page, encode_key


async def copy_lineages(local: LocalState, members: Members, peer: Peer, placement: Placement) -> str:
    """Copy what a source keeps beside its records; gives why that was not done, or "".

    Raises:
        StoreError: what it told was not kept.
    """
    group, shard, incarnation = placement.shard
    after: Entity | None = None
    while True:
        request = pb.LineagesRequest(
            group=group, shard=shard, incarnation=incarnation, fence=placement.fence, after=encode_key(after)
        )
        try:
            reply = await peer.channel.unary(
                services.REPLICA_LINEAGES, request, timeout=REPLICA_SECONDS, metadata=members.metadata
            )
            page = decode_page(group, reply)
        except RpcError as error:
            # A member of an older version keeps none.
            return "" if error.status is Status.UNIMPLEMENTED else error.message or str(error)
        except InvalidEntityError as error:
            return str(error)
        await local.requests.learn(placement.shard, page.found)
        if page.after is None:
            return ""
        if after is not None and page.after == after:
            return "its pages do not go on"
        after = page.after

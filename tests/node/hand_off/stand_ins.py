"""One node of a cluster that changes, and stand-ins for all that it asks of other members."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.query.replica_messages import ReadRecords, RecordsRead
from gossipnode.core.retention.marks import NO_MARKS, Marks
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd
from gossipnode.node.local.fill_state import FillProgress
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.members import MemberState
from gossipnode.node.repair.retention.meetings import Met
from gossipnode.rpc import RpcError
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb


def members_of(own_name: str, *peers: Any) -> Any:
    """The members as one of them knows them."""
    named = {peer.name: peer for peer in peers}
    return SimpleNamespace(own_name=own_name, peers=named, metadata={call_metadata.NODE: own_name})


def peer(
    name: str,
    *,
    filled: Mapping[ShardId, bytes] | None = None,
    state: MemberState = "up",
    foreign: bool = False,
) -> Any:
    """A member that said in its last hello what it has filled."""
    return SimpleNamespace(
        name=name,
        state=state,
        foreign=foreign,
        progress=FillProgress(filled or {}),
        link=FakeLink(),
        channel=FakeChannel(),
    )


class FakeLink:
    """Requests to a replica that has taken no stamp yet."""

    async def ask(self, _request: ReadRecords, **_options: float) -> RecordsRead:
        await trio.lowlevel.checkpoint()
        return RecordsRead(())


@dataclass
class FakeChannel:
    """Calls to a replica for what it keeps beside its records: nothing, if the test says nothing."""

    pages: Sequence[pb.LineagesReply | RpcError] = ()
    asked: list[pb.LineagesRequest] = field(default_factory=list)

    async def unary(self, _method: object, request: pb.LineagesRequest, **_: object) -> pb.LineagesReply:
        await trio.lowlevel.checkpoint()
        self.asked.append(request)
        if not self.pages:
            return pb.LineagesReply()
        page = self.pages[min(len(self.asked), len(self.pages)) - 1]
        if isinstance(page, RpcError):
            raise page
        return page


@dataclass(frozen=True)
class Compared:
    """A session that was opened."""

    peer: str
    shard: ShardId
    fence: str
    leaving: bool


@dataclass
class FakeSessions:
    """Sessions of which the test says how they end: equal, if it says nothing."""

    ends: Mapping[str, HopEnd] = field(default_factory=dict)
    skipped: int = 0
    meanwhile: Callable[[], Awaitable[None]] | None = None
    compared: list[Compared] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    told: Mapping[str, Marks] = field(default_factory=dict)
    """What a member tells of its retention before a session; all 0 if the test says nothing."""

    @property
    def meetings(self) -> FakeSessions:
        return self

    async def meet(self, peer: Any, _shard: ShardId) -> Met:
        return Met(self.told.get(peer.name, NO_MARKS))

    async def compare(
        self, peer: Any, shard: ShardId, metadata: Mapping[str, str], *, leaving: bool = False
    ) -> Hop:
        self.compared.append(Compared(peer.name, shard, metadata[call_metadata.FENCE], leaving))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await trio.lowlevel.checkpoint()
        if self.meanwhile is not None:
            await self.meanwhile()
        self.open -= 1
        end = self.ends.get(peer.name, HopEnd.EQUAL)
        return Hop("me", peer.name, end, end.value, skipped=self.skipped)

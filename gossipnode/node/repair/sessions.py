"""Tree sessions that this node opens, each from reading our own tree to the end of the server's stream.

What goes wrong with a peer becomes the outcome of the session, never an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import structlog
import trio

from gossipnode.config.settings import DEFAULT_FOREIGN_RETENTION_SECONDS
from gossipnode.core.model.errors import SessionViolationError, SlotCountError
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd
from gossipnode.core.session.commands import SessionCounts, SessionEnd
from gossipnode.core.session.foreign_peer import ForeignPeer
from gossipnode.core.session.lanes import stamp_max
from gossipnode.core.session.messages import ClientMessage, ServerMessage
from gossipnode.core.session.tree_client import TreeClient
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.foreign_rules import FOREIGN_MESSAGE_MAX_BYTES, foreign_peer
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.refusals.request_errors import ShardGoneError
from gossipnode.node.repair.repair_stream import RepairStream
from gossipnode.node.repair.shard_store import ShardStore, TranslatedStore
from gossipnode.rpc import ClientStream, RpcError, Status
from gossipnode.rpc.status import NO_METADATA
from gossipnode.store.interface import StoreError
from gossipnode.wire.property.canonical_json import Spacing, leaf_digest, other_spacing
from gossipnode.wire.services import REPAIR

OWN_TREE_SECONDS = 300.0
"""How long a holder waits for the digests of its own store. A million new records take two minutes.

A disk that hangs must not keep a round open. What was computed until then is kept for the next round.
"""

SERVER_SILENCE_SECONDS = 300.0
"""How long a server may say nothing before we have said all: more than slow disks and tree builds take."""

SERVER_END_SECONDS = 300.0
"""How long a client that has said all it has to say waits in silence for the server to end the stream.

A foreign server rebuilds its tree first, which may take any time: the session's deadline alone bounds it.
"""

NAMED_MAX_CHARACTERS = 120
"""How much of the key of a record that was left out a hop tells."""

VERDICT_END_SECONDS = 5.0
"""How long it waits for that when the session was over with the verdict on the roots."""

_NOT_BEGUN = frozenset(
    [
        Status.UNAVAILABLE,
        Status.UNIMPLEMENTED,
        Status.PERMISSION_DENIED,
        Status.UNAUTHENTICATED,
        Status.FAILED_PRECONDITION,
    ]
)
"""Statuses that mean, when they come before the verdict on the roots, that no session took place."""


@dataclass(frozen=True, slots=True)
class SessionBounds:
    """The bounds of a session, from the configuration."""

    deadline_seconds: float
    page_leaves: int
    foreign_retention_seconds: float = DEFAULT_FOREIGN_RETENTION_SECONDS
    """How long after the delete a foreign peer keeps a tombstone."""
    leaf_json: Spacing = "none"
    """The dialect of our own leaves."""


class Sessions:
    """Opens sessions with other members."""

    def __init__(self, local: LocalState, members: Members, bounds: SessionBounds) -> None:
        """Compare what `local` holds with what `members` hold."""
        self._local = local
        self._members = members
        self._bounds = bounds

    async def compare(
        self, peer: Peer, shard: ShardId, metadata: Mapping[str, str], *, leaving: bool = False
    ) -> Hop:
        """One session with a member. With `leaving`, this node hands over a shard that it no longer holds."""
        began = trio.current_time()
        own_metadata = {**metadata, call_metadata.INCARNATION: str(shard.incarnation)}
        group = self._local.shards.view.groups.get(shard.group)
        if group is None:
            # It was deleted while the session waited for its turn.
            reason = f"there is no group {shard.group!r} any more"
            return Hop(self._members.own_name, peer.name, HopEnd.FAILED, reason)
        for learnt in (False, True):
            store, foreign = self._sides(peer, shard, leaving=leaving)
            run = _ClientRun(peer, shard, store, group.shards, self._bounds, own_metadata, foreign)
            end, reason = await run.outcome()
            if not run.other_dialect:
                break
            if learnt:
                end, reason = HopEnd.FAILED, "it writes the JSON of its leaves in both ways"
            peer.leaf_json = other_spacing(peer.leaf_json or self._bounds.leaf_json)
        counts = run.counts
        if not reason and counts.skipped:
            reason = f"left out: {reasons_text(counts)}"
        return Hop(
            self._members.own_name,
            peer.name,
            end,
            reason,
            sent=counts.sent,
            received=counts.received,
            skipped=counts.skipped,
            bytes_sent=run.bytes_sent,
            bytes_received=run.bytes_received,
            seconds=trio.current_time() - began,
        )

    def _sides(self, peer: Peer, shard: ShardId, *, leaving: bool) -> tuple[ShardStore, ForeignPeer | None]:
        """Our own shard as the session compares it, and what the session is to know of a foreign peer."""
        if not peer.foreign:
            return ShardStore(self._local, shard, leaving=leaving), None
        spoken = peer.leaf_json or self._bounds.leaf_json
        rules = foreign_peer(self._local.clock, self._bounds.foreign_retention_seconds, spoken)
        if spoken == self._bounds.leaf_json:
            return ShardStore(self._local, shard, leaving=leaving), rules
        return TranslatedStore(self._local, shard, partial(leaf_digest, spacing=spoken)), rules


class _ClientRun:
    """One session that we open, from reading the tree to the end of the server's stream."""

    def __init__(
        self,
        peer: Peer,
        shard: ShardId,
        store: ShardStore,
        shards: int,
        bounds: SessionBounds,
        metadata: Mapping[str, str],
        foreign: ForeignPeer | None,
    ) -> None:
        self.counts = SessionCounts()
        self.bytes_sent = 0
        self.bytes_received = 0
        self.other_dialect = False
        self._peer = peer
        self._shard = shard
        self._store = store
        self._shards = shards
        self._bounds = bounds
        self._metadata = metadata
        self._foreign = foreign
        self._stream: ClientStream[ClientMessage, ServerMessage] | None = None

    async def outcome(self) -> tuple[HopEnd, str]:
        """Run the session; gives how it ended, and why if it did not end well."""
        try:
            return await self._run()
        except RpcError as error:
            self._peer.failed(error)
            return self._failed(error)
        except SlotCountError:
            return HopEnd.FAILED, f"{self._peer.name} uses another number of slots"
        except SessionViolationError as error:
            return HopEnd.FAILED, f"protocol: {error}"
        except TimeoutError as error:
            return HopEnd.FAILED, str(error)
        except StoreError as error:
            return HopEnd.FAILED, f"own store: {error}"
        except ShardGoneError as error:
            return HopEnd.FAILED, str(error)
        except Exception:  # noqa: BLE001 - a defect becomes the outcome `internal`, logged with its traceback
            structlog.get_logger("gossipnode.ring").exception("session failed", peer=self._peer.name)
            return HopEnd.FAILED, "internal"
        finally:
            if self._stream is not None:
                self.bytes_sent = self._stream.bytes_sent
                self.bytes_received = self._stream.bytes_received

    async def _run(self) -> tuple[HopEnd, str]:
        try:
            with trio.fail_after(OWN_TREE_SECONDS):
                tree = await self._store.tree(self._shard)
        except trio.TooSlowError:
            return HopEnd.FAILED, f"own store: it has told no digests within {OWN_TREE_SECONDS:g} s"
        if tree is None:
            return HopEnd.FAILED, "the holder itself has no tree"
        session = TreeClient(
            self._shard,
            self._shards,
            tree,
            page_leaves=self._bounds.page_leaves,
            stamp_max=stamp_max(foreign=self._peer.foreign),
            foreign=self._foreign,
        )
        self.counts = session.counts
        async with self._peer.channel.stream(
            REPAIR, timeout=self._bounds.deadline_seconds, metadata=self._metadata, dial_now=True
        ) as stream:
            self._stream = stream
            if self._foreign is not None:
                stream.take_messages_up_to(FOREIGN_MESSAGE_MAX_BYTES)
            end = await RepairStream(
                stream,
                session,
                self._store,
                half_close=stream.half_close,
                end_wait_seconds=math.inf if self._peer.foreign else SERVER_END_SECONDS,
                silence_seconds=SERVER_SILENCE_SECONDS,
            ).run()
            self._peer.answered()
            if end is SessionEnd.OTHER_DIALECT:
                self.other_dialect = True
                return HopEnd.REPAIRED, ""
            if end is not SessionEnd.REPAIRED:
                await _take_end(stream)
            if end is SessionEnd.NO_TREE:
                return HopEnd.SKIPPED, "no tree for the shard"
            if end is SessionEnd.EQUAL:
                return HopEnd.EQUAL, ""
            self._add_skipped_there(call_metadata.text(stream.trailing_metadata, call_metadata.SKIPPED))
        return HopEnd.REPAIRED, ""

    def _add_skipped_there(self, said: str) -> None:
        """Count what an own server left out. It says so in metadata, as no message has a field for it."""
        if said.isascii() and said.isdecimal() and len(said) < 10 and int(said):
            self.counts.skip("at the peer", int(said))

    def _failed(self, error: RpcError) -> tuple[HopEnd, str]:
        judged = self._stream is not None and self._stream.bytes_received > 0
        if judged:
            return HopEnd.FAILED, str(error)
        if error.status is Status.RESOURCE_EXHAUSTED and error.trailing_metadata is not NO_METADATA:
            # The peer says so. Without its trailers, it has broken a limit of ours.
            return HopEnd.BUSY, str(error)
        if error.status in _NOT_BEGUN or self._stream is None:
            return HopEnd.SKIPPED, str(error)
        return HopEnd.FAILED, str(error)


async def _take_end(stream: ClientStream[ClientMessage, ServerMessage]) -> None:
    """Let a server that has given its verdict end the stream, because many resets would look like abuse."""
    with trio.move_on_after(VERDICT_END_SECONDS):
        try:
            await stream.finish()
        except RpcError:
            # The session is over: a foreign peer without a tree ends it with an error.
            return


def reasons_text(counts: SessionCounts) -> str:
    """`2 not storable (sw/svc/a), 1 of another group or shard`."""
    return ", ".join(f"{count} {why}{_named(counts, why)}" for why, count in sorted(counts.reasons.items()))


def _named(counts: SessionCounts, why: str) -> str:
    entity = counts.named.get(why)
    return "" if entity is None else f" ({entity.text[:NAMED_MAX_CHARACTERS]})"

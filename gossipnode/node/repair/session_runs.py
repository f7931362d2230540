"""One session that this node opens, from reading its own digests to the end of the server's stream."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog
import trio

from gossipnode.config.settings import DEFAULT_FOREIGN_RETENTION_SECONDS
from gossipnode.core.model.errors import SessionViolationError, SlotCountError
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import HopEnd
from gossipnode.core.session.commands import SessionCounts, SessionEnd
from gossipnode.core.session.foreign_peer import ForeignPeer
from gossipnode.core.session.lanes import stamp_max
from gossipnode.core.session.reconcile.reconcile_sides import ReconcileClient
from gossipnode.core.session.reconcile.survey_client import (
    Difference,
    SurveyClient,
    SurveyTooLargeError,
)
from gossipnode.core.session.tree_client import TreeClient
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.foreign_rules import FOREIGN_MESSAGE_MAX_BYTES
from gossipnode.node.peers.members import Peer
from gossipnode.node.refusals.request_errors import ShardGoneError
from gossipnode.node.repair.repair_stream import RepairStream, Session, SessionReads
from gossipnode.node.repair.shard_store import ReconcileReads, ShardStore, TreeReads
from gossipnode.rpc import ClientStream, Method, RpcError, Status
from gossipnode.rpc.status import NO_METADATA
from gossipnode.store.interface import StoreError
from gossipnode.wire.property.canonical_json import Spacing
from gossipnode.wire.services import RECONCILE, REPAIR

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


@dataclass(frozen=True, slots=True)
class About:
    """What a session is about."""

    peer: Peer
    shard: ShardId
    shards: int
    """The number of shards of the group."""
    bounds: SessionBounds
    metadata: Mapping[str, str]
    """Sent with the call."""


class SessionRun(ABC):
    """A session of either kind."""

    kind: ClassVar[str]
    """What a hop calls it."""
    method: ClassVar[Method[Any, Any]]

    def __init__(self, about: About, store: ShardStore) -> None:
        """Compare what `store` holds. Nothing is read or sent before `outcome`."""
        self.counts = SessionCounts()
        self.bytes_sent = 0
        self.bytes_received = 0
        self._about = about
        self._peer = about.peer
        self._store = store
        self._stream: ClientStream[Any, Any] | None = None
        self._message_max_bytes: int | None = None

    @abstractmethod
    async def _begin(self) -> tuple[Session[Any, Any], SessionReads[Any]] | None:
        """Read our own digests, and make our side of the session; None if we hold none."""

    @property
    def _end_wait_seconds(self) -> float:
        """How long the server may take to end the stream, once we have said all."""
        return SERVER_END_SECONDS

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
        except SurveyTooLargeError as error:
            return HopEnd.FAILED, str(error)
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
                begun = await self._begin()
        except trio.TooSlowError:
            return HopEnd.FAILED, f"own store: it has told no digests within {OWN_TREE_SECONDS:g} s"
        if begun is None:
            return HopEnd.FAILED, "the holder itself has no tree"
        session, reads = begun
        self.counts = session.counts
        deadline = self._about.bounds.deadline_seconds
        async with self._peer.channel.stream(
            self.method, timeout=deadline, metadata=self._about.metadata, dial_now=True
        ) as stream:
            self._stream = stream
            if self._message_max_bytes is not None:
                stream.take_messages_up_to(self._message_max_bytes)
            end = await RepairStream(
                stream,
                session,
                reads,
                half_close=stream.half_close,
                end_wait_seconds=self._end_wait_seconds,
                silence_seconds=SERVER_SILENCE_SECONDS,
            ).run()
            self._peer.answered()
            if end is SessionEnd.OTHER_DIALECT:
                return self._judge(end)
            if end is not SessionEnd.REPAIRED:
                await _take_end(stream)
            if end is SessionEnd.REPAIRED:
                self._add_skipped_there(call_metadata.text(stream.trailing_metadata, call_metadata.SKIPPED))
        return self._judge(end)

    def _judge(self, end: SessionEnd) -> tuple[HopEnd, str]:
        if end is SessionEnd.NO_TREE:
            return HopEnd.SKIPPED, "no tree for the shard"
        return (HopEnd.EQUAL if end is SessionEnd.EQUAL else HopEnd.REPAIRED), ""

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


class TreeRun(SessionRun):
    """Compares trees, by the compatible protocol."""

    kind = "tree"
    method = REPAIR

    def __init__(self, about: About, store: ShardStore, foreign: ForeignPeer | None) -> None:
        """`foreign` is what is known of a peer that is not one of our own nodes."""
        super().__init__(about, store)
        self.other_dialect = False
        """Whether the session is to begin again, with the other dialect of JSON."""
        self._foreign = foreign
        self._message_max_bytes = None if foreign is None else FOREIGN_MESSAGE_MAX_BYTES

    async def _begin(self) -> tuple[Session[Any, Any], SessionReads[Any]] | None:
        about = self._about
        tree = await self._store.tree(about.shard)
        if tree is None:
            return None
        session = TreeClient(
            about.shard,
            about.shards,
            tree,
            page_leaves=about.bounds.page_leaves,
            stamp_max=stamp_max(foreign=self._peer.foreign),
            foreign=self._foreign,
        )
        return session, TreeReads(session, self._store)

    @property
    def _end_wait_seconds(self) -> float:
        return math.inf if self._peer.foreign else SERVER_END_SECONDS

    def _judge(self, end: SessionEnd) -> tuple[HopEnd, str]:
        self.other_dialect = end is SessionEnd.OTHER_DIALECT
        return super()._judge(end)


class ReconcileRun(SessionRun):
    """Reconciles with one of our own nodes."""

    kind = "reconcile"
    method = RECONCILE
    not_possible = False
    """Whether the two nodes have to compare trees.

    The other one does not know how, or has another key; or a digest of one of the trees is wrong, or two
    hashes are alike by chance, which a tree session mends.
    """

    async def _begin(self) -> tuple[Session[Any, Any], SessionReads[Any]] | None:
        about = self._about
        index = await self._store.index(about.shard)
        if index is None:
            return None
        tree_root = await self._store.known_root()
        session = ReconcileClient(about.shard, about.shards, index, tree_root=tree_root)
        return session, ReconcileReads(session, self._store)

    def _judge(self, end: SessionEnd) -> tuple[HopEnd, str]:
        self.not_possible = end in (
            SessionEnd.OTHER_KEY,
            SessionEnd.OTHER_TREE,
            SessionEnd.STILL_DIFFERS,
        )
        return super()._judge(end)

    def _failed(self, error: RpcError) -> tuple[HopEnd, str]:
        if error.status is Status.UNIMPLEMENTED:
            self.not_possible = self._peer.lacks_reconcile = True
        return super()._failed(error)


class SurveyRun(ReconcileRun):
    """Looks at what differs from one of our own nodes, and exchanges nothing."""

    differences: Sequence[Difference] = ()
    """What was found, once the run has ended well."""

    async def _begin(self) -> tuple[Session[Any, Any], SessionReads[Any]] | None:
        about = self._about
        index = await self._store.index(about.shard)
        if index is None:
            return None
        self._session = SurveyClient(about.shard, about.shards, index)
        return self._session, ReconcileReads(self._session, self._store)

    def _judge(self, end: SessionEnd) -> tuple[HopEnd, str]:
        if end is SessionEnd.REPAIRED:
            self.differences = self._session.differences()
        return super()._judge(end)


async def _take_end(stream: ClientStream[Any, Any]) -> None:
    """Let a server that has given its verdict end the stream, because many resets would look like abuse."""
    with trio.move_on_after(VERDICT_END_SECONDS):
        try:
            await stream.finish()
        except RpcError:
            # The session is over: a foreign peer without a tree ends it with an error.
            return

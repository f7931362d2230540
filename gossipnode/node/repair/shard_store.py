"""The store as one session sees it: a single shard, for as long as this node holds it.

`TreeReads` and `ReconcileReads` carry out over it what a session of either kind commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import trio

from gossipnode.core.cluster.fence import session_conflict
from gossipnode.core.cluster.targets import Standing
from gossipnode.core.model.arrival import Arrival
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.retention.marks import NO_MARKS, Entry, Marks, Way
from gossipnode.core.session.commands import (
    Command,
    FetchNumbered,
    FetchPage,
    FetchRecords,
    Finish,
    HalfClose,
    ReadIndex,
    ReadLeaves,
    ReadTree,
    ReconcileCommand,
    Rest,
    Send,
    Step,
    Write,
)
from gossipnode.core.session.reconcile.item_index import ItemIndex
from gossipnode.core.session.tree import Leaf, SlotDigest, SlotHash, Tree, make_tree
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.refusals.request_errors import ShardGoneError, ViewConflictError
from gossipnode.store.interface import LeafDigest

TRANSLATED_LEAVES = 256
"""Leaves that are read at a time to make the tree of a shard in another dialect."""

MEET_FIRST = "has other marks of retention for"
"""What a server says that first has to meet its client, see `core.retention.meeting`."""

HASHED_RECORDS = 32
"""Records whose leaves are computed in one step, which takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class CallerView:
    """What the metadata of a session say of its caller's view; see `session_conflict`."""

    incarnation: str = ""
    fence: str = ""
    node: str = ""
    """The caller; empty for a foreign peer, which tells no marks."""
    marks: Marks = NO_MARKS


class ShardStore:
    """One shard for one session.

    A client of a session names the shard when it begins; a server learns it from the client's first message.
    """

    def __init__(
        self,
        local: LocalState,
        shard: ShardId | None = None,
        *,
        leaving: bool = False,
        caller: CallerView | None = None,
        arrival: Arrival | None = None,
        marks: Marks = NO_MARKS,
    ) -> None:
        """Read and write `shard` of `local`; None when the peer is to name it.

        Args:
            local: what this node holds.
            shard: the shard of a client's session.
            leaving: this node no longer holds the shard, and hands its copy over.
            caller: what a server's caller says of its view.
            arrival: how the records that the session stores come.
            marks: what a client has told its server.
        """
        assert shard is not None or not leaving
        self._local = local
        self._shard = shard
        self._leaving = leaving
        self._caller = caller
        self._arrival = arrival
        self._mark = marks.mark if caller is None else caller.marks.mark

    async def tree(self, shard: ShardId) -> Tree | None:
        """The digests of a shard; None when this node does not hold it.

        Raises:
            ViewConflictError: the caller does not see the cluster as this node does.
        """
        held = self._shard if self._leaving else self._held(shard)
        if held is None:
            return None
        self._shard = held
        await self._local.retention.rest(held)
        return await self._local.store.tree(held)

    async def index(self, shard: ShardId) -> ItemIndex | None:
        """The item index of a shard; None when this node does not hold it.

        Raises:
            ViewConflictError: the caller does not see the cluster as this node does.
        """
        held = self._shard if self._leaving else self._held(shard)
        if held is None:
            return None
        self._shard = held
        await self._local.retention.rest(held)
        return await self._local.item_indexes.of(held)

    async def known_root(self) -> str | None:
        """The root of the tree, if that is known without computing anything."""
        return await self._local.store.known_root(self._named())

    async def by_number(self, numbers: Sequence[int]) -> list[Record | None]:
        """Records by their numbers in the item index."""
        return await self._local.store.by_number(self._named(), numbers)

    async def page(self, asked: FetchPage) -> tuple[Entity | None, list[Record | None]]:
        """A page of records in the order of the tree, and the last entity of it; None at the end of all."""
        shard, store = self._named(), self._local.store
        versions = await store.versions(shard, after=asked.after, limit=asked.limit)
        records = await store.by_number(shard, [version.number for version in versions])
        return versions[-1].entity if len(versions) == asked.limit else None, records

    def _held(self, asked: ShardId) -> ShardId | None:
        shards = self._local.shards
        current = shards.current(asked)
        if current is not None and self._caller is not None:
            if self._caller.fence and not shards.cleared:
                raise ViewConflictError(f"{shards.own_name} {Standing.UNCLEARED.value}")
            conflict = session_conflict(
                shards.own_name,
                shards.placement(current),
                incarnation=self._caller.incarnation,
                fence=self._caller.fence,
            )
            if conflict:
                raise ViewConflictError(conflict)
            if not self._local.retention.agrees(current, self._caller.marks):
                raise ViewConflictError(f"{shards.own_name} {MEET_FIRST} {current}")
        return current

    async def leaves(self, asked: ReadLeaves) -> list[Leaf]:
        """Leaves of a slot."""
        shard = self._named()
        return await self._local.store.leaves(shard, asked.slot, after=asked.after, limit=asked.limit)

    async def records(self, asked: FetchRecords) -> list[Record | None]:
        """Records by key."""
        return await self._local.store.read(self._named(), asked.entities, skip_damaged=True)

    async def write(self, write: Write) -> list[WriteOutcome]:
        """Store records; returns once they are durable.

        Raises:
            ShardGoneError: the shard was given up since the session began. What was dropped must stay
            dropped.
        """
        shard = self._named()
        if not self._leaving and self._local.shards.current(shard) != shard:
            raise ShardGoneError(f"shard {shard} is held here no more")
        sent = [(shard, record) for record in write.records]
        results = await self._local.writer.write(
            sent,
            doubt_equal=True,
            arrivals=[self._arrival] * len(sent),
            entries=[Entry(Way.SESSION, self._mark)] * len(sent),
            outside=self._is_outside(shard),
        )
        return [result.outcome for result in results]

    def _is_outside(self, shard: ShardId) -> bool:
        """Whether the records come from one that is no replica of the shard."""
        return self._caller is not None and self._caller.node not in self._local.shards.replicas(shard)

    def _named(self) -> ShardId:
        assert self._shard is not None, "a session reads the tree of its shard first"
        return self._shard


class TranslatedStore(ShardStore):
    """One shard for a session with a foreign peer that writes the JSON of its leaves in another way.

    Every digest is computed for it in each session, which takes about 0.1 ms a record.
    """

    def __init__(
        self, local: LocalState, shard: ShardId | None, digest: LeafDigest, arrival: Arrival | None = None
    ) -> None:
        """Read and write `shard` of `local`, with leaves by `digest`; None when the peer is to name it."""
        super().__init__(local, shard, arrival=arrival)
        self._digest = digest

    async def tree(self, shard: ShardId) -> Tree | None:
        """The digests of a shard; None when this node does not hold it."""
        own = await super().tree(shard)
        if own is None:
            return None
        slots: list[SlotDigest] = []
        for slot, _ in own.slots:
            found = SlotHash()
            asked: ReadLeaves | None = ReadLeaves(slot, None, TRANSLATED_LEAVES)
            while asked is not None:
                leaves = await self.leaves(asked)
                found.add(bytes.fromhex(leaf.sha) for leaf in leaves)
                more = len(leaves) == asked.limit
                asked = replace(asked, after=leaves[-1].entity) if more else None
            slots.append(SlotDigest(slot, found.digest().hex()))
        return make_tree(slots)

    async def leaves(self, asked: ReadLeaves) -> list[Leaf]:
        """Leaves of a slot. One whose record has gone since keeps its own digest."""
        leaves = await super().leaves(asked)
        told: list[Leaf] = []
        for at in range(0, len(leaves), HASHED_RECORDS):
            some = leaves[at : at + HASHED_RECORDS]
            records = await self.records(FetchRecords(tuple(leaf.entity for leaf in some)))
            told += [self._translated(*pair) for pair in zip(some, records, strict=True)]
            await trio.lowlevel.checkpoint()
        return told

    def _translated(self, leaf: Leaf, record: Record | None) -> Leaf:
        if record is None:
            return leaf
        digest = self._digest(record.payload, record.version.delete_time)
        return leaf._replace(sha=digest.hex(), version=record.version)


class TreeSession(Protocol):
    """Either side of a tree session, as far as it is told what was read."""

    def tree_read(self, tree: Tree | None) -> Sequence[Step]: ...  # noqa: D102
    def leaves_read(self, asked: ReadLeaves, leaves: Sequence[Leaf]) -> Send | None: ...  # noqa: D102
    def records_read(self, records: Sequence[Record | None]) -> Send | None: ...  # noqa: D102


class ReconcileSession(Protocol):
    """Either side of a reconcile session, as far as it is told what was read."""

    def index_read(  # noqa: D102
        self, index: ItemIndex | None, tree_root: str | None
    ) -> Sequence[Step]: ...
    def numbered_read(self, records: Sequence[Record | None]) -> Send | None: ...  # noqa: D102
    def page_read(  # noqa: D102
        self, last: Entity | None, records: Sequence[Record | None]
    ) -> Send | None: ...


class TreeReads:
    """Reads for a tree session."""

    def __init__(self, session: TreeSession, store: ShardStore) -> None:
        """Read from `store`, and tell `session`."""
        self._session = session
        self._store = store

    async def follow(self, command: Command) -> Sequence[Step]:
        """Carry out a command, and give what is to be done next."""
        session = self._session
        match command:
            case ReadTree(shard):
                return session.tree_read(await self._store.tree(shard))
            case ReadLeaves():
                return _given(session.leaves_read(command, await self._store.leaves(command)))
            case FetchRecords():
                return _given(session.records_read(await self._store.records(command)))
            case Send() | HalfClose() | Finish():
                return (command,)
            case Rest():
                return ()

    async def write(self, write: Write) -> list[WriteOutcome]:
        """Store records; returns once they are durable."""
        return await self._store.write(write)


class ReconcileReads:
    """Reads for a reconcile session."""

    def __init__(self, session: ReconcileSession, store: ShardStore) -> None:
        """Read from `store`, and tell `session`."""
        self._session = session
        self._store = store

    async def follow(self, command: ReconcileCommand) -> Sequence[Step]:
        """Carry out a command, and give what is to be done next."""
        match command:
            case ReadIndex(shard):
                index = await self._store.index(shard)
                root = None if index is None else await self._store.known_root()
                return self._session.index_read(index, root)
            case FetchNumbered(numbers):
                return _given(self._session.numbered_read(await self._store.by_number(numbers)))
            case FetchPage():
                return _given(self._session.page_read(*await self._store.page(command)))
            case Send() | HalfClose() | Finish():
                return (command,)

    async def write(self, write: Write) -> list[WriteOutcome]:
        """Store records; returns once they are durable."""
        return await self._store.write(write)


def _given(step: Send | None) -> Sequence[Step]:
    return () if step is None else (step,)

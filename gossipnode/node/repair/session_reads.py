"""What sessions read of the store: the commands of each kind of session, carried out over one shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gossipnode.core.model.property import Record
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.commands import (
    Command,
    FetchNumbered,
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
from gossipnode.core.session.tree import Leaf, Tree
from gossipnode.node.repair.shard_store import ShardStore


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
            case Send() | HalfClose() | Finish():
                return (command,)

    async def write(self, write: Write) -> list[WriteOutcome]:
        """Store records; returns once they are durable."""
        return await self._store.write(write)


def _given(step: Send | None) -> Sequence[Step]:
    return () if step is None else (step,)

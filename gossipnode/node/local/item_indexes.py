"""The item indexes of this node's shards, which reconcile sessions compare.

An index is made from all versions that the store holds: when the node starts, when a shard is first written
to, or when a session asks for it. From then on it follows the store. Nothing of it is written to the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.session.reconcile.item_index import ItemHash, ItemIndex
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.store.follower import StoredChange
from gossipnode.store.interface import Store, StoreError

INDEX_PAGE_VERSIONS = 256
"""Versions that are read and hashed in one step: some 1.5 ms."""


class ItemIndexes:
    """Keeps the item index of each shard that was asked for."""

    def __init__(self, store: Store, key: Callable[[], bytes]) -> None:
        """Follow `store`. `key` gives the key of the cluster's digests; empty if it has none."""
        self._store = store
        self._key = key
        self._hash: ItemHash | None = None
        self._hash_key = b""
        self._indexes: dict[ShardId, ItemIndex] = {}
        """Those that are whole, and those that are being made: both follow the store."""
        self._making: dict[ShardId, trio.Event] = {}
        self._keeping = False
        self._due: dict[ShardId, None] = {}
        """Shards whose index is still to be made, while `keep` runs."""
        self._written_anew = ChangeEvent()
        store.changes.follow(self)

    @property
    def have_key(self) -> bool:
        """Whether the cluster has a key. A cluster of foreign peers alone has none."""
        return self._current_hash() is not None

    async def of(self, shard: ShardId) -> ItemIndex:
        """The index of a shard as of now, and as it will be. Only to be called with a key.

        Raises:
            StoreError: the store could not be read.
        """
        while True:
            item_hash = self._current_hash()
            assert item_hash is not None, "no key for digests"
            making = self._making.get(shard)
            if making is not None:
                await making.wait()
                continue
            index = self._indexes.get(shard)
            if index is not None:
                return index
            await self._make(shard, item_hash)

    def whole(self, shard: ShardId) -> ItemIndex | None:
        """The index of a shard as far as it is made; None if it is not, or is being made."""
        return None if shard in self._making or self._current_hash() is None else self._indexes.get(shard)

    async def keep(self, shards: ShardMap) -> None:
        """Make indexes before a session asks for them, once there are other members to have sessions with.

        Those of all shards that the store holds, and of each shard that is written to for the first time.
        Runs until cancelled, or until the store fails.
        """
        while len(shards.view.members) < 2 or not self.have_key:
            await shards.changed.wait()
        self._due.update(dict.fromkeys(self._store.shards()))
        self._keeping = True
        try:
            while True:
                due = self._written_anew.pending
                while self._due:
                    shard, _ = self._due.popitem()
                    await self.of(shard)
                await due.wait()
        except StoreError:
            # A session that needs an index says what is wrong; `Store.wait_failed` tells the node.
            return
        finally:
            self._keeping = False

    def stored(self, changes: Sequence[StoredChange]) -> None:
        """See `StoreFollower.stored`."""
        for change in changes:
            index = self._indexes.get(change.shard)
            if index is not None:
                index.hold(change.record.entity, change.record.version, change.number)
            elif self._keeping:
                self._due[change.shard] = None
                self._written_anew.notify()

    def purged(self, shard: ShardId, entities: Sequence[Entity]) -> None:
        """See `StoreFollower.purged`."""
        # A page that was read for an index that is being made may still have them: it is begun again.
        if shard in self._making:
            self._indexes.pop(shard, None)
            return
        index = self._indexes.get(shard)
        if index is not None:
            for entity in entities:
                index.drop(entity)

    def removed(self, shard: ShardId | None) -> None:
        """See `StoreFollower.removed`. What cannot be followed is made again when it is asked for."""
        if shard is None:
            self._indexes.clear()
        else:
            self._indexes.pop(shard, None)

    def _current_hash(self) -> ItemHash | None:
        key = self._key()
        if key != self._hash_key:
            self._indexes.clear()
            self._hash_key = key
            self._hash = ItemHash(key) if key else None
        return self._hash

    async def _make(self, shard: ShardId, item_hash: ItemHash) -> None:
        """Make the index of a shard, unless it becomes void meanwhile."""
        made = self._making[shard] = trio.Event()
        index = self._indexes[shard] = ItemIndex(item_hash)
        whole = False
        try:
            after: Entity | None = None
            while self._indexes.get(shard) is index:
                # A page is taken into the index before any later commit is heard of, so the newer one stays.
                page = await self._store.versions(shard, after=after, limit=INDEX_PAGE_VERSIONS)
                for version in page:
                    index.hold(*version)
                if len(page) < INDEX_PAGE_VERSIONS:
                    whole = True
                    break
                after = page[-1].entity
        finally:
            if not whole and self._indexes.get(shard) is index:
                del self._indexes[shard]
            del self._making[shard]
            made.set()

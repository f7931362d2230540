"""The digests of the reconcile session: a trie over keyed hashes of what a replica of a shard holds.

Each record is an item: a hash of its entity, which says where in the trie it is, and a hash of its version.
The sum of the version hashes below a node is the digest of that node. An overwrite changes a sum for each
level, and two replicas find what differs by comparing a few sums on the way down.

The hashes are keyed with random bits of the cluster, so that nobody who may only write records can make two
of them alike. Two of a million records have the same hash of the entity once in 37 million such shards; then
one of them is not compared.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import NamedTuple

from gossipnode.core.model.property import Entity
from gossipnode.core.model.version import Version

FAN_OUT_BITS = 4
FAN_OUT = 1 << FAN_OUT_BITS
"""Children of a node."""

LEVEL_MAX = 64 // FAN_OUT_BITS
"""The level at which a prefix is a whole hash. The root is at level 0."""

BUCKET_MAX_ITEMS = 48
"""Items of a bucket. One that has more becomes a node with sixteen buckets."""

ITEM_KEY_BYTES = 16
KEY_CHECK_BYTES = 8

_HASH_BYTES = 8
_MASK = (1 << 64) - 1
_TAG_MASK = (1 << 32) - 1
_FIELDS = 3  # of an item in a bucket: entity hash, version hash, number


class Items(NamedTuple):
    """Some items, in columns."""

    entity_hashes: array[int]
    version_hashes: array[int]
    numbers: array[int]
    """The numbers under which the store finds the records."""

    def tags(self) -> list[int]:
        """For each item 32 bits that stand for entity and version among the few items of a prefix."""
        return [version_hash & _TAG_MASK for version_hash in self.version_hashes]


class ItemHash:
    """Makes the hashes of items, with a key that the replicas of a shard share."""

    __slots__ = ("_keyed", "check")

    def __init__(self, key: bytes) -> None:
        """Hash with `key`, which has `ITEM_KEY_BYTES`."""
        assert len(key) == ITEM_KEY_BYTES
        # A copy of a keyed hash costs less than a new one: the key is a block of its own.
        self._keyed = hashlib.blake2b(key=key, digest_size=_HASH_BYTES)
        self.check = hashlib.blake2b(b"check", key=key, digest_size=KEY_CHECK_BYTES).digest()
        """Tells two keys apart, and nothing of the key."""

    def of_entity(self, entity: Entity) -> int:
        """The hash of an entity: 64 bits."""
        # The lengths tell apart what a name with a slash would make alike.
        text = f"{len(entity.group)},{len(entity.name)},{entity.text}".encode(errors="surrogatepass")
        return self._hash(text)

    def of_version(self, entity_hash: int, version: Version) -> int:
        """The hash of a version of the entity with this hash: 64 bits."""
        data = b"%d,%d,%d,%b" % (entity_hash, version.mod_revision, version.delete_time, version.digest)
        return self._hash(data)

    def _hash(self, data: bytes) -> int:
        keyed = self._keyed.copy()
        keyed.update(data)
        return int.from_bytes(keyed.digest())


class _TrieNode:
    """A node with children, or a bucket with items. A bucket has three numbers an item."""

    __slots__ = ("bucket", "children", "count", "total")

    def __init__(self) -> None:
        self.bucket = array("Q")
        self.children: list[_TrieNode] | None = None
        self.count = 0
        self.total = 0


class ItemIndex:
    """The items of a shard, and the sums of all nodes. It takes some 40 bytes a record."""

    __slots__ = ("_root", "changes", "item_hash")

    def __init__(self, item_hash: ItemHash) -> None:
        """Hold nothing yet. `item_hash` makes the hashes of all items."""
        self._root = _TrieNode()
        self.item_hash = item_hash
        self.changes = 0
        """How often an item was put."""

    @property
    def count(self) -> int:
        """The number of all items."""
        return self._root.count

    @property
    def root(self) -> int:
        """The sum over all items, modulo 2^64."""
        return self._root.total

    def hold(self, entity: Entity, version: Version, number: int) -> None:
        """Hold a record that the store finds by `number`, in the place of any other version of it."""
        entity_hash = self.item_hash.of_entity(entity)
        self.put(entity_hash, self.item_hash.of_version(entity_hash, version), number)

    def put(self, entity_hash: int, version_hash: int, number: int) -> None:
        """Hold an item, in the place of the one with the same entity."""
        self.changes += 1
        path: list[_TrieNode] = []
        node, shift = self._root, 64
        while node.children is not None:
            path.append(node)
            shift -= FAN_OUT_BITS
            node = node.children[entity_hash >> shift & FAN_OUT - 1]
        path.append(node)
        bucket = node.bucket
        at = _find(bucket, entity_hash)
        change = version_hash if at < 0 else version_hash - bucket[at + 1]
        if at < 0:
            bucket.extend((entity_hash, version_hash, number))
        else:
            bucket[at + 1], bucket[at + 2] = version_hash, number
        for each in path:
            each.total = each.total + change & _MASK
            each.count += at < 0
        if node.count > BUCKET_MAX_ITEMS and shift:
            _split(node, shift - FAN_OUT_BITS)

    def drop(self, entity: Entity) -> None:
        """Hold nothing of an entity any more. Nodes stay, for what comes later."""
        entity_hash = self.item_hash.of_entity(entity)
        path: list[_TrieNode] = []
        node, shift = self._root, 64
        while node.children is not None:
            path.append(node)
            shift -= FAN_OUT_BITS
            node = node.children[entity_hash >> shift & FAN_OUT - 1]
        path.append(node)
        at = _find(node.bucket, entity_hash)
        if at < 0:
            return
        self.changes += 1
        change = node.bucket[at + 1]
        del node.bucket[at : at + _FIELDS]
        for each in path:
            each.total = each.total - change & _MASK
            each.count -= 1

    def find(self, entity_hash: int) -> int | None:
        """The number of the record with this entity, or None."""
        node, shift = self._root, 64
        while node.children is not None:
            shift -= FAN_OUT_BITS
            node = node.children[entity_hash >> shift & FAN_OUT - 1]
        at = _find(node.bucket, entity_hash)
        return None if at < 0 else node.bucket[at + 2]

    def count_at(self, level: int, prefix: int) -> int:
        """The number of items whose entity hash begins with a prefix of `level` times four bits."""
        node, depth = self._descend(level, prefix)
        return node.count if depth == level else len(self.items(level, prefix).numbers)

    def sums(self, level: int, prefix: int, down: int) -> list[int]:
        """The sums of all prefixes that are `down` levels longer than this one, in their order."""
        assert 0 < down <= LEVEL_MAX - level
        node, depth = self._descend(level, prefix)
        if depth == level and node.children is not None:
            if down == 1:
                return [child.total for child in node.children]
            first = prefix << FAN_OUT_BITS
            return [each for at in range(FAN_OUT) for each in self.sums(level + 1, first + at, down - 1)]
        sums = [0] * FAN_OUT**down
        shift = 64 - FAN_OUT_BITS * (level + down)
        items = self.items(level, prefix)
        for entity_hash, version_hash in zip(items.entity_hashes, items.version_hashes, strict=True):
            sums[entity_hash >> shift & len(sums) - 1] += version_hash
        return [each & _MASK for each in sums]

    def items(self, level: int, prefix: int) -> Items:
        """The items with a prefix, in an order that stays as long as nothing is put."""
        node, depth = self._descend(level, prefix)
        bucket = node.bucket
        if node.children is not None:
            bucket = array("Q")
            nodes = list(node.children)
            while nodes:
                node = nodes.pop()
                nodes.extend(node.children or ())
                bucket.extend(node.bucket)
        elif depth < level:
            shift = 64 - FAN_OUT_BITS * level
            starts = [at for at in range(0, len(bucket), _FIELDS) if bucket[at] >> shift == prefix]
            bucket = array("Q", [bucket[at + field] for at in starts for field in range(_FIELDS)])
        return Items(bucket[::_FIELDS], bucket[1::_FIELDS], bucket[2::_FIELDS])

    def _descend(self, level: int, prefix: int) -> tuple[_TrieNode, int]:
        """The node with a prefix and its level; or the bucket that holds its items, at a lower level."""
        assert 0 <= level <= LEVEL_MAX
        assert prefix >> FAN_OUT_BITS * level == 0
        node, depth = self._root, 0
        while depth < level and node.children is not None:
            depth += 1
            node = node.children[prefix >> FAN_OUT_BITS * (level - depth) & FAN_OUT - 1]
        return node, depth


def _find(bucket: array[int], entity_hash: int) -> int:
    """Where in a bucket the item with this entity begins, or -1."""
    try:
        return bucket[::_FIELDS].index(entity_hash) * _FIELDS
    except ValueError:
        return -1


def _split(node: _TrieNode, shift: int) -> None:
    """Make a bucket a node with children."""
    bucket, node.bucket = node.bucket, array("Q")
    node.children = [_TrieNode() for _ in range(FAN_OUT)]
    for at in range(0, len(bucket), _FIELDS):
        child = node.children[bucket[at] >> shift & FAN_OUT - 1]
        child.bucket.extend(bucket[at : at + _FIELDS])
        child.count += 1
        child.total = child.total + bucket[at + 1] & _MASK

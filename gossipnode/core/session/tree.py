"""The tree of a shard: leaves in 32 slots, a digest for each slot, one for the root.

Fixed by the wire protocol; the formulas are checked against vectors recorded from a running peer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import xxhash

from gossipnode.core.model.limits import SLOT_COUNT
from gossipnode.core.model.property import Entity
from gossipnode.core.model.version import Version


class SlotDigest(NamedTuple):
    """A slot that holds at least one leaf, and the lower-case hex digest of its leaves."""

    slot: int
    sha: str


class Leaf(NamedTuple):
    """A record as the tree sees it. `sha` is lower-case hex."""

    slot: int
    entity: Entity
    sha: str
    version: Version


class Tree(NamedTuple):
    """A shard's digests. `slots` are ascending, empty ones left out; without leaves the root is ""."""

    root: str
    slots: tuple[SlotDigest, ...]


def entity_hash(entity: Entity) -> int:
    """xxhash64 (seed 0) of the text form: shard and slot are both taken from it."""
    return xxhash.xxh64_intdigest(entity.text.encode())


def shard_of(entity: Entity, shards: int) -> int:
    """The shard, of `shards`, that an entity belongs to."""
    return entity_hash(entity) % shards


def slot_of(entity: Entity) -> int:
    """The slot of a shard's tree that an entity belongs to."""
    return entity_hash(entity) % SLOT_COUNT


def leaf_digest(canonical_json: bytes, delete_time: int) -> bytes:
    """The 64 bytes of sha512 over the canonical JSON and the delete time in decimal ("0" when alive).

    A leaf's sha, as it is sent and as slots are made of it, is this in lower-case hex.
    """
    return hashlib.sha512(b"%b%d" % (canonical_json, delete_time)).digest()


class SlotHash:
    """The digest of a slot, of leaves given a few at a time: sha512 over their concatenated hex digests."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        """Start with no leaves."""
        self._hash = hashlib.sha512()

    def add(self, leaf_digests: Iterable[bytes]) -> None:
        """Add leaves, by their raw digests, in the order of their entities."""
        self._hash.update(b"".join(leaf_digests).hex().encode("ascii"))

    def digest(self) -> bytes:
        """The raw digest of the slot."""
        return self._hash.digest()


def slot_sha(leaf_shas: Iterable[str]) -> str:
    """The hex digest of a slot, of the hex digests of its leaves in the order of their entities."""
    digest = SlotHash()
    digest.add(map(bytes.fromhex, leaf_shas))
    return digest.digest().hex()


def make_tree(slots: Iterable[SlotDigest]) -> Tree:
    """The tree over slots given in ascending order."""
    ordered = tuple(slots)
    if not ordered:
        return Tree("", ())
    return Tree(slot_sha(slot.sha for slot in ordered), ordered)


def compare_slots(
    client: Iterable[SlotDigest], server: Iterable[SlotDigest]
) -> tuple[Sequence[int], Sequence[int]]:
    """Compare two ascending slot lists in one linear pass.

    Returns the mismatches (slots that differ, or that the client lacks) and the missing ones (slots that the
    server lacks), both ascending. Each list is walked once, whatever their lengths.
    """
    mismatch: list[int] = []
    missing: list[int] = []
    ours = iter(server)
    own = next(ours, None)
    for theirs in client:
        while own is not None and own.slot < theirs.slot:
            mismatch.append(own.slot)
            own = next(ours, None)
        if own is None or own.slot > theirs.slot:
            missing.append(theirs.slot)
            continue
        if own.sha != theirs.sha:
            mismatch.append(own.slot)
        own = next(ours, None)
    mismatch.extend(slot.slot for slot in _rest(own, ours))
    return mismatch, missing


def _rest(first: SlotDigest | None, others: Iterator[SlotDigest]) -> Iterator[SlotDigest]:
    if first is not None:
        yield first
        yield from others

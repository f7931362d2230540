"""The tree of a shard: its leaves in 32 slots, a digest for each slot, and one for the root.

The wire protocol fixes all of it. The tests check the formulas against vectors recorded from a running peer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from gossipnode.core.model.property import Entity
from gossipnode.core.model.version import Version


class SlotDigest(NamedTuple):
    """A slot that holds at least one leaf, with the lower-case hex digest of its leaves."""

    slot: int
    sha: str


class Leaf(NamedTuple):
    """A record as a leaf of the tree. `sha` is its digest in lower-case hex."""

    slot: int
    entity: Entity
    sha: str
    version: Version


class Tree(NamedTuple):
    """The digests of a shard. `slots` ascend and leave out empty slots; without leaves the root is ""."""

    root: str
    slots: tuple[SlotDigest, ...]


def leaf_digest(canonical_json: bytes, delete_time: int) -> bytes:
    """The 64 bytes of sha512 over the canonical JSON and the delete time in decimal ("0" for a live record).

    The sha of a leaf, which is sent and of which slots are made, is this digest in lower-case hex.
    """
    return hashlib.sha512(b"%b%d" % (canonical_json, delete_time)).digest()


class SlotHash:
    """Computes the digest of a slot: sha512 over the joined hex digests of its leaves."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        """Start with no leaves."""
        self._hash = hashlib.sha512()

    def add(self, leaf_digests: Iterable[bytes]) -> None:
        """Add leaves by their raw digests, in the order of their entities."""
        self._hash.update(b"".join(leaf_digests).hex().encode("ascii"))

    def digest(self) -> bytes:
        """The raw digest of the slot."""
        return self._hash.digest()


def slot_sha(leaf_shas: Iterable[str]) -> str:
    """The hex digest of a slot, from the hex digests of its leaves in the order of their entities."""
    digest = SlotHash()
    digest.add(map(bytes.fromhex, leaf_shas))
    return digest.digest().hex()


def make_tree(slots: Iterable[SlotDigest]) -> Tree:
    """The tree over slots given in ascending order."""
    ordered = tuple(slots)
    assert _ascend(slot.slot for slot in ordered)
    if not ordered:
        return Tree("", ())
    return Tree(slot_sha(slot.sha for slot in ordered), ordered)


def compare_slots(
    client: Iterable[SlotDigest], server: Iterable[SlotDigest]
) -> tuple[Sequence[int], Sequence[int]]:
    """Compare two ascending lists of slots in one linear pass.

    Gives two ascending lists: the slots that the client lacks or that differ, and the slots that the server
    lacks. Each of the lists is walked once, however long it is.
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
    assert _ascend(mismatch), "a slot list was not in order"
    assert _ascend(missing), "a slot list was not in order"
    return mismatch, missing


def _rest(first: SlotDigest | None, others: Iterator[SlotDigest]) -> Iterator[SlotDigest]:
    if first is not None:
        yield first
        yield from others


def _ascend(numbers: Iterable[int]) -> bool:
    return all(one < following for one, following in pairwise(numbers))

"""The messages of a reconcile session, as values. `gossipnode.wire` turns them into bytes and back.

A question is everything that a side says except `SentRecords`, `Answered` and `Closing`. Prefixes are those
of entity hashes, see `item_index`; all prefixes of a message have the same level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

from gossipnode.core.model.property import Record
from gossipnode.core.session.messages import Unreadable


class ReconcileStanding(Enum):
    """What a server says of a shard that it is asked to reconcile. The values are the numbers of the wire."""

    EQUAL = 1
    DIFFERS = 2
    NO_SHARD = 3
    """It does not hold the shard."""
    OTHER_KEY = 4
    """Its hashes are made with another key, so that nothing can be compared."""
    OTHER_TREE = 5
    """The items are equal and the roots of the trees are not: a digest that is kept of a record is wrong."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Client: the shard, a check of its key, and its root, with the sums of the root's children."""

    group: str
    shard: int
    key_check: bytes
    root: int
    count: int
    sums: Sequence[int]
    tree_root: str = ""
    """The root of the tree of the compatible protocol, if the client knows it without computing anything."""


@dataclass(frozen=True, slots=True)
class OpeningVerdict:
    """Server: what it says to the opening."""

    standing: ReconcileStanding
    root: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of all prefixes that are `down` levels longer than these, one prefix after the other.

    A sum of 0 says that nothing is held there.
    """

    level: int
    prefixes: Sequence[int]
    down: int
    sums: Sequence[int]


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of all items that are held with these prefixes: `counts` says how many each has."""

    level: int
    prefixes: Sequence[int]
    counts: Sequence[int]
    tags: Sequence[int]


class Offer(NamedTuple):
    """An item that the other side may lack, with its version. `digest` is the beginning of the digest."""

    entity_hash: int
    mod_revision: int
    delete_time: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Answers the oldest `Tags` without an answer: what either side holds and the other one does not.

    `positions` are those of tags that the answering side lacks, and `offers` its own items that no tag stands
    for.
    """

    positions: Sequence[int]
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Wants:
    """Asks for the records with these entity hashes."""

    entity_hashes: Sequence[int]


@dataclass(frozen=True, slots=True)
class WantsAll:
    """Asks for all records with these prefixes."""

    level: int
    prefixes: Sequence[int]


@dataclass(frozen=True, slots=True)
class SentRecords:
    """Records that the other side lacks, or holds in an older version."""

    records: tuple[Record | Unreadable, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """Server: how many more questions of the client it has answered, with all that it has to say."""

    questions: int


@dataclass(frozen=True, slots=True)
class Closing:
    """All records that came are durable, and this is the root by then. A client says it first.

    If `settled`, the session alone has changed the replica since it began, and has left no record out.
    """

    root: int
    settled: bool = False


Question: TypeAlias = Sums | Tags | Unmatched | Wants | WantsAll
ReconcileMessage: TypeAlias = Opening | OpeningVerdict | Question | SentRecords | Answered | Closing

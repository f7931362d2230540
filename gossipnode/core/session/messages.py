"""The messages of a tree session, as values. `gossipnode.wire` turns them into bytes and back.

The keys in them are plain text, because the session judges what a peer sends, and not the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

from gossipnode.core.model.property import Record
from gossipnode.core.session.tree import SlotDigest


@dataclass(frozen=True, slots=True)
class TreeRoot:
    """Client: the shard that it wants to compare, and the root of its tree."""

    group: str
    shard: int
    sha: str


@dataclass(frozen=True, slots=True)
class TreeSlots:
    """Client: a page of its slots, ascending. An empty page says that there are no more."""

    slots: tuple[SlotDigest, ...]


@dataclass(frozen=True, slots=True)
class PropertyMissing:
    """Client: it lacks this entity, which is on the page that it has just read."""

    entity: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a property that arrived whole but that no replica may store; `problem` says why."""

    problem: str


@dataclass(frozen=True, slots=True)
class PropertySync:
    """Client: its own version of a record."""

    record: Record | Unreadable


@dataclass(frozen=True, slots=True)
class WaitNextDiffer:
    """Client: it is done with the page that it has just read, and the next one may come."""


@dataclass(frozen=True, slots=True)
class RootCompare:
    """Server: its verdict on the client's root. `tree_found` is false if it does not hold the shard."""

    tree_found: bool
    root_match: bool


class PageLeaf(NamedTuple):
    """A leaf of the server's tree; with `exists` false, only the number of a slot that the server lacks."""

    slot: int
    exists: bool
    entity: str
    sha: str


@dataclass(frozen=True, slots=True)
class DifferSummary:
    """Server: a page of leaves. An empty page says that there are no more.

    The leaves of a page that came from a peer are made one by one, as they are looked at.
    """

    leaves: Sequence[PageLeaf]


class AnswerTo(Enum):
    """Which message of the client a record of the server answers. The values are the numbers of the wire."""

    UNSPECIFIED = 0
    MISSING = 1
    """A `PropertyMissing`."""
    SYNC = 2
    """A `PropertySync` with a version that is older than the server's."""


@dataclass(frozen=True, slots=True)
class PropertyAnswer:
    """Server: a record that the client lacks (MISSING), or holds in an older version (SYNC)."""

    answer_to: AnswerTo
    record: Record | Unreadable


ClientMessage: TypeAlias = TreeRoot | TreeSlots | PropertyMissing | PropertySync | WaitNextDiffer
ServerMessage: TypeAlias = RootCompare | DifferSummary | PropertyAnswer

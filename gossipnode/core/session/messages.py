"""The messages of a tree session, as values. `gossipnode.wire` turns them into bytes and back.

Entities stay text here: what a peer sends is judged by the session, not by the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

from gossipnode.core.model.property import Record
from gossipnode.core.session.tree import SlotDigest


@dataclass(frozen=True, slots=True)
class TreeRoot:
    """Client: the shard it wants to compare, and its root."""

    group: str
    shard: int
    sha: str


@dataclass(frozen=True, slots=True)
class TreeSlots:
    """Client: a page of its slots, ascending. An empty one says that there are no more."""

    slots: tuple[SlotDigest, ...]


@dataclass(frozen=True, slots=True)
class PropertyMissing:
    """Client: it lacks this entity of the page just read."""

    entity: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a property that came whole but that no replica may store; `problem` says why."""

    problem: str


@dataclass(frozen=True, slots=True)
class PropertySync:
    """Client: its own version of a record."""

    record: Record | Unreadable


@dataclass(frozen=True, slots=True)
class WaitNextDiffer:
    """Client: done with the page just read; the next one may come."""


@dataclass(frozen=True, slots=True)
class RootCompare:
    """Server: the verdict on the client's root."""

    tree_found: bool
    root_match: bool


class PageLeaf(NamedTuple):
    """A leaf of the server's tree, or (`exists` false) just the number of a slot that it lacks."""

    slot: int
    exists: bool
    entity: str
    sha: str


@dataclass(frozen=True, slots=True)
class DifferSummary:
    """Server: a page of leaves. An empty one says that there are no more."""

    leaves: tuple[PageLeaf, ...]


class AnswerTo(Enum):
    """What a server's record answers."""

    UNSPECIFIED = 0
    MISSING = 1
    SYNC = 2


@dataclass(frozen=True, slots=True)
class PropertyAnswer:
    """Server: a record that the client lacks (MISSING), or holds older (SYNC)."""

    answer_to: AnswerTo
    record: Record | Unreadable


ClientMessage: TypeAlias = TreeRoot | TreeSlots | PropertyMissing | PropertySync | WaitNextDiffer
ServerMessage: TypeAlias = RootCompare | DifferSummary | PropertyAnswer

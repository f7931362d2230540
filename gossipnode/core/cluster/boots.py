"""How members notice that a store went back in time, or that it was started twice.

An older copy of a data directory may have been put back, a disk may have lost its last writes, or a copy of a
running node was started. Such a store lacks what was acknowledged by it, and has forgotten its promises. So
every start of a store is counted, its commits are numbered, and members remember the highest they heard of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import NamedTuple

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Identity
from gossipnode.core.cluster.placement import majority


class BootMark(NamedTuple):
    """What a store says of itself, and what is remembered of it."""

    boot: int
    """How often it was started, this start included."""
    nonce: int
    """64 random bits, drawn at this start: two copies of a store may count alike."""
    commit: int
    """The number of its last commit: while it has not been cleared, of the last one before this start."""

    @property
    def start(self) -> tuple[int, int]:
        """Which start of the store it is."""
        return self.boot, self.nonce


class BootVerdict(Enum):
    """What a member says of a mark that it was told."""

    UNKNOWN = "unknown"
    """Its own epoch does not name the store."""
    HEARD = "heard"
    """It is the newest that it has heard of the store, and it remembers it."""
    NEWER = "newer"
    """A newer start than the one that is remembered. It is heard unless the older one still runs."""
    REWOUND = "rewound"
    """The member remembers a later state of the store, or another start."""
    RUNNING = "running"
    """An earlier start of the store is running."""


def judge(known: BootMark | None, told: BootMark) -> BootVerdict:
    """Compare what a store says with what is remembered of it."""
    if known is None:
        return BootVerdict.NEWER
    if told.start == known.start:
        return BootVerdict.HEARD
    if told.boot <= known.boot or told.commit < known.commit:
        return BootVerdict.REWOUND
    return BootVerdict.NEWER


def remembered(known: BootMark | None, told: BootMark) -> BootMark:
    """What is remembered after a store was heard."""
    if known is None or told.start != known.start:
        return told
    return known if told.commit <= known.commit else told


def not_heard_by(
    value: ClusterMetadata, own: Identity, heard_by: Collection[Identity]
) -> Mapping[str, Identity]:
    """The members whose word a store still lacks before it counts, by name; empty when it counts.

    A majority of the newest epoch has to have heard it, itself included: every acknowledged quorum write and
    every decided epoch was known to one of them.
    """
    others = {name: member.identity for name, member in value.members.items() if member.identity != own}
    missing = {name: identity for name, identity in others.items() if identity not in heard_by}
    heard = len(value.members) - len(missing)
    return missing if heard < majority(len(value.members)) else {}

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


def is_overtaken(known: BootMark | None, boot: int) -> bool:
    """Whether a start of a store counts no more, since a later one is remembered."""
    return known is not None and known.boot > boot


def remembered(known: BootMark | None, told: BootMark) -> BootMark:
    """What is remembered after a store was heard."""
    if known is None or told.start != known.start:
        return told
    return known if told.commit <= known.commit else told


def commit_to_tell(found: int, earlier: int | None) -> int:
    """The commit that a store tells as long as it does not count.

    It is the one that was found at the first start that has not counted since: what such a start commits
    members have never heard of, and it must not make up for what the store has lost.

    Args:
        found: the number of the last commit before this start.
        earlier: what the start before this one told, if it never counted; None if it did.
    """
    return found if earlier is None else min(found, earlier)


class NextStep(Enum):
    """What a store does by what is known of it."""

    GO_ON = "go on"
    RENEW = "renew"
    """It went back in time: it draws another birth, and takes its own place."""
    FORGET_LOSS = "forget the loss"
    """It lost commits, and nobody else can have them."""
    YIELD_TO_RUNNING = "yield to the start that runs"
    YIELD_TO_LATER = "yield to a later start"


def next_step(refused: BootVerdict | None, *, cleared: bool, lost_commits: bool, others: int) -> NextStep:
    """What a store has to do now.

    Args:
        refused: the verdict of a member for which the store does not count.
        cleared: whether the store counted before. Then it is the newest that members knew, until another one
            was started from a copy of it.
        lost_commits: whether damage in its own log shows that it lost commits.
        others: the members beside it; 0 if it is no member.
    """
    if refused is BootVerdict.RUNNING:
        return NextStep.YIELD_TO_RUNNING
    if refused is BootVerdict.REWOUND:
        return NextStep.YIELD_TO_LATER if cleared else NextStep.RENEW
    if lost_commits:
        return NextStep.RENEW if others else NextStep.FORGET_LOSS
    return NextStep.GO_ON


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

"""What a session keeps from a peer that is not ours, because that peer could not take it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.errors import SlotCountError
from gossipnode.core.model.limits import SLOT_COUNT
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.version import Version
from gossipnode.core.session.commands import SessionCounts


@dataclass(frozen=True, slots=True)
class ForeignPeer:
    """A peer that is not ours: it orders versions in its own way, and cannot store all that we can."""

    problem_of: Callable[[Record], str]
    """Why the peer cannot store a record, as a few fixed texts; empty if it can."""
    raised: Callable[[Record], Record] | None = None
    """The same record one revision later: the peer refuses another content of the revision that it has."""
    other_sha: Callable[[Record], str] | None = None
    """The digest of the leaf of a record in the dialect that the peer is not expected to speak."""
    purges_before: int = 0
    """It has purged, or soon will, what was deleted before this time in nanoseconds. Offered to it once more,
    such a tombstone would cross in every round."""


def check_slot_count(slot: int, entity: Entity | None, foreign: ForeignPeer | None) -> None:
    """Refuse a slot that we do not have, or in which an entity of a foreign peer does not belong.

    Raises:
        SlotCountError: the peer divides its tree in another way.
    """
    if foreign is None:
        return
    if slot >= SLOT_COUNT or (entity is not None and slot_of(entity) != slot):
        raise SlotCountError(f"slot {slot}: the peer uses another number of slots than {SLOT_COUNT}")


def is_purged_there(version: Version, foreign: ForeignPeer | None) -> bool:
    """Whether a tombstone that the peer lacks is so old that the peer has purged it."""
    return foreign is not None and 0 < version.delete_time < foreign.purges_before


def is_kept_back(record: Record, foreign: ForeignPeer | None, counts: SessionCounts) -> bool:
    """Whether a record is not sent to this peer, which is counted with the reason."""
    problem = "" if foreign is None else foreign.problem_of(record)
    if problem:
        counts.skip(problem, such_as=record.entity.text)
    return bool(problem)

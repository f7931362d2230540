"""What either side of a session takes from its peer: records for the store, and a count of all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.commands import SessionCounts, Write
from gossipnode.core.session.lanes import Taken, WriteLane
from gossipnode.core.session.messages import AnswerTo, Unreadable


class Intake:
    """Judges the records of the peer one by one: one bad record never ends a session."""

    __slots__ = ("_groups", "_stamp_max", "_writes", "counts", "equal", "shard")

    def __init__(self, groups: Mapping[str, int], *, stamp_max: int, shard: ShardId | None = None) -> None:
        """Take records of `shard`, stamped `stamp_max` at most.

        `groups` maps each group to its number of shards.
        """
        self.counts = SessionCounts()
        self.equal = 0
        """Records that were held already, in this same version."""
        self.shard = shard
        """The shard that is compared; None until the client has said which one."""
        self._groups = groups
        self._stamp_max = stamp_max
        self._writes = WriteLane()

    def belongs(self, entity: Entity) -> bool:
        """Whether the entity is one of the shard that is compared."""
        shard = self.shard
        if shard is None or entity.group != shard.group:
            return False
        # A group may be made here while the session reads the tree of its shard: it is not in `groups` then.
        count = self._groups.get(shard.group)
        return count is not None and shard_of(entity, count) == shard.shard

    def take(self, record: Record | Unreadable, answer_to: AnswerTo) -> None:
        """Take a record for the store, or leave it out, which is counted with the reason."""
        self.counts.received += 1
        if isinstance(record, Unreadable):
            self.counts.skip("not storable")
        elif not self.belongs(record.entity):
            self.counts.skip("of another group or shard")
        elif record.version.stamp > self._stamp_max:
            self.counts.skip("stamped too far ahead")
        else:
            self._writes.add(Taken(record, answer_to))

    def write_ours(self, record: Record) -> None:
        """Have our own record stored, and given back by `written` to be sent."""
        self._writes.add(Taken(record, AnswerTo.SYNC, ours=True))

    @property
    def full(self) -> bool:
        """Whether reading must wait for the store."""
        return self._writes.full

    @property
    def durable(self) -> bool:
        """Whether everything taken is in the store."""
        return self._writes.empty

    def next_write(self) -> Write | None:
        """The next batch for the store, or None."""
        return self._writes.next()

    def written(self, outcomes: Sequence[WriteOutcome]) -> list[Taken]:
        """Take the outcomes of the last `Write`.

        Gives the records of which the store has a newer version, and those of `write_ours`.
        """
        older: list[Taken] = []
        self.equal += sum(outcome is WriteOutcome.EQUAL for outcome in outcomes)
        for taken, outcome in zip(self._writes.done(), outcomes, strict=True):
            if outcome is WriteOutcome.REFUSED:
                self.counts.skip("not storable")
            elif outcome is WriteOutcome.OLDER or taken.ours:
                older.append(taken)
        return older

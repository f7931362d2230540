"""The newest versions of records, as the replicas of their shard tell them one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from typing import NamedTuple

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.query.replica_messages import Candidate, RecordsRead, ReplicaReply, Same
from gossipnode.core.query.request_lineage import Lineage, joined_lineage


class Stale(NamedTuple):
    """A replica that lacks the newest version of a record."""

    replica: str
    shard: ShardId
    record: Record


class NewestRecords:
    """Joins the answers to one read."""

    def __init__(self, shard: ShardId, entities: Sequence[Entity], own: Sequence[Record | None]) -> None:
        """`own` is what the answers that say "the same" are the same as."""
        self._shard = shard
        self._entities = entities
        self._own = own
        self._newest: list[Record | None] = [None] * len(entities)
        self._versions: dict[str, list[Version | None]] = {}
        self._lineages: dict[str, Lineage] = {}
        self._covered = len(entities)

    def take(self, replica: str, reply: ReplicaReply) -> str:
        """Take a replica's answer; gives why it does not count, or ""."""
        if not isinstance(reply, RecordsRead) or not 0 < len(reply.held) <= len(self._entities):
            return "its answer does not fit"
        versions: list[Version | None] = []
        for position, held in enumerate(reply.held):
            record = self._own[position] if isinstance(held, Same) else held
            if record is not None and record.entity != self._entities[position]:
                return "its answer does not fit"
            versions.append(None if record is None else record.version)
            self._join(position, record)
        self._versions[replica] = versions
        if reply.lineage is not None:
            self._lineages[replica] = reply.lineage
        self._covered = min(self._covered, len(versions))
        return ""

    def _join(self, position: int, record: Record | None) -> None:
        newest = self._newest[position]
        if record is not None and (newest is None or record.version > newest.version):
            self._newest[position] = record

    def records(self) -> list[Record | None]:
        """The newest versions so far of as many entities, from the first on, as all answers were about."""
        return self._newest[: self._covered]

    def lineage(self) -> Lineage:
        """The requests that the newest version of the first record includes."""
        newest = self._newest[0]
        told = [(self._versions[replica][0], lineage) for replica, lineage in self._lineages.items()]
        return joined_lineage(None if newest is None else newest.version, told)

    def uncertain(self, enough: Callable[[Set[str]], bool]) -> list[Record]:
        """Those of `records` of which not `enough` replicas have said that they hold them."""
        first, *others = self._versions.values()
        if all(versions == first for versions in others):
            return []
        uncertain: list[Record] = []
        for position, newest in enumerate(self.records()):
            if newest is not None:
                holders = {
                    replica
                    for replica, versions in self._versions.items()
                    if versions[position] == newest.version
                }
                if not enough(holders):
                    uncertain.append(newest)
        return uncertain

    def stale(self) -> Iterator[Stale]:
        """Every replica that answered and lacks what another one has."""
        for replica, versions in self._versions.items():
            for newest, version in zip(self._newest, versions, strict=False):
                if newest is not None and newest.version != version:
                    yield Stale(replica, self._shard, newest)


Found = Sequence[tuple[str, Candidate]]
"""What replicas report of one record, each with the replica's name."""


def certain_record(found: Found, asked: Set[str]) -> Record | None:
    """The record, if what replicas report is certain; None when it has to be read by key.

    It is certain when all that were asked report it, and nobody reports another version. A replica that
    reports another one, or nothing, may be behind, or may hold a newer version that does not match the query.
    One of them must have sent the record itself.
    """
    _, first = found[0]
    payload = next((each.payload for _, each in found if each.payload is not None), None)
    if payload is None or any(each.version != first.version for _, each in found):
        return None
    if not asked <= {replica for replica, _ in found}:
        return None
    return Record(first.place.entity, first.version, payload)

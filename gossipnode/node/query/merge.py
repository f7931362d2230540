"""One query under way: candidates of all replicas, merged in order and judged by their newest version.

A record is certain if all replicas that were asked report it in the same version. Any other candidate is read
by key before it counts: a stale replica may find a record whose newest version does not match, and miss one
whose newest version does.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import trio

from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.cluster.tally import Tally
from gossipnode.core.cluster.targets import search_targets
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.query.criteria import matches
from gossipnode.core.query.newest import certain_record
from gossipnode.core.query.replica_messages import READ_MAX_RECORDS, Candidate
from gossipnode.core.query.search import Place, Search, place_of, tags_needed
from gossipnode.node.coordinate.record_steps import RecordSteps
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.members import Members
from gossipnode.node.query.candidate_streams import CandidateStream, fill_from_own, fill_from_peer
from gossipnode.node.refusals.request_errors import OtherViewError, TooFewReplicasError
from gossipnode.node.search.pace import Pace
from gossipnode.wire.property.property_edit import read_tags
from gossipnode.wire.query.scan_codec import SearchedShard
from gossipnode.wire.wire_errors import WireError

MERGE_BATCH_RECORDS = 64
"""Candidates that are judged together: those that have to be read by key are read in one go."""

MERGE_MOVED_MAX_RECORDS = 4096
MERGE_SEEN_MAX_RECORDS = 100_000
"""Records that an ordered query keeps because they moved on in its order, and keys that it has found.

Beyond either, a record that is written while the query runs may be missed, or come twice.
"""


class BrokenOffError(TooFewReplicasError):
    """The only replica that was asked for a shard broke off. Another one may go on."""

    def __init__(self, message: str, replica: str, failure: str) -> None:
        """Name the replica, and why."""
        super().__init__(message)
        self.replica = replica
        self.failure = failure


class StreamReport(NamedTuple):
    """What one replica did for a query."""

    replica: str
    shards: tuple[ShardId, ...]
    used_index: str
    rows_read: int
    candidates: int
    seconds: float
    failure: str


@dataclass(frozen=True, slots=True)
class QuerySources:
    """What a query is made from: the replicas that search, and the steps by which records are read by key."""

    local: LocalState
    members: Members
    steps: RecordSteps
    nursery: trio.Nursery
    """Where the streams of candidates run."""


class _Asked(NamedTuple):
    """A shard of the query, and the replicas that search it."""

    placement: Placement
    level: AckLevel
    replicas: frozenset[str]


class _Next(NamedTuple):
    """The next entry in the order: a record that is certain, or else a candidate to be read by key."""

    key: tuple[Any, ...]
    place: Place
    record: Record | None
    candidate: Candidate | None


class RunningQuery:
    """The records of a search over all replicas, in order, a page at a time."""

    def __init__(
        self,
        sources: QuerySources,
        search: Search,
        levels: Mapping[str, AckLevel],
        *,
        broken_off: Mapping[str, str],
        seen: set[Entity],
    ) -> None:
        """`levels` is how many replicas each group's shards are to be read from.

        `broken_off` are replicas that broke off before, and why; `seen` are records that were found before.
        """
        self.verified = 0
        """Candidates that had to be read by key."""
        self.reached: Place | None = None
        """Everything up to this place has been given out."""
        self._local = sources.local
        self._shards = sources.local.shards
        self._members = sources.members
        self._steps = sources.steps
        self._nursery = sources.nursery
        self._search = search
        self._levels = levels
        self._broken_off = broken_off
        self._tags = tags_needed(search)
        self._pace = Pace(search.criteria)
        self._asked: dict[ShardId, _Asked] = {}
        self._streams: list[CandidateStream] = []
        self._heads: list[tuple[tuple[Any, ...], int]] = []
        self._unheard: list[int] = []
        self._failures: dict[str, str] = {}
        """Why replicas broke off. One stands here once its last candidate has been taken."""
        self._moved: list[tuple[tuple[Any, ...], int, Record]] = []
        """Records whose newest version stands later in the order than the stale one that was found.

        The number of each keeps records with equal keys from being compared.
        """
        self._moves = 0
        self._seen = seen

    def begin(self) -> None:
        """Ask the replicas, in the present view.

        Raises:
            UnknownGroupError: a group is gone.
            TooFewReplicasError: not enough replicas of a shard can be asked.
        """
        wanted: dict[str, list[SearchedShard]] = {}
        for shard in self._search.shards:
            placement = self._shards.placement(shard)
            level = self._levels[shard.group]
            replicas = self._replicas(placement, level)
            if not replicas:
                continue
            self._asked[shard] = _Asked(placement, level, frozenset(replicas))
            own = self._shards.own_name
            sender = own if own in replicas else replicas[0]
            for name in replicas:
                wanted.setdefault(name, []).append(SearchedShard(shard, placement.fence, name == sender))
        for name in sorted(wanted):
            self._streams.append(self._stream(name, wanted[name]))
        self._unheard = list(range(len(self._streams)))
        for stream in self._streams:
            self._nursery.start_soon(stream.run)

    def _replicas(self, placement: Placement, level: AckLevel) -> tuple[str, ...]:
        """The replicas that search a shard, this node's own copy first."""
        standings = self._members.standings(placement.holders, cleared=self._shards.cleared)
        targets = search_targets(placement, level, standings, broken_off=self._broken_off)
        if targets.problem:
            raise TooFewReplicasError(targets.problem)
        return targets.replicas

    def _stream(self, name: str, shards: Sequence[SearchedShard]) -> CandidateStream:
        search = replace(self._search, shards=tuple(each.shard for each in shards))
        if name == self._shards.own_name:
            alone = [each for each in search.shards if self._asked[each].level is AckLevel.LOCAL]
            fill = fill_from_own(self._local, search, shards, alone=alone)
        else:
            fill = fill_from_peer(self._members, self._members.peers[name], search, shards)
        return CandidateStream(name, search.shards, fill)

    def stop(self) -> None:
        """Let the replicas search no more."""
        for stream in self._streams:
            stream.stop()

    async def next_page(self) -> list[Record] | None:
        """Some more records, in order; None at the end.

        Raises:
            TooFewReplicasError: replicas broke off, and not enough are left.
            OtherViewError: the same, because one sees other members.
            BrokenOffError: the only replica that was asked for a shard broke off.
        """
        group = await self._next_candidates()
        if group is None:
            return None
        batch: list[_Next] = []
        while group is not None:
            batch.append(group)
            if len(batch) >= MERGE_BATCH_RECORDS:
                break
            group = await self._next_candidates()
        return await self._judged(batch)

    async def _next_candidates(self) -> _Next | None:
        """The candidates at the next place in the order, as one entry."""
        while self._unheard:
            await self._hear(self._unheard[-1])
            self._unheard.pop()
        if self._moved and (not self._heads or self._moved[0][0] <= self._heads[0][0]):
            key, _, record = heapq.heappop(self._moved)
            return _Next(key, self._place(record), record, None)
        if not self._heads:
            return None
        key = self._heads[0][0]
        found: list[tuple[str, Candidate]] = []
        while self._heads and self._heads[0][0] == key:
            _, number = heapq.heappop(self._heads)
            stream = self._streams[number]
            found.append((stream.replica, stream.pop()))
            self._unheard.append(number)
        return self._certain(key, found)

    async def _hear(self, number: int) -> None:
        """Wait for the next candidate of a stream."""
        stream = self._streams[number]
        head = await stream.head()
        if head is not None:
            heapq.heappush(self._heads, (self._search.key(head.place), number))
        elif stream.failure:
            self._failures[stream.replica] = stream.failure
            self._check_enough(stream)

    def _check_enough(self, failed: CandidateStream) -> None:
        """Raise an error if, without this replica, too few are left for one of its shards."""
        for shard in sorted(failed.shards):
            asked = self._asked[shard]
            problem = f"{shard}: {failed.failure}"
            if asked.level is not AckLevel.LOCAL:
                tally = Tally(asked.placement, asked.level, reading=True)
                for name in asked.placement.holders:
                    if name in self._failures or name not in asked.replicas:
                        tally.failed(name, self._failures.get(name, "not asked"))
                    else:
                        tally.took(name)
                if not tally.impossible:
                    continue
                problem = f"{shard}: {tally.problem('answered')}"
            for stream in self._streams:
                if stream.other_view and stream.replica in self._failures and shard in stream.shards:
                    raise OtherViewError(problem, stream.replica)
            if asked.level is AckLevel.ONE:
                raise BrokenOffError(problem, failed.replica, failed.failure)
            raise TooFewReplicasError(problem)

    def _certain(self, key: tuple[Any, ...], found: Sequence[tuple[str, Candidate]]) -> _Next:
        """The entry for what replicas report of one record. It is certain if all report the same version."""
        _, candidate = found[0]
        asked = self._asked[candidate.shard]
        record = certain_record(found, asked.replicas - self._failures.keys())
        return _Next(key, candidate.place, record, None if record is not None else candidate)

    async def _judged(self, batch: Sequence[_Next]) -> list[Record]:
        """The records of a batch whose newest version is found at this place."""
        newest = await self._read([each.candidate for each in batch if each.candidate is not None])
        records: list[Record] = []
        for each in batch:
            while self._moved and self._moved[0][0] <= each.key:
                records += self._if_new(heapq.heappop(self._moved)[2])
            record = each.record or newest.get(each.place.entity)
            if record is not None and each.record is None:
                await self._pace.compared(len(record.payload))
            if record is not None and (each.record is not None or self._placed_here(each.key, record)):
                records += self._if_new(record)
        self.reached = batch[-1].place
        return records

    async def _read(self, candidates: Sequence[Candidate]) -> dict[Entity, Record]:
        """The newest versions of candidates, read by key. What is newest is at a quorum then.

        Every replica is waited for: the one with the newest version may not be among the first that are
        enough.
        """
        by_shard: dict[ShardId, dict[Entity, None]] = {}
        for candidate in candidates:
            by_shard.setdefault(candidate.shard, {})[candidate.place.entity] = None
        found: dict[Entity, Record] = {}
        for shard, entities in by_shard.items():
            asked = self._asked[shard]
            left = list(entities)
            while left:
                records, _ = await self._steps.reads.read(
                    asked.placement, left[:READ_MAX_RECORDS], asked.level, everyone=True
                )
                found.update({record.entity: record for record in records if record is not None})
                left = left[len(records) :]
        self.verified += len(candidates)
        return found

    def _placed_here(self, key: tuple[Any, ...], record: Record) -> bool:
        """Whether a record matches and stands at this place. One that stands later is kept until then."""
        search = self._search
        criteria = None if record.deleted else search.criteria
        if record.deleted and not search.tombstones:
            return False
        try:
            if criteria is not None and not matches(criteria, read_tags(record.payload, self._tags)):
                return False
            own_key = search.key(self._place(record))
        except WireError:
            return False
        if own_key > key and len(self._moved) < MERGE_MOVED_MAX_RECORDS:
            self._moves += 1
            heapq.heappush(self._moved, (own_key, self._moves, record))
        return own_key == key

    def _place(self, record: Record) -> Place:
        order_by = self._search.order_by
        tags = read_tags(record.payload, (order_by,)) if order_by else {}
        return place_of(record.entity, tags, order_by)

    def _if_new(self, record: Record) -> list[Record]:
        """The record, or [] if it was found before: one that is written meanwhile may stand at two places."""
        if self._search.order_by:
            if record.entity in self._seen:
                return []
            if len(self._seen) < MERGE_SEEN_MAX_RECORDS:
                self._seen.add(record.entity)
        return [record]

    def reports(self) -> list[StreamReport]:
        """What each replica did so far."""
        return [
            StreamReport(
                stream.replica,
                tuple(sorted(stream.shards)),
                stream.index,
                stream.rows_read,
                stream.candidates,
                stream.ended_at - stream.began,
                stream.failure,
            )
            for stream in self._streams
        ]

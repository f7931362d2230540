"""Queries over the whole cluster, from what a client asks to the records that it gets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.model.property import Entity, Record, ShardId, check_entity
from gossipnode.core.query.criteria import matches
from gossipnode.core.query.query import Query
from gossipnode.core.query.replica_messages import READ_MAX_RECORDS
from gossipnode.core.query.search import Place, Search, place_of
from gossipnode.node.coordinate.record_steps import VIEW_ATTEMPTS, RecordSteps
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.members import Members
from gossipnode.node.query.merge import BrokenOffError, QuerySources, RunningQuery, StreamReport
from gossipnode.node.refusals.request_errors import OtherViewError
from gossipnode.node.search.pace import Pace
from gossipnode.wire.property.property_edit import project, read_tags
from gossipnode.wire.wire_errors import WireError


@dataclass(slots=True)
class QueryTrace:
    """What a query did, to be told in its trace."""

    reports: list[StreamReport] = field(default_factory=list[StreamReport])
    read_by_key: int = 0


class Queries:
    """Carries out queries."""

    def __init__(self, local: LocalState, members: Members, steps: RecordSteps) -> None:
        """Ask the replicas among `members`; what is uncertain is read by `steps`."""
        self._local = local
        self._shards = local.shards
        self._members = members
        self._steps = steps

    @asynccontextmanager
    async def open(self, query: Query) -> AsyncGenerator[ClusterQuery]:
        """A query under way, for as long as the block lasts.

        Raises:
            UnknownGroupError: there is no such group.
            UnknownLevelError, WireError, InvalidEntityError: the query is wrong in itself.
            TooFewReplicasError: not enough replicas of a shard can be asked.
            NotFormedError: there is no cluster yet.
        """
        levels = {group: await self._steps.level(group, query.ack) for group in query.groups}
        for group in levels:
            self._shards.shard_count(group)
        after = await self._after(query, levels)
        with one_error():
            async with trio.open_nursery() as nursery:
                sources = QuerySources(self._local, self._members, self._steps, nursery)
                yield ClusterQuery(sources, query, levels, after)
                nursery.cancel_scope.cancel()

    async def _after(self, query: Query, levels: dict[str, AckLevel]) -> Place | None:
        """The place after which the answer begins: that of the record `query.after`."""
        if query.after is None or not query.order_by:
            return None if query.after is None else Place(query.after)
        entity = query.after
        check_entity(entity)
        level = levels.get(entity.group)
        if level is None:
            raise WireError(f"after: {entity.text[:80]!r} is of another group")

        async def read(placement: Placement) -> Record | None:
            (record,), _ = await self._steps.reads.read(placement, (entity,), level, everyone=True)
            return record

        record = await self._steps.in_one_view(entity, read)
        if record is None:
            raise WireError(
                f"after: there is no record {entity.text[:80]!r}, and so no place in the order of a tag"
            )
        return place_of(entity, read_tags(record.payload, (query.order_by,)), query.order_by)


class ClusterQuery:
    """The answer to a query, in order, a page at a time."""

    def __init__(
        self, sources: QuerySources, query: Query, levels: dict[str, AckLevel], after: Place | None
    ) -> None:
        """See `Queries.open`."""
        self._sources = sources
        self._shards = sources.local.shards
        self._steps = sources.steps
        self._query = query
        self._levels = levels
        self._after = after
        self._left = query.most
        self._running: RunningQuery | None = None
        self._broken_off: dict[str, str] = {}
        self._seen: set[Entity] = set()
        self._earlier = QueryTrace()
        self._listed = self._entities() if self._is_listed() else None
        self._done = False
        self._pace = Pace(query.criteria)
        self.trace = QueryTrace()

    def _is_listed(self) -> bool:
        """Whether the query names its records: then they are read by key."""
        query = self._query
        return bool(query.name and query.ids and not query.order_by and not query.tombstones)

    def _entities(self) -> list[Entity]:
        """The records that a query names, the last one first."""
        query = self._query
        entities = [
            Entity(group, query.name, item) for group in dict.fromkeys(query.groups) for item in query.ids
        ]
        for entity in entities:
            check_entity(entity)
        return sorted((each for each in entities if query.after is None or each > query.after), reverse=True)

    async def next_page(self) -> list[Record] | None:
        """The next records; [] when none were found yet, None at the end.

        Raises:
            TooFewReplicasError: not enough replicas of a shard answer.
            StoreError: this node's own store cannot be read.
        """
        if self._done:
            return None
        page = await (self._search_page() if self._listed is None else self._listed_page(self._listed))
        if page is None:
            self._done = True
            return None
        if self._query.most:
            page = page[: self._left]
            self._left -= len(page)
            self._done = self._left == 0
        return [self._projected(record) for record in page]

    async def _listed_page(self, left: list[Entity]) -> list[Record] | None:
        """Read the next of the records that the query names."""
        if not left:
            return None
        part = [left.pop() for _ in range(min(READ_MAX_RECORDS, len(left)))]
        found: list[Record] = []
        by_shard: dict[ShardId, list[Entity]] = {}
        for entity in part:
            by_shard.setdefault(self._shards.shard_of(entity), []).append(entity)
        for entities in by_shard.values():
            while entities:
                records = await self._read_listed(entities)
                found += [record for record in records if record is not None]
                entities = entities[len(records) :]
        self.trace.read_by_key += len(part)
        matching: list[Record] = []
        for record in found:
            if self._matches(record):
                matching.append(record)
            await self._pace.compared(len(record.payload))
        return sorted(matching, key=lambda each: each.entity)

    async def _read_listed(self, entities: Sequence[Entity]) -> list[Record | None]:
        level = self._levels[entities[0].group]

        async def read(placement: Placement) -> list[Record | None]:
            if level is AckLevel.LOCAL and self._shards.own_name not in placement.holders:
                return [None] * len(entities)
            records, _ = await self._steps.reads.read(placement, entities, level)
            return records

        return await self._steps.in_one_view(entities[0], read)

    def _matches(self, record: Record) -> bool:
        criteria = self._query.criteria
        try:
            return not record.deleted and (criteria is None or matches(criteria, read_tags(record.payload)))
        except WireError:
            return False

    async def _search_page(self) -> list[Record] | None:
        """The next records of the merged candidates.

        If a replica sees other members, or the only one that was asked broke off, the search starts again
        after the records found so far.
        """
        for _ in range(VIEW_ATTEMPTS - 1):
            running = self._running or self._begin()
            try:
                return await self._next_of(running)
            except OtherViewError as error:
                self._give_up(running)
                await self._steps.compare_views(error.peer)
            except BrokenOffError as error:
                self._give_up(running)
                self._broken_off[error.replica] = error.failure
        return await self._next_of(self._running or self._begin())

    async def _next_of(self, running: RunningQuery) -> list[Record] | None:
        try:
            return await running.next_page()
        finally:
            self.trace.reports = self._earlier.reports + running.reports()
            self.trace.read_by_key = self._earlier.read_by_key + running.verified

    def _give_up(self, running: RunningQuery) -> None:
        running.stop()
        self._running = None
        self._after = running.reached or self._after
        self._earlier = QueryTrace(self.trace.reports, self.trace.read_by_key)

    def _begin(self) -> RunningQuery:
        query = self._query
        shards = tuple(
            shard for group in sorted(set(query.groups)) for shard in self._shards.shards_of(group)
        )
        search = Search(
            shards,
            query.name,
            query.ids,
            query.criteria,
            query.order_by,
            query.descending,
            self._after,
            query.tombstones,
            query.most,
        )
        self._sources.local.indexes.asked(search)
        running = RunningQuery(
            self._sources, search, self._levels, broken_off=self._broken_off, seen=self._seen
        )
        running.begin()
        self._running = running
        return running

    def _projected(self, record: Record) -> Record:
        select = self._query.select
        if not select:
            return record
        return Record(record.entity, record.version, project(record.payload, select))

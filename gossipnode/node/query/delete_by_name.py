"""Deleting every record of a group and name: found by a query, deleted in batches."""

from __future__ import annotations

from gossipnode.core.model.property import Entity, check_entity
from gossipnode.core.query.query import Query
from gossipnode.node.coordinate.bulk_writes import BulkWrites
from gossipnode.node.query.queries import Queries
from gossipnode.node.refusals.request_checks import check_writable

DELETE_PAGE_RECORDS = 256
"""Records that are deleted together."""


async def delete_by_name(queries: Queries, bulk: BulkWrites, group: str, name: str, ack: str) -> int:
    """Delete every live record of a group and name; gives how many there were.

    Raises:
        InvalidEntityError, RefusedGroupError, UnknownGroupError, TooFewReplicasError, NotStoredError.
    """
    check_writable(group)
    check_entity(Entity(group, name, "any"))
    deleted = 0
    waiting: list[Entity] = []
    level = await bulk.level(group, ack)
    async with queries.open(Query((group,), name, everything=True, ack=ack)) as answer:
        while (page := await answer.next_page()) is not None:
            waiting += [record.entity for record in page]
            if len(waiting) >= DELETE_PAGE_RECORDS:
                await bulk.delete_all(waiting, level)
                deleted += len(waiting)
                waiting = []
    if waiting:
        await bulk.delete_all(waiting, level)
    return deleted + len(waiting)

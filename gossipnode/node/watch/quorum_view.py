"""What a quorum has of records that a replica has learnt: what a watch may show that asks for no less."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.query.replica_messages import READ_MAX_RECORDS
from gossipnode.core.watch.told_change import ToldChange
from gossipnode.node.coordinate.record_steps import RecordSteps
from gossipnode.node.refusals.request_errors import TooFewReplicasError

QUORUM_AGAIN_SECONDS = 0.5
"""The pause before a quorum is asked again that could not be heard."""


class QuorumView:
    """Reads records at a quorum."""

    def __init__(self, steps: RecordSteps) -> None:
        """Read by `steps`."""
        self._steps = steps

    async def shown(self, changes: Sequence[ToldChange]) -> list[ToldChange]:
        """The changes as a quorum has them: each record in the newest version that a quorum has then.

        Waits as long as no quorum answers.
        """
        newest: dict[Entity, ToldChange] = {change.record.entity: change for change in changes}
        by_shard: dict[int, list[Entity]] = {}
        for change in newest.values():
            by_shard.setdefault(change.shard, []).append(change.record.entity)
        shown: list[ToldChange] = []
        for entities in by_shard.values():
            while entities:
                records = await self._read(entities[:READ_MAX_RECORDS])
                for entity, record in zip(entities, records, strict=False):
                    told = newest[entity]
                    if record is None or record.version == told.record.version:
                        shown.append(told)
                    else:
                        shown.append(ToldChange(told.shard, record, told.sequence))
                entities = entities[len(records) :]
        return shown

    async def _read(self, entities: Sequence[Entity]) -> list[Record | None]:
        async def read(placement: Placement) -> list[Record | None]:
            records, _ = await self._steps.reads.read(placement, entities, AckLevel.QUORUM)
            return records

        while True:
            try:
                return await self._steps.in_one_view(entities[0], read)
            except TooFewReplicasError:
                await trio.sleep(QUORUM_AGAIN_SECONDS)

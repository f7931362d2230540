"""Reads of records from enough replicas of their shard: for an answer, or for a write that follows.

What a quorum read shows is at a quorum before it is shown, so the next one does not show less. A read that a
write follows has a quorum take the stamp of the write instead, see `core.model.stamp_floors`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import trio

from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.cluster.tally import in_every_quorum
from gossipnode.core.model.arrival import Arrival, Through
from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.query.newest import NewestRecords
from gossipnode.core.query.replica_messages import (
    ReadRecords,
    RecordsRead,
    ReplicaReply,
    Wanted,
    WriteRecords,
)
from gossipnode.core.query.request_lineage import Lineage
from gossipnode.core.query.stamp_proposal import StampProposal
from gossipnode.core.query.write_answers import WriteAnswers
from gossipnode.node.coordinate.large_writes import request_chunks
from gossipnode.node.coordinate.read_repair import ReadRepair
from gossipnode.node.coordinate.replica_calls import ReplicaCalls
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.refusals.request_checks import not_a_replica
from gossipnode.node.refusals.request_errors import (
    NotStoredError,
    OtherViewError,
    RecordLostError,
    TooFewReplicasError,
    WrongClockError,
)
from gossipnode.store.interface import RecordDamagedError

STAMP_ATTEMPTS = 12
"""How often a stamp is proposed when replicas have taken later ones of other writers."""

APPLY_PAUSE_MIN_SECONDS = 0.002
APPLY_PAUSE_MAX_SECONDS = 0.25
"""The longest pause before a write starts over; it doubles with each try. The pause itself is random."""

FAR_PAUSE_MAX_SECONDS = 1.0
"""As that, where a try takes long."""


class RecordsFound(NamedTuple):
    """What a read found."""

    records: list[Record | None]
    """The newest versions of the entities, from the first one on, as far as every answer had room."""
    heard: int
    """How many replicas answered."""


class RecordsToWrite(NamedTuple):
    """What a read found that a write is to follow."""

    records: list[Record | None]
    """See `RecordsFound`."""
    heard: int
    lineage: Lineage
    """The requests that the newest version of the first record includes."""
    stamp: int
    """The stamp of the versions to be written; see `RecordSteps.stamped`."""


@dataclass(slots=True)
class _Reading:
    """One read under way."""

    placement: Placement
    level: AckLevel
    entities: Sequence[Entity]
    own_reply: RecordsRead | None
    newest: NewestRecords
    wanted: tuple[Wanted, ...]


class RecordReads:
    """Reads through the replicas of a shard."""

    def __init__(
        self, local: LocalState, replicas: ReplicaCalls, repair: ReadRepair, rng: random.Random
    ) -> None:
        """Ask `replicas`; stale ones that no answer waits for are mended by `repair`. `rng` spreads tries."""
        self._own_name = local.own_name
        self._clock = local.clock
        self._floors = local.floors
        self._replicas = replicas
        self._repair = repair
        self._rng = rng

    async def step_aside(self, tried: int, took: float = 0.0) -> None:
        """Wait a moment before a write that was overtaken starts over.

        Otherwise nodes that write the same record would meet again and again. `took` is how many seconds the
        last try took: over a long way they meet for longer.
        """
        longest = min(APPLY_PAUSE_MIN_SECONDS * 2**tried, APPLY_PAUSE_MAX_SECONDS)
        longest = max(longest, min(took * tried, FAR_PAUSE_MAX_SECONDS))
        await trio.sleep(self._rng.uniform(0, longest))

    # For an answer

    async def read(
        self,
        placement: Placement,
        entities: Sequence[Entity],
        level: AckLevel,
        *,
        everyone: bool = False,
    ) -> RecordsFound:
        """The newest versions that enough replicas hold, to be shown to a client.

        If replicas disagree, the newest version is written back before the answer until a quorum has it.
        Other stale replicas are mended afterwards. With `everyone`, every replica that can be asked is waited
        for.

        Raises:
            TooFewReplicasError: `level` cannot be reached, or no quorum takes what would be shown.
        """
        reading = await self._begin(placement, entities, level)
        newest = reading.newest
        if level is AckLevel.LOCAL:
            return RecordsFound(newest.records(), 1)
        tally = await self._replicas.ask(
            placement,
            level,
            ReadRecords(placement.shard, placement.fence, reading.wanted),
            newest.take,
            verb="answered",
            own_reply=reading.own_reply,
            ended=lambda: self._repair.offer(newest.stale()),
            everyone=everyone,
        )
        found = RecordsFound(newest.records(), tally.acknowledged)
        if level is not AckLevel.ONE:
            uncertain = newest.uncertain(lambda names: in_every_quorum(placement, names))
            for records in request_chunks(uncertain):
                await self._write_back(placement, records)
        return found

    async def _write_back(self, placement: Placement, records: Sequence[Record]) -> None:
        """Wait until a quorum has what is to be shown. A replica with a newer version will show that one."""
        answers = WriteAnswers(records, newer_counts=True)
        arrival = Arrival(Through.READ_REPAIR, self._own_name)
        request = WriteRecords(placement.shard, placement.fence, tuple(records), arrival=arrival, copies=True)
        await self._replicas.ask(
            placement, AckLevel.QUORUM, request, answers.take, verb="have the newest version"
        )

    # For a write

    async def read_to_write(
        self,
        placement: Placement,
        entities: Sequence[Entity],
        level: AckLevel,
        *,
        to_replace: bool = False,
    ) -> RecordsToWrite:
        """Read records that are to be written over, and have a quorum take the stamp of what is written.

        Below `quorum` nobody is asked for a stamp, and such a write may overtake one that came after it. With
        `to_replace`, a record that is damaged in every replica that has it counts as not stored.

        Raises:
            TooFewReplicasError: `level` cannot be reached.
            NotStoredError: other writers were faster each time.
            WrongClockError: our clock cannot be right.
        """
        if to_replace and level is AckLevel.LOCAL and placement.holders == (self._own_name,):
            level = AckLevel.ONE
        self._check_clock(level)
        proposal = StampProposal()
        began, took = trio.current_time(), 0.0
        for tried in range(STAMP_ATTEMPTS):
            if tried > 1:
                await self.step_aside(tried, took)
                began = trio.current_time()
            reading = await self._begin(placement, entities, level, self._clock.now())
            proposal = StampProposal(highest=proposal.highest)
            heard = 0
            try:
                heard = await self._ask_to_write(reading, proposal)
            except RecordLostError as error:
                if not to_replace:
                    raise
                heard = error.acknowledged
            except TooFewReplicasError as error:
                if isinstance(error, OtherViewError) or not proposal.outbid:
                    raise
            took = trio.current_time() - began
            newest = reading.newest
            proposal.hear(self._clock.newest_near(newest.records()))
            if not proposal.outbid:
                self._clock.saw(proposal.stamp)
                return RecordsToWrite(newest.records(), heard, newest.lineage(), proposal.stamp)
            self._clock.saw(proposal.highest)
        raise NotStoredError(f"{entities[0].text}: other writers keep coming in")

    def _check_clock(self, level: AckLevel) -> None:
        problem = ""
        if self._clock.now() > STAMP_MAX_NANOSECONDS:
            problem = f"{self._own_name}'s clock shows a time after 2116: set it right; nothing was written"
        elif level in (AckLevel.LOCAL, AckLevel.ONE):
            # Nobody else is asked for the stamp, so what others have said of our clock before must do.
            problem = self._replicas.clock_watch.problem()
        if problem:
            raise WrongClockError(problem)

    async def _ask_to_write(self, reading: _Reading, proposal: StampProposal) -> int:
        """Ask for the records, and for the stamp where a quorum is to take it; gives how many answered.

        Our own copy takes the stamp after the others, because they tell us if our clock is wrong.
        """
        own_reply, placement, level = reading.own_reply, reading.placement, reading.level
        floor = own_reply.floor if own_reply else 0
        proposal.stamp = self._clock.propose(above=max(proposal.highest, floor))
        if level is AckLevel.LOCAL:
            return 1
        asks_stamp = level is not AckLevel.ONE

        def take(replica: str, reply: ReplicaReply) -> str:
            problem = reading.newest.take(replica, reply)
            return problem or (proposal.take(reply) if asks_stamp else "")

        proposed = proposal.stamp if asks_stamp else 0
        request = ReadRecords(placement.shard, placement.fence, reading.wanted, proposed, self._clock.now())
        tally = await self._replicas.ask(
            placement, level, request, take, verb="answered", own_reply=own_reply
        )
        if asks_stamp and own_reply is not None:
            proposal.hear(await self._floors.propose(reading.entities, proposal.stamp))
        return tally.acknowledged

    # Both

    async def _begin(
        self,
        placement: Placement,
        entities: Sequence[Entity],
        level: AckLevel,
        clock: int = 0,
    ) -> _Reading:
        """Begin a read with our own copy."""
        own_reply = await self._read_here(placement, entities, level, clock)
        own: list[Record | None] = [None] * len(entities)
        for position, held in enumerate(own_reply.held if own_reply else ()):
            own[position] = held if isinstance(held, Record) else None
        newest = NewestRecords(placement.shard, entities, own)
        if level is AckLevel.LOCAL:
            if own_reply is None:
                raise not_a_replica(placement)
            newest.take(self._own_name, own_reply)
        wanted = tuple(
            Wanted(entity, None if held is None else held.version)
            for entity, held in zip(entities, own, strict=True)
        )
        return _Reading(placement, level, entities, own_reply, newest, wanted)

    async def _read_here(
        self, placement: Placement, entities: Sequence[Entity], level: AckLevel, clock: int
    ) -> RecordsRead | None:
        """What our own copy says; None if we hold no copy, or a record is damaged in it."""
        if self._own_name not in placement.holders:
            return None
        wanted = tuple(Wanted(entity, None) for entity in entities)
        try:
            reply = await self._replicas.own.read(
                ReadRecords(placement.shard, placement.fence, wanted, clock=clock),
                local=level is AckLevel.LOCAL,
            )
        except RecordDamagedError:
            if level is AckLevel.LOCAL:
                raise
            return None
        return reply if isinstance(reply, RecordsRead) else None

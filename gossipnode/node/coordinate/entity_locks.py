"""A lock for each entity that is being written, so that read, merge and write are one step for a client.

Nothing is kept of an entity that nobody writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import trio

from gossipnode.core.model.property import Entity


class EntityLocks:
    """A lock for each entity. Those who wait for one get it in the order in which they came."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        """Hold nothing."""
        self._held: dict[Entity, deque[trio.Event]] = {}

    @property
    def held(self) -> Collection[Entity]:
        """The entities whose locks are held."""
        return self._held.keys()

    async def acquire(self, entities: Iterable[Entity]) -> HeldLocks:
        """Take the locks of all these entities, in their order, so that two holders cannot deadlock."""
        held = HeldLocks(self)
        try:
            for entity in sorted(set(entities)):
                await self._take(entity)
                held.entities.append(entity)
        except trio.Cancelled:
            held.release()
            raise
        return held

    def hold(self, entities: Iterable[Entity]) -> _Holding:
        """Hold the locks of all these entities while the block (`async with`) runs."""
        return _Holding(self, entities)

    async def _take(self, entity: Entity) -> None:
        waiting = self._held.get(entity)
        if waiting is None:
            self._held[entity] = deque()
            return
        turn = trio.Event()
        waiting.append(turn)
        try:
            await turn.wait()
            assert entity in self._held, entity
        except trio.Cancelled:
            if turn.is_set():
                self.give_back(entity)
            else:
                waiting.remove(turn)
            raise

    def give_back(self, entity: Entity) -> None:
        """Give a lock back: the next task that waits for it has it now."""
        assert entity in self._held, f"{entity.text} is not held"
        waiting = self._held[entity]
        if waiting:
            waiting.popleft().set()
        else:
            del self._held[entity]


class _Holding:
    """See `EntityLocks.hold`."""

    __slots__ = ("_entities", "_held", "_locks")

    def __init__(self, locks: EntityLocks, entities: Iterable[Entity]) -> None:
        self._locks = locks
        self._entities = entities

    async def __aenter__(self) -> None:
        self._held = await self._locks.acquire(self._entities)

    async def __aexit__(self, *error: object) -> None:
        self._held.release()


@dataclass(slots=True)
class HeldLocks:
    """Locks that are held until `release`."""

    locks: EntityLocks
    entities: list[Entity] = field(default_factory=list[Entity])

    def release(self) -> None:
        """Give them back. Harmless when repeated."""
        held, self.entities = self.entities, []
        for entity in held:
            self.locks.give_back(entity)

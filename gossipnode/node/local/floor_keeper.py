"""The stamp floors of this node, and their durable ceiling. See `core.model.stamp_floors` for the rule."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import structlog
import trio

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.core.model.property import Entity
from gossipnode.core.model.stamp_floors import (
    CEILING_AHEAD_NANOSECONDS,
    FLOOR_BELIEVED_NANOSECONDS,
    StampFloors,
    floor_bucket,
)
from gossipnode.node.local.clock import Clock
from gossipnode.store.interface import Store, StoreError

CEILING_NOTE = "stamp_ceiling"
"""The store's note of the ceiling, in nanoseconds."""


class FloorKeeper:
    """Takes stamps that coordinators propose. Call `recall` before its first use."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """No stamp has been taken yet."""
        self._store = store
        self._clock = clock
        self._floors = StampFloors()
        self._reserved: trio.Event | None = None
        self._near = 0
        self._low = trio.Event()
        """Set when a stamp comes near the ceiling."""
        self._log = structlog.get_logger("gossipnode.replica")

    async def recall(self) -> None:
        """Begin with the ceiling that was kept before a restart: what was taken is below it.

        A ceiling that cannot be believed comes from a time when our clock was wrong, and counts for nothing.
        """
        note = await self._store.note(CEILING_NOTE)
        if note is None:
            return
        try:
            ceiling = int(note)
        except ValueError:
            return
        if ceiling > self._believed():
            ahead = round((ceiling - self._clock.now()) / 1e9)
            self._log.warning("stamps from a wrong clock are no longer kept to", ahead_seconds=ahead)
            return
        self._floors = StampFloors(ceiling)

    async def run(self) -> None:
        """Raise the ceiling before stamps reach it, so that no write waits for it; until cancelled."""
        while True:
            await self._low.wait()
            # If it fails, the stamp that reaches the ceiling tries again, and is told.
            with contextlib.suppress(StoreError):
                await self._cover(self._near + CEILING_AHEAD_NANOSECONDS // 2)
            self._low = trio.Event()

    def highest(self, entities: Iterable[Entity]) -> int:
        """The highest stamp that was taken for any of these entities."""
        return self._floors.highest(map(floor_bucket, entities), self._believed())

    def highest_of_all(self) -> int:
        """The highest stamp that was taken for anything."""
        return self._floors.highest_of_all(self._believed())

    async def propose(self, entities: Iterable[Entity], stamp: int) -> int:
        """Take a stamp for these entities, if it is above the floor that is given back.

        A stamp too far ahead of our clock moves no floor: it is needed where a stored version has such a
        stamp.

        Raises:
            StoreError: the ceiling was not kept, and nothing was taken.
        """
        now = self._clock.now()
        believed = now + FLOOR_BELIEVED_NANOSECONDS
        if stamp - now > MAX_CLOCK_SKEW_NANOSECONDS:
            return self.highest(entities)
        if not self._floors.covers(stamp, believed):
            await self._cover(stamp)
            believed = self._believed()
        elif not self._floors.covers(stamp + CEILING_AHEAD_NANOSECONDS // 2, believed):
            self._near = stamp
            self._low.set()
        return self._floors.propose(map(floor_bucket, entities), stamp, believed)

    async def raise_all(self, stamp: int) -> None:
        """Take no stamp up to this one any more: another replica, which we are filled from, took it.

        Raises:
            StoreError: the ceiling was not kept, and nothing has changed.
        """
        await self._cover(stamp)
        self._floors.raise_all(stamp, self._believed())

    async def _cover(self, stamp: int) -> None:
        """Make a ceiling above the stamp durable, unless the present one is above it.

        All that wait for it go on in the same turn of the loop: then what they send goes together, too.
        """
        while not self._floors.covers(stamp, self._believed()):
            if self._reserved is not None:
                await self._reserved.wait()
                continue
            self._reserved = trio.Event()
            try:
                ceiling = stamp + CEILING_AHEAD_NANOSECONDS
                await self._store.keep_note(CEILING_NOTE, str(ceiling).encode())
                self._floors.reserve(ceiling)
            finally:
                self._reserved.set()
                self._reserved = None

    def _believed(self) -> int:
        return self._clock.now() + FLOOR_BELIEVED_NANOSECONDS

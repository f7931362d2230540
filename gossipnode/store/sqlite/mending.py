"""A read that meets a rotten record has it set aside, and goes on without it.

One record must not end the node: it is named in the log and by `verify`, and a replica brings it back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog

from gossipnode.store.sqlite.open_state import OpenState
from gossipnode.store.sqlite.tables.damage import DamagedLeafError
from gossipnode.store.sqlite.tables.rows import LeafPlace
from gossipnode.store.sqlite.tables.set_aside import key_name, set_aside
from gossipnode.store.sqlite.writer import Writer

Result = TypeVar("Result")


class Mending:
    """Sets rotten records aside, each in a transaction of its own."""

    __slots__ = ("_log", "_state", "_writer")

    def __init__(self, writer: Writer, state: OpenState) -> None:
        self._writer = writer
        self._state = state
        self._log = structlog.get_logger("gossipnode.store")

    async def read(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """What the read gives once the rotten records that it meets are set aside.

        Raises:
            StoreDamagedError: a record is rotten for the reader, and sound for the writer.
        """
        sound: set[LeafPlace] = set()
        while True:
            try:
                return await attempt()
            except DamagedLeafError as found:
                place = LeafPlace(*found.place)
                if await self._writer.spare(partial(set_aside, place=place)):
                    self._writer.tell_removed(None)
                    self._log.error("record set aside", record=key_name(place.key), reason=str(found))
                elif place in sound:
                    # A write may have replaced the record in between, but not twice to the same effect.
                    raise self._state.damage(str(found)) from found
                else:
                    sound.add(place)

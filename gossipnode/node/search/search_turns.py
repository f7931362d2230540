"""Places for searches by what they cost, so that a short one never waits behind long ones.

The coordinator of a query has such places for the answers of its clients, and each replica has some for the
searches of coordinators.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Hashable, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from typing import NamedTuple

from gossipnode.concurrency.fair_turns import FairTurns, StalledError, Turn
from gossipnode.concurrency.shares import Caller
from gossipnode.rpc import RpcError, Status

SEARCH_STALLED_SECONDS = 10.0
"""A search of which too little is taken for this time gives its place to one that waits."""


class SearchKind(Enum):
    """What a search costs."""

    KEYS = "keys"
    """It reads the records that it names, and no more."""
    SCAN = "scan"
    """It may read everything, and has a page or two of it in memory."""
    SORT = "sort"
    """It keeps what it has found in memory until all of it is sent."""
    WHOLE = "whole"
    """Its answer is put together in memory and sent as one message."""


class Places(NamedTuple):
    """How many searches of a kind may work at once, and how many may be there, with those that stall."""

    working: int
    held: int


class SearchTurns:
    """Places for each kind of search."""

    def __init__(self, places: Mapping[SearchKind, Places]) -> None:
        """All of them are free."""
        self._turns = {
            kind: FairTurns(each.working, held=each.held, stalled_seconds=SEARCH_STALLED_SECONDS)
            for kind, each in places.items()
        }

    @property
    def held(self) -> int:
        """How many places are held now."""
        return sum(turns.held for turns in self._turns.values())

    @asynccontextmanager
    async def hold(self, kind: SearchKind, caller: Caller, line: Hashable = None) -> AsyncGenerator[Turn]:
        """Wait for a place, and hold it as long as the block lasts. See `FairTurns.hold`.

        Raises:
            RpcError: RESOURCE_EXHAUSTED, when too little was taken while other searches waited.
        """
        try:
            async with self._turns[kind].hold(caller, line) as turn:
                yield turn
        except StalledError as error:
            raise RpcError(Status.RESOURCE_EXHAUSTED, f"search: {error}: read faster") from None

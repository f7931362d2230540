"""Computes leaf digests in the background, so that a round seldom has to wait for them.

A digest costs more than the write itself, so it is left until writes have been quiet for a moment. Own nodes
compare by other hashes: where no round needs the digests, they wait until writes have been quiet for long.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import structlog
import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.store.interface import Store, StoreClosedError, StoreError

FILL_BATCH_LEAVES = 64
"""Leaf digests that are computed in one step."""

FILL_QUIET_SECONDS = 0.5
"""Leaf digests are computed once nothing has been written for this time."""

FILL_IDLE_SECONDS = 60.0
"""Where no round needs them, they are computed once nothing has been written for this time."""

FILL_LATEST_SECONDS = 30.0
"""Leaf digests are computed this long after the first write at the latest, even if writes go on."""

FILL_PAUSE_SECONDS = 0.25
"""The pause after every batch while writes go on. With it, the filler takes a few percent of a core."""


async def fill_digests(store: Store, writes: ChangeEvent, needed: Callable[[], bool]) -> None:
    """Fill in the digests that are missing now, and after each of `writes`.

    `needed` says whether rounds compare trees, so that they would have to wait for the digests. Runs until
    cancelled or until the store closes.
    """
    while True:
        if not needed():
            await _quiet(writes, FILL_IDLE_SECONDS)
        written = writes.pending
        try:
            while await _fill_some(store):
                if written.is_set():
                    # Clients or sessions are writing: go on, but leave most of the time to them.
                    written = writes.pending
                    with trio.move_on_after(FILL_PAUSE_SECONDS if needed() else math.inf):
                        await _quiet(writes, FILL_QUIET_SECONDS if needed() else FILL_IDLE_SECONDS)
        except StoreClosedError:
            return
        await written.wait()
        with trio.move_on_after(FILL_LATEST_SECONDS):
            await _quiet(writes, FILL_QUIET_SECONDS)


async def _fill_some(store: Store) -> int:
    """Compute a batch of digests; gives how many, 0 when none is missing or the store cannot keep any now."""
    try:
        return await store.fill_digests(limit=FILL_BATCH_LEAVES)
    except StoreClosedError:
        raise
    except StoreError as error:
        # Nothing is lost: the digests are computed when a round needs them, or after the next write. A store
        # that cannot go on at all tells the node by itself (`Store.wait_failed`).
        structlog.get_logger("gossipnode.store").warning("digests not filled in", reason=str(error))
        return 0


async def _quiet(writes: ChangeEvent, seconds: float) -> None:
    """Return once nothing has been written for this time."""
    while True:
        with trio.move_on_after(seconds) as pause:
            await writes.wait()
        if pause.cancelled_caught:
            return

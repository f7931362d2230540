"""What an open store does now and then: looks at its files and at the space on the disk, and tidies up.

Whatever takes long is done in a thread, or by the writer.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import trio

from gossipnode.store.interface import StoreError
from gossipnode.store.sqlite.disk.disk_watch import DiskWatch
from gossipnode.store.sqlite.disk.reserve import make_reserve
from gossipnode.store.sqlite.open_state import OpenState
from gossipnode.store.sqlite.tables.drop import RETURN_STEP_PAGES, return_pages
from gossipnode.store.sqlite.writer import Writer

UPKEEP_SECONDS = 2.0
"""Seconds between two looks. A store that has not been written to from one to the next is idle."""

LOG_IDLE_BYTES = 1 << 20
"""A log that is larger is emptied while the store is idle, or when the disk has little space."""


class Upkeep:
    """Runs beside the store until that fails."""

    __slots__ = ("_commits", "_path", "_state", "_watch", "_writer")

    def __init__(self, path: Path, writer: Writer, state: OpenState) -> None:
        """For the database `path`, which must be open already."""
        self._path = path
        self._writer = writer
        self._state = state
        self._watch = DiskWatch(path)
        self._commits = 0

    async def run(self) -> StoreError:
        """Go on until the store has failed; returns the reason."""
        while self._state.failure is None:
            with trio.move_on_after(UPKEEP_SECONDS):
                await self._state.wait_failed()
            if not self._state.closed:
                await self.step()
        return self._state.failure

    async def step(self) -> None:
        """Look once, and do what is due."""
        gone = await trio.to_thread.run_sync(self._look, abandon_on_cancel=True)
        if self._state.closed or self._state.failure is not None:
            return
        if gone is not None:
            self._state.fail(gone)
            return
        # The writer has told of what goes wrong here, or a later look will try again.
        with contextlib.suppress(StoreError):
            await self._tidy_up()

    def _look(self) -> StoreError | None:
        make_reserve(self._path)
        self._writer.space.look()
        return self._watch.look()

    async def _tidy_up(self) -> None:
        space, idle = self._writer.space, self._writer.commits == self._commits
        if space.state.full:
            # Records that became shorter leave pages, which can end it.
            await self._writer.free(return_pages, RETURN_STEP_PAGES)
        if self._watch.log_bytes > LOG_IDLE_BYTES and (idle or space.is_low):
            await self._writer.empty_log()
        self._commits = self._writer.commits

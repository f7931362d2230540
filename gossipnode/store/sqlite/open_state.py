"""Whether the store takes calls: it is open until it is closed, or until it fails.

A store fails when its file is damaged or a write ends in an error of which the effect is not known. Nothing
more is then certain about the file, so the store takes no further call, and the node stops.
"""

from __future__ import annotations

from pathlib import Path

import trio

from gossipnode.store.interface import StoreClosedError, StoreError
from gossipnode.store.sqlite.sqlite_errors import damaged


class OpenState:
    """The state that all parts of one open store share. Used on the Trio thread alone."""

    __slots__ = ("_failed", "_path", "closed", "failure")

    def __init__(self, path: Path) -> None:
        """Open, for the file `path`."""
        self._path = path
        self._failed = trio.Event()
        self.closed = False
        self.failure: StoreError | None = None

    def check_open(self) -> None:
        """Let a call go on if the store is open.

        Raises:
            StoreClosedError: the store is closed or has failed.
        """
        if self.failure is not None:
            raise StoreClosedError(f"the store has failed: {self.failure}")
        if self.closed:
            raise StoreClosedError("the store is closed")

    def fail(self, error: StoreError) -> None:
        """The store cannot go on. The first reason is the one that is kept."""
        if self.failure is None:
            self.failure = error
            self._failed.set()

    def damage(self, finding: str) -> StoreError:
        """The store fails because a read met damage. Returns the error to raise."""
        error = damaged(self._path, finding)
        self.fail(error)
        return error

    async def wait_failed(self) -> StoreError:
        """Wait until the store has failed; returns the reason."""
        await self._failed.wait()
        assert self.failure is not None
        return self.failure

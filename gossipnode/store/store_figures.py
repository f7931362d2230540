"""What a store counts of itself, for those who watch a node. To read it never waits for the writer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from gossipnode.concurrency.buckets import Buckets
from gossipnode.core.model.property import ShardId

COMMIT_BOUNDS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_BOUNDS_RECORDS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class HeldCounts(NamedTuple):
    """How many records a shard holds; `records` counts live ones, without tombstones."""

    records: int
    tombstones: int


class CommitFigures:
    """What the writer says of its commits. The writer alone changes it."""

    __slots__ = ("_began", "records", "seconds")

    def __init__(self) -> None:
        """No commit was made yet."""
        self.seconds = Buckets(COMMIT_BOUNDS_SECONDS)
        """How long commits took, to the disk."""
        self.records = Buckets(BATCH_BOUNDS_RECORDS)
        """How many records each had; 0 for a commit of notes or digests alone."""
        self._began: float | None = None

    def begin(self) -> None:
        """A commit begins."""
        self._began = time.monotonic()

    def end(self, records: int, *, kept: bool) -> None:
        """The commit that began last is over. It counts if it was `kept`."""
        began, self._began = self._began, None
        if began is not None and kept:
            self.seconds.add(time.monotonic() - began)
            self.records.add(records)

    @property
    def running_seconds(self) -> float:
        """For how long the present commit has been under way, 0 without one. A disk that hangs shows here."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began


class StoreFigures(Protocol):
    """The figures of a store."""

    @property
    def commits(self) -> CommitFigures:
        """Of the commits since it was opened."""
        ...

    async def counts(self) -> Mapping[ShardId, HeldCounts]:
        """What every shard holds that the store knows. Read from counters, in short pages.

        Raises:
            StoreError: the store is closed or has failed.
        """
        ...

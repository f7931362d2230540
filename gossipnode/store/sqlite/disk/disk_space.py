"""How much space the disk has left, and what follows: whether the store may grow, how long its log may be.

Ordinary writes are refused while some space is left. Without any, SQLite could neither move its log into the
database nor remove a record, because each change is first written to the log.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from gossipnode.store.interface import DiskState
from gossipnode.store.sqlite.sqlite_errors import growth_refused

FLOOR_PART = 16
FLOOR_MIN_BYTES = 512 << 10
FLOOR_MAX_BYTES = 32 << 20
"""Space that ordinary writes leave: one part in `FLOOR_PART` of the file system, within these bounds."""

RESUME_PART = 4
"""Writes are refused from less than two floors on, and taken again with this part of a floor more."""

ROOM_FLOORS = 3
"""Floors that what grows beside a store leaves free, more than those at which the store refuses writes."""

SHORT_LOG_BELOW_BYTES = 192 << 20
"""With less space than this, and a floor, each commit is moved into the database at once.

A log of 64 MiB needs as much space again when it is moved, and others may use up the disk before that.
"""


class DiskSpace:
    """The space of one store. The writer's thread and the one that looks at the disk use it at once."""

    __slots__ = (
        "_changed",
        "_database",
        "_floor_bytes",
        "_free_bytes",
        "_full",
        "_lock",
        "_refused",
        "_spent_bytes",
    )

    def __init__(self, database: Path, changed: Callable[[], None]) -> None:
        """`changed` is called from any thread when the disk became full, or has room again."""
        self._database = database
        self._changed = changed
        self._lock = threading.Lock()
        self._full = False
        self._refused = False
        self._floor_bytes = FLOOR_MIN_BYTES
        self._free_bytes = 0
        self._spent_bytes = 0
        self.look()

    @property
    def state(self) -> DiskState:
        """What the last look found."""
        return DiskState(self._full, self._free_bytes)

    @property
    def is_low(self) -> bool:
        """Whether the log must be kept short."""
        return self._free_bytes - self._spent_bytes < SHORT_LOG_BELOW_BYTES + self._floor_bytes

    def look(self) -> None:
        """Ask the disk again. Blocks, so on the Trio thread it is called only when the store is opened."""
        with self._lock:
            self._measure()
            if self._full:
                self._judge_full()
            elif self._free_bytes < self._floor_bytes:
                self._set_full(True)

    def admits(self, growth_bytes: int) -> bool:
        """Whether the store may grow by this much.

        The disk is asked only if it may have too little space, and then each time, because others may use
        it up meanwhile.
        """
        with self._lock:
            if not self._full and not self.is_low and self._spend(growth_bytes):
                return True
            self._measure()
            if self._full and not self._refused:
                self._judge_full()
            if self._full:
                # Where a quota refuses growth, the free space says nothing, and only a try can tell.
                return self._refused
            if self._spend(growth_bytes):
                return True
            self._judge_lack()
            return False

    def failed(self) -> None:
        """A write found no space."""
        with self._lock:
            self._measure()
            self._judge_lack()

    def grew(self) -> None:
        """A write that makes the store grow was carried out."""
        if self._refused:
            with self._lock:
                self._refused = False
                self._measure()
                self._judge_full()

    def _spend(self, growth_bytes: int) -> bool:
        """Count a growth, if the floor is left after it."""
        spent_bytes = self._spent_bytes + growth_bytes
        if self._free_bytes - spent_bytes < self._floor_bytes:
            return False
        self._spent_bytes = spent_bytes
        return True

    def _measure(self) -> None:
        try:
            space = os.statvfs(self._database.parent)
        except OSError:
            # That the directory is gone, or the disk broken, is told elsewhere.
            return
        self._free_bytes = space.f_bavail * space.f_frsize
        self._spent_bytes = 0
        self._floor_bytes = _floor_bytes(space)

    def _judge_lack(self) -> None:
        """A write was refused. That may be due to its size alone, and then the disk is not full."""
        self._refused = self._free_bytes >= 2 * self._floor_bytes and self._growth_refused()
        if self._refused or self._free_bytes < 2 * self._floor_bytes:
            self._set_full(True)

    def _judge_full(self) -> None:
        """The disk was full: see whether it still is."""
        resume_bytes = 2 * self._floor_bytes + self._floor_bytes // RESUME_PART
        if self._free_bytes >= resume_bytes:
            self._refused = self._refused and self._growth_refused()
            self._set_full(self._refused)

    def _growth_refused(self) -> bool:
        try:
            return growth_refused(self._database)
        except OSError:
            return False

    def _set_full(self, full: bool) -> None:
        if full is not self._full:
            self._full = full
            self._changed()


def has_room_beside(directory: Path, growth_bytes: int = 0) -> bool:
    """Whether so much of a disk is free that something beside a store, such as a copy of it, may grow.

    It ends earlier than the writes of a store do. Blocks.

    Raises:
        OSError: the disk cannot be asked.
    """
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize >= growth_bytes + ROOM_FLOORS * _floor_bytes(space)


def _floor_bytes(space: os.statvfs_result) -> int:
    total = space.f_blocks * space.f_frsize
    return min(max(total // FLOOR_PART, FLOOR_MIN_BYTES), FLOOR_MAX_BYTES)

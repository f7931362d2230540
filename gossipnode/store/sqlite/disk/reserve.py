"""Space that is kept for a disk that others have filled to its last byte.

A start and a step that frees space need a little of it first. A file of the right size is kept, and given up
for them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

RESERVE_NAME = "store.reserve"
RESERVE_BYTES = 256 << 10
"""What a start needs, or a short step that removes records: an index of the log (32 KiB), a few commits."""

RESERVE_MIN_FREE_BYTES = 8 * RESERVE_BYTES
"""Free space below which no reserve is made: it would only hasten what it is for."""


def make_reserve(path: Path) -> None:
    """Keep some space for a full disk, unless that is done already or there is little left.

    `path` is the database. A crash may have left a part of the reserve, which is then made again.
    """
    reserve = path.with_name(RESERVE_NAME)
    with contextlib.suppress(OSError):
        space = os.statvfs(path.parent)
        if _size(reserve) < RESERVE_BYTES and space.f_bavail * space.f_frsize >= RESERVE_MIN_FREE_BYTES:
            try:
                reserve.write_bytes(bytes(RESERVE_BYTES))
            except OSError:
                reserve.unlink()


def give_up_reserve(path: Path) -> bool:
    """Use the space that was kept; returns whether there was any."""
    try:
        path.with_name(RESERVE_NAME).unlink()
    except OSError:
        return False
    return True


def _size(reserve: Path) -> int:
    try:
        return reserve.stat().st_size
    except FileNotFoundError:
        return 0

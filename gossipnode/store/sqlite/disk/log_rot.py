"""Whether the log has rotted. SQLite itself takes a broken place for the end of the log, and says nothing."""

from __future__ import annotations

import sys
from pathlib import Path

LOST_COMMITS_MIN = 2
"""Commits after a broken place in the log that are damage. One may be a write that a crash cut off."""

_WAL_HEADER_BYTES = 32
_WAL_FRAME_HEADER_BYTES = 24
_WAL_INDEX_LAST_FRAME = 16
"""Where the index of the log (`-shm`) says how many of its frames SQLite takes for whole."""


def lost_commits(path: Path) -> int:
    """How many commits follow in the log after a place from which SQLite cannot read it; 0 if it is sound.

    SQLite takes what follows a broken frame for the rest of a commit that was cut off. There can be one such
    commit. Where more follow, with the same salts as the log, the log was whole and has rotted. What is lost
    cannot be told from the log. A connection must have read the file before, and nothing been written yet.
    """
    log = path.with_name(path.name + "-wal")
    try:
        with log.open("rb") as file:
            header = file.read(_WAL_HEADER_BYTES)
            page_size, salts = int.from_bytes(header[8:12], "big"), header[16:24]
            index = path.with_name(path.name + "-shm").read_bytes()
            valid = int.from_bytes(index[_WAL_INDEX_LAST_FRAME : _WAL_INDEX_LAST_FRAME + 4], sys.byteorder)
            frame = _WAL_FRAME_HEADER_BYTES + page_size
            commits = 0
            for number in range(valid, max(log.stat().st_size - _WAL_HEADER_BYTES, 0) // frame):
                file.seek(_WAL_HEADER_BYTES + number * frame)
                head = file.read(_WAL_FRAME_HEADER_BYTES)
                commits += head[8:16] == salts and head[4:8] != bytes(4)
    except FileNotFoundError:
        return 0
    return commits if commits >= LOST_COMMITS_MIN else 0

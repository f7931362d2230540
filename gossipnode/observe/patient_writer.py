"""Writes lines to a descriptor in a thread of its own, so that a node never waits for a terminal.

A terminal that is stopped (Ctrl-S), or a pager that does not read, blocks each task that writes to it. The
lines that wait are bounded. Those beyond are dropped, and their number is told once the output moves again.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import TypeAlias

WAITING_MAX_BYTES = 1 << 20
"""Of the lines that nobody has read yet."""
CLOSE_SECONDS = 1.0
"""How long the end of a process waits for a reader."""

Failed: TypeAlias = Callable[[str, OSError], None]
"""Called in the thread of the writer, with lines that the descriptor did not take."""


class PatientWriter:
    """A thread that writes to one descriptor. `write` never blocks."""

    def __init__(self, descriptor: int, failed: Failed, waiting_max_bytes: int = WAITING_MAX_BYTES) -> None:
        self._descriptor = descriptor
        self._failed = failed
        self._waiting_max_bytes = waiting_max_bytes
        self._changed = threading.Condition()
        self._waiting = bytearray()
        self._dropped = 0
        self._writing = False
        self._closed = False
        # A daemon, because it may be blocked for good when the process ends.
        threading.Thread(target=self._run, name="gossipnode-writer", daemon=True).start()

    def write(self, lines: str) -> None:
        """Have whole lines written. They are dropped while too much waits."""
        data = lines.encode("utf-8", "backslashreplace")
        with self._changed:
            # Once lines were dropped, all are until the gap is told, or it would be told in a wrong place.
            if self._dropped or len(self._waiting) + len(data) > self._waiting_max_bytes:
                self._dropped += lines.count("\n")
            else:
                self._waiting += data
            self._changed.notify_all()

    def close(self, patience_seconds: float = CLOSE_SECONDS) -> bool:
        """Wait until everything is written, but not longer than this for a reader that does not read.

        Returns whether all is written. If not, later lines wait as well.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiting and not self._writing, patience_seconds)

    def _run(self) -> None:
        while data := self._next():
            try:
                self._write_all(data)
            except OSError as error:
                self._failed(data.decode(), error)

    def _next(self) -> bytes:
        with self._changed:
            self._writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._dropped or self._closed)
            data = bytes(self._waiting)
            self._waiting.clear()
            if not data and self._dropped:
                data = f"gossipnode: {self._dropped:,} lines were dropped here: nobody read them\n".encode()
                self._dropped = 0
            self._writing = bool(data)
            return data

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                # The other programs that share the terminal have made it non-blocking.
                select.select([], [self._descriptor], [])

"""Counting what a peer sends without asking for any work, so that it cannot keep us busy for nothing.

Known by name: rapid reset (CVE-2023-44487), resets provoked by bad frames (CVE-2025-8671), floods of
SETTINGS, PING and empty DATA (CVE-2019-9512, -9515, -9518), replies that are never read.
"""

from typing import Final

import trio

from gossipnode.rpc.limits import Limits
from gossipnode.rpc.status import ConnectionFault, ErrorCodes

# One frame of real work pays for so many control frames: acknowledgements and windows come with it.
_PAID_BY_WORK: Final = 4


class Floods:
    """The counters of one connection. Each method raises ConnectionFault when the peer overdoes it."""

    __slots__ = ("_idle", "_idle_since", "_limits", "_reply_bytes", "_resets", "_resets_since")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._idle = self._resets = self._reply_bytes = 0
        self._idle_since = self._resets_since = trio.current_time()

    def work_done(self) -> None:
        """A frame that carries something came or went."""
        if self._idle > 0:
            self._idle -= _PAID_BY_WORK

    def idle_frame(self) -> None:
        """A frame came that asks for nothing."""
        self._idle += 1
        if self._idle > self._limits.max_idle_frames:
            now = trio.current_time()
            if now - self._idle_since < self._limits.idle_frames_interval_seconds:
                raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "flood of frames that carry nothing")
            self._idle, self._idle_since = 0, now

    def reset(self) -> None:
        """A stream was reset by the peer or through its fault."""
        self._resets += 1
        if self._resets > self._limits.max_resets:
            now = trio.current_time()
            if now - self._resets_since < self._limits.reset_interval_seconds:
                raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "flood of stream resets")
            self._resets, self._resets_since = 0, now

    def reply(self, size: int, unwritten: int) -> None:
        """A reply of `size` bytes is owed to a control frame while `unwritten` bytes wait for the peer."""
        self._reply_bytes = self._reply_bytes + size if unwritten else size
        if self._reply_bytes > self._limits.max_control_bytes:
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "replies to control frames are not read")

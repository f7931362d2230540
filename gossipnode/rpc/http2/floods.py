"""Counts the frames of a peer that ask for no work, so that it cannot keep this end busy for nothing.

The attacks are known by name: rapid reset (CVE-2023-44487), resets provoked by bad frames (CVE-2025-8671),
floods of SETTINGS, PING and empty DATA (CVE-2019-9512, -9515, -9518), and replies that are never read.
"""

from collections.abc import Callable
from typing import Final

from gossipnode.rpc.http2.http2_faults import ConnectionFault, ErrorCodes
from gossipnode.rpc.limits import Limits

# Control frames that one frame of real work allows: acknowledgements and windows come with work.
_FRAMES_PAID_BY_WORK: Final = 4


class Floods:
    """The counters of one connection. A method raises ConnectionFault when the peer exceeds a limit.

    `now` tells the time in seconds, from any start.
    """

    __slots__ = (
        "_idle",
        "_idle_since",
        "_limits",
        "_now",
        "_opened",
        "_reply_bytes",
        "_resets",
        "_resets_since",
    )

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self._limits = limits
        self._now = now
        self._idle = self._resets = self._opened = self._reply_bytes = 0
        self._idle_since = self._resets_since = now()

    def work_done(self) -> None:
        """A frame that carries data, or headers of a running stream, came or went."""
        if self._idle > 0:
            self._idle -= _FRAMES_PAID_BY_WORK

    def idle_frame(self) -> None:
        """A frame came that asks for nothing."""
        self._idle += 1
        if self._idle > self._limits.max_idle_frames:
            now = self._now()
            if now - self._idle_since < self._limits.idle_frames_interval_seconds:
                raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "flood of frames that carry nothing")
            self._idle, self._idle_since = 0, now

    def stream_opened(self) -> None:
        """A stream was opened, by either end."""
        self._opened += 1

    def reset(self) -> None:
        """A stream was reset by the peer or because of its fault.

        An honest client resets many streams when its deadlines pass or its users give up. So beyond
        `max_resets` in an interval, only their share of the streams that were opened in it is judged.
        """
        limits = self._limits
        self._resets += 1
        if self._resets <= limits.max_resets:
            return
        now = self._now()
        if now - self._resets_since >= limits.reset_interval_seconds:
            self._resets = self._opened = 0
            self._resets_since = now
        elif self._resets > limits.max_reset_share * self._opened:
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "flood of stream resets")

    def reply(self, size: int, unwritten: int) -> None:
        """A control frame gets a reply of `size` bytes, while `unwritten` bytes wait to be sent."""
        self._reply_bytes = self._reply_bytes + size if unwritten else size
        if self._reply_bytes > self._limits.max_control_bytes:
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "replies to control frames are not read")

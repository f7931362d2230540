"""One direction of a connection: what is under way with the time of its arrival, and what has arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum, auto
from math import inf
from typing import TypeAlias

import trio

from gossipnode.concurrency.waker import Waker
from gossipnode.sim.world.alarms import Alarms
from gossipnode.sim.world.links import Link


class Notice(Enum):
    """What travels behind the bytes of a connection."""

    EOF = auto()
    """No more bytes come."""
    CLOSED = auto()
    """No more bytes come, and none are read."""
    RESET = auto()
    """The other end is gone."""


Sent: TypeAlias = bytes | Notice


class Flow:
    """What one end of a connection sends to the other."""

    __slots__ = (
        "_alarms",
        "_answers_to",
        "_under_way",
        "broken",
        "deaf",
        "gone",
        "link",
        "over",
        "reader",
        "ready",
        "replier",
        "unread",
        "writer",
    )

    def __init__(self, link: Link, alarms: Alarms, writer: Waker, replier: Waker) -> None:
        """Nothing was sent. `writer` is who sends here, `replier` who sends at the end where this is read."""
        self.link = link
        self._alarms = alarms
        self.writer = writer
        self.replier = replier
        self.reader = Waker()
        # With the times of arrival, which never fall.
        self._under_way: deque[tuple[float, Sent]] = deque()
        self.ready = bytearray()
        self.unread = 0
        """Bytes that are under way or ready."""
        self.over = False
        """Whether nothing becomes ready any more, for whatever reason."""
        self.deaf = False
        """Whether it is known here that the other end reads nothing any more."""
        self.broken = False
        """Whether the connection is broken, as far as it is known here."""
        self.gone = False
        """Whether nobody is left to read it."""
        # Where bytes are answered with a reset, once the reader's host does not know the connection.
        self._answers_to: Flow | None = None

    def put(self, what: Sent) -> None:
        """Send something. Nobody waits here: the caller has looked for room."""
        size = _size(what)
        link, under_way = self.link, self._under_way
        link.sent_bytes += size
        self.unread += size
        if under_way:
            time = link.arrival(size, trio.current_time())
            under_way.append((max(time, under_way[-1][0]), what))
        elif link.instant:
            self._has_arrived(what)
        else:
            under_way.append((link.arrival(size, trio.current_time()), what))
            self._expect()
        if self._answers_to is not None:
            self._answer()

    def _expect(self) -> None:
        """There is another thing that arrives first."""
        if self._under_way and (time := self._under_way[0][0]) < inf:
            self._alarms.at(time, self._arrive)

    def _arrive(self) -> None:
        """Make ready what has arrived by now."""
        under_way, now = self._under_way, trio.current_time()
        if under_way and under_way[0][0] <= now:
            while under_way and under_way[0][0] <= now:
                self._has_arrived(under_way.popleft()[1])
            self._expect()

    def _has_arrived(self, what: Sent) -> None:
        if self.gone or self.broken:
            # The bytes count as unread all the same: a sender who is told nothing waits at last.
            return
        if isinstance(what, bytes):
            self.ready += what
            self.reader.wake()
        elif what is Notice.RESET:
            self.break_off()
        else:
            self.over = True
            self.reader.wake()
            if what is Notice.CLOSED:
                self.deaf = True
                self.replier.wake()

    def break_off(self) -> None:
        """The end where this is read has lost the connection; what was not read is lost, too."""
        self.broken = self.over = self.deaf = True
        self.ready = bytearray()
        self.reader.wake()
        self.replier.wake()

    def take(self, max_bytes: int | None) -> bytearray:
        """Read what is ready."""
        ready = self.ready
        if max_bytes is None or len(ready) <= max_bytes:
            self.ready = bytearray()
        else:
            ready = ready[:max_bytes]
            del self.ready[:max_bytes]
        self.unread -= len(ready)
        # Waking the sender for less would have it send many small pieces.
        if self.unread * 2 <= self.link.buffer_bytes:
            self.writer.wake()
        return ready

    # What the links do to it

    def hold(self) -> None:
        """Let what is under way arrive no more."""
        self._under_way = deque((inf, what) for _, what in self._under_way)

    def resend(self) -> None:
        """Send again what is under way."""
        self._under_way = deque(self._sent_again())
        self._expect()
        self._answer()

    def _sent_again(self) -> Iterable[tuple[float, Sent]]:
        now = latest = trio.current_time()
        for _, what in self._under_way:
            latest = max(latest, self.link.arrival(_size(what), now))
            yield latest, what

    def answer(self, back: Flow) -> None:
        """Answer bytes, also those that came already, with a reset."""
        self._answers_to = back
        self._answer()

    def _answer(self) -> None:
        if self._answers_to is not None and self.unread and not self.link.dropped:
            self._answers_to.put(Notice.RESET)


def _size(what: Sent) -> int:
    return len(what) if isinstance(what, bytes) else 0

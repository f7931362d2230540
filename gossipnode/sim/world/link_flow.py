"""One direction of a connection: what is under way with the time of its arrival, and what has arrived.

Nothing runs in the background. Whoever waits for what is under way sleeps until it arrives. Over a link
without latency there is no such time, and no timer.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from math import inf
from typing import TypeAlias

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

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


class Sleeper:
    """Lets one task sleep until it is woken, or a time comes that may change while it sleeps."""

    __slots__ = ("_scope", "_task")

    def __init__(self) -> None:
        """Nobody sleeps."""
        self._task: Task | None = None
        self._scope: trio.CancelScope | None = None

    @property
    def sleeps(self) -> bool:
        """Whether a task sleeps here."""
        return self._task is not None

    async def sleep(self, until: float, *, timed: bool) -> None:
        """Sleep until `wake`, or until a time. The caller looks again at what it waits for.

        Not `timed`: no time is given and none is to be expected, which is cheaper.

        Raises:
            trio.BusyResourceError: another task sleeps here.
        """
        if self._task is not None:
            raise trio.BusyResourceError("another task is already waiting here")
        if not timed:
            await self._rest()
            return
        with trio.CancelScope(deadline=until) as self._scope:
            try:
                await self._rest()
            finally:
                self._scope = None

    async def _rest(self) -> None:
        self._task = current_task()
        await wait_task_rescheduled(self._abort)

    def _abort(self, _: RaiseCancelT) -> Abort:
        self._task = None
        return Abort.SUCCEEDED

    def wake(self) -> None:
        """Wake the task that sleeps here, if one does."""
        task = self._task
        if task is not None:
            self._task = None
            reschedule(task)

    def expect(self, time: float) -> None:
        """Something comes at a time: whoever sleeps here does so until then at the latest."""
        if self._scope is None:
            self.wake()
        elif self._task is not None and time < self._scope.deadline:
            self._scope.deadline = time


class Flow:
    """One direction of a connection: what is under way, and what has arrived and was not read."""

    __slots__ = (
        "answers_to",
        "broken",
        "deaf",
        "gone",
        "link",
        "over",
        "reader",
        "ready",
        "replier",
        "under_way",
        "unread",
        "writer",
    )

    def __init__(self, link: Link, writer: Sleeper, replier: Sleeper) -> None:
        """Nothing was sent. `writer` is who sends here, `replier` who sends at the end where this is read."""
        self.link = link
        self.writer = writer
        self.replier = replier
        self.reader = Sleeper()
        self.under_way: deque[tuple[float, Sent]] = deque()
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
        self.answers_to: Flow | None = None
        """Where bytes are answered with a reset, once the reader's host does not know the connection."""

    def put(self, what: Sent) -> None:
        """Send something. Nobody waits here: the caller has looked for room."""
        size = len(what) if isinstance(what, bytes) else 0
        link = self.link
        link.sent_bytes += size
        self.unread += size
        if link.instant and not self.under_way:
            self._has_arrived(what)
        else:
            time = link.arrival(size, trio.current_time())
            if self.under_way:
                self.under_way.append((max(time, self.under_way[-1][0]), what))
            else:
                self.under_way.append((time, what))
                self.reader.expect(time)
                self.replier.expect(time)
        self._answer()

    def arrive(self) -> None:
        """Make ready what has arrived by now."""
        under_way = self.under_way
        if under_way and under_way[0][0] <= (now := trio.current_time()):
            while under_way and under_way[0][0] <= now:
                self._has_arrived(under_way.popleft()[1])

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
        if self.writer.sleeps and self.unread * 2 <= self.link.buffer_bytes:
            self.writer.wake()
        return ready

    # What the links do to it

    def hold(self) -> None:
        """Let what is under way arrive no more."""
        self.under_way = deque((inf, what) for _, what in self.under_way)

    def resend(self) -> None:
        """Send anew what is under way."""
        now, latest = trio.current_time(), 0.0
        anew: deque[tuple[float, Sent]] = deque()
        for _, what in self.under_way:
            size = len(what) if isinstance(what, bytes) else 0
            latest = max(latest, self.link.arrival(size, now))
            anew.append((latest, what))
        self.under_way = anew
        if anew:
            self.reader.expect(anew[0][0])
            self.replier.expect(anew[0][0])
        self._answer()

    def answer(self, back: Flow) -> None:
        """Answer bytes, also those that came already, with a reset."""
        self.answers_to = back
        self._answer()

    def _answer(self) -> None:
        if self.answers_to is not None and self.unread and not self.link.dropped:
            self.answers_to.put(Notice.RESET)

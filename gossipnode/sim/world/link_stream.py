"""Connections over the links between hosts: Trio streams whose bytes arrive when the links let them.

Nothing runs in the background. What is under way is kept with the time of its arrival, and whoever waits for
it sleeps until then. Over a link without latency there is no such time, and no timer.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from math import inf
from operator import index
from typing import Final, TypeAlias

import trio
from trio.lowlevel import (
    Abort,
    RaiseCancelT,
    Task,
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from gossipnode.sim.world.links import Link, Links, Pair


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
        """Nothing was sent. `writer` sends, `replier` is the one that sends at the end where this one is read."""
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
        """Where a reset goes as the answer to bytes: the host of the reading end does not know the connection."""

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
            return  # the bytes count as unread all the same, so that a sender who is told nothing waits at last
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


class Connection:
    """A connection between two hosts, see `Carried`."""

    __slots__ = ("_links", "back", "near", "opened", "there")

    def __init__(self, links: Links, near: str, far: str) -> None:
        """Host `near` has opened it to host `far`."""
        self._links = links
        self.opened: Pair = (near, far)
        near_writer, far_writer = Sleeper(), Sleeper()
        self.there = Flow(links.link(near, far), near_writer, far_writer)
        self.back = Flow(links.link(far, near), far_writer, near_writer)
        links.opened(self)

    def ends(self) -> tuple[LinkStream, LinkStream]:
        """The near end and the far one."""
        return LinkStream(self, self.back, self.there), LinkStream(self, self.there, self.back)

    def left(self, flow: Flow) -> None:
        """Nobody reads a flow any more."""
        flow.gone = flow.over = True
        if self.there.gone and self.back.gone:
            self._links.closed(self)

    def reset(self) -> None:
        """Break it at both ends, now."""
        self.there.break_off()
        self.back.break_off()

    def end(self, host: str, *, told: bool) -> None:
        """The end at a host is gone; the other one hears of it by the link, or not at all."""
        for flow, back in self._both():
            if flow.link.pair[1] == host and not flow.gone:
                flow.break_off()
                self.left(flow)
                if told:
                    back.put(Notice.RESET)

    def revive(self, host: str) -> None:
        """The host of an end that is gone is up again, and does not know this connection."""
        for flow, back in self._both():
            if flow.link.pair[1] == host and flow.gone:
                flow.answer(back)

    def hold(self, link: Link) -> None:
        """What is under way on a link does not arrive until `resend`."""
        for flow, _ in self._both():
            if flow.link is link:
                flow.hold()

    def resend(self, link: Link) -> None:
        """What is under way on a link is sent anew."""
        for flow, _ in self._both():
            if flow.link is link:
                flow.resend()

    def _both(self) -> tuple[tuple[Flow, Flow], tuple[Flow, Flow]]:
        return (self.there, self.back), (self.back, self.there)


class LinkStream(trio.abc.HalfCloseableStream):
    """One end of a connection."""

    def __init__(self, connection: Connection, incoming: Flow, outgoing: Flow) -> None:
        """Made by `Connection.ends`."""
        self._connection = connection
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        self._finished = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`. Returns once everything fits into the buffer of the link."""
        await checkpoint()
        self._check_send()
        flow = self._outgoing
        if len(data) <= flow.link.buffer_bytes - flow.unread:
            if data:
                flow.put(bytes(data))
            return
        with memoryview(data) as rest:
            sent = 0
            while sent < len(rest):
                portion = bytes(rest[sent : sent + max(0, flow.link.buffer_bytes - flow.unread)])
                if portion:
                    flow.put(portion)
                    sent += len(portion)
                else:
                    await self._wait_for_room()

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await checkpoint()
        self._check_send()
        if self._outgoing.unread >= self._outgoing.link.buffer_bytes:
            await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        while self._outgoing.unread * 2 > self._outgoing.link.buffer_bytes:
            await self._sleep(self._outgoing.writer)
            self._check_send()

    def _check_send(self) -> None:
        if self._outgoing.writer.sleeps:
            raise trio.BusyResourceError("another task is sending on this stream")
        if self._closed or self._finished:
            raise trio.ClosedResourceError
        self._incoming.arrive()
        if self._incoming.deaf:
            raise trio.BrokenResourceError("the other end is gone")

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream`."""
        await checkpoint()
        if not self._finished:
            self._check_send()
            self._finished = True
            self._outgoing.put(Notice.EOF)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See `trio.abc.ReceiveStream`. Gives everything that has arrived, up to `max_bytes`."""
        if max_bytes is not None and index(max_bytes) < 1:
            raise ValueError("max_bytes must be at least 1")
        flow = self._incoming
        flow.arrive()
        if flow.ready or flow.over:
            await checkpoint()
        while not (flow.ready or flow.over):
            await self._sleep(flow.reader)
            flow.arrive()
        if self._closed:
            raise trio.ClosedResourceError
        if flow.broken:
            raise trio.BrokenResourceError("the connection was reset")
        return flow.take(max_bytes)

    async def _sleep(self, sleeper: Sleeper) -> None:
        """Sleep until there is something new at this end."""
        flow = self._incoming
        under_way = flow.under_way
        until = under_way[0][0] if under_way else inf
        await sleeper.sleep(until, timed=until < inf or not flow.link.instant)
        if flow.broken:
            # Of a process that has crashed: it is to be unwound, not to see errors of its network.
            await checkpoint_if_cancelled()

    def abort(self) -> None:
        """Give it up without a word: the other end hears of a reset."""
        self._connection.end(self._incoming.link.pair[1], told=True)

    async def aclose(self) -> None:
        """Close it. What was sent still arrives. Harmless when repeated."""
        if not self._closed:
            self._closed = True
            incoming, outgoing = self._incoming, self._outgoing
            if not incoming.broken:
                outgoing.put(Notice.CLOSED)
            incoming.ready = bytearray()
            self._connection.left(incoming)
            incoming.reader.wake()
            outgoing.writer.wake()
        await checkpoint()

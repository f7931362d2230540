"""Connections over the links between hosts, and their two ends, which are Trio streams."""

from __future__ import annotations

from math import inf
from operator import index

import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled

from gossipnode.sim.world.link_flow import Flow, Notice, Sleeper
from gossipnode.sim.world.links import Link, Links, Pair


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

"""Connections over the links between hosts, and their two ends, which are Trio streams."""

from __future__ import annotations

from operator import index

import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled

from gossipnode.concurrency.waker import Waker
from gossipnode.sim.world.link_flow import Flow, Notice
from gossipnode.sim.world.links import Link, Links, Pair


class LinkConnection:
    """A connection between two hosts, see `Carried`."""

    __slots__ = ("_links", "back", "near", "opened", "there")

    def __init__(self, links: Links, near: str, far: str) -> None:
        """Host `near` has opened it to host `far`."""
        self._links = links
        self.opened: Pair = (near, far)
        near_writer, far_writer = Waker(), Waker()
        self.there = Flow(links.link(near, far), links.alarms, near_writer, far_writer)
        self.back = Flow(links.link(far, near), links.alarms, far_writer, near_writer)
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
        """What is under way on a link is sent again."""
        for flow, _ in self._both():
            if flow.link is link:
                flow.resend()

    def _both(self) -> tuple[tuple[Flow, Flow], tuple[Flow, Flow]]:
        return (self.there, self.back), (self.back, self.there)


class LinkStream(trio.abc.HalfCloseableStream):
    """One end of a connection."""

    def __init__(self, connection: LinkConnection, incoming: Flow, outgoing: Flow) -> None:
        """Made by `LinkConnection.ends`."""
        self._connection = connection
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        self._finished = False
        self._waits_for_room = False

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
        self._waits_for_room = True
        try:
            while self._outgoing.unread * 2 > self._outgoing.link.buffer_bytes and not self._over_for_sender:
                await self._outgoing.writer.sleep()
        finally:
            self._waits_for_room = False
        await self._let_be_unwound()
        self._check_send()

    @property
    def _over_for_sender(self) -> bool:
        return self._closed or self._incoming.deaf

    def _check_send(self) -> None:
        if self._waits_for_room:
            raise trio.BusyResourceError("another task is sending on this stream")
        if self._closed or self._finished:
            raise trio.ClosedResourceError
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
        if flow.ready or flow.over:
            await checkpoint()
        while not (flow.ready or flow.over):
            await flow.reader.sleep()
        if flow.ready:
            return flow.take(max_bytes)
        await self._let_be_unwound()
        if self._closed:
            raise trio.ClosedResourceError
        if flow.broken:
            raise trio.BrokenResourceError("the connection was reset")
        return b""

    async def _let_be_unwound(self) -> None:
        """See to it that a process that has crashed does not hear of its own network that it is gone."""
        if self._incoming.broken:
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

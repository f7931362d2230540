"""A connection that sends any bytes, and remembers how the node took them."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

import trio
from h2.errors import ErrorCodes
from hpack import Decoder, HPACKError

from attacks import frames

ATTACKER_HOST = "127.0.0.2"
"""Attackers call from an address of their own, so that a node can tell them from innocent clients."""
READ_BYTES = 1 << 16
FRAME_HEADER_BYTES = 9


@dataclass
class Ending:
    """How connections ended, and the calls on them."""

    goaways: Counter[str] = field(default_factory=Counter[str])
    statuses: Counter[str] = field(default_factory=Counter[str])
    resets: Counter[str] = field(default_factory=Counter[str])
    opened: int = 0
    closed: int = 0
    refused: int = 0
    """Connections that were not taken."""

    def text(self) -> str:
        """In a few words, the commonest first."""
        parts = [f"{self.opened} opened, {self.closed} closed"]
        if self.refused:
            parts.append(f"{self.refused} refused")
        for name, counter in (("GOAWAY", self.goaways), ("status", self.statuses), ("RST", self.resets)):
            parts += [f"{name} {what} x{times}" for what, times in counter.most_common(2)]
        return "; ".join(parts)


def code_name(code: int) -> str:
    """The name of an error code of HTTP/2."""
    return ErrorCodes(code).name if code in iter(ErrorCodes) else str(code)


class Listener:
    """Takes bytes of the node apart, as far as they say how something ended."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self._decoder = Decoder()
        self._buffer = b""
        self.window_bytes = 65_535
        """What the node has let us send on the whole connection so far."""
        self.first_window_bytes = 65_535
        """What it lets us send on a new stream."""
        self.credit_bytes: Counter[int] = Counter()
        """What it has let us send on each stream beyond that."""
        self.ended: set[int] = set()
        """Streams that it has ended."""

    def take(self, data: bytes) -> None:
        """Take what came, in any portions."""
        buffer = self._buffer + data
        while len(buffer) >= FRAME_HEADER_BYTES:
            size = int.from_bytes(buffer[:3], "big") + FRAME_HEADER_BYTES
            if len(buffer) < size:
                break
            self._frame(buffer[3], int.from_bytes(buffer[5:9], "big"), buffer[FRAME_HEADER_BYTES:size])
            buffer = buffer[size:]
        self._buffer = buffer

    def _frame(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == frames.GOAWAY:
            text = payload[8:].decode(errors="replace")
            code = code_name(struct.unpack(">I", payload[4:8])[0])
            self._ending.goaways[f"{code} {text}".strip()] += 1
        elif kind == frames.RESET:
            self._ending.resets[code_name(struct.unpack(">I", payload)[0])] += 1
            self.ended.add(stream)
        elif kind == frames.WINDOW:
            credit: int = struct.unpack(">I", payload)[0]
            self.credit_bytes[stream] += credit
            self.window_bytes += 0 if stream else credit
        elif kind == frames.SETTINGS:
            for at in range(0, len(payload), 6):
                key, value = struct.unpack_from(">HI", payload, at)
                if key == frames.INITIAL_WINDOW_SIZE:
                    self.first_window_bytes = value
        elif kind == frames.HEADERS:
            try:
                fields = dict(self._decoder.decode(payload))
            except HPACKError:
                return
            if (status := fields.get("grpc-status")) is not None:
                self._ending.statuses[f"{status} {fields.get('grpc-message', '')[:60]}".strip()] += 1
                self.ended.add(stream)


class Attacker:
    """One connection to a node."""

    def __init__(self, stream: trio.SocketStream, ending: Ending) -> None:
        self.stream = stream
        self.ending = ending
        self.listener = Listener(ending)
        self.over = False
        self._changed = trio.Event()
        self._sending = trio.Lock()
        self._sent = 0
        self._sent_on: Counter[int] = Counter()

    async def send(self, data: bytes) -> bool:
        """False when the node has closed the connection. Waits while the node does not read."""
        if self.over:
            return False
        try:
            async with self._sending:
                await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._close()
            return False
        return True

    async def send_each(self, parts: Iterable[bytes]) -> None:
        """Send one after the other, until the node closes the connection."""
        for part in parts:
            if not await self.send(part):
                return

    async def send_within_windows(self, parts: Iterable[bytes]) -> None:
        """Send whole frames one after the other, DATA only as far as the node lets us."""
        for part in parts:
            at = 0
            while at < len(part):
                size = int.from_bytes(part[at : at + 3], "big")
                frame = part[at : at + FRAME_HEADER_BYTES + size]
                at += len(frame)
                if frame[3] == frames.DATA and not await self._may_send(frame, size):
                    continue
                if not await self.send(frame):
                    return

    async def _may_send(self, frame: bytes, size: int) -> bool:
        """Wait for both windows. False if the node has ended the stream."""
        stream, listener = int.from_bytes(frame[5:9], "big"), self.listener
        while not self.over and stream not in listener.ended:
            window = listener.first_window_bytes + listener.credit_bytes[stream]
            if self._sent + size <= listener.window_bytes and self._sent_on[stream] + size <= window:
                self._sent += size
                self._sent_on[stream] += size
                return True
            await self._changed.wait()
        return False

    async def listen(self) -> None:
        """Read until the node closes the connection."""
        try:
            while data := await self.stream.receive_some(READ_BYTES):
                self.listener.take(bytes(data))
                self._notify()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self._close()

    async def wait_closed(self) -> None:
        """Return when the connection has ended, while `listen` runs elsewhere."""
        while not self.over:
            await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _close(self) -> None:
        if not self.over:
            self.over = True
            self.ending.closed += 1
            self._notify()

    async def end(self) -> None:
        """See how it ended, if nobody has listened so far, and close it."""
        with trio.move_on_after(0.3):
            if not self.over:
                await self.listen()
        await trio.aclose_forcefully(self.stream)


@dataclass
class Target:
    """The node that is attacked, and what is opened against it."""

    host: str
    port: int
    nursery: trio.Nursery
    """Of the attack: what runs in it is cancelled at its end."""
    ending: Ending = field(default_factory=Ending)
    attackers: list[Attacker] = field(default_factory=list[Attacker])
    _numbers: count[int] = field(default_factory=count)

    async def open(
        self,
        greeting: bytes = frames.GREETING,
        *,
        reads: bool = True,
        from_host: str = ATTACKER_HOST,
        receive_buffer_bytes: int | None = None,
    ) -> Attacker:
        """Connect and greet. One that reads does so in the background.

        Raises:
            OSError: the node takes no connection.
        """
        sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if receive_buffer_bytes is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
            await sock.bind((from_host, 0))
            await sock.connect((self.host, self.port))
        except OSError:
            sock.close()
            self.ending.refused += 1
            raise
        self.ending.opened += 1
        attacker = Attacker(trio.SocketStream(sock), self.ending)
        self.attackers.append(attacker)
        if reads:
            self.nursery.start_soon(attacker.listen)
        await attacker.send(greeting)
        return attacker

    async def end(self) -> None:
        """Close all that is open."""
        async with trio.open_nursery() as nursery:
            for attacker in self.attackers:
                nursery.start_soon(attacker.end)

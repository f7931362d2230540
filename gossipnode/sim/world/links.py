"""The links between the hosts of a simulated network: how long bytes take each way, and what is wrong.

A link is one direction between two hosts. A connection uses two of them: what is sent flows by the one, what
comes back by the other. Everything said here of a pair holds for (from, to) alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from math import inf
from typing import Final, Protocol, TypeAlias

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.sim.world.alarms import Alarms, alarms_of_run

Pair: TypeAlias = tuple[str, str]
"""(from, to), by the names of two hosts."""

BUFFER_BYTES: Final = 256 * 1024
"""How much of one connection may be under way or unread in one direction before its sender waits."""


class Link:
    """One direction between two hosts."""

    __slots__ = (
        "_free_at",
        "_rng",
        "buffer_bytes",
        "bytes_per_second",
        "cut",
        "dropped",
        "instant",
        "latency",
        "pair",
        "sent_bytes",
    )

    def __init__(self, pair: Pair, rng: random.Random, latency: tuple[float, float]) -> None:
        """A link on which nothing is wrong."""
        self.pair = pair
        self._rng = rng
        self.sent_bytes = 0
        """Bytes that were ever put on it, also those that never arrived."""
        self._free_at = -inf
        self.restore(latency)

    def restore(self, latency: tuple[float, float]) -> None:
        """Make it as it is when nothing is wrong."""
        self.latency = latency
        self.bytes_per_second: int | None = None
        self.buffer_bytes = BUFFER_BYTES
        self.cut = False
        """Whether connections that are opened in this direction are refused."""
        self.dropped = False
        """Whether nothing gets through."""
        self.judge()

    def judge(self) -> None:
        """To be called after every change."""
        self.instant = not (any(self.latency) or self.bytes_per_second or self.dropped)
        """Whether what is sent has arrived at once."""

    def restart(self) -> None:
        """Forget what is still being put on it."""
        self._free_at = -inf

    def delay(self) -> float:
        """The latency of something that is sent now."""
        shortest, longest = self.latency
        return shortest if shortest == longest else self._rng.uniform(shortest, longest)

    def arrival(self, size: int, now: float) -> float:
        """When something arrives that is sent now, behind everything that was put on this link before it.

        Infinity while nothing gets through.
        """
        if self.dropped:
            return inf
        begins = now
        if self.bytes_per_second is not None:
            begins = self._free_at = max(now, self._free_at) + size / self.bytes_per_second
        return begins + self.delay()


class Carried(Protocol):
    """A connection, as the links know it."""

    @property
    def opened(self) -> Pair:
        """Who has opened it, and to whom."""
        ...

    def reset(self) -> None:
        """Break it at both ends, now."""
        ...

    def end(self, host: str, *, told: bool) -> None:
        """The end at a host is gone; the other one hears of it by the link, or not at all."""
        ...

    def revive(self, host: str) -> None:
        """The host of an end that is gone is up again, and does not know this connection."""
        ...

    def hold(self, link: Link) -> None:
        """What is under way on a link does not arrive until `resend`."""
        ...

    def resend(self, link: Link) -> None:
        """What is under way on a link is sent again."""
        ...


class Links:
    """Every directed pair of hosts. A host needs no introduction: it is there once it is named."""

    def __init__(self, rng: random.Random, latency: tuple[float, float] = (0.0, 0.0)) -> None:
        """Begin with all links well. `latency` is that between two hosts of which nothing else was said."""
        self._rng = rng
        self._latency = latency
        self._links: dict[Pair, Link] = {}
        # By the pair that opened them, in the order in which they were opened.
        self._open: dict[Pair, dict[Carried, None]] = {}
        self._alarms: Alarms | None = None
        self.changed = ChangeEvent()
        """Notified when the wish to connect may get another answer than before."""

    def link(self, source: str, target: str) -> Link:
        """The link from one host to another."""
        pair = source, target
        found = self._links.get(pair)
        if found is None:
            found = self._links[pair] = Link(pair, self._rng, self._usual(pair))
        return found

    @property
    def alarms(self) -> Alarms:
        """What tells connections that something has arrived."""
        if self._alarms is None:
            self._alarms = alarms_of_run()
        return self._alarms

    def _usual(self, pair: Pair) -> tuple[float, float]:
        return self._latency if pair[0] != pair[1] else (0.0, 0.0)

    @property
    def bytes_sent(self) -> Mapping[Pair, int]:
        """How many bytes were put on each link so far."""
        return {pair: link.sent_bytes for pair, link in sorted(self._links.items())}

    # What is wrong

    def set_latency(self, pair: Pair, seconds_min: float, seconds_max: float) -> None:
        """Let what is sent from now on take a time between two bounds; its order is kept all the same."""
        if not 0 <= seconds_min <= seconds_max < inf:
            raise ValueError(f"no latency lies between {seconds_min} s and {seconds_max} s")
        link = self.link(*pair)
        link.latency = seconds_min, seconds_max
        link.judge()

    def set_bandwidth(self, pair: Pair, bytes_per_second: int | None) -> None:
        """Let a link, with all its connections, carry this many bytes a second; None: without a limit."""
        if bytes_per_second is not None and bytes_per_second < 1:
            raise ValueError(f"{bytes_per_second} bytes a second: use `drop` for a link that carries nothing")
        link = self.link(*pair)
        link.bytes_per_second = bytes_per_second
        link.judge()
        self._resend(link)

    def set_buffer(self, pair: Pair, bytes_: int) -> None:
        """Let a sender wait once so much of a connection is under way or unread.

        One that waits already hears of it when something is read.
        """
        if bytes_ < 1:
            raise ValueError(f"a buffer of {bytes_} bytes holds nothing")
        self.link(*pair).buffer_bytes = bytes_

    def cut(self, *pairs: Pair) -> None:
        """Break the connections that were opened in these directions, and refuse new ones."""
        for pair in pairs:
            self.link(*pair).cut = True
        self.reset(*pairs)
        self.changed.notify()

    def drop(self, *pairs: Pair) -> None:
        """Let nothing arrive any more, as a router that drops everything; nobody is told.

        What is sent, or was under way, arrives after `mend`, as TCP would send it again.
        """
        for pair in pairs:
            link = self.link(*pair)
            link.dropped = True
            link.judge()
            for connection in self._carried(link):
                connection.hold(link)

    def mend(self, *pairs: Pair) -> None:
        """Undo `cut` and `drop`. Harmless when nothing is to be undone."""
        for pair in pairs:
            link = self.link(*pair)
            link.cut = False
            if link.dropped:
                link.dropped = False
                link.judge()
                self._resend(link)
        self.changed.notify()

    def heal(self) -> None:
        """Make all links as they are when nothing is wrong. What has been lost stays lost."""
        for pair, link in sorted(self._links.items()):
            usual = self._usual(pair)
            slow = link.dropped or link.bytes_per_second is not None or link.latency != usual
            link.restore(usual)
            if slow:
                self._resend(link)
        self.changed.notify()

    def reset(self, *pairs: Pair) -> None:
        """Break the connections that were opened in these directions, at both ends and at once."""
        for pair in pairs:
            for connection in list(self._open.get(pair, ())):
                connection.reset()

    def _resend(self, link: Link) -> None:
        link.restart()
        for connection in self._carried(link):
            connection.resend(link)

    # Hosts that crash

    def end(self, host: str) -> None:
        """All connections of a host end, and their other ends hear of a reset, if their links let them."""
        for connection in self._connections_of(host):
            connection.end(host, told=True)

    def half_open(self, host: str) -> None:
        """All connections of a host end, and nobody is told: what is sent to it vanishes, nothing comes."""
        for connection in self._connections_of(host):
            connection.end(host, told=False)

    def revive(self, host: str) -> None:
        """A host is up again: it answers with a reset to bytes of connections that it does not know."""
        for connection in self._connections_of(host):
            connection.revive(host)

    # Connections

    def opened(self, connection: Carried) -> None:
        """A connection was opened."""
        self._open.setdefault(connection.opened, {})[connection] = None

    def closed(self, connection: Carried) -> None:
        """Both ends of a connection are gone. Harmless when repeated."""
        self._open.get(connection.opened, {}).pop(connection, None)

    def count(self, host: str) -> int:
        """How many connections a host has, opened by it or to it, of which one end at least is open."""
        return len(self._connections_of(host))

    def _connections_of(self, host: str) -> list[Carried]:
        return [each for pair, open_ in self._open.items() if host in pair for each in open_]

    def _carried(self, link: Link) -> Iterator[Carried]:
        near, far = link.pair
        yield from list(self._open.get((near, far), ()))
        if near != far:
            yield from list(self._open.get((far, near), ()))

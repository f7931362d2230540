"""Which connections a server keeps when it has more than it can hold: the rule, without sockets or clocks.

No peer may keep all others out. So an address has its share of the connections, one without calls gives way
to a new one, and room is kept for members. TLS handshakes have slots of their own: anybody can begin one.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from gossipnode.concurrency.shares import Caller, Shares
from gossipnode.rpc.http2.stream import Cancellable, Stream
from gossipnode.rpc.limits import Limits


class Occupied(Protocol):
    """What is asked of a connection: the calls that it carries, and the time at which the last one ended."""

    streams: dict[int, Stream]
    idle_since: float


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """The place of one connection, which is a part of its caller's share. `scope` ends the connection."""

    caller: Caller
    scope: Cancellable
    connection: Occupied


@dataclass(frozen=True, slots=True, eq=False)
class HandshakeSlot:
    """The place of a connection whose TLS handshake is not complete. `scope` ends it."""

    address: str
    scope: Cancellable


class ConnectionSlots:
    """The connections that a server holds, and the handshakes that it waits for."""

    def __init__(self, limits: Limits, *, keep_for_members: bool) -> None:
        self._limits = limits
        kept = min(limits.connections_kept_for_members, limits.max_connections - 1)
        self._shares = Shares(limits.max_connections, kept=kept if keep_for_members else 0)
        # Both in the order of their beginning.
        self._held: dict[Slot, None] = {}
        self._handshakes: dict[HandshakeSlot, None] = {}

    def __len__(self) -> int:
        """Connections and handshakes that hold a slot."""
        return len(self._held) + len(self._handshakes)

    def begin_handshake(self, slot: HandshakeSlot) -> None:
        """Give `slot` a place. If all are taken, the oldest one of the address that has most of them ends."""
        self._handshakes[slot] = None
        if len(self._handshakes) > self._limits.max_handshakes:
            busiest = Counter(held.address for held in self._handshakes).most_common(1)[0][0]
            oldest = next(held for held in self._handshakes if held.address == busiest)
            self.end_handshake(oldest)
            oldest.scope.cancel()

    def end_handshake(self, slot: HandshakeSlot) -> None:
        """The handshake is over. Harmless if it had to give way."""
        self._handshakes.pop(slot, None)

    def admit(self, slot: Slot) -> bool:
        """Give `slot` a place; False if all are taken and no connection may give way."""
        if not self._make_room(slot):
            return False
        self._held[slot] = None
        self._shares.take(slot.caller)
        assert self._shares.held <= self._limits.max_connections, "only a free slot is given"
        return True

    def _make_room(self, slot: Slot) -> bool:
        caller = slot.caller
        if self._shares.may_take(caller):
            return True
        if self._shares.held_by(caller):
            # It has its share: one of its own connections gives way, and none of anybody else.
            return self._evict([held for held in self._held if held.caller == caller])
        others = [held for held in self._held if not held.caller.member]
        return self._evict(others) or (caller.member and self._evict(list(self._held)))

    def release(self, slot: Slot) -> None:
        """The connection has ended. Harmless if it had to give way."""
        if slot in self._held:
            del self._held[slot]
            self._shares.give_back(slot.caller)

    def _evict(self, candidates: list[Slot]) -> bool:
        """End the one of `candidates` that has been idle for longest, if any is idle."""
        idle = [slot for slot in candidates if not slot.connection.streams]
        if not idle:
            return False
        longest = min(idle, key=lambda slot: slot.connection.idle_since)
        self.release(longest)
        longest.scope.cancel()
        return True

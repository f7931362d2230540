"""Which connections a server keeps when it has more than it can hold: the rule, without sockets or clocks.

No peer may keep all others out. So a connection without calls gives way to a new one, an address has a cap,
and room is kept for members. TLS handshakes have slots of their own, since anybody can begin one.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

from gossipnode.rpc.http2.stream import Cancellable, Stream
from gossipnode.rpc.limits import Limits

#: The address of a peer that has none, such as one in memory. It has no cap.
NO_ADDRESS: Final = ""


class Occupied(Protocol):
    """What is asked of a connection: the calls that it carries, and the time at which the last one ended."""

    streams: dict[int, Stream]
    idle_since: float


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """The place of one connection. `scope` ends the connection."""

    address: str
    scope: Cancellable
    member: bool
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
        self._max_others = limits.max_connections - (kept if keep_for_members else 0)
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
        assert len(self._held) <= self._limits.max_connections, "only a free slot is given"
        return True

    def _make_room(self, slot: Slot) -> bool:
        limits = self._limits
        full = len(self._held) >= limits.max_connections
        others = [held for held in self._held if not held.member]
        if slot.member:
            return not full or self._evict(others) or self._evict(list(self._held))
        same = [held for held in others if held.address == slot.address]
        if slot.address != NO_ADDRESS and len(same) >= limits.max_connections_per_address:
            return self._evict(same)
        return (not full and len(others) < self._max_others) or self._evict(others)

    def release(self, slot: Slot) -> None:
        """The connection has ended. Harmless if it had to give way."""
        self._held.pop(slot, None)

    def _evict(self, candidates: list[Slot]) -> bool:
        """End the one of `candidates` that has been idle for longest, if any is idle."""
        idle = [slot for slot in candidates if not slot.connection.streams]
        if not idle:
            return False
        longest = min(idle, key=lambda slot: slot.connection.idle_since)
        self.release(longest)
        longest.scope.cancel()
        return True

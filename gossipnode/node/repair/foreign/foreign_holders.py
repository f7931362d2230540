"""What becomes of the message that this node has handed to a foreign holder, which reports nothing.

Another own node, the witness, is asked: see `core.ring.foreign_turn`. This node may be the witness itself.
"""

from __future__ import annotations

import trio

from gossipnode.core.ring.foreign_turn import ForeignTurn, witnesses
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import RoundMessage
from gossipnode.node.peers.absence import why_absent
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.repair.foreign.foreign_witness import ForeignWitness
from gossipnode.rpc import RpcError
from gossipnode.wire.round_codec import decode_foreign_known, encode_foreign_turn
from gossipnode.wire.services import FOREIGN_TURN

EXPECT_SECONDS = 5.0
"""How long a witness may take to say that it looks out."""

ASKED_AT_ONCE = 64
"""Turns of foreign holders that are asked for at once: a connection has a limited number of streams."""

KNOWN_SECONDS = 60.0
"""How much longer than a session an answer may take, before nothing is known."""


class ForeignHolders:
    """Asks witnesses what became of the turns of foreign holders."""

    def __init__(self, members: Members, witness: ForeignWitness, deadline_seconds: float) -> None:
        """`witness` is this node itself; a session lasts no longer than `deadline_seconds`."""
        self._members = members
        self._witness = witness
        self._known_seconds = deadline_seconds + KNOWN_SECONDS
        self._asking = trio.Semaphore(ASKED_AT_ONCE)

    async def look_out(self, holder: str, message: RoundMessage) -> str:
        """Have the first own node after a foreign holder look out for it. Gives its name, or ""."""
        peers = self._members.peers
        foreign = {name for name in message.nodes if name in peers and peers[name].foreign}
        if holder not in foreign:
            return ""
        turn = ForeignTurn(holder, message)
        for name in witnesses(message, holder, foreign):
            if name == self._members.own_name:
                self._witness.expect(turn)
                return name
            peer = peers.get(name)
            if peer is not None and not await why_absent(peer) and await self._expects(peer, turn):
                return name
        return ""

    async def _expects(self, peer: Peer, turn: ForeignTurn) -> bool:
        try:
            await peer.channel.unary(
                FOREIGN_TURN,
                encode_foreign_turn(turn, wait=False),
                timeout=EXPECT_SECONDS,
                metadata=self._members.metadata,
                dial_now=True,
            )
        except RpcError:
            return False
        return True

    async def outcome(self, witness: str, turn: ForeignTurn) -> Hop | bool:
        """The hop that a foreign holder made; True if it made none in time, and was given up.

        False if that is not known.
        """
        if witness == self._members.own_name:
            return await self._witness.outcome(turn)
        peer = self._members.peers.get(witness)
        if peer is None:
            return False
        try:
            async with self._asking:
                known = await peer.channel.unary(
                    FOREIGN_TURN,
                    encode_foreign_turn(turn, wait=True),
                    timeout=self._known_seconds,
                    metadata=self._members.metadata,
                    dial_now=True,
                )
            return decode_foreign_known(known)
        except (RpcError, ValueError):
            return False

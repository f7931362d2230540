"""Whether a member that did not answer last time is there again. All rounds of this node ask it together.

A dead or hanging member would otherwise cost every round of every shard the full patience of its calls.
"""

from __future__ import annotations

import trio

from gossipnode.node.peers.members import Peer
from gossipnode.rpc import RpcError, Status
from gossipnode.rpc.server import health

ABSENT_ASK_SECONDS = 3.0
"""How long a member that did not answer last time may take to answer this once."""

ABSENT_PAUSE_SECONDS = 5.0
"""How long its answer, or its silence, stands for all rounds. Nobody asks the member in this time.

A refused connection costs no time, so it is tried at once whenever a round comes to the member.
"""


async def why_absent(peer: Peer) -> str:
    """Say why a member cannot be reached now; "" if it can, or if it was not down when it last was called.

    A member that says hello is up at once, whatever was found before.
    """
    async with peer.asking:
        if peer.state != "down":
            return ""
        if trio.current_time() < peer.asked_until:
            return peer.absent_because
        try:
            await peer.channel.unary(health.CHECK, "", timeout=ABSENT_ASK_SECONDS, dial_now=True)
            absent_because = ""
        except RpcError as error:
            if error.status is Status.UNAVAILABLE:
                return str(error)
            silent = error.status is Status.DEADLINE_EXCEEDED
            absent_because = f"it does not answer: asked for {ABSENT_ASK_SECONDS:g} s" if silent else ""
        peer.absent_because = absent_because
        peer.asked_until = trio.current_time() + ABSENT_PAUSE_SECONDS
        return absent_because

"""TLS at the status port: handshakes with a bound in time and number, and refusals that are told once.

Must never let a connection in whose certificate was not verified.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import Final

import structlog
import trio

from gossipnode.rpc import Limits
from gossipnode.rpc.byte_stream import HandshakeError, handshake, peer_host
from gossipnode.rpc.server.connection_slots import ConnectionSlots, HandshakeSlot

HANDSHAKES_MAX: Final = 64
"""Handshakes under way at once. One more takes the place of the oldest one of the busiest address."""

HANDSHAKE_SECONDS: Final = 10.0

REFUSALS_TOLD_MAX: Final = 1024
"""Addresses that were told of, each with a reason. Beyond that, one that comes again is new."""

_TO_PLAIN: Final = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
    b"this node has [tls]: ask it by https\n"
)
"""What a peer is sent that speaks no TLS."""


class TlsDoor:
    """Puts TLS upon connections that were accepted."""

    def __init__(self, present: Callable[[], ssl.SSLContext]) -> None:
        """`present` gives the context for a connection that has just been accepted."""
        self._present = present
        self._limits = Limits(max_handshakes=HANDSHAKES_MAX, handshake_seconds=HANDSHAKE_SECONDS)
        self._slots = ConnectionSlots(self._limits, keep_for_members=False)
        self._told: dict[tuple[str, str], None] = {}
        self._log = structlog.get_logger("gossipnode.status")

    async def let_in(self, stream: trio.abc.Stream) -> trio.SSLStream[trio.abc.Stream] | None:
        """The connection with TLS; None if that could not be agreed upon. Then it is closed."""
        address = peer_host(stream)
        secured = trio.SSLStream(stream, self._present(), server_side=True, https_compatible=True)
        with trio.CancelScope() as scope:
            slot = HandshakeSlot(address, scope)
            self._slots.begin_handshake(slot)
            try:
                await handshake(secured, self._limits, to_plain=_TO_PLAIN, needs_http2=False)
                return secured
            except HandshakeError as error:
                self._tell(address, str(error))
            finally:
                self._slots.end_handshake(slot)
        return None

    def _tell(self, address: str, reason: str) -> None:
        """Tell of the first refusal of an address for a reason. Who debugs hears of each."""
        known = (address, reason) in self._told
        if not known and len(self._told) >= REFUSALS_TOLD_MAX:
            del self._told[next(iter(self._told))]
        self._told[address, reason] = None
        level = logging.DEBUG if known else logging.WARNING
        self._log.log(level, "status connection refused", peer=address, reason=reason)

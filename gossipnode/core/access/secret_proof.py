"""How two ends of a connection prove that they know the secret of their cluster, without telling it.

Each proof is HMAC-SHA256 with the secret as key over the role of the end that makes it, the cluster, the
names of both and a fresh nonce of each. So a proof is of no use on another connection, at the other end, or
later, and no clock is asked. What is said afterwards is not protected: it takes TLS to keep out those who can
change what is under way.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

NONCE_BYTES: Final = 32
"""The length of a nonce."""

SECRETS_MAX: Final = 4
"""How many secrets a node may take at the same time, while they are changed."""

_CALLER = b"caller"
_SERVER = b"server"


@dataclass(frozen=True, slots=True)
class Meeting:
    """What both ends know once each has said its name and its nonce."""

    cluster: str
    caller: str
    """The name of the node that calls; empty for any other client."""
    server: str
    caller_nonce: bytes
    server_nonce: bytes

    def server_proofs(self, secrets: Sequence[str]) -> list[bytes]:
        """The proofs of the server, one for each secret that it takes."""
        return [self._proof(secret, _SERVER) for secret in secrets]

    def common_secret(self, secrets: Sequence[str], proofs: Iterable[bytes]) -> str | None:
        """The first of the caller's secrets of which the server has a proof, or None."""
        told = list(proofs)
        for secret in secrets:
            if _is_one_of(self._proof(secret, _SERVER), told):
                return secret
        return None

    def caller_proof(self, secret: str) -> bytes:
        """The proof of the caller."""
        return self._proof(secret, _CALLER)

    def is_proven(self, secrets: Sequence[str], proof: bytes) -> bool:
        """Whether the caller has proven that it knows one of the server's secrets."""
        return _is_one_of(proof, [self._proof(secret, _CALLER) for secret in secrets])

    def _proof(self, secret: str, end: bytes) -> bytes:
        parts = (
            end,
            self.cluster.encode(),
            self.caller.encode(),
            self.server.encode(),
            self.caller_nonce,
            self.server_nonce,
        )
        # With its length before each part, no two meetings have the same text.
        said = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.new(secret.encode(), said, hashlib.sha256).digest()


def _is_one_of(proof: bytes, proofs: Iterable[bytes]) -> bool:
    """Whether a proof is among these; how long that takes tells nothing of them."""
    return sum(hmac.compare_digest(proof, each) for each in proofs) > 0

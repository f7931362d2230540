"""Members prove to each other that they know the secret of their cluster, once a connection.

Only where there is no TLS, since certificates say who is who. A connection of a member is proven from both
ends before anything else is called on it. Calls of clients need no proof.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import trio

from gossipnode.config.settings import Settings
from gossipnode.core.access.secret_proof import NONCE_BYTES, Meeting
from gossipnode.rpc import Call, CallContext, Greet, RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import access_pb2 as pb

PROVE_SECONDS = 10.0
"""How long a caller may take to prove that it knows the secret."""

_PROVEN = "proven"
"""The note of a connection that has the name of the node at its other end, once that is proven."""


def proven_name(call: CallContext) -> str | None:
    """The name of the node that makes a call, if it has proven that it knows the secret."""
    return call.notes.get(_PROVEN)


@dataclass(frozen=True, slots=True)
class Secret:
    """The secrets of this node, and both ends of their proof."""

    node: str
    cluster: str
    secrets: tuple[str, ...]
    """Empty where they play no part."""
    rng: random.Random
    """Draws the nonces. It has to be one that nobody can foresee."""

    @classmethod
    def of(cls, settings: Settings, rng: random.Random) -> Secret:
        """Those of a node. With TLS there are none."""
        secrets = () if settings.tls is not None else settings.cluster.secret
        return cls(settings.node.name, settings.cluster.name, secrets, rng)

    def handlers(self) -> Mapping[Any, Any]:
        """The handler by its method."""
        return {services.PROVE: self.serve}

    async def serve(self, stream: ServerStream[pb.ProveRequest, pb.ProveReply]) -> None:
        """Prove the secret to a caller, and note who it is once it has done the same.

        Raises:
            RpcError: it has not.
        """
        if not self.secrets:
            raise RpcError(
                Status.FAILED_PRECONDITION, f"{self.node} has no [cluster] secret, or TLS in its place"
            )
        with trio.move_on_after(PROVE_SECONDS):
            hello = await stream.recv()
            if hello is None or len(hello.nonce) != NONCE_BYTES:
                raise RpcError(Status.INVALID_ARGUMENT, f"nonce: expected {NONCE_BYTES} bytes")
            own = self.rng.randbytes(NONCE_BYTES)
            meeting = Meeting(self.cluster, hello.node, self.node, hello.nonce, own)
            proofs = meeting.server_proofs(self.secrets)
            await stream.send(pb.ProveReply(node=self.node, nonce=own, proofs=proofs))
            answer = await stream.recv()
            if answer is None or not meeting.is_proven(self.secrets, answer.proof):
                raise RpcError(Status.UNAUTHENTICATED, f"{self.node} has another [cluster] secret")
            stream.call.notes[_PROVEN] = hello.node
            return
        raise RpcError(
            Status.DEADLINE_EXCEEDED, f"no proof of the [cluster] secret within {PROVE_SECONDS:g} s"
        )

    def greeting(self, name: str | None) -> Greet | None:
        """What a channel to a member does first on each connection; None where there is no secret.

        A `name` of None stands for a member whose name is not known yet.
        """

        async def greet(call: Call) -> None:
            async with call(services.PROVE) as stream:
                own = self.rng.randbytes(NONCE_BYTES)
                await stream.send(pb.ProveRequest(node=self.node, nonce=own))
                reply = await stream.recv()
                if reply is None:
                    raise RpcError(Status.UNAUTHENTICATED, "it proves no [cluster] secret")
                if name is not None and reply.node != name:
                    raise RpcError(Status.UNAVAILABLE, f"{reply.node[:80]!r} answers there, not {name}")
                meeting = Meeting(self.cluster, self.node, reply.node, own, reply.nonce)
                secret = meeting.common_secret(self.secrets, reply.proofs)
                if secret is None:
                    raise RpcError(
                        Status.UNAUTHENTICATED,
                        f"{reply.node[:80]} has another [cluster] secret: all members need a common one",
                    )
                await stream.send(pb.ProveRequest(proof=meeting.caller_proof(secret)))
                await stream.half_close()
                while await stream.recv() is not None:
                    pass

        return greet if self.secrets else None

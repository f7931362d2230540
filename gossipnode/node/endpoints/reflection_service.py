"""Server reflection, for tools that ask a node which calls it serves. `wire.reflection` has the answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import trio

from gossipnode.rpc import Method, RpcError, ServerStream, Status
from gossipnode.wire.generated.pb.grpc.reflection.v1.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)
from gossipnode.wire.reflection import REFLECT, REFLECT_ALPHA, Reflection

REFLECTION_SILENCE_SECONDS = 60.0
"""How long a tool may ask nothing before its call ends. Tools keep calls open, and can make another."""


class ReflectionService:
    """Serves both names of server reflection."""

    def __init__(self, served: Iterable[Method[Any, Any]]) -> None:
        """Describe the services of the methods `served` by the node, and this one."""
        paths = [method.path for method in (*served, *self.handlers())]
        self._reflection = Reflection(paths)

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {REFLECT: self.reflect, REFLECT_ALPHA: self.reflect}

    async def reflect(self, stream: ServerStream[ServerReflectionRequest, ServerReflectionResponse]) -> None:
        """Answer questions one by one, until no more come."""
        while True:
            with trio.move_on_after(REFLECTION_SILENCE_SECONDS) as patience:
                request = await stream.recv()
                if request is None:
                    return
                await stream.send(self._reflection.answer(request))
            if patience.cancelled_caught:
                raise RpcError(
                    Status.DEADLINE_EXCEEDED, f"no question for {REFLECTION_SILENCE_SECONDS:g} s: ask again"
                )

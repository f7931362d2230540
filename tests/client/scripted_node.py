"""A scripted node of the client library: it keeps records by id, and can be told to hang or to fail."""

from __future__ import annotations

import threading

import trio

from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from gossipnode.wire.property.property_edit import read_property
from tests.client.support import Handlers, stored

BIG = "x" * 10_000
"""A tag of every record that a query gives."""


class Scripted:
    """A node that keeps records by id, and notes what became of its calls."""

    def __init__(self) -> None:
        self.records: dict[str, messages.Record] = {}
        self.seconds: list[float | None] = []
        """How long each caller was willing to wait."""
        self.traceparents: list[object] = []
        """Which span each call is a part of."""
        self.hanging = threading.Event()
        """A call that never ends has begun."""
        self.let_go = threading.Event()
        """A call that never ends was ended by its caller."""

    async def apply(self, request: messages.ApplyRequest, call: CallContext) -> messages.ApplyResponse:
        self._note(call)
        id_ = read_property(request.property).entity.id
        created = id_ not in self.records
        self.records[id_] = messages.Record(property=request.property)
        return messages.ApplyResponse(created=created, property=request.property, acknowledged=2, replicas=3)

    async def get(self, request: messages.GetRequest, call: CallContext) -> messages.GetResponse:
        self._note(call)
        if request.name == "hang":
            await self._hang()
        if request.name == "fail":
            raise RpcError(Status[request.id], "why\nnot")
        if request.name == "big":
            return messages.GetResponse(record=messages.Record(property=bytes(5 << 20)))
        record = self.records.get(request.id)
        return messages.GetResponse() if record is None else messages.GetResponse(record=record)

    async def delete(self, request: messages.DeleteRequest, call: CallContext) -> messages.DeleteResponse:
        return messages.DeleteResponse(deleted=self.records.pop(request.id, None) is not None)

    async def query(self, stream: ServerStream[messages.QueryRequest, messages.RecordBatch]) -> None:
        request = await stream.recv()
        self._note(stream.call)
        assert request is not None
        name, limit = request.query.name, request.query.limit
        for at in range(0, limit, 20):
            ids = range(at, min(at + 20, limit))
            await stream.send(messages.RecordBatch(records=[stored(f"{id_:06}", big=BIG) for id_ in ids]))
            if name == "fail":
                raise RpcError(Status.RESOURCE_EXHAUSTED, "why")
            if name == "hang":
                await self._hang()

    async def _hang(self) -> None:
        self.hanging.set()
        try:
            await trio.sleep_forever()
        finally:
            self.let_go.set()

    def _note(self, call: CallContext) -> None:
        self.traceparents.append(call.metadata.get("traceparent"))
        self.seconds.append(None if call.deadline is None else call.deadline - trio.current_time())

    @property
    def handlers(self) -> Handlers:
        return {
            services.NODE_APPLY: self.apply,
            services.NODE_GET: self.get,
            services.NODE_DELETE: self.delete,
            services.NODE_QUERY: self.query,
        }

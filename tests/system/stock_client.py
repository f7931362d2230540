"""A client made of stock gRPC and Google's protobuf, with a method for each call that tests make."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import grpc
import pytest

from tests.system.processes import WAIT_SECONDS
from tests.system.stock_messages import gossip, own, repairs, rpc

REPAIR = "/banyandb.property.v1.RepairService/Repair"
PROPAGATION = "/banyandb.property.v1.GossipService/Propagation"
PROPERTY = "/banyandb.property.v1.PropertyService"
NODE_SERVICE = "/gossipnode.v1.NodeService"
ROUND_SERVICE = "/gossipnode.v1.RoundService"
BIG_MESSAGES = (("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20))


class Stock:
    """A client with a connection of its own."""

    def __init__(
        self, address: str, *, credentials: Any = None, metadata: Any = (), options: Any = ()
    ) -> None:
        # Two clients share a connection unless each has a pool of its own.
        options = (*BIG_MESSAGES, ("grpc.use_local_subchannel_pool", 1), *options)
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options=options)
        else:
            self.channel = grpc.secure_channel(address, credentials, options=options)
        self.metadata = metadata

    def __enter__(self) -> Stock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.channel.close()

    def unary(self, path: str, request: Any, reply: Any, *, timeout: float = WAIT_SECONDS) -> Any:
        call = self.channel.unary_unary(
            path, request_serializer=type(request).SerializeToString, response_deserializer=reply.FromString
        )
        return call(request, timeout=timeout, metadata=self.metadata)

    def answers(self, path: str, request: Any, reply: Any) -> Any:
        call = self.channel.unary_stream(
            path, request_serializer=type(request).SerializeToString, response_deserializer=reply.FromString
        )
        return call(request, timeout=WAIT_SECONDS, metadata=self.metadata)

    def repair_stream(self, requests: Iterable[Any]) -> Any:
        """Open a repair session."""
        call = self.channel.stream_stream(
            REPAIR,
            request_serializer=repairs.RepairRequest.SerializeToString,
            response_deserializer=repairs.RepairResponse.FromString,
        )
        return call(iter(requests), timeout=WAIT_SECONDS, metadata=self.metadata)

    def raw_unary(self, path: str, request: bytes) -> bytes:
        return self.channel.unary_unary(path)(request, timeout=WAIT_SECONDS, metadata=self.metadata)

    def raw_stream(self, path: str, requests: Iterable[bytes]) -> list[bytes]:
        return list(
            self.channel.stream_stream(path)(iter(requests), timeout=WAIT_SECONDS, metadata=self.metadata)
        )

    # --- the compatible services ---

    def apply(self, record: Any, *, replace: bool = False, **options: Any) -> Any:
        strategy = 2 if replace else 0
        request = rpc.ApplyRequest(property=record, strategy=strategy)
        return self.unary(f"{PROPERTY}/Apply", request, rpc.ApplyResponse, **options)

    def delete(self, group: str, name: str, id_: str = "", **options: Any) -> Any:
        request = rpc.DeleteRequest(group=group, name=name, id=id_)
        return self.unary(f"{PROPERTY}/Delete", request, rpc.DeleteResponse, **options)

    def query(self, group: str | Sequence[str], *, timeout: float = WAIT_SECONDS, **fields: Any) -> list[Any]:
        groups = [group] if isinstance(group, str) else list(group)
        request = rpc.QueryRequest(groups=groups, **fields)
        reply = self.unary(f"{PROPERTY}/Query", request, rpc.QueryResponse, timeout=timeout)
        return list(reply.properties)

    def propagation(self, request: Any, **options: Any) -> Any:
        return self.unary(PROPAGATION, request, gossip.PropagationResponse, **options)

    # --- the services of gossipnode ---

    def import_versions(self, group: str, records: Iterable[tuple[Any, int]], *, batch: int = 250) -> int:
        """Write records, each with its delete time, and keep their stamps as they are."""
        held = [own.Record(property=record, delete_time=delete_time) for record, delete_time in records]
        requests = [
            own.ImportRequest(group=group, records=held[at : at + batch], keep_versions=True)
            for at in range(0, len(held), batch)
        ]
        written = 0
        for answer in self.import_stream(requests):
            assert not answer.HasField("bad_record"), answer
            written += answer.records
        assert written == len(held)
        return written

    def import_stream(self, requests: Iterable[Any]) -> Any:
        call = self.channel.stream_stream(
            f"{NODE_SERVICE}/Import",
            request_serializer=own.ImportRequest.SerializeToString,
            response_deserializer=own.ImportResponse.FromString,
        )
        return call(iter(requests), timeout=WAIT_SECONDS, metadata=self.metadata)

    def export(self, group: str) -> dict[tuple[str, str], tuple[Any, int]]:
        """Every record by name and id, tombstones included."""
        request = own.ExportRequest(group=group, tombstones=True)
        return {
            (record.property.metadata.name, record.property.id): (record.property, record.delete_time)
            for batch in self.answers(f"{NODE_SERVICE}/Export", request, own.RecordBatch)
            for record in batch.records
        }

    def root(self, group: str, shard: int = 0) -> str:
        (tree,) = self.answers(
            f"{NODE_SERVICE}/Tree", own.TreeRequest(group=group, shard=shard), own.TreeResponse
        )
        assert tree.state == "ready"
        return str(tree.root)

    def status(self, **options: Any) -> Any:
        return self.unary(f"{NODE_SERVICE}/Status", own.StatusRequest(), own.StatusResponse, **options)

    def repair(self, group: str) -> Any:
        """Start a round of shard 0 and wait for its end."""
        finished = None
        for event in self.start_repair(group):
            if event.HasField("finished"):
                finished = event.finished
        assert finished is not None
        return finished

    def start_repair(self, group: str) -> Any:
        request = own.RepairRequest(group=group, shard=0, wait=True)
        return self.answers(f"{NODE_SERVICE}/Repair", request, own.RoundEvent)


@contextlib.contextmanager
def refused(code: grpc.StatusCode, *words: str) -> Iterator[None]:
    """Check that the call in the block ends with this status, and that its text holds these words."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    assert caught.value.code() is code, caught.value
    for word in words:
        assert word in caught.value.details()

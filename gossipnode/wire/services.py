"""Every method that a node serves or calls: its path, its shape, and its codecs.

Paths and shapes are read from the generated services, so that protos/ is their only source. Most messages are
betterproto's, with properties as bytes. The tree session speaks in the core's values. Members ask each other
in messages of Google's runtime, which takes a small part of the time there (see `replica_codec`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import betterproto
from betterproto.grpc.grpclib_server import ServiceBase
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from gossipnode.core.session.messages import ClientMessage, ServerMessage
from gossipnode.core.session.reconcile.reconcile_messages import ReconcileMessage
from gossipnode.rpc import Cardinality, Method
from gossipnode.wire.bounds.element_count import check_elements
from gossipnode.wire.bounds.message_bounds import ANSWER_FIELDS_MAX, FIELDS_MAX
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.strict import decoder_of
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1 as node
from gossipnode.wire.generated.pb.banyandb.database.v1 import rpc_pb2 as discovery
from gossipnode.wire.generated.pb.gossipnode.v1 import access_pb2 as access
from gossipnode.wire.generated.pb.gossipnode.v1 import cluster_pb2 as cluster
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as replica
from gossipnode.wire.generated.pb.gossipnode.v1 import watch_pb2 as watch
from gossipnode.wire.reconcile_codec import decode_reconcile_message, encode_reconcile_message
from gossipnode.wire.session_codec import (
    decode_client_message,
    decode_server_message,
    encode_client_message,
    encode_server_message,
)
from gossipnode.wire.shown_codec import encode_status
from gossipnode.wire.watch_codec import encode_watch_answer
from gossipnode.wire.wire_errors import WireError

Request = TypeVar("Request", bound=betterproto.Message)
Reply = TypeVar("Reply", bound=betterproto.Message)
PbRequest = TypeVar("PbRequest", bound=Message)
PbReply = TypeVar("PbReply", bound=Message)

# The keys are whether the client streams, and whether the server does.
_SHAPES = {
    (False, False): Cardinality.UNARY_UNARY,
    (False, True): Cardinality.UNARY_STREAM,
    (True, False): Cardinality.STREAM_UNARY,
    (True, True): Cardinality.STREAM_STREAM,
}


def _method(
    service: type[ServiceBase],
    name: str,
    request: type[Request],
    reply: type[Reply],
    *,
    reply_fields_max: int = FIELDS_MAX,
) -> Method[Request, Reply]:
    """The method of a generated service whose messages are betterproto's, read strictly.

    Raises:
        TypeError: the service has no such method with these messages.
    """
    made: Any = service()  # betterproto declares __mapping__ in its generated classes alone
    for path, handler in made.__mapping__().items():
        if path.endswith(f"/{name}") and (handler.request_type, handler.reply_type) == (request, reply):
            read_reply = decoder_of(reply, reply_fields_max)
            return Method(path, handler.cardinality, encode, decoder_of(request), encode, read_reply)
    raise TypeError(f"{service.__name__} has no {name}({request.__name__}) -> {reply.__name__}")


_PB_BYTES_OF_ONE = 8
"""Google's runtime reads this number of bytes in the time in which the others read one."""


def _pb_method(
    service: ServiceDescriptor, name: str, request: type[PbRequest], reply: type[PbReply]
) -> Method[PbRequest, PbReply]:
    """The method of a generated service whose messages are of Google's runtime.

    Raises:
        TypeError: the service has no such method with these messages.
    """
    method = service.methods_by_name.get(name)
    if method is None or (method.input_type, method.output_type) != (request.DESCRIPTOR, reply.DESCRIPTOR):
        raise TypeError(f"{service.name} has no {name}({request.__name__}) -> {reply.__name__}")
    return Method(
        f"/{service.full_name}/{name}",
        _SHAPES[method.client_streaming, method.server_streaming],
        request.SerializeToString,
        _pb_decoder(request),
        reply.SerializeToString,
        _pb_decoder(reply),
        bytes_of_one=_PB_BYTES_OF_ONE,
    )


def _pb_decoder(cls: type[PbRequest]) -> Callable[[bytes], PbRequest]:
    def read(data: bytes) -> PbRequest:
        check_elements(cls, data, cls.__name__)
        try:
            return cls.FromString(data)
        except DecodeError:
            raise WireError(f"{cls.__name__}: malformed, truncated, or with text that is not UTF-8") from None

    return read


# --- what clients ask of any node, in the compatible protocol ---

_property = banyandb.PropertyServiceBase
APPLY = _method(_property, "Apply", banyandb.ApplyRequest, banyandb.ApplyResponse)
DELETE = _method(_property, "Delete", banyandb.DeleteRequest, banyandb.DeleteResponse)
QUERY = _method(
    _property, "Query", banyandb.QueryRequest, banyandb.QueryResponse, reply_fields_max=ANSWER_FIELDS_MAX
)

# --- what replicas say to each other, in the compatible protocol ---

_repair = _method(banyandb.RepairServiceBase, "Repair", banyandb.RepairRequest, banyandb.RepairResponse)
REPAIR: Method[ClientMessage, ServerMessage] = Method(
    _repair.path,
    _repair.cardinality,
    encode_client_message,
    decode_client_message,
    encode_server_message,
    decode_server_message,
)
PROPAGATION = _method(
    banyandb.GossipServiceBase, "Propagation", banyandb.PropagationRequest, banyandb.PropagationResponse
)

# --- what the discovery of a compatible peer asks ---

CURRENT_NODE = _pb_method(
    discovery.DESCRIPTOR.services_by_name["NodeQueryService"],
    "GetCurrentNode",
    discovery.GetCurrentNodeRequest,
    discovery.GetCurrentNodeResponse,
)

# --- what two ends of a connection say first, where the cluster has a secret ---

PROVE = _pb_method(
    access.DESCRIPTOR.services_by_name["AccessService"], "Prove", access.ProveRequest, access.ProveReply
)

# --- our own protocol ---

_node = node.NodeServiceBase


def _node_method(name: str, request: type[Request], reply: type[Reply]) -> Method[Request, Reply]:
    """A method of our own service for clients, which show operators a whole cluster."""
    return _method(_node, name, request, reply, reply_fields_max=ANSWER_FIELDS_MAX)


NODE_APPLY = _node_method("Apply", node.ApplyRequest, node.ApplyResponse)
NODE_DELETE = _node_method("Delete", node.DeleteRequest, node.DeleteResponse)
NODE_GET = _node_method("Get", node.GetRequest, node.GetResponse)
NODE_QUERY = _node_method("Query", node.QueryRequest, node.RecordBatch)
NODE_IMPORT = _node_method("Import", node.ImportRequest, node.ImportResponse)
NODE_EXPORT = _node_method("Export", node.ExportRequest, node.RecordBatch)
NODE_STATUS = replace(
    _node_method("Status", node.StatusRequest, node.StatusResponse), encode_reply=encode_status
)
NODE_TREE = _node_method("Tree", node.TreeRequest, node.TreeResponse)
NODE_DIFF = _node_method("Diff", node.DiffRequest, node.DiffResponse)
NODE_REPAIR = _node_method("Repair", node.RepairRequest, node.RoundEvent)
NODE_CREATE_GROUP = _node_method("CreateGroup", node.CreateGroupRequest, node.GroupResponse)
NODE_ALTER_GROUP = _node_method("AlterGroup", node.AlterGroupRequest, node.GroupResponse)
NODE_DELETE_GROUP = _node_method("DeleteGroup", node.DeleteGroupRequest, node.GroupResponse)
NODE_LIST_GROUPS = _node_method("ListGroups", node.ListGroupsRequest, node.ListGroupsResponse)
NODE_FORGET_MEMBER = _node_method("ForgetMember", node.ForgetMemberRequest, node.ForgetMemberResponse)
NODE_SNAPSHOT = _node_method("Snapshot", node.SnapshotRequest, node.SnapshotEvent)
REPORT = _method(node.RoundServiceBase, "Report", node.ReportRequest, node.ReportResponse)
ALIVE = _method(node.RoundServiceBase, "Alive", node.AliveRequest, node.AliveResponse)
ROUND_ENDED = _method(node.RoundServiceBase, "Ended", node.RoundEndedRequest, node.RoundEndedResponse)
FOREIGN_TURN = _method(
    node.RoundServiceBase, "ForeignTurn", node.ForeignTurnRequest, node.ForeignTurnResponse
)

_watch: Method[Any, Any] = _method(
    node.ChangeServiceBase,
    "Watch",
    node.WatchRequest,
    node.WatchResponse,
    reply_fields_max=ANSWER_FIELDS_MAX,
)
WATCH: Method[node.WatchRequest, Any] = replace(_watch, encode_reply=encode_watch_answer, endless=True)
"""A node answers by `WatchAnswer`s, whose events are encoded already; a client reads `WatchResponse`s."""
_changes = watch.DESCRIPTOR.services_by_name["ChangeService"]
WAIT = _pb_method(_changes, "Wait", watch.WaitRequest, watch.WaitResponse)
EXPLAIN = _pb_method(_changes, "Explain", watch.ExplainRequest, watch.ExplainResponse)

_replica = replica.DESCRIPTOR.services_by_name["ReplicaService"]
REPLICA_EXCHANGE = _pb_method(_replica, "Exchange", replica.ExchangeRequest, replica.ExchangeReply)
REPLICA_SCAN = _pb_method(_replica, "Scan", replica.ScanRequest, replica.ScanPage)
REPLICA_LINEAGES = _pb_method(_replica, "Lineages", replica.LineagesRequest, replica.LineagesReply)
REPLICA_RETENTION = _pb_method(_replica, "Retention", replica.RetentionRequest, replica.RetentionReply)
REPLICA_HELLO = _pb_method(_replica, "Hello", replica.HelloMessage, replica.HelloMessage)
REPLICA_JOIN = _pb_method(_replica, "Join", replica.JoinRequest, replica.JoinReply)
REPLICA_CHANGES = replace(
    _pb_method(_replica, "Changes", replica.ChangesRequest, replica.ChangesPage), endless=True
)
REPLICA_ARRIVED = _pb_method(_replica, "Arrived", replica.ArrivedRequest, replica.ArrivedReply)
REPLICA_EPOCH = _pb_method(_replica, "Epoch", cluster.EpochRequest, cluster.EpochReply)
RECONCILE: Method[ReconcileMessage, ReconcileMessage] = Method(
    "/gossipnode.v1.ReconcileService/Reconcile",
    Cardinality.STREAM_STREAM,
    encode_reconcile_message,
    decode_reconcile_message,
    encode_reconcile_message,
    decode_reconcile_message,
    bytes_of_one=_PB_BYTES_OF_ONE,
)

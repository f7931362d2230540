"""gRPC on Trio: a server and a client over any Trio stream, with every bound in `Limits`.

Begin with `Server`, `Channel` and `Method`; DESIGN.md says why it is as it is. `http2/` is the protocol,
`server/` and `client/` are the two ends of a call, and the modules here are what they share. Nothing here
knows of properties, protobuf or the ring: a method brings its own codecs.
"""

from gossipnode.rpc.client.channel import Call, Channel, Greet, UnaryResult
from gossipnode.rpc.client.client_stream import ClientStream
from gossipnode.rpc.client.retry import RetryPolicy
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.method import Cardinality, Method
from gossipnode.rpc.server.calls import CallContext, ServerStream
from gossipnode.rpc.server.reply_budget import ReplyBudget
from gossipnode.rpc.server.server import Server
from gossipnode.rpc.status import RpcError, Status

__all__ = [
    "Call",
    "CallContext",
    "Cardinality",
    "Channel",
    "ClientStream",
    "Greet",
    "Limits",
    "Method",
    "ReplyBudget",
    "RetryPolicy",
    "RpcError",
    "Server",
    "ServerStream",
    "Status",
    "UnaryResult",
]

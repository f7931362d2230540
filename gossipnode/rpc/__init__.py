"""gRPC on Trio: a server and a client over any Trio stream, with every bound in `Limits`.

This room knows nothing of properties, protobuf or the ring: methods bring their own codecs.
"""

import logging

from gossipnode.rpc.client.channel import Channel, UnaryResult
from gossipnode.rpc.client.client_stream import ClientStream
from gossipnode.rpc.client.retry import RetryPolicy
from gossipnode.rpc.http2.reply_budget import ReplyBudget
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.method import Cardinality, Method
from gossipnode.rpc.server.calls import CallContext, ServerStream
from gossipnode.rpc.server.server import Server
from gossipnode.rpc.status import RpcError, Status

# Where nobody has set up logs, as in a command, the standard library would print warnings on stderr.
logging.getLogger("gossipnode").addHandler(logging.NullHandler())

__all__ = [
    "CallContext",
    "Cardinality",
    "Channel",
    "ClientStream",
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

"""gRPC on Trio: a server and a client over any Trio stream, with every bound in `Limits`.

This room knows nothing of properties, protobuf or the ring: methods bring their own codecs.
"""

import logging

from gossipnode.rpc.calls import CallContext, ServerStream
from gossipnode.rpc.channel import Channel, UnaryResult
from gossipnode.rpc.client_stream import ClientStream
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.method import Cardinality, Method
from gossipnode.rpc.replies import ReplyBudget
from gossipnode.rpc.retry import RetryPolicy
from gossipnode.rpc.server import Server
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

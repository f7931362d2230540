"""A repair stream that carries a tree session."""

from __future__ import annotations

from typing import Any

from gossipnode.core.session.tree_client import TreeClient
from gossipnode.core.session.tree_server import TreeServer
from gossipnode.node.repair.repair_stream import MessageStream, RepairStream
from gossipnode.node.repair.shard_store import ShardStore, TreeReads


def tree_stream(
    stream: MessageStream[Any, Any], session: TreeClient | TreeServer, store: ShardStore, **waits: Any
) -> RepairStream[Any, Any]:
    """`session` over `stream`, which reads and writes `store`."""
    return RepairStream(stream, session, TreeReads(session, store), **waits)

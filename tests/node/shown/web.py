"""Asks the status port of a simulated node, over the network in memory."""

from __future__ import annotations

import trio

from gossipnode.config.address import Address
from gossipnode.sim import Cluster

STATUS = Address("127.0.0.1", 7480)


def shown_at(number: int = 0) -> dict[str, object]:
    """The settings of a node that shows itself."""
    return {"node.status_listen": str(STATUS._replace(port=STATUS.port + number))}


async def get(cluster: Cluster, path: str, address: Address = STATUS) -> tuple[int, bytes]:
    """The status and the body of an answer."""
    stream = await cluster.network.connect(address)
    async with stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n".encode())
        answer = b""
        while more := await stream.receive_some():
            answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def start_with_status(cluster: Cluster, nursery: trio.Nursery) -> None:
    """Start the nodes; `a` shows itself."""
    async with trio.open_nursery() as starting:
        starting.start_soon(cluster.start, nursery, *[name for name in cluster.names if name != "a"])
        await cluster.start(nursery, "a", **shown_at())

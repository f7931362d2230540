"""Where is the service? Its instances register themselves, and callers find them by a query."""

import os
import sys
import time

import trio

from gossipnode.client import Client, Timestamp, connect

AT = sys.argv[1:] or [os.environ.get("GOSSIPNODE_AT", "127.0.0.1:7400")]
LEASE_SECONDS = 30


async def register(client: Client, instance: str, address: str) -> None:
    """An instance repeats this every few seconds. One that dies is found until its lease ends, no longer."""
    expires = Timestamp(int(time.time()) + LEASE_SECONDS, 0)
    await client.apply("examples", "web", instance, {"address": address, "expires": expires})


async def instances(client: Client) -> list[str]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    alive = client.query("examples", name="web", where=f'expires > t"{now}"')
    return [str(found.tags["address"]) async for found in alive]


async def main() -> None:
    async with connect(*AT) as client:
        await register(client, "web-1", "10.0.0.7:8080")
        await register(client, "web-2", "10.0.0.8:8080")
        print("serving:", await instances(client))
        await client.delete("examples", "web", "web-2")
        print("after web-2 has left:", await instances(client))


trio.run(main)

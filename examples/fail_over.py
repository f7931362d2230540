"""What if a node dies? Give several addresses: `fail_over.py A:7400 B:7400 C:7400`. Under asyncio."""

import asyncio
import os
import sys
from contextlib import aclosing

from gossipnode.client import Client, connect

AT = sys.argv[1:] or [os.environ.get("GOSSIPNODE_AT", "127.0.0.1:7400")]


async def write_many(client: Client, count: int) -> None:
    for number in range(count):
        # A try that got no answer is repeated at the next node, and is still one write.
        await client.apply("examples", "event", f"{number:04}", {"number": number})


async def main() -> None:
    async with connect(*AT) as client:
        async with asyncio.TaskGroup() as group:
            group.create_task(write_many(client, 50))
            print("members:", [f"{member.name} is {member.state}" for member in await client.members()])

        # If its node is lost, a long query goes on at another node, after the last record that came.
        count = 0
        async for _ in client.query("examples", name="event", limit=None):
            count += 1
        print("events:", count)

        # A program that leaves a query early does so inside `aclosing`, which ends the query at once.
        latest = client.query("examples", name="event", order_by="number", descending=True)
        async with aclosing(latest) as events:
            async for event in events:
                print("last event:", event.tags["number"])
                break


asyncio.run(main())

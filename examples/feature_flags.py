"""Which features are on? Flags are set in one place, and a program that watches them sees each change."""

import os
import sys

import anyio
import trio

from gossipnode.client import Client, connect

AT = sys.argv[1:] or [os.environ.get("GOSSIPNODE_AT", "127.0.0.1:7400")]


async def follow(client: Client, flags: dict[str, bool]) -> None:
    """Keep `flags` as they are, and print each one that changes, until cancelled."""
    async for event in client.watch("examples", name="flag"):
        if event.event == "gap":
            flags.clear()
        elif event.event == "delete":
            flags.pop(event.id, None)
        elif event.event == "put" and event.tags is not None:
            on = event.tags.get("on") == 1
            if flags.get(event.id) != on:
                print(f"{event.id} is {'on' if on else 'off'}", flush=True)
            flags[event.id] = on


async def main() -> None:
    flags: dict[str, bool] = {}
    async with connect(*AT) as client, anyio.create_task_group() as tasks:
        await client.apply("examples", "flag", "dark-mode", {"on": 0, "owner": "design"})
        tasks.start_soon(follow, client, flags)
        await anyio.sleep(0.5)
        # This changes one tag. The other tags of the record stay as they are.
        await client.apply("examples", "flag", "dark-mode", {"on": 1})
        await anyio.sleep(0.5)
        tasks.cancel_scope.cancel()


trio.run(main)

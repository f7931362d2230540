"""Which features are on? Flags are set in one place, and a program that polls sees each change."""

import os
import sys

import anyio
import trio

from gossipnode.client import Client, connect

AT = sys.argv[1:] or [os.environ.get("GOSSIPNODE_AT", "127.0.0.1:7400")]


async def flags(client: Client) -> dict[str, bool]:
    """All flags. Keep the answer: one query every few seconds serves any number of questions."""
    found = client.query("examples", name="flag", select=["on"], limit=None)
    return {flag.id: flag.tags["on"] == 1 async for flag in found}


async def watch(client: Client, every_seconds: float) -> None:
    """Print each flag that changes, until cancelled."""
    known: dict[str, bool] = {}
    while True:
        now = await flags(client)
        for flag, on in now.items():
            if known.get(flag) != on:
                print(f"{flag} is {'on' if on else 'off'}", flush=True)
        known = now
        await anyio.sleep(every_seconds)


async def main() -> None:
    async with connect(*AT) as client, anyio.create_task_group() as tasks:
        await client.apply("examples", "flag", "dark-mode", {"on": 0, "owner": "design"})
        tasks.start_soon(watch, client, 0.1)
        await anyio.sleep(0.5)
        # This changes one tag. The other tags of the record stay as they are.
        await client.apply("examples", "flag", "dark-mode", {"on": 1})
        await anyio.sleep(0.5)
        tasks.cancel_scope.cancel()


trio.run(main)

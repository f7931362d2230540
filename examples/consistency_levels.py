"""How sure do we want to be? The same write and the same read, at each level."""

import os
import sys

import trio

from gossipnode.client import NoNodeError, UnreachableError, connect

AT = sys.argv[1:] or [os.environ.get("GOSSIPNODE_AT", "127.0.0.1:7400")]
CONTRACT = ("examples", "contract", "4711")


async def main() -> None:
    async with connect(*AT, timeout=5) as client:
        # Fast: one replica has it on its disk, the others get it in a moment, or with the next round.
        await client.apply(*CONTRACT, {"state": "draft"}, ack="one")

        # Sure: a majority has it. Whoever reads from a majority from now on, at any node, sees it.
        try:
            applied = await client.apply(*CONTRACT, {"state": "signed"}, ack="quorum")
            print("signed, on", applied.acknowledged, "of", applied.replicas)
        except NoNodeError:
            print("no node was reached: it is not signed")
        except UnreachableError as error:
            print("nobody can say yet whether it is signed:", error)

        contract = await client.get(*CONTRACT, ack="quorum")
        print("for sure:", contract.tags["state"] if contract else "none")

        # Near: what one replica knows. It may be behind.
        contract = await client.get(*CONTRACT, ack="one")
        print("perhaps:", contract.tags["state"] if contract else "none")


trio.run(main)

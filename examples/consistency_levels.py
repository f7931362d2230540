"""How sure do we want to be? Writes and reads of one record at several levels."""

import os
import sys

import trio

from gossipnode.client import NoNodeError, UnreachableError, connect

AT = sys.argv[1:] or [os.environ.get("GOSSIPNODE_AT", "127.0.0.1:7400")]
CONTRACT = ("examples", "contract", "4711")


async def main() -> None:
    async with connect(*AT, timeout=5) as client:
        # Fast: wait for one replica only. The other replicas get it in a moment, or with the next round.
        await client.apply(*CONTRACT, {"state": "draft"}, ack="one")

        # Sure: wait for a majority. Every read at "quorum" sees it from then on, whichever node is asked.
        try:
            applied = await client.apply(*CONTRACT, {"state": "signed"}, ack="quorum")
            print("signed, on", applied.acknowledged, "of", applied.replicas)
        except NoNodeError:
            print("no node was reached: it is not signed")
        except UnreachableError as error:
            print("nobody can say yet whether it is signed:", error)

        contract = await client.get(*CONTRACT, ack="quorum")
        print("for sure:", contract.tags["state"] if contract else "none")

        # Near: ask one replica only. It may not know the newest version yet.
        contract = await client.get(*CONTRACT, ack="one")
        print("perhaps:", contract.tags["state"] if contract else "none")


trio.run(main)
